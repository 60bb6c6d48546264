"""The rooms of the ladder, which `wsgi_sepkg.denials.decide` climbs.

`fixes` and `signs` stand alone; each of the others is built on the one before it: `known`,
`refusals`, `booleans`, `entries`, `interfaces`, `ports`, `labels`.
"""

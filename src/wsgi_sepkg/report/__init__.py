"""One result, two faces: text for a person, JSON for a program."""

"""What the user says: the schema of wsgi-sepkg.toml, its validation, the frozen model."""

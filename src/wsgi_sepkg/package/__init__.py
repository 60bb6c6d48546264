"""Project and policy become archives, specs and packages."""

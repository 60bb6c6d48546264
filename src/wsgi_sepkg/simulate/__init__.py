"""What the scriptlets of packages do, found by running them in a scratch root; see simulate.run."""

"""A throw-away machine with an enforcing kernel, in which packages are installed and tried."""

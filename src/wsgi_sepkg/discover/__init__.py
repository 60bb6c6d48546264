"""What an existing application and its host say, read and never run."""

"""Policy: generating, compiling, linking and checking SELinux modules."""

"""wsgi-sepkg: SELinux policy for WSGI applications, checked and packaged."""

__version__ = "0.1.0"

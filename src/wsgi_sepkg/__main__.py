"""Run the command line as ``python -m wsgi_sepkg``."""

from wsgi_sepkg.cli import main

if __name__ == "__main__":
    main()

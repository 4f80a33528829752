"""Lets ``python -m honeyguide.cli`` run the command."""

from honeyguide.cli import main

if __name__ == "__main__":
    main()

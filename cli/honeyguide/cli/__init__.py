"""Command ``honeyguide``: one verb for each stage from a raw log to an answer."""

import sys

__all__ = ["main"]


def main() -> None:
    """Runs the command line; the bare client install is told what is missing."""
    try:
        from honeyguide.cli.app import run
    except ModuleNotFoundError as error:
        if error.name and error.name.partition(".")[0] == "honeyguide":
            raise
        sys.exit(f"honeyguide: the command line needs {error.name}: pip install 'honeyguide[cli]'")
    except KeyboardInterrupt:  # a Ctrl-C while libraries are loaded, as later: no traceback
        sys.exit(130)
    run()

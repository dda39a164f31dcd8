"""`python -m b24oauth` is the command `b24oauth`."""

import sys

from b24oauth.cli import main

__all__: list[str] = []

if __name__ == "__main__":
    sys.exit(main())

"""`python -m webcom_async`: the command line."""

import sys

from webcom_async.cli import main

if __name__ == "__main__":
    sys.exit(main())

"""`python -m plastic_env`: the command line."""

import sys

from plastic_env.cli import main

if __name__ == "__main__":
    sys.exit(main())

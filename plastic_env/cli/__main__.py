"""`python -m plastic_env.cli`."""

import sys

from plastic_env.cli import main

if __name__ == "__main__":
    sys.exit(main())

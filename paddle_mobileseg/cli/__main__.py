"""``python -m paddle_mobileseg.cli``."""

import sys

from paddle_mobileseg.cli import main

if __name__ == "__main__":
    sys.exit(main())

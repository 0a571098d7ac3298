"""PaddleSeg's name for ``mobileseg export``."""

import sys

from paddle_mobileseg.cli import main

if __name__ == "__main__":
    sys.exit(main(["export", *sys.argv[1:]]))

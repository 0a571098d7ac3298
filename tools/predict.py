"""PaddleSeg's name for ``mobileseg predict``."""

import sys

from paddle_mobileseg.cli import main

if __name__ == "__main__":
    sys.exit(main(["predict", *sys.argv[1:]]))

"""PaddleSeg's name for ``mobileseg train``."""

import sys

from paddle_mobileseg.cli import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))

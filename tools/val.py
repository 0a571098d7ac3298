"""PaddleSeg's name for ``mobileseg val``."""

import sys

from paddle_mobileseg.cli import main

if __name__ == "__main__":
    sys.exit(main(["val", *sys.argv[1:]]))

"""``mobileseg benchmark`` as a script, beside PaddleSeg's names."""

import sys

from paddle_mobileseg.cli import main

if __name__ == "__main__":
    sys.exit(main(["benchmark", *sys.argv[1:]]))

"""Runs `python -m retinanet_odm.samples`."""

import sys

from retinanet_odm.samples.command import main

if __name__ == "__main__":
    sys.exit(main())

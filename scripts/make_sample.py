"""Writes the sample data set. The same as `python -m retinanet_odm.samples`, which needs no checkout.

python scripts/make_sample.py OUT [--images=240] [--archive_images=60] [--seed=0]
"""

import sys

from retinanet_odm.samples.command import main

if __name__ == "__main__":
    sys.exit(main())

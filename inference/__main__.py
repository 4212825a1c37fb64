"""python -m inference; see inference.main."""

import sys

from inference.main import main

sys.exit(main())

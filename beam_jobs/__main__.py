"""python -m beam_jobs; see beam_jobs.main."""

import sys

from beam_jobs.main import main

sys.exit(main())

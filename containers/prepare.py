"""Runs prepare for Dataflow's template launcher (FLEX_TEMPLATE_PYTHON_PY_FILE)."""

import sys

from beam_jobs.flags import make_prepare_parser
from beam_jobs.main import main
from retinanet_odm.dataflow.flex_templates import template_flags

sys.exit(main(["prepare", *template_flags(make_prepare_parser().commands["prepare"], sys.argv[1:])]))

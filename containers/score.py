"""Runs score for Dataflow's template launcher (FLEX_TEMPLATE_PYTHON_PY_FILE)."""

import sys

from inference.main import main
from inference.options import make_score_parser
from retinanet_odm.dataflow.flex_templates import template_flags

sys.exit(main(["score", *template_flags(make_score_parser().commands["score"], sys.argv[1:])]))

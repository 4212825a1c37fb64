"""What Dataflow's launcher runs for the template of score (FLEX_TEMPLATE_PYTHON_PY_FILE)."""

import sys

from beamio.templates import command_parser, program_flags
from inference.main import main
from inference.options import make_parser

sys.exit(main(["score", *program_flags(command_parser(make_parser(), "score"), sys.argv[1:])]))

"""What Dataflow's launcher runs for the template of prepare (FLEX_TEMPLATE_PYTHON_PY_FILE)."""

import sys

from beam_jobs.flags import make_parser
from beam_jobs.main import main
from beamio.templates import command_parser, program_flags

sys.exit(main(["prepare", *program_flags(command_parser(make_parser(), "prepare"), sys.argv[1:])]))

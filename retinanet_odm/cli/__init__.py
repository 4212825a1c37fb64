"""How a program starts and ends, and what it prints on the way.

Begin with `program`: `run_main` wraps the main function of every program and defines the exit statuses; `Parser` reads
strict command lines.

  command_line  what is wrong with a word that no flag takes
  console       the command retinanet-odm, which calls all programs
  estimate      the amount of work and its cost, for --estimate
  free_memory   what the machine, or the container, has left
  installation  checks of the machine and of the packages
  native_log    start-up messages of C++ libraries
  progress      the progress bar, or lines
"""

from retinanet_odm.cli.program import Ending, Parser, check_not_empty, explain_request, run_main
from retinanet_odm.cli.progress import ProgressReporter

__all__ = [
    "Ending",
    "Parser",
    "ProgressReporter",
    "check_not_empty",
    "explain_request",
    "run_main",
]

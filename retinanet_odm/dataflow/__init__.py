"""Google's Dataflow service: starting our programs there, and Google's errors in one line. Does not import Beam itself.

Begin with `launcher`, the program behind scripts/dataflow.sh: it checks the project (`preflight`), adds Beam's flags
and becomes `beam_jobs` or `inference`. These run their main function by `job_main.run_job_main`, on every runner.
`flex_templates` offers the same commands as forms in Google's console.
"""

from retinanet_odm.dataflow.flex_templates import template_flags, template_metadata
from retinanet_odm.dataflow.job_main import run_job_main
from retinanet_odm.dataflow.preflight import check_project

__all__ = ["check_project", "run_job_main", "template_flags", "template_metadata"]

"""States how each command of the guides is tried, and why so. The first rule that matches a command applies."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from tests.guides import trials
from tests.guides.sandbox import Sandbox

RUN, DRY_RUN, PARSED, LISTED = "run", "dry run", "parsed", "listed"


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A way of trying commands.

    Attributes:
      begins: pattern of the beginning of the command.
      trial: tries a command; returns what it prints.
      kind: what the trial amounts to.
      reason: why it is not run for real, or why it can be.
    """

    begins: str
    trial: Callable[[Sandbox, str], str]
    kind: str
    reason: str

    def fits(self, text: str) -> bool:
        return re.match(self.begins, text) is not None


_SCORE = r"python -m inference (score|convert|repeats|evaluate|label_errors|audit|abundance|review|detect) "
RULES = (
    Rule(
        begins=r"python -m inference review (?!.*--export)",
        trial=trials.parse_review,
        kind=PARSED,
        reason="a server, which does not exit, and needs an extra; tests/inference/review_page opens its page",
    ),
    Rule(
        begins=_SCORE + r".*--direct_running_mode",
        trial=trials.parse_beam,
        kind=PARSED,
        reason="two processes that load TensorFlow take long; tests/inference/test_score.py runs it",
    ),
    Rule(
        begins=r"python -m inference label_errors MODEL/folds",
        trial=trials.parse_inference,
        kind=PARSED,
        reason="needs the three trainings of --mode=folds",
    ),
    Rule(
        begins=r"python -m inference label_studio ",
        trial=trials.parse_label_studio,
        kind=PARSED,
        reason="a server, which does not exit; tests/inference/test_label_studio.py asks it",
    ),
    Rule(begins=_SCORE, trial=trials.run, kind=RUN, reason="local"),
    Rule(begins=r"retinanet-odm run ", trial=trials.run, kind=RUN, reason="local"),
    Rule(begins=r"python -m beam_jobs (prepare|check|labels|export) ", trial=trials.run, kind=RUN, reason="local"),
    Rule(begins=r"python scripts/make_sample\.py ", trial=trials.run, kind=RUN, reason="local"),
    Rule(
        begins=r"python -m trainer .*(gs://|--use_tpu\b|--tpu=|--mode=tpu_fit|--worker_hosts)",
        trial=trials.parse_trainer,
        kind=PARSED,
        reason="needs a bucket, a TPU, its compiler or other machines",
    ),
    Rule(
        begins=r"python -m trainer .*--(training_file_pattern|recipe|backbone|preset=(?!tiny))",
        trial=trials.parse_trainer,
        kind=PARSED,
        reason="a network of the old tool's size takes minutes on a CPU; tests/trainer tests its parts",
    ),
    Rule(
        begins=r"python -m trainer .*(--mode=(learning_curve|folds)|--tile=)",
        trial=trials.parse_trainer,
        kind=PARSED,
        reason="several trainings, or a canvas of 640 px, take minutes; tests/trainer has a small one of each",
    ),
    Rule(
        begins=r"python -m trainer .*--runtime=xla",
        trial=trials.parse_trainer,
        kind=PARSED,
        reason="the compiler takes most of a minute; tests/trainer/loop/test_runtimes.py runs a small network",
    ),
    Rule(begins=r"python -m trainer ", trial=trials.run, kind=RUN, reason="local"),
    Rule(
        begins=r"(python -m trainer\.submit|scripts/tpu\.sh) (run|status|logs|stop) ",
        trial=trials.dry_run_tpu,
        kind=DRY_RUN,
        reason="creates a TPU VM",
    ),
    Rule(
        begins=r"scripts/dataflow\.sh (prepare|check|export|score) ",
        trial=trials.dry_run_dataflow,
        kind=DRY_RUN,
        reason="needs a Google Cloud project",
    ),
    Rule(
        begins=r"gcloud dataflow flex-template run ",
        trial=trials.check_template,
        kind=PARSED,
        reason="needs a Google Cloud project; its parameters are our flags",
    ),
    Rule(
        begins=r"gcloud builds submit ",
        trial=trials.check_build,
        kind=PARSED,
        reason="needs a Google Cloud project; the file and its substitutions are ours",
    ),
    Rule(begins=r"gcloud ", trial=trials.only_list, kind=LISTED, reason="Google's program, in the project of the user"),
    Rule(
        begins=r"docker (build|run) ",
        trial=trials.run_in_image,
        kind=RUN,
        reason="needs Docker; the program in the image runs here",
    ),
    Rule(
        begins=r"cvat-cli .* task auto-annotate ",
        trial=trials.check_cvat_function,
        kind=PARSED,
        reason="needs a CVAT server; tests/inference/test_cvat_function.py runs it with a stand-in for one",
    ),
    Rule(
        begins=r"pip install ",
        trial=trials.check_extras,
        kind=LISTED,
        reason="would change the environment of the tests; the extras are checked",
    ),
    Rule(
        begins=r"(\./)?scripts/(quickstart|setup|test(_\w+)?)\.sh|\.venv/bin/pre-commit install",
        trial=trials.check_files,
        kind=LISTED,
        reason="takes minutes, or runs this test",
    ),
    Rule(
        begins=r"eval .*register-python-argcomplete retinanet-odm",
        trial=trials.only_list,
        kind=LISTED,
        reason="changes only the shell; tests/retinanet_odm/cli/test_console.py asks for completions",
    ),
    Rule(
        begins=r"source \.venv/bin/activate",
        trial=trials.only_list,
        kind=LISTED,
        reason="changes only the shell",
    ),
    Rule(begins=r"tensorboard ", trial=trials.check_files, kind=LISTED, reason="a server, which does not exit"),
)


def rule_of(text: str) -> Rule | None:
    return next((rule for rule in RULES if rule.fits(text)), None)

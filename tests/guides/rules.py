"""Which commands of the guides are tried in which way, and why. The first rule that fits a command holds."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from tests.guides import ways
from tests.guides.ground import Ground

RUN, REHEARSED, PARSED, LISTED = "run", "dry run", "parsed", "listed"


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A pattern that a command begins with, how it is tried, what that counts as, and why no better."""

    begins: str
    way: Callable[[Ground, str], str]
    kind: str
    reason: str

    def fits(self, text: str) -> bool:
        return re.match(self.begins, text) is not None


_SCORE = r"python -m inference (score|convert|repeats|evaluate|detect) "
RULES = (
    Rule(
        begins=_SCORE + r".*--direct_running_mode",
        way=ways.parse_beam,
        kind=PARSED,
        reason="two processes that load TensorFlow take long: tests/inference/test_score.py runs it",
    ),
    Rule(begins=_SCORE, way=ways.run, kind=RUN, reason="local"),
    Rule(begins=r"python -m beam_jobs (prepare|check|labels) ", way=ways.run, kind=RUN, reason="local"),
    Rule(begins=r"python scripts/make_sample\.py ", way=ways.run, kind=RUN, reason="local"),
    Rule(
        begins=r"python -m trainer .*(gs://|--use_tpu\b|--tpu=|--mode=tpu_fit|--worker_hosts)",
        way=ways.parse_trainer,
        kind=PARSED,
        reason="needs a bucket, a TPU, its compiler or other machines",
    ),
    Rule(
        begins=r"python -m trainer .*--(training_file_pattern|recipe|backbone|preset=retinanet_r50)\b",
        way=ways.parse_trainer,
        kind=PARSED,
        reason="a network of the old tool's size takes minutes on a CPU: tests/trainer has its parts",
    ),
    Rule(begins=r"python -m trainer ", way=ways.run, kind=RUN, reason="local"),
    Rule(
        begins=r"(python -m trainer\.submit|scripts/tpu\.sh) (run|status|logs|stop) ",
        way=ways.rehearse_tpu,
        kind=REHEARSED,
        reason="makes a TPU VM",
    ),
    Rule(
        begins=r"scripts/dataflow\.sh (prepare|check|score) ",
        way=ways.rehearse_dataflow,
        kind=REHEARSED,
        reason="needs a project at Google",
    ),
    Rule(
        begins=r"gcloud dataflow flex-template run ",
        way=ways.check_template,
        kind=PARSED,
        reason="needs a project at Google; its parameters are flags of ours",
    ),
    Rule(
        begins=r"gcloud builds submit ",
        way=ways.check_build,
        kind=PARSED,
        reason="needs a project at Google; the file and its substitutions are ours",
    ),
    Rule(begins=r"gcloud ", way=ways.only_list, kind=LISTED, reason="Google's program, in the user's project"),
    Rule(
        begins=r"pip install ",
        way=ways.check_extras,
        kind=LISTED,
        reason="would change the environment of the tests; the extras are there",
    ),
    Rule(
        begins=r"(\./)?scripts/(quickstart|test|test_engines|setup)\.sh|\.venv/bin/pre-commit install",
        way=ways.check_files,
        kind=LISTED,
        reason="takes minutes, or is what runs this test",
    ),
    Rule(
        begins=r"source \.venv/bin/activate", way=ways.only_list, kind=LISTED, reason="a shell's; tests have their own"
    ),
    Rule(begins=r"tensorboard ", way=ways.check_files, kind=LISTED, reason="a server, which does not end"),
)


def rule_of(text: str) -> Rule | None:
    return next((rule for rule in RULES if rule.fits(text)), None)

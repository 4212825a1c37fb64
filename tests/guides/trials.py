"""Tries the commands of the guides. Each function returns what was printed, and fails if the command would."""

import importlib.util
import os
import re
import shlex
import shutil
import tomllib
from itertools import pairwise

from beam_jobs.flags import make_prepare_parser as data_parser
from inference.cvat_function import check_parameters
from inference.label_studio_images import TaskImages
from inference.label_studio_options import label_studio_options
from inference.options import make_score_parser as score_parser
from inference.review_options import review_options
from retinanet_odm.beam.options import beam_options
from retinanet_odm.dataflow.flex_templates import template_flags
from tests.guides.pages import ROOT
from tests.guides.sandbox import Sandbox, split_program
from trainer.flags import parse_request

_PARSERS = {"beam_jobs": data_parser, "inference": score_parser}
_PLACEHOLDERS = {
    "REGION": "europe-west4",
    "NO-SUCH-BUCKET": "b-2",
    "BUCKET": "b-1",
    "PROJECT": "my-project",
    "IMAGE": "europe-west4-docker.pkg.dev/my-project/odm/score:latest",
}


def run(sandbox: Sandbox, text: str) -> str:
    """Runs a command unchanged, in this process."""
    return sandbox.run(shlex.split(text))


def dry_run_dataflow(sandbox: Sandbox, text: str) -> str:
    """Runs the launcher with --dry_run; the program and Beam must accept what it prints."""
    printed = sandbox.run([*shlex.split(fill_placeholders(text)), "--dry_run"])
    parse_beam(sandbox, printed)
    return printed


def dry_run_tpu(sandbox: Sandbox, text: str) -> str:
    """Runs a command with --dry_run, which belongs before ``--``."""
    program, (command, *flags) = split_program(shlex.split(text))
    words = program.replace("scripts/tpu.sh", "-m trainer.submit").split()
    return sandbox.run(["python", *words, command, "--dry_run", *(flag for flag in flags if flag != "--dry_run")])


def parse_beam(sandbox: Sandbox, text: str) -> str:  # noqa: ARG001
    """Parses the command line of a Beam program without running it."""
    _, _, program, command, *words = shlex.split(text)
    _, rest = _PARSERS[program]().commands[command].parse_known_args(words)
    beam_options(rest)
    return ""


def parse_review(sandbox: Sandbox, text: str) -> str:  # noqa: ARG001
    """Parses the command line of a review without serving its page."""
    review_options(score_parser().parse_args(shlex.split(text)[3:]))
    return ""


def parse_inference(sandbox: Sandbox, text: str) -> str:  # noqa: ARG001
    """Parses the command line of a command of inference without running it."""
    _, words = split_program(shlex.split(text))
    score_parser().parse_args(words)
    return ""


def parse_trainer(sandbox: Sandbox, text: str) -> str:  # noqa: ARG001
    """Parses the command line of the trainer without running it; returns the notes on old flags."""
    _, words = split_program(shlex.split(text.replace("$TPU_NAME", "my-tpu")))
    return "".join(f"note: {notice}\n" for notice in parse_request(words, read_text=str).notices)


def parse_label_studio(sandbox: Sandbox, text: str) -> str:  # noqa: ARG001
    """Parses the command line of the backend, and checks its servers, without running it."""
    _, words = split_program(shlex.split(text))
    options = label_studio_options(score_parser().parse_args(words))
    TaskImages(options.url, "", options.image_hosts)
    return ""


def check_template(sandbox: Sandbox, text: str) -> str:
    """Checks that the parameters of a Flex Template are flags of its job."""
    words = shlex.split(text)
    file, given = (words[words.index(flag) + 1] for flag in ("--template-file-gcs-location", "--parameters"))
    command = re.search(r"/(prepare|score)-latest\.json$", file)[1]
    program = {"prepare": "beam_jobs", "score": "inference"}[command]
    parameters = [f"--{pair}" for pair in given.removeprefix("^~^").split("~")]
    flags = template_flags(_PARSERS[program]().commands[command], parameters)
    return parse_beam(sandbox, shlex.join(["python", "-m", program, command, *flags]))


def check_build(sandbox: Sandbox, text: str) -> str:  # noqa: ARG001
    """Checks that the configuration exists and uses the given substitutions."""
    words = shlex.split(text)
    config = (ROOT / words[words.index("--config") + 1]).read_text()
    names = re.findall(r"(_[A-Z]+)=", words[words.index("--substitutions") + 1])
    assert names and all(f"${{{name}}}" in config or f"${name}" in config for name in names), names
    return ""


def run_in_image(sandbox: Sandbox, text: str) -> str:
    """Checks that the Dockerfile exists, or runs the program that the container would run, in this process."""
    words = shlex.split(text)
    if words[1] == "build":
        assert (ROOT / words[words.index("-f") + 1]).is_file()
        return ""
    program, *arguments = words[words.index("retinanet-odm") + 1 :]
    main = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"][program]
    return sandbox.run(["python", "-m", main.partition(".")[0], *arguments])


def check_cvat_function(sandbox: Sandbox, text: str) -> str:  # noqa: ARG001
    """Checks that the parameters are those of the function, by the types that CVAT's program gives them."""
    words = shlex.split(text)
    assert importlib.util.find_spec(words[words.index("--function-module") + 1])
    given = [re.fullmatch(r"(\w+)=(str|int|float):(.+)", value) for flag, value in pairwise(words) if flag == "-p"]
    kinds = {"str": str, "int": int, "float": float}
    check_parameters({found[1]: kinds[found[2]](found[3]) for found in given})
    return ""


def check_extras(sandbox: Sandbox, text: str) -> str:  # noqa: ARG001
    """Checks that the package has the extras."""
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    asked = re.search(r"\.\[([\w,-]+)\]", text)[1].split(",")
    assert set(asked) <= set(known), asked
    return ""


def check_files(sandbox: Sandbox, text: str) -> str:
    """Checks that the program is executable, and that the paths in its arguments exist."""
    program, *words = shlex.split(text)
    assert os.access(ROOT / program, os.X_OK) or shutil.which(program), program
    paths = [word for word in words if "/" in word]
    missing = [path for path in paths if not ((ROOT / path).exists() or (sandbox.folder / path).exists())]
    assert not missing, missing
    return ""


def only_list(sandbox: Sandbox, text: str) -> str:  # noqa: ARG001
    """Accepts a command that cannot be tried."""
    return ""


def fill_placeholders(text: str) -> str:
    """Replaces the placeholders of a command by names."""
    for name, value in _PLACEHOLDERS.items():
        text = re.sub(rf"(?<![\w-]){name}(?![\w.-]|/\w+\.)", value, text)
    return text

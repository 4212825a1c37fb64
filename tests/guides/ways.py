"""How a command of a guide is tried. Each way returns what was printed, and fails where the command would."""

import os
import re
import shlex
import shutil
import tomllib

from beam_jobs.flags import make_prepare_parser as data_parser
from inference.options import make_score_parser as score_parser
from retinanet_odm.beam.options import beam_options
from retinanet_odm.cli.parser import program_flags as own_flags
from retinanet_odm.dataflow.flex_templates import command_parser, template_flags
from tests.guides.ground import Ground, split_program
from tests.guides.pages import ROOT
from trainer.flags import parse_request

_PARSERS = {"beam_jobs": data_parser, "inference": score_parser}
_GOOGLE_NAMES = {
    "REGION": "europe-west4",
    "NO-SUCH-BUCKET": "b-2",
    "BUCKET": "b-1",
    "PROJECT": "my-project",
    "IMAGE": "europe-west4-docker.pkg.dev/my-project/odm/score:latest",
}


def run(ground: Ground, text: str) -> str:
    """As it stands, in this process."""
    return ground.run(shlex.split(text))


def rehearse_dataflow(ground: Ground, text: str) -> str:
    """The launcher runs dry, and what it prints is understood by the program and by Beam."""
    printed = ground.run([*shlex.split(name_google(text)), "--dry_run"])
    parse_beam(ground, printed)
    return printed


def rehearse_tpu(ground: Ground, text: str) -> str:
    """With --dry_run, which is one of the flags before ``--``."""
    program, (command, *flags) = split_program(shlex.split(text))
    words = program.replace("scripts/tpu.sh", "-m trainer.submit").split()
    return ground.run(["python", *words, command, "--dry_run", *(flag for flag in flags if flag != "--dry_run")])


def parse_beam(ground: Ground, text: str) -> str:  # noqa: ARG001
    """A command line of a Beam program is read, and not carried out."""
    _, _, program, command, *words = shlex.split(text)
    flags, rest = command_parser(_PARSERS[program](), command).parse_known_args(words)
    beam_options(rest, own_flags(flags))
    return ""


def parse_trainer(ground: Ground, text: str) -> str:  # noqa: ARG001
    """A command line of the trainer is read, and not carried out; what it prints are the notes on old flags."""
    _, words = split_program(shlex.split(text.replace("$TPU_NAME", "my-tpu")))
    return "".join(f"note: {notice}\n" for notice in parse_request(words, read_text=str).notices)


def check_template(ground: Ground, text: str) -> str:
    """The parameters of a Flex Template are flags of the job that it is named after."""
    words = shlex.split(text)
    file, given = (words[words.index(flag) + 1] for flag in ("--template-file-gcs-location", "--parameters"))
    command = re.search(r"/(prepare|score)-latest\.json$", file)[1]
    program = {"prepare": "beam_jobs", "score": "inference"}[command]
    parameters = [f"--{pair}" for pair in given.removeprefix("^~^").split("~")]
    flags = template_flags(command_parser(_PARSERS[program](), command), parameters)
    return parse_beam(ground, shlex.join(["python", "-m", program, command, *flags]))


def check_build(ground: Ground, text: str) -> str:  # noqa: ARG001
    """The configuration is there and has the substitutions that are given."""
    words = shlex.split(text)
    config = (ROOT / words[words.index("--config") + 1]).read_text()
    names = re.findall(r"(_[A-Z]+)=", words[words.index("--substitutions") + 1])
    assert names and all(f"${{{name}}}" in config or f"${name}" in config for name in names), names
    return ""


def check_extras(ground: Ground, text: str) -> str:  # noqa: ARG001
    """The extras that pip is asked for are those of the package."""
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    asked = re.search(r"\.\[([\w,-]+)\]", text)[1].split(",")
    assert set(asked) <= set(known), asked
    return ""


def check_files(ground: Ground, text: str) -> str:
    """The program is there and can be run, and so is everything in the folder that it is given."""
    program, *words = shlex.split(text)
    assert os.access(ROOT / program, os.X_OK) or shutil.which(program), program
    paths = [word for word in words if "/" in word]
    missing = [path for path in paths if not ((ROOT / path).exists() or (ground.folder / path).exists())]
    assert not missing, missing
    return ""


def only_list(ground: Ground, text: str) -> str:  # noqa: ARG001
    """Nothing can be tried."""
    return ""


def name_google(text: str) -> str:
    """A command with names in place of its placeholders."""
    for name, value in _GOOGLE_NAMES.items():
        text = re.sub(rf"(?<![\w-]){name}(?![\w.-]|/\w+\.)", value, text)
    return text

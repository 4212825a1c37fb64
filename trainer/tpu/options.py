"""What a person asks for: the flags of ``python -m trainer.submit``, checked before anything is rented."""

import argparse
import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from retinanet_odm.errors import UsageError
from trainer.config import TrainConfig
from trainer.flags import parse_request

# Images that JAX and PyTorch use too: nothing of TensorFlow is on them that could disagree with ours.
_RUNTIMES = {"v5litepod": "v2-alpha-tpuv5-lite", "v5p": "v2-alpha-tpuv5", "v6e": "v2-alpha-tpuv6e"}
_RUNTIME = "tpu-ubuntu2204-base"
# As Google has it for a node's id.
_NAME = re.compile(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?")


def _flag(default: object, text: str) -> Any:
    """A field whose flag is made of its type, default and help."""
    if default is dataclasses.MISSING:
        return dataclasses.field(metadata={"help": text})
    return dataclasses.field(default=default, metadata={"help": text})


@dataclass(frozen=True, kw_only=True)
class TpuTarget:
    """Which TPU: the same flags for every command.

    Raises:
      UsageError: a name that Google would refuse.
    """

    zone: str = _flag(dataclasses.MISSING, "zone of the TPU, such as us-west4-a (required)")
    name: str = _flag("retinanet", "name of the TPU VM; a second run at the same time needs another")
    project: str = _flag("", "Google Cloud project; by default that of gcloud's configuration")
    queued: bool = _flag(False, "ask for a queued resource, which waits for capacity, in place of a TPU VM at once")
    internal_ips: bool = _flag(False, "no external address (needs Cloud NAT, and a way in for SSH)")
    dry_run: bool = _flag(False, "print every command and run none")

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise UsageError(f"--name: lower-case letters, digits and hyphens, at most 40, found {self.name!r}")


@dataclass(frozen=True, kw_only=True)
class RunRequest(TpuTarget):
    """A training run on a TPU that is made for it; ``training`` holds the trainer's own flags.

    Raises:
      UsageError: the trainer would refuse its flags, or a path lies where a TPU VM cannot see it.
    """

    accelerator_type: str = _flag("v5litepod-8", "kind and size of the TPU")
    runtime_version: str = _flag("", "image of the TPU VM; by default the one for the accelerator")
    spot: bool = _flag(False, "a spot machine: cheaper, and taken away when Google needs it")
    max_hours: float = _flag(24.0, "remove the TPU after so many hours, waiting for it included")
    network: str = _flag("", "VPC network")
    subnetwork: str = _flag("", "subnetwork")
    service_account: str = _flag(
        "", "e-mail of the service account that the TPU VM acts as; by default Compute Engine's"
    )
    tensorboard_port: int = _flag(6006, "TensorBoard is shown on this port of this computer; 0 for none")
    training: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.max_hours <= 24 * 30:
            raise UsageError(f"--max_hours: above 0 and at most 720, found {self.max_hours:g}")
        if not 0 <= self.tensorboard_port < 1 << 16:
            raise UsageError(f"--tensorboard_port: 0 to 65535, found {self.tensorboard_port}")
        _check_training(self.config)

    @property
    def config(self) -> TrainConfig:
        """The trainer's settings that its flags come to."""
        return parse_request(self.training, read_text=_refuse_file).config

    @property
    def runtime(self) -> str:
        """The image asked for, or the one for the accelerator."""
        return self.runtime_version or _RUNTIMES.get(self.accelerator_type.split("-")[0], _RUNTIME)


def _refuse_file(path: str) -> str:
    raise UsageError(f"--config_file: {path} is not on the TPU VM; give its contents as --hparams")


def _check_training(config: TrainConfig) -> None:
    if config.mode in ("doctor", "tpu_fit"):
        raise UsageError(f"--mode={config.mode}: needs no TPU VM of its own; run python -m trainer here")
    if config.worker_hosts:
        raise UsageError("--worker_hosts: is for machines that you start yourself; leave it out")
    for name in ("dataset", "model_dir"):
        if not getattr(config, name):
            raise UsageError(f"--{name}: required, after --")
    paths = ["dataset", "model_dir", "init_from", "resnet_checkpoint"]
    if config.backbone_weights != "imagenet":
        paths.append("backbone_weights")
    for name in paths:
        value = getattr(config, name)
        if value and not value.startswith("gs://"):
            raise UsageError(f"--{name}: a TPU VM sees only gs://, found {value!r}")


class _Parser(argparse.ArgumentParser):
    """Refuses by an error of ours."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see --help")


def make_submit_parser(description: str) -> argparse.ArgumentParser:
    """The commands and their flags."""
    parser = _Parser(
        prog="python -m trainer.submit",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, kind, text in (
        ("run", RunRequest, "make a TPU, train on it, remove it"),
        ("status", TpuTarget, "say what there is and how the training goes"),
        ("logs", TpuTarget, "print what the trainer has said so far"),
        ("stop", TpuTarget, "remove the TPU"),
    ):
        usage = f"%(prog)s --zone=ZONE [FLAG ...]{' -- FLAGS OF python -m trainer' if name == 'run' else ''}"
        command = commands.add_parser(
            name,
            help=text,
            description=text,
            usage=usage,
            allow_abbrev=False,
            formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        )
        _add_flags(command, kind)
    return parser


def _add_flags(parser: argparse.ArgumentParser, kind: type[TpuTarget]) -> None:
    for spec in dataclasses.fields(kind):
        if not spec.metadata:
            continue
        options: dict[str, Any] = {"help": spec.metadata["help"]}
        if spec.type is bool:
            options |= {"action": "store_true"}
        elif spec.default is dataclasses.MISSING:
            options |= {"required": True, "default": argparse.SUPPRESS}
        else:
            options |= {"type": spec.type, "default": spec.default}
        parser.add_argument(f"--{spec.name}", **options)


def parse_submit_flags(argv: Sequence[str], description: str) -> tuple[str, TpuTarget]:
    """The command and its request. What follows ``--`` belongs to the trainer.

    Raises:
      UsageError: a flag is unknown or its value will not do.
    """
    here = list(argv)
    training: list[str] = []
    if "--" in here:
        cut = here.index("--")
        here, training = here[:cut], here[cut + 1 :]
    values = vars(make_submit_parser(description).parse_args(here))
    command = values.pop("command")
    if command == "run":
        return command, RunRequest(**values, training=tuple(training))
    if training:
        raise UsageError(f"{command}: takes no flags of the trainer, found {training[0]!r} after --")
    return command, TpuTarget(**values)

"""Flags of ``python -m trainer.submit``, checked before anything is rented. The flags are made from the fields."""

import argparse
import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from retinanet_odm.cli.program import Parser
from retinanet_odm.errors import UsageError
from retinanet_odm.xla import XLA
from trainer.config import TrainConfig
from trainer.config.backbone_names import IMAGENET
from trainer.flags import parse_request
from trainer.tpu import accelerators

# Below the size of the image and of the packages, the run would fail only on the machine that is already paid for.
_MIN_DISK_GB = 30
# Google's limit for flex-start VMs (compute/docs/instances/create-flex-start-vm).
_MAX_FLEX_HOURS = 7 * 24
# Google's rule for the id of a node, which a VM of Compute Engine may have too.
_NAME = re.compile(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?")


def _flag(default: object, text: str) -> Any:
    """Return a field from whose type, default and help a flag is made."""
    if default is dataclasses.MISSING:
        return dataclasses.field(metadata={"help": text})
    return dataclasses.field(default=default, metadata={"help": text})


@dataclass(frozen=True, kw_only=True)
class TpuTarget:
    """Identifies a TPU; these flags are common to all commands.

    Raises:
      UsageError: Google would refuse the name, or the platform is unknown.
    """

    zone: str = _flag(dataclasses.MISSING, "zone of the TPU, such as us-west4-a (required)")
    platform: str = _flag(
        "",
        "compute: a VM of Compute Engine, tpu_vm: the Cloud TPU API; by default Compute Engine for its machine types,"
        " such as ct6e-standard-8t",
    )
    name: str = _flag("retinanet", "name of the TPU VM; a second run at the same time needs another")
    project: str = _flag("", "Google Cloud project; by default that of gcloud's configuration")
    queued: bool = _flag(False, "wait in Google's queue for capacity: a queued resource, or a flex-start VM")
    internal_ips: bool = _flag(False, "use no external address (needs Cloud NAT, and access for SSH)")
    dry_run: bool = _flag(False, "print the commands without running them")

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise UsageError(f"--name: lower-case letters, digits and hyphens, at most 40, found {self.name!r}")
        if self.platform not in ("", *accelerators.PLATFORMS):
            raise UsageError(f"--platform: {' or '.join(accelerators.PLATFORMS)}, found {self.platform!r}")

    @property
    def on_compute_engine(self) -> bool:
        """Returns whether the TPU is a VM of Compute Engine."""
        return self.platform == accelerators.COMPUTE_ENGINE


@dataclass(frozen=True, kw_only=True)
class RunRequest(TpuTarget):
    """A training run on a TPU that is created for it.

    Attributes:
      training: the flags of the trainer.

    Raises:
      UsageError: the trainer would refuse its flags, or a TPU VM cannot access a path.
    """

    accelerator_type: str = _flag("v5litepod-8", "type and size of the TPU, or its machine type on Compute Engine")
    runtime_version: str = _flag(
        "", "image of the TPU VM (on Compute Engine an image family); by default the one that suits the accelerator"
    )
    spot: bool = _flag(False, "use a spot TPU: it is cheaper, but Google may preempt it at any time")
    max_hours: float = _flag(24.0, "remove the TPU after this many hours, including the wait for it")
    disk_gb: int = _flag(200, "size of the disk on Compute Engine, in GB")
    network: str = _flag("", "VPC network")
    subnetwork: str = _flag("", "subnetwork")
    service_account: str = _flag("", "e-mail address of the service account of the TPU VM; default: Compute Engine's")
    tensorboard_port: int = _flag(6006, "port of this computer on which TensorBoard is shown; 0 for none")
    training: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.max_hours <= 24 * 30:
            raise UsageError(f"--max_hours: above 0 and at most 720, found {self.max_hours:g}")
        if not 0 <= self.tensorboard_port < 1 << 16:
            raise UsageError(f"--tensorboard_port: 0 to 65535, found {self.tensorboard_port}")
        _check_training(self.config)
        if self.on_compute_engine:
            _check_compute_engine(self)
        else:
            accelerators.check_tpu_vm_type(self.accelerator_type)
        if self.by_xla and not self.on_compute_engine:
            raise UsageError(
                "--runtime=xla: runs on single machines, which Compute Engine rents; pass --platform=compute before --"
            )
        if accelerators.is_tpu7x(self.accelerator_type) and not self.by_xla:
            raise UsageError(f"{self.accelerator_type}: TensorFlow does not run on TPU7x; pass --runtime=xla after --")

    @property
    def config(self) -> TrainConfig:
        """Returns the settings of the trainer."""
        # By the trainer's own parser, so that its flags are refused here as they would be there.
        return parse_request(self.training, read_text=_reject_config_file).config

    @property
    def by_xla(self) -> bool:
        """Returns whether the steps run by XLA alone, without TensorFlow's packages for TPUs."""
        return self.config.run.runtime == XLA

    @property
    def runtime(self) -> str:
        """Returns the image of the TPU VM."""
        suitable = accelerators.image_family if self.on_compute_engine else accelerators.runtime_version
        return self.runtime_version or suitable(self.accelerator_type)

    @property
    def on_compute_engine(self) -> bool:
        """Returns whether the TPU is to be a VM of Compute Engine."""
        platform = self.platform or accelerators.default_platform(self.accelerator_type)
        return platform == accelerators.COMPUTE_ENGINE


def _reject_config_file(path: str) -> str:
    raise UsageError(f"--config_file: {path} is not on the TPU VM; pass its content by --hparams")


def _check_compute_engine(request: RunRequest) -> None:
    accelerators.machine_type(request.accelerator_type)
    if request.disk_gb < _MIN_DISK_GB:
        raise UsageError(f"--disk_gb: at least {_MIN_DISK_GB}, found {request.disk_gb}")
    if request.spot and request.queued:
        raise UsageError("--spot and --queued: a VM of Compute Engine is either a spot VM or a flex-start VM; omit one")
    if request.queued and request.max_hours > _MAX_FLEX_HOURS:
        raise UsageError(f"--max_hours: at most {_MAX_FLEX_HOURS} for a flex-start VM, found {request.max_hours:g}")


def _check_training(config: TrainConfig) -> None:
    # Here, because the trainer itself would refuse these only on a TPU VM that is already paid for.
    if config.run.mode in ("doctor", "inspect", "tpu_fit"):
        raise UsageError(f"--mode={config.run.mode}: does not need a TPU VM; run python -m trainer on this computer")
    if config.run.worker_hosts:
        raise UsageError("--worker_hosts: only for machines that you start yourself; omit it")
    settings = config.to_json()
    for name in ("dataset", "model_dir"):
        if not settings[name]:
            raise UsageError(f"--{name}: required, after --")
    # The settings whose files a TPU VM must reach.
    paths = ["dataset", "model_dir", "init_from", "init_labels", "resnet_checkpoint"]
    if config.weights.backbone_weights != IMAGENET:
        paths.append("backbone_weights")
    for name in paths:
        value = settings[name]
        if value and not value.startswith("gs://"):
            raise UsageError(f"--{name}: expected a path that a TPU VM can access (gs://…), found {value!r}")


_COMMANDS = (
    ("run", RunRequest, "create a TPU, train on it and remove it"),
    ("status", TpuTarget, "print the state of the TPU and of the training"),
    ("logs", TpuTarget, "print the log of the trainer"),
    ("stop", TpuTarget, "remove the TPU"),
)


def make_submit_parser(description: str = "") -> argparse.ArgumentParser:
    """Make the parser of the commands and their flags."""
    parser = Parser(prog="python -m trainer.submit", description=description)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, kind, text in _COMMANDS:
        usage = f"%(prog)s --zone=ZONE [FLAG ...]{' -- FLAGS OF python -m trainer' if name == 'run' else ''}"
        defaults = argparse.ArgumentDefaultsHelpFormatter
        command = commands.add_parser(name, help=text, description=text, usage=usage, formatter_class=defaults)
        _add_flags(command, kind)
    return parser


def _add_flags(parser: argparse.ArgumentParser, kind: type[TpuTarget]) -> None:
    for spec in dataclasses.fields(kind):
        # `training` has no flag: it is what follows after --.
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
    """Parse a command line into the command and its request. The flags after ``--`` belong to the trainer.

    Args:
      description: the text of --help.

    Raises:
      UsageError: a flag is unknown or has an invalid value.
    """
    separator = argv.index("--") if "--" in argv else len(argv)
    own, training = argv[:separator], argv[separator + 1 :]
    values = vars(make_submit_parser(description).parse_args(own))
    command = values.pop("command")
    if command == "run":
        return command, RunRequest(**values, training=tuple(training))
    if training:
        raise UsageError(f"{command}: takes no flags of the trainer; found {training[0]!r} after --")
    return command, TpuTarget(**values)

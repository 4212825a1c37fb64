"""Starts a job on Dataflow; scripts/dataflow.sh calls it, and its --help holds the commands.

What can be checked at Google is checked first; then this process becomes the program, with Beam's flags filled in.
"""

import argparse
import datetime
import logging
import os
import re
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

from retinanet_odm import __version__
from retinanet_odm.cli.parser import Parser, check_not_empty
from retinanet_odm.dataflow import preflight
from retinanet_odm.dataflow.job_main import run_job_main
from retinanet_odm.errors import UsageError
from retinanet_odm.wheel import CHECKOUT, build_worker_wheels

_logger = logging.getLogger(__name__)

PROGRAMS = {"prepare": "beam_jobs", "check": "beam_jobs", "score": "inference"}
# Of the GPUs that Dataflow lends, those worth their money for one RetinaNet, with a machine that feeds them.
MACHINE_OF_GPU = {"nvidia-tesla-t4": "n1-standard-8", "nvidia-l4": "g2-standard-8"}
_DESCRIPTION = """\
Checks project, region, bucket, permissions and network, then starts prepare, check or score on Dataflow.

  scripts/dataflow.sh prepare --region R --bucket B --images 'gs://B/images/*' --annotations 'gs://B/xml/*.xml' \\
      --output gs://B/dataset
  scripts/dataflow.sh score --region R --bucket B --sdk_container_image IMAGE --images 'gs://B/archives/*.zip' \\
      --model gs://B/model/export --output gs://B/out
"""
_EPILOG = """\
All other flags go to the program (python -m beam_jobs prepare --help, python -m inference score --help) and to Beam;
what is given of Beam's flags stands, such as --max_num_workers, --machine_type, --disk_size_gb, --subnetwork,
--service_account_email, --sdk_container_image, --job_name, --label (of the job).
"""


@dataclass(frozen=True, kw_only=True)
class Workers:
    """Defaults for a kind of work: machine type, disk in GB (system, image and logs; photographs never lie there), most
    machines."""

    machine_type: str
    disk_size_gb: int
    max_num_workers: int


LIGHT = Workers(machine_type="e2-standard-4", disk_size_gb=30, max_num_workers=10)
CPU = Workers(machine_type="n2-standard-8", disk_size_gb=50, max_num_workers=10)


@dataclass(frozen=True, kw_only=True)
class Launch:
    """What is asked of Dataflow.

    Attributes:
      command: of PROGRAMS.
      project, region: where the job runs.
      bucket: for staged and temporary files, without gs://.
      gpu: one for each worker, of MACHINE_OF_GPU; None for none.
      flexrs: whether the job may wait up to six hours for cheap capacity, spot machines among it.
      public_ips: whether workers have addresses of their own.
      waits: whether the program stays until the job has ended.

    Raises:
      UsageError: a value is not of its form, or one contradicts another.
    """

    command: str
    project: str
    region: str
    bucket: str
    gpu: str | None = None
    flexrs: bool = False
    public_ips: bool = False
    waits: bool = True

    def __post_init__(self) -> None:
        if not self.project:
            raise UsageError("--project: expected a project, found none, and the credentials name none")
        if not re.fullmatch(r"[a-z]+-[a-z]+\d+", self.region):
            raise UsageError(f"--region: expected a region such as europe-west4, found {self.region!r}")
        if not re.fullmatch(r"[a-z0-9][-_.a-z0-9]+", self.bucket):
            raise UsageError(f"--bucket: expected a bucket's name, found {self.bucket!r}")
        if self.gpu and self.command != "score":
            raise UsageError(f"--gpu: {self.command} runs no model; give it to score alone")
        if self.gpu and self.flexrs:
            raise UsageError("--gpu and --flexrs: Dataflow has no GPUs for FlexRS jobs; give one of them")

    @property
    def workers(self) -> Workers:
        """Defaults for the machines."""
        if self.gpu:
            return Workers(machine_type=MACHINE_OF_GPU[self.gpu], disk_size_gb=100, max_num_workers=1)
        return CPU if self.command == "score" else LIGHT


def beam_flags(launch: Launch, given: Sequence[str], now: datetime.datetime) -> list[str]:
    """The flags that make Beam run the job so; what the user has given of them is left out.

    Args:
      launch: what is asked.
      given: the user's other flags.
      now: goes into the job's name.
    """
    names = flag_names(given)
    workers, place = launch.workers, f"gs://{launch.bucket}/dataflow"
    named = {
        "runner": "DataflowRunner",
        "project": launch.project,
        "region": launch.region,
        "temp_location": f"{place}/tmp",  # noqa: S108 - a folder in the bucket
        "staging_location": f"{place}/staging",
        "job_name": f"retinanet-{launch.command}-{now:%Y%m%d-%H%M%S}",
        "machine_type": workers.machine_type,
        "disk_size_gb": workers.disk_size_gb,
        "max_num_workers": workers.max_num_workers,
        "autoscaling_algorithm": "THROUGHPUT_BASED",
    }
    flags = [f"--{name}={value}" for name, value in named.items() if name not in names]
    if not names & {"use_public_ips", "no_use_public_ips"}:
        flags.append("--use_public_ips" if launch.public_ips else "--no_use_public_ips")
    flags += [] if launch.waits else ["--no_wait_until_finish"]
    flags += ["--flexrs_goal=COST_OPTIMIZED"] if launch.flexrs else []
    flags += _gpu_flags(launch.gpu) if launch.gpu else []
    version = __version__.replace(".", "-")  # labels know no dots; and --labels is a flag of prepare
    return [*flags, f"--label=program={launch.command}", f"--label=retinanet-odm={version}"]


def _gpu_flags(gpu: str) -> list[str]:
    # One process a machine: each would else claim the GPU's memory for a model of its own.
    accelerator = f"worker_accelerator=type:{gpu};count:1;install-nvidia-driver"
    return [f"--dataflow_service_options={accelerator}", "--experiments=no_use_multiple_sdk_containers"]


def flag_names(flags: Sequence[str]) -> set[str]:
    """Names of flags without dashes, Beam's second name for the machine type as the first."""
    names = {flag.partition("=")[0].removeprefix("--") for flag in flags if flag.startswith("--")}
    return {name.removeprefix("worker_") if name == "worker_machine_type" else name for name in names}


def flag_value(name: str, flags: Sequence[str]) -> str | None:
    """The last value that flags give to a name."""
    found = None
    for flag, following in zip(flags, [*flags[1:], ""], strict=True):
        if flag.startswith(f"--{name}="):
            found = flag.partition("=")[2]
        elif flag == f"--{name}":
            found = following
    return found


def make_launch_parser() -> Parser:
    """The parser of the launcher; flags of the program and of Beam are left over by parse_known_args."""
    parser = Parser(prog="scripts/dataflow.sh", description=_DESCRIPTION, epilog=_EPILOG)
    parser.add_argument("command", choices=PROGRAMS, metavar="COMMAND", help="prepare, check or score")
    parser.add_argument("--region", required=True, help="where the job runs, such as europe-west4; best the bucket's")
    parser.add_argument("--bucket", required=True, help="bucket for the job's staged and temporary files")
    parser.add_argument("--project", help="default: that of the credentials")
    parser.add_argument(
        "--gpu", choices=MACHINE_OF_GPU, help="a GPU for each worker of score, whose image must be the GPU variant"
    )
    parser.add_argument(
        "--flexrs",
        action="store_true",
        help="cheaper: the job waits up to six hours for capacity, and runs partly on spot machines",
    )
    parser.add_argument(
        "--public_ips",
        action="store_true",
        help="workers get addresses of their own; default: private ones, which need Private Google Access",
    )
    parser.add_argument("--no_wait", action="store_true", help="return when the job is submitted")
    parser.add_argument(
        "--no_checks", action="store_true", help="submit without looking at project, bucket and permissions first"
    )
    parser.add_argument(
        "--dry_run", action="store_true", help="print the program's command line, and ask Google nothing"
    )
    return parser


def make_launch(flags: argparse.Namespace, project: str) -> Launch:
    """The request that parsed flags make.

    Raises:
      UsageError: see Launch.
    """
    return Launch(
        command=flags.command,
        project=project,
        region=flags.region,
        bucket=flags.bucket.removeprefix("gs://").rstrip("/"),
        gpu=flags.gpu,
        flexrs=flags.flexrs,
        public_ips=flags.public_ips,
        waits=not flags.no_wait,
    )


def command_line(launch: Launch, rest: Sequence[str], wheels: Sequence[str], now: datetime.datetime) -> list[str]:
    """What starts the program, after the name of the interpreter."""
    staged = [f"--extra_package={wheel}" for wheel in wheels]
    return ["-m", PROGRAMS[launch.command], launch.command, *rest, *beam_flags(launch, rest, now), *staged]


def check_not_local(launch: Launch, rest: Sequence[str]) -> None:
    """Raises UsageError for what no worker can reach: a missing image, paths on this machine."""
    if launch.command == "score" and "sdk_container_image" not in flag_names(rest):
        raise UsageError(
            "score: expected --sdk_container_image, an image with TensorFlow and this package: make one by"
            " gcloud builds submit --config containers/cloudbuild.yaml (docs/dataflow.md)"
        )
    flag = ""
    for word in rest:
        name, _, value = word.partition("=") if word.startswith("--") else (flag, "", word)
        flag = name
        if name in _REACHED and value and "://" not in value:
            raise UsageError(f"{name}: workers cannot reach {value}; expected a path that begins with gs://")


# Flags whose files workers read or write; what the launcher alone reads (--labels) may lie here.
_REACHED = ("--images", "--annotations", "--exports", "--output", "--model", "--id_map", "--split_from")


def main(argv: Sequence[str] | None = None) -> int:
    """Starts the program; returns only where it does not come to that: the exit status of retinanet_odm.cli.program."""
    return run_job_main(_run, argv)


def _run(argv: Sequence[str]) -> None:
    flags, rest = make_launch_parser().parse_known_args(argv)
    check_not_empty(flags)
    now = datetime.datetime.now(datetime.UTC)
    if flags.dry_run:
        launch = make_launch(flags, flags.project or "PROJECT")
        check_not_local(launch, rest)
        print(shlex.join(["python", *command_line(launch, rest, [], now)]))  # noqa: T201 - the answer
        return
    if "--estimate" in rest:  # it lists files, and no job is made of it
        _become(["-m", PROGRAMS[flags.command], flags.command, *rest])
    google, own_project = preflight.log_in()
    launch = make_launch(flags, flags.project or own_project)
    check_not_local(launch, rest)
    if not flags.no_checks:
        _check(launch, rest, google)
    _become(command_line(launch, rest, _wheels(launch, rest), now))


def _become(arguments: Sequence[str]) -> NoReturn:
    """Replaces this process by the program, to which Ctrl-C and the exit status then belong."""
    os.execv(sys.executable, [sys.executable, *arguments])  # noqa: S606 - our own program, without a shell


def _check(launch: Launch, rest: Sequence[str], google: preflight.Google) -> None:
    _logger.info("checking project %s, region %s, bucket %s", launch.project, launch.region, launch.bucket)
    faults = list(preflight.check_project(find_target(launch, rest), google))
    for fault in faults:
        _logger.error("%s", fault)
    if faults:
        raise UsageError(f"nothing was submitted: {len(faults)} of the checks above failed")


def find_target(launch: Launch, rest: Sequence[str]) -> preflight.Target:
    """What the checks look at."""
    buckets = [launch.bucket, *re.findall(r"gs://([^/\s]+)/", " ".join(rest))]
    private = not ({"use_public_ips"} & flag_names(rest) or launch.public_ips)
    return preflight.Target(
        project=launch.project,
        region=launch.region,
        buckets=tuple(dict.fromkeys(buckets)),
        subnetwork=flag_value("subnetwork", rest) or "",
        private=private,
        service_account=flag_value("service_account_email", rest) or "",
        image=flag_value("sdk_container_image", rest) or "",
        gpu=launch.gpu or "",
    )


def _wheels(launch: Launch, rest: Sequence[str]) -> list[str]:
    """What workers install on Beam's own image; an image of ours holds everything."""
    if "sdk_container_image" in flag_names(rest):
        return []
    if not (CHECKOUT / "pyproject.toml").exists():
        raise UsageError(f"{launch.command}: run it from a checkout of the repository, or give --sdk_container_image")
    return [str(path) for path in build_worker_wheels(CHECKOUT / "build" / "dataflow")]


if __name__ == "__main__":
    sys.exit(main())

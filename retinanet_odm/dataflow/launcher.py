"""Starts a job on Dataflow. scripts/dataflow.sh runs this module; its --help shows the commands.

Begin with `_run`: it checks the project at Google, then replaces this process by the program, with Beam's flags added.
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
from retinanet_odm.cli.program import Parser, check_not_empty
from retinanet_odm.dataflow import preflight
from retinanet_odm.dataflow.given_flags import flag_names, flag_value, flag_values
from retinanet_odm.dataflow.job_main import run_job_main
from retinanet_odm.dataflow.workers import (
    ACCELERATORS,
    NO_ACCELERATOR,
    PREPARE_WORKERS,
    SCORE_WORKERS,
    WorkerDefaults,
    accelerated_workers,
    accelerator_flags,
    is_tpu,
    runtime_flags,
)
from retinanet_odm.errors import UsageError
from retinanet_odm.wheel import CHECKOUT, build_worker_wheels

_logger = logging.getLogger(__name__)

_EXPORT = "export"
PROGRAMS = {"prepare": "beam_jobs", "check": "beam_jobs", _EXPORT: "beam_jobs", "score": "inference"}
# Flags whose files workers read or write; files that only the launcher reads (--labels) may be local.
_WORKER_PATHS = re.compile("--(images|annotations|exports|output|model|id_map|split_from|exhaustive)")
_DATASET = "DATASET"  # the argument of export, which has no flag
_EXPORT_PATHS = re.compile(f"{_DATASET}|--output")
_DESCRIPTION = """\
Checks project, region, bucket, permissions and network, then starts prepare, check, export or score on Dataflow.

  scripts/dataflow.sh prepare --region R --bucket B --images 'gs://B/images/*' --annotations 'gs://B/xml/*.xml' \\
      --output gs://B/dataset
  scripts/dataflow.sh export --region R --bucket B gs://B/dataset --format yolo --output gs://B/yolo
  scripts/dataflow.sh score --region R --bucket B --sdk_container_image IMAGE --images 'gs://B/archives/*.zip' \\
      --model gs://B/model/export --output gs://B/out
"""
_EPILOG = """\
All other flags are passed to the program (python -m beam_jobs prepare --help, python -m inference score --help) and to
Beam. Your values of Beam's flags have priority, such as --max_num_workers, --machine_type, --disk_size_gb,
--subnetwork, --service_account_email, --sdk_container_image, --job_name, --label (of the job).
"""


@dataclass(frozen=True, kw_only=True)
class Launch:
    """The request for a job.

    Attributes:
      command: One of PROGRAMS.
      project, region: Where the job runs.
      bucket: Bucket for staged and temporary files, without gs://.
      accelerator: What each worker has, one of ACCELERATORS.
      flexrs: Whether the job may wait up to six hours for cheap capacity, including spot machines.
      public_ips: Whether workers have public addresses.
      waits: Whether the program waits until the job has ended.

    Raises:
      UsageError: A value is invalid, or two contradict each other.
    """

    command: str
    project: str
    region: str
    bucket: str
    accelerator: str = NO_ACCELERATOR
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
        if self.is_accelerated and self.command != "score":
            raise UsageError(f"--accelerator: {self.command} runs no model; give it to score alone")
        if self.is_accelerated and self.flexrs:
            raise UsageError("--accelerator and --flexrs: FlexRS jobs have no accelerators; give one of them")

    @property
    def is_accelerated(self) -> bool:
        """Whether each worker has an accelerator."""
        return self.accelerator != NO_ACCELERATOR

    @property
    def workers(self) -> WorkerDefaults:
        """The default machines."""
        if self.is_accelerated:
            return accelerated_workers(self.accelerator)
        return SCORE_WORKERS if self.command == "score" else PREPARE_WORKERS


def beam_flags(launch: Launch, given: Sequence[str], now: datetime.datetime) -> list[str]:
    """Return the flags that make Beam run the job on Dataflow, except those that the user has set.

    Args:
      launch: The request.
      given: The user's other flags.
      now: The time, for the job's name.
    """
    names = flag_names(given)
    workers, folder = launch.workers, f"gs://{launch.bucket}/dataflow"
    named = {
        "runner": "DataflowRunner",
        "project": launch.project,
        "region": launch.region,
        "temp_location": f"{folder}/tmp",  # noqa: S108 - a folder in the bucket
        "staging_location": f"{folder}/staging",
        "job_name": f"retinanet-{launch.command}-{now:%Y%m%d-%H%M%S}",
        "machine_type": workers.machine_type,
        "disk_size_gb": workers.disk_size_gb,
        "max_num_workers": workers.max_num_workers,
        "autoscaling_algorithm": "THROUGHPUT_BASED",
    }
    if workers.harness_threads:
        named["number_of_worker_harness_threads"] = workers.harness_threads
    flags = [f"--{name}={value}" for name, value in named.items() if name not in names]
    if not names & {"use_public_ips", "no_use_public_ips"}:
        flags.append("--use_public_ips" if launch.public_ips else "--no_use_public_ips")
    flags += [] if launch.waits else ["--no_wait_until_finish"]
    flags += ["--flexrs_goal=COST_OPTIMIZED"] if launch.flexrs else []
    flags += accelerator_flags(launch.accelerator)
    version = __version__.replace(".", "-")  # labels cannot contain dots; and --labels is a flag of prepare
    return [*flags, f"--label=program={launch.command}", f"--label=retinanet-odm={version}"]


def make_launch_parser() -> Parser:
    """Return the parser of the launcher. parse_known_args returns the flags of the program and of Beam as unknown."""
    parser = Parser(prog="scripts/dataflow.sh", description=_DESCRIPTION, epilog=_EPILOG)
    parser.add_argument("command", choices=PROGRAMS, metavar="COMMAND", help="prepare, check, export or score")
    parser.add_argument(
        "--region", required=True, help="region of the job, such as europe-west4; preferably that of the bucket"
    )
    parser.add_argument("--bucket", required=True, help="bucket for staged and temporary files of the job")
    parser.add_argument("--project", help="project of the job; default: that of the credentials")
    parser.add_argument(
        "--accelerator",
        choices=ACCELERATORS,
        default=NO_ACCELERATOR,
        help="one GPU or TPU chip per worker, for score, whose image must be the variant for it; default: none",
    )
    parser.add_argument(
        "--flexrs",
        action="store_true",
        help="save cost: the job may wait up to six hours for capacity, and partly uses spot machines",
    )
    parser.add_argument(
        "--public_ips",
        action="store_true",
        help="give workers public addresses; default: private ones, which need Private Google Access",
    )
    parser.add_argument("--no_wait", action="store_true", help="exit when the job is submitted")
    parser.add_argument("--no_checks", action="store_true", help="submit without checking the project first")
    parser.add_argument(
        "--dry_run", action="store_true", help="print the program's command line, without any request to Google"
    )
    return parser


def make_launch(flags: argparse.Namespace, project: str) -> Launch:
    """Return the request of parsed flags.

    Raises:
      UsageError: See Launch.
    """
    return Launch(
        command=flags.command,
        project=project,
        region=flags.region,
        bucket=flags.bucket.removeprefix("gs://").rstrip("/"),
        accelerator=flags.accelerator,
        flexrs=flags.flexrs,
        public_ips=flags.public_ips,
        waits=not flags.no_wait,
    )


def command_line(launch: Launch, rest: Sequence[str], wheels: Sequence[str], now: datetime.datetime) -> list[str]:
    """Return the command line that starts the program, without the interpreter; raise as runtime_flags."""
    own = [*runtime_flags(launch.accelerator, flag_value("runtime", rest)), *beam_flags(launch, rest, now)]
    return [
        "-m",
        PROGRAMS[launch.command],
        launch.command,
        *rest,
        *own,
        *(f"--extra_package={wheel}" for wheel in wheels),
    ]


def check_not_local(launch: Launch, rest: Sequence[str]) -> None:
    """Raise UsageError for what workers cannot reach: a missing image, paths on this machine."""
    if launch.command == "score" and "sdk_container_image" not in flag_names(rest):
        raise UsageError(
            "score: expected --sdk_container_image, an image with TensorFlow and this package: make one by"
            " gcloud builds submit --config containers/cloudbuild.yaml (docs/dataflow.md)"
        )
    is_export = launch.command == _EXPORT
    paths = _EXPORT_PATHS if is_export else _WORKER_PATHS
    for flag, value in flag_values(rest, positional=_DATASET if is_export else None):
        if paths.fullmatch(flag) and "://" not in value:
            raise UsageError(f"{flag}: workers cannot reach {value}; expected a path that begins with gs://")


def main(argv: Sequence[str] | None = None) -> int:
    """Start the program. Returns only if it does not get that far: the exit status (retinanet_odm.cli.program)."""
    return run_job_main(_run, argv)


def _run(argv: Sequence[str]) -> None:
    flags, rest = make_launch_parser().parse_known_args(argv)
    check_not_empty(flags)
    now = datetime.datetime.now(datetime.UTC)
    if flags.dry_run:
        launch = make_launch(flags, flags.project or "PROJECT")
        check_not_local(launch, rest)
        print(shlex.join(["python", *command_line(launch, rest, [], now)]))  # noqa: T201 - the result
        return
    if "--estimate" in rest:  # only lists files, without a job
        _become(["-m", PROGRAMS[flags.command], flags.command, *rest])
    # The order matters: flags are checked before the project, and the wheels, which take longest, come last.
    google, own_project = preflight.log_in()
    launch = make_launch(flags, flags.project or own_project)
    check_not_local(launch, rest)
    if not flags.no_checks:
        _check(launch, rest, google)
    _become(command_line(launch, rest, _wheels(launch, rest), now))


def _become(arguments: Sequence[str]) -> NoReturn:
    """Replace this process by the program, so that Ctrl-C and the exit status are the program's."""
    os.execv(sys.executable, [sys.executable, *arguments])  # noqa: S606 - our own program, without a shell


def _check(launch: Launch, rest: Sequence[str], google: preflight.GoogleApi) -> None:
    _logger.info("checking project %s, region %s, bucket %s", launch.project, launch.region, launch.bucket)
    faults = list(preflight.check_project(make_target(launch, rest), google))
    for fault in faults:
        _logger.error("%s", fault)
    if faults:
        raise UsageError(f"nothing was submitted: {len(faults)} of the checks above failed")


def make_target(launch: Launch, rest: Sequence[str]) -> preflight.JobTarget:
    """Return what the checks examine."""
    buckets = [launch.bucket, *re.findall(r"gs://([^/\s]+)/", " ".join(rest))]
    private = not ({"use_public_ips"} & flag_names(rest) or launch.public_ips)
    return preflight.JobTarget(
        project=launch.project,
        region=launch.region,
        buckets=tuple(dict.fromkeys(buckets)),
        subnetwork=flag_value("subnetwork", rest) or "",
        private=private,
        service_account=flag_value("service_account_email", rest) or "",
        image=flag_value("sdk_container_image", rest) or "",
        gpu=launch.accelerator if launch.is_accelerated and not is_tpu(launch.accelerator) else "",
    )


def _wheels(launch: Launch, rest: Sequence[str]) -> list[str]:
    """Return the wheels that workers install on Beam's image; our image contains everything."""
    if "sdk_container_image" in flag_names(rest):
        _logger.info("the workers' image must have Python %d.%d, as this environment has", *sys.version_info[:2])
        return []
    if not (CHECKOUT / "pyproject.toml").exists():
        raise UsageError(f"{launch.command}: run it from a checkout of the repository, or give --sdk_container_image")
    return [str(path) for path in build_worker_wheels(CHECKOUT / "build" / "dataflow")]


if __name__ == "__main__":
    sys.exit(main())

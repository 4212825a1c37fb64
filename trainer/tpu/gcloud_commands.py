"""gcloud's command lines, and what is run by them on the TPU VM. Pure: lists of words out."""

import math
import shlex
from collections.abc import Sequence

from trainer.tpu.options import RunRequest, TpuTarget

# The label by which a TPU is known as made by this program; its value is the run's.
RUN_LABEL = "retinanet-odm"
# After a command on the VM: its exit status, whatever gcloud and ssh make of it.
EXIT_MARK = "retinanet-exit="
REQUIREMENTS_FILE = "requirements-tpu.lock"
_FOLDER = "retinanet"  # in the home of the VM
_PYTHON = f"{_FOLDER}/venv/bin/python"
_SUPERVISOR = f"{_PYTHON} -m trainer.tpu.supervisor"
_UV = "uv==0.13.9"
# The port of TensorBoard on the VM.
_TENSORBOARD = 6006
_TPUS = ("gcloud", "compute", "tpus")


def _where(place: TpuTarget) -> list[str]:
    return [f"--zone={place.zone}", *([f"--project={place.project}"] if place.project else []), "--quiet"]


def _on(place: TpuTarget, worker: str) -> list[str]:
    """How a worker, or all, is reached by SSH."""
    return [*_where(place), f"--worker={worker}", *(["--internal-ip"] if place.internal_ips else [])]


def create(request: RunRequest, run_id: str, hours: float) -> list[str]:
    """Asks for the TPU; hours is how long a place in the queue is worth waiting for."""
    named = {
        "network": request.network,
        "subnetwork": request.subnetwork,
        "service-account": request.service_account,
    }
    common = [
        *_where(request),
        f"--accelerator-type={request.accelerator_type}",
        f"--labels={RUN_LABEL}={run_id}",
        # What the machine may do is the service account's roles to say, not the scopes'.
        "--scopes=https://www.googleapis.com/auth/cloud-platform",
        *(f"--{flag}={value}" for flag, value in named.items() if value),
        *(["--internal-ips"] if request.internal_ips else []),
        *(["--spot"] if request.spot else []),
    ]
    if not request.queued:
        return [*_TPUS, "tpu-vm", "create", request.name, *common, f"--version={request.runtime}"]
    return [
        *(*_TPUS, "queued-resources", "create", request.name, *common),
        *(f"--node-id={request.name}", f"--runtime-version={request.runtime}"),
        # So that a place in the queue does not become a machine when nobody waits for it any more.
        f"--valid-until-duration={math.ceil(hours * 3600)}s",
    ]


def describe_node(place: TpuTarget) -> list[str]:
    """The TPU VM as JSON."""
    return [*_TPUS, "tpu-vm", "describe", place.name, *_where(place), "--format=json"]


def describe_queued(place: TpuTarget) -> list[str]:
    """The queued resource as JSON."""
    return [*_TPUS, "queued-resources", "describe", place.name, *_where(place), "--format=json"]


def delete_node(place: TpuTarget) -> list[str]:
    """Deletes the TPU VM."""
    return [*_TPUS, "tpu-vm", "delete", place.name, *_where(place)]


def delete_queued(place: TpuTarget) -> list[str]:
    """Deletes the queued resource and the TPU VM that came of it."""
    return [*_TPUS, "queued-resources", "delete", place.name, *_where(place), "--force"]


def delete_command(place: TpuTarget) -> list[str]:
    """The command that removes everything, for a person to run."""
    return delete_queued(place) if place.queued else delete_node(place)


def list_file(path: str) -> list[str]:
    """Looks whether a file in a bucket is there."""
    return ["gcloud", "storage", "ls", path]


def copy(place: TpuTarget, files: Sequence[str]) -> list[str]:
    """Copies files into the home of every worker."""
    return [*_TPUS, "tpu-vm", "scp", *files, f"{place.name}:", *_on(place, "all")]


def remote(place: TpuTarget, script: str, *, worker: str = "0") -> list[str]:
    """Runs a script of bash in the home of a worker, or of all; its exit status follows EXIT_MARK."""
    command = f"bash -c {shlex.quote(script)}; echo {EXIT_MARK}$?"
    return [*_TPUS, "tpu-vm", "ssh", place.name, *_on(place, worker), f"--command={command}"]


def tunnel(request: RunRequest) -> list[str]:
    """Carries this computer's port to TensorBoard on the VM."""
    forward = ["--", "-N", "-L", f"{request.tensorboard_port}:localhost:{_TENSORBOARD}"]
    return [*_TPUS, "tpu-vm", "ssh", request.name, *_on(request, "0"), *forward]


def install_script(wheel: str) -> str:
    """Python 3.11 and the locked packages; the images have Python 3.10.

    With --no-deps nothing comes that is not in the lock file, least of all a second TensorFlow.
    """
    return "\n".join(
        (
            "set -e",
            f"mkdir -p {_FOLDER}",
            f"python3 -m pip install --user --quiet {_UV}",
            f"~/.local/bin/uv venv --quiet --clear --python 3.11 {_FOLDER}/venv",
            f"~/.local/bin/uv pip install --quiet --python {_PYTHON} --no-deps --requirement {REQUIREMENTS_FILE} ./{wheel}",
        )
    )


def trainer_flags(request: RunRequest, hosts: int) -> list[str]:
    """The person's flags, and the TPU: the machine's own, or the whole of a pod by its name."""
    return [*request.training, "--use_tpu", f"--tpu={request.name if hosts > 1 else 'local'}"]


def _environment(hosts: int) -> str:
    # In a pod the first host drives the TPU through the runtime of each host and must not take its own chips.
    return "TPU_LOAD_LIBRARY=0 " if hosts > 1 else ""


def doctor_script(request: RunRequest, hosts: int) -> str:
    """Looks for what would stop the run."""
    flags = shlex.join([*trainer_flags(request, hosts), "--mode=doctor"])
    return f"{_environment(hosts)}{_PYTHON} -m trainer {flags} 2>&1"


def start_script(request: RunRequest, *, hosts: int, resource: str, hours: float) -> str:
    """Starts the supervisor, which outlives the connection.

    Args:
      resource: the TPU's full name, projects/…, which the supervisor deletes when nobody else has.
    """
    words = [f"--folder={_FOLDER}/run", f"--max_hours={hours:.2f}", f"--resource={resource}"]
    if request.tensorboard_port:
        words.append(f"--tensorboard={request.config.model_dir.rstrip('/')}/tensorboard")
    line = f"{_SUPERVISOR} run {shlex.join(words)} -- {shlex.join(trainer_flags(request, hosts))}"
    return f"{_environment(hosts)}setsid nohup {line} > {_FOLDER}/supervisor.log 2>&1 < /dev/null &"


def show_script(offset: int) -> str:
    """The state as one line of JSON, then the log from a byte on."""
    return f"{_SUPERVISOR} show --folder={_FOLDER}/run --offset={offset}"

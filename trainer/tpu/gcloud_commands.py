"""Makes the command lines of gcloud, and the scripts that they run on the TPU VM. Pure: returns words and scripts.

Each docstring describes what the command does when trainer.tpu.driver runs it; trainer.tpu.gcloud_output parses what
it prints.
"""

import math
import shlex
from collections.abc import Sequence

from trainer.tpu.options import RunRequest, TpuTarget

# The label of every TPU that this program creates; its value is the id of the run.
RUN_LABEL = "retinanet-odm"
# A script on the TPU VM prints its exit status after this mark, because gcloud and ssh replace it by their own.
EXIT_MARK = "retinanet-exit="
REQUIREMENTS_FILE = "requirements-tpu.lock"
_FOLDER = "retinanet"  # in the home directory on the TPU VM
_PYTHON = f"{_FOLDER}/venv/bin/python"
_SUPERVISOR = f"{_PYTHON} -m trainer.tpu.supervisor"
_UV = "uv==0.13.9"
_TENSORBOARD_PORT = 6006  # on the TPU VM
_TPUS = ("gcloud", "compute", "tpus")


def _location_flags(target: TpuTarget) -> list[str]:
    return [f"--zone={target.zone}", *([f"--project={target.project}"] if target.project else []), "--quiet"]


def _ssh_flags(target: TpuTarget, worker: str) -> list[str]:
    """Return the flags by which a worker, or all, is reached by SSH."""
    return [*_location_flags(target), f"--worker={worker}", *(["--internal-ip"] if target.internal_ips else [])]


def create(request: RunRequest, run_id: str, hours: float) -> list[str]:
    """Create the TPU.

    Args:
      hours: how long a request in the queue stays valid.
    """
    optional = {
        "network": request.network,
        "subnetwork": request.subnetwork,
        "service-account": request.service_account,
    }
    common = [
        *_location_flags(request),
        f"--accelerator-type={request.accelerator_type}",
        f"--labels={RUN_LABEL}={run_id}",
        # The roles of the service account limit what the machine may do; the scopes shall not limit it further.
        "--scopes=https://www.googleapis.com/auth/cloud-platform",
        *(f"--{flag}={value}" for flag, value in optional.items() if value),
        *(["--internal-ips"] if request.internal_ips else []),
        *(["--spot"] if request.spot else []),
    ]
    if not request.queued:
        return [*_TPUS, "tpu-vm", "create", request.name, *common, f"--version={request.runtime}"]
    return [
        *(*_TPUS, "queued-resources", "create", request.name, *common),
        *(f"--node-id={request.name}", f"--runtime-version={request.runtime}"),
        # A request in the queue must not become a TPU when nobody waits for it any more.
        f"--valid-until-duration={math.ceil(hours * 3600)}s",
    ]


def describe_node(target: TpuTarget) -> list[str]:
    """Describe the TPU VM as JSON."""
    return [*_TPUS, "tpu-vm", "describe", target.name, *_location_flags(target), "--format=json"]


def describe_queued(target: TpuTarget) -> list[str]:
    """Describe the queued resource as JSON."""
    return [*_TPUS, "queued-resources", "describe", target.name, *_location_flags(target), "--format=json"]


def delete_node(target: TpuTarget) -> list[str]:
    """Delete the TPU VM."""
    return [*_TPUS, "tpu-vm", "delete", target.name, *_location_flags(target)]


def delete_queued(target: TpuTarget) -> list[str]:
    """Delete the queued resource together with its TPU VM."""
    return [*_TPUS, "queued-resources", "delete", target.name, *_location_flags(target), "--force"]


def delete_command(target: TpuTarget) -> list[str]:
    """Delete everything that a run created; this is the command shown to the user."""
    return delete_queued(target) if target.queued else delete_node(target)


def list_file(path: str) -> list[str]:
    """List a file in a bucket; fails if there is none."""
    return ["gcloud", "storage", "ls", path]


def copy(target: TpuTarget, files: Sequence[str]) -> list[str]:
    """Copy files into the home directory of every worker."""
    return [*_TPUS, "tpu-vm", "scp", *files, f"{target.name}:", *_ssh_flags(target, "all")]


def remote(target: TpuTarget, script: str, *, worker: str = "0") -> list[str]:
    """Run a bash script in the home directory of a worker, or of all. It prints its exit status after EXIT_MARK."""
    # Quoted once for the shell of the TPU VM; subprocess passes the words to gcloud without a shell.
    command = f"bash -c {shlex.quote(script)}; echo {EXIT_MARK}$?"
    return [*_TPUS, "tpu-vm", "ssh", target.name, *_ssh_flags(target, worker), f"--command={command}"]


def tunnel(request: RunRequest) -> list[str]:
    """Forward a port of this computer to TensorBoard on the TPU VM."""
    forward = ["--", "-N", "-L", f"{request.tensorboard_port}:localhost:{_TENSORBOARD_PORT}"]
    return [*_TPUS, "tpu-vm", "ssh", request.name, *_ssh_flags(request, "0"), *forward]


def install_script(wheel: str) -> str:
    """Install Python 3.11 and the locked packages; the images have Python 3.10.

    --no-deps installs nothing that is not in the lock file, in particular no second TensorFlow.
    """
    lines = (
        "set -e",
        f"mkdir -p {_FOLDER}",
        f"python3 -m pip install --user --quiet {_UV}",
        f"~/.local/bin/uv venv --quiet --clear --python 3.11 {_FOLDER}/venv",
        f"~/.local/bin/uv pip install --quiet --python {_PYTHON} --no-deps --requirement {REQUIREMENTS_FILE} ./{wheel}",
    )
    return "\n".join(lines)


def trainer_flags(request: RunRequest, hosts: int) -> list[str]:
    """Return the user's flags and the TPU to train on: the one of the machine itself, or a pod by its name."""
    return [*request.training, "--use_tpu", f"--tpu={request.name if hosts > 1 else 'local'}"]


def _environment(hosts: int) -> str:
    # The first host of a pod reaches all chips through the runtime of each host, so it must not open its own.
    return "TPU_LOAD_LIBRARY=0 " if hosts > 1 else ""


def doctor_script(request: RunRequest, hosts: int) -> str:
    """Check the TPU VM, the data set and the model folder before the training."""
    flags = shlex.join([*trainer_flags(request, hosts), "--mode=doctor"])
    return f"{_environment(hosts)}{_PYTHON} -m trainer {flags} 2>&1"


def start_script(request: RunRequest, *, hosts: int, resource: str, hours: float) -> str:
    """Start the supervisor, which continues when the connection ends.

    Args:
      resource: the full name of the TPU, projects/…. The supervisor deletes it if nobody else does.
    """
    words = [f"--folder={_FOLDER}/run", f"--max_hours={hours:.2f}", f"--resource={resource}"]
    if request.tensorboard_port:
        words.append(f"--tensorboard={request.config.run.folder}/tensorboard")
    line = f"{_SUPERVISOR} run {shlex.join(words)} -- {shlex.join(trainer_flags(request, hosts))}"
    # A session of its own, and no open input or output, so that ssh returns at once and its end does not stop the
    # training.
    return f"{_environment(hosts)}setsid nohup {line} > {_FOLDER}/supervisor.log 2>&1 < /dev/null &"


def show_script(offset: int) -> str:
    """Print the state as one line of JSON, then the log from an offset on."""
    return f"{_SUPERVISOR} show --folder={_FOLDER}/run --offset={offset}"

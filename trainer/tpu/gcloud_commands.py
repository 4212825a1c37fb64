"""Makes the scripts that run on the TPU VM, and the words of gcloud that both platforms share. Pure.

Each docstring describes what the script does when trainer.tpu.driver runs it; trainer.tpu.gcloud_output parses what it
prints. The command lines are made by trainer.tpu.tpu_vm and trainer.tpu.compute_engine.
"""

import shlex

from trainer.tpu.options import RunRequest, TpuTarget

# The label of every TPU that this program creates; its value is the id of the run.
RUN_LABEL = "retinanet-odm"
# A script on the TPU VM prints its exit status after this mark, because gcloud and ssh replace it by their own.
EXIT_MARK = "retinanet-exit="
_REQUIREMENTS_FILE, _XLA_REQUIREMENTS_FILE = "requirements-tpu.lock", "requirements-tpu-xla.lock"
_FOLDER = "retinanet"  # in the home directory on the TPU VM
_PYTHON = f"{_FOLDER}/venv/bin/python"
_SUPERVISOR = f"{_PYTHON} -m trainer.tpu.supervisor"
_UV = "uv==0.13.9"
TENSORBOARD_PORT = 6006  # on the TPU VM


def location_flags(target: TpuTarget) -> list[str]:
    """Return the flags of a command for one TPU."""
    return [f"--zone={target.zone}", *([f"--project={target.project}"] if target.project else []), "--quiet"]


def list_file(path: str) -> list[str]:
    """List a file in a bucket; fails if there is none."""
    return ["gcloud", "storage", "ls", path]


def remote_flag(script: str) -> str:
    """Return the flag of gcloud's ssh that runs a bash script, which then prints its exit status after EXIT_MARK."""
    # Quoted once for the shell of the TPU VM; subprocess passes the words to gcloud without a shell.
    return f"--command=bash -c {shlex.quote(script)}; echo {EXIT_MARK}$?"


def requirements_file(request: RunRequest) -> str:
    """Return the lock file of the packages of a run: with TensorFlow for TPUs, or with jax for them."""
    return _XLA_REQUIREMENTS_FILE if request.by_xla else _REQUIREMENTS_FILE


def install_script(wheel: str, requirements: str) -> str:
    """Install Python 3.11 and the locked packages; the images have another Python, and not always pip.

    --no-deps installs nothing that is not in the lock file, in particular no second TensorFlow.
    """
    lines = (
        "set -e",
        f"mkdir -p {_FOLDER}",
        # On a new machine the system itself installs packages at first, and locks their list.
        "python3 -m pip --version > /dev/null 2>&1 || {",
        "  sudo apt-get -qq -o DPkg::Lock::Timeout=300 update",
        "  sudo apt-get -qq -o DPkg::Lock::Timeout=300 install --yes python3-pip > /dev/null",
        "}",
        # Ubuntu 24.04 refuses `pip install --user` otherwise; the pip of 22.04 ignores the variable.
        f"PIP_BREAK_SYSTEM_PACKAGES=1 python3 -m pip install --user --quiet {_UV}",
        f"~/.local/bin/uv venv --quiet --clear --python 3.11 {_FOLDER}/venv",
        f"~/.local/bin/uv pip install --quiet --python {_PYTHON} --no-deps --requirement {requirements} ./{wheel}",
    )
    return "\n".join(lines)


def trainer_flags(request: RunRequest, hosts: int) -> list[str]:
    """Return the user's flags and the TPU to train on: the one of the machine itself, or a pod by its name."""
    if request.by_xla:  # it has no other
        return [*request.training]
    return [*request.training, "--use_tpu", f"--tpu={request.name if hosts > 1 else 'local'}"]


def _environment(request: RunRequest, hosts: int) -> str:
    if request.by_xla:
        # Without a TPU, jax would train on the CPU of a machine that is paid for its TPU.
        return "JAX_PLATFORMS=tpu,cpu "
    # The first host of a pod reaches all chips through the runtime of each host, so it must not open its own.
    return "TPU_LOAD_LIBRARY=0 " if hosts > 1 else ""


def doctor_script(request: RunRequest, hosts: int) -> str:
    """Check the TPU VM, the data set and the model folder before the training."""
    flags = shlex.join([*trainer_flags(request, hosts), "--mode=doctor"])
    return f"{_environment(request, hosts)}{_PYTHON} -m trainer {flags} 2>&1"


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
    return f"{_environment(request, hosts)}setsid nohup {line} > {_FOLDER}/supervisor.log 2>&1 < /dev/null &"


def show_script(offset: int) -> str:
    """Print the state as one line of JSON, then the log from an offset on."""
    return f"{_SUPERVISOR} show --folder={_FOLDER}/run --offset={offset}"

"""Compute Engine: creates a VM of one machine with a TPU. Makes command lines; see trainer.tpu.platforms.

Google deletes the VM itself when it is preempted, or when its time is over, even if this computer is gone.
"""

import math
from collections.abc import Sequence

from trainer.tpu import gcloud_output
from trainer.tpu.accelerators import IMAGE_PROJECT, machine_type
from trainer.tpu.gcloud import Gcloud
from trainer.tpu.gcloud_commands import RUN_LABEL, TENSORBOARD_PORT, location_flags, remote_flag
from trainer.tpu.gcloud_output import Observation, ResourceState
from trainer.tpu.options import RunRequest, TpuTarget

_COMPUTE = ("gcloud", "compute")
# After --max_hours, so that the trainer saves its checkpoint before Google deletes the VM.
_GRACE_SECONDS = 600
# Limits of flex-start VMs (compute/docs/instances/create-flex-start-vm).
_MAX_FLEX_SECONDS = 7 * 24 * 3600
_MIN_REQUEST_SECONDS, _MAX_REQUEST_SECONDS = 90, 2 * 3600


class ComputeEngine:
    """A VM instance."""

    # Waiting for a flex-start VM takes up to two hours, in which Ctrl-C must have an effect.
    creates_in_background = True

    def __init__(self, target: TpuTarget) -> None:
        self._target = target

    def create(self, request: RunRequest, run_id: str, *, seconds: float) -> list[str]:
        """Request the VM, without waiting for it. Google deletes it some time after `seconds`."""
        optional = {
            "network": request.network,
            "subnet": request.subnetwork,
            "service-account": request.service_account,
        }
        return [
            *(*_COMPUTE, "instances", "create", request.name, *location_flags(request), "--async"),
            f"--machine-type={machine_type(request.accelerator_type)}",
            *(f"--image-family={request.runtime}", f"--image-project={IMAGE_PROJECT}"),
            f"--boot-disk-size={request.disk_gb}GB",
            f"--labels={RUN_LABEL}={run_id}",
            # The roles of the service account limit what the machine may do; the scopes shall not limit it further.
            "--scopes=https://www.googleapis.com/auth/cloud-platform",
            "--maintenance-policy=TERMINATE",  # a VM with a TPU cannot migrate to another host
            *_provisioning_flags(request, seconds),
            *(f"--{flag}={value}" for flag, value in optional.items() if value),
            *(["--no-address"] if request.internal_ips else []),
        ]

    def observe(self, gcloud: Gcloud, run_id: str | None) -> Observation:
        """Return the state of the VM; while Google carries out a request for it, it is pending."""
        described = gcloud(self._instances("describe", "--format=json"))
        instance = gcloud_output.parse_instance(described, run_id)
        if instance.state is not ResourceState.ABSENT:
            return instance
        # A VM appears only a moment after its request, and a failed one never: the operation tells these apart.
        return gcloud_output.parse_creation(gcloud(self._list_creations()))

    def delete(self, resource: str = "") -> list[str]:  # noqa: ARG002 - the interface of Platform
        """Delete the VM and its disk."""
        return self._instances("delete")

    def copy(self, files: Sequence[str]) -> list[str]:
        """Copy files into the home directory."""
        return [*_COMPUTE, "scp", *files, f"{self._target.name}:", *self._ssh_flags()]

    def remote(self, script: str, *, everywhere: bool = False) -> list[str]:  # noqa: ARG002 - there is one machine
        """Run a bash script in the home directory."""
        return [*_COMPUTE, "ssh", self._target.name, *self._ssh_flags(), remote_flag(script)]

    def tunnel(self, port: int) -> list[str]:
        """Forward a port of this computer to TensorBoard."""
        forward = ["--", "-N", "-L", f"{port}:localhost:{TENSORBOARD_PORT}"]
        return [*_COMPUTE, "ssh", self._target.name, *self._ssh_flags(), *forward]

    def _instances(self, verb: str, *flags: str) -> list[str]:
        return [*_COMPUTE, "instances", verb, self._target.name, *location_flags(self._target), *flags]

    def _list_creations(self) -> list[str]:
        """List the newest operation that creates a VM of this name."""
        project = [f"--project={self._target.project}"] if self._target.project else []
        return [
            *(*_COMPUTE, "operations", "list", f"--zones={self._target.zone}", *project, "--quiet"),
            f"--filter=operationType=insert AND targetLink~/instances/{self._target.name}$",
            *("--sort-by=~insertTime", "--limit=1", "--format=json"),
        ]

    def _ssh_flags(self) -> list[str]:
        return [*location_flags(self._target), *(["--internal-ip"] if self._target.internal_ips else [])]


def _provisioning_flags(request: RunRequest, seconds: float) -> list[str]:
    """Return the flags that say how capacity is found, and when Google deletes the VM."""
    lifetime = math.ceil(seconds) + _GRACE_SECONDS
    if request.queued:
        validity = min(max(math.ceil(seconds), _MIN_REQUEST_SECONDS), _MAX_REQUEST_SECONDS)
        model = [
            *("--provisioning-model=FLEX_START", f"--request-valid-for-duration={validity}s"),
            "--reservation-affinity=none",
        ]
        lifetime = min(lifetime, _MAX_FLEX_SECONDS)
    else:
        model = [f"--provisioning-model={'SPOT' if request.spot else 'STANDARD'}"]
    return [*model, f"--max-run-duration={lifetime}s", "--instance-termination-action=DELETE"]

"""The Cloud TPU API: creates TPU VMs, single or in a queue. Makes command lines; see trainer.tpu.platforms."""

import math
from collections.abc import Sequence

from trainer.tpu import gcloud_output
from trainer.tpu.gcloud import Gcloud
from trainer.tpu.gcloud_commands import RUN_LABEL, TENSORBOARD_PORT, location_flags, remote_flag
from trainer.tpu.gcloud_output import Observation, ResourceState
from trainer.tpu.options import RunRequest, TpuTarget

_TPUS = ("gcloud", "compute", "tpus")


class TpuVm:
    """A TPU VM, or a queued resource with its TPU VM."""

    creates_in_background = False

    def __init__(self, target: TpuTarget) -> None:
        self._target = target

    def create(self, request: RunRequest, run_id: str, *, seconds: float) -> list[str]:
        """Create the TPU VM, or the queued resource, whose request stays valid for `seconds`."""
        optional = {
            "network": request.network,
            "subnetwork": request.subnetwork,
            "service-account": request.service_account,
        }
        common = [
            *location_flags(request),
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
            f"--valid-until-duration={math.ceil(seconds)}s",
        ]

    def observe(self, gcloud: Gcloud, run_id: str | None) -> Observation:
        """Return the state of the TPU VM, and of its queued resource if there is one."""
        node = gcloud_output.parse_node(gcloud(self._command("tpu-vm", "describe", "--format=json")), run_id)
        if not self._target.queued:
            return node
        described = gcloud(self._command("queued-resources", "describe", "--format=json"))
        queued = gcloud_output.parse_queued(described, run_id)
        if queued.state is ResourceState.ABSENT:  # the TPU VM may still exist, or was created without --queued
            return node
        # The queue decides until it is active; afterwards the state is that of the TPU VM.
        if queued.state is not ResourceState.READY or node.state is ResourceState.FOREIGN:
            return queued
        # An active queued resource creates its TPU VM a little later.
        state = ResourceState.PENDING if node.state is ResourceState.ABSENT else node.state
        return Observation(state=state, detail=node.detail, hosts=node.hosts, resource=queued.resource)

    def delete(self, resource: str = "") -> list[str]:
        """Delete everything that a run created. Given the resource that exists, delete only that."""
        # Deleting a queued resource deletes its TPU VM too, but not the other way round.
        if self._target.queued and "/nodes/" not in resource:
            return self._command("queued-resources", "delete", "--force")
        return self._command("tpu-vm", "delete")

    def copy(self, files: Sequence[str]) -> list[str]:
        """Copy files into the home directory of every worker."""
        return [*_TPUS, "tpu-vm", "scp", *files, f"{self._target.name}:", *self._ssh_flags("all")]

    def remote(self, script: str, *, everywhere: bool = False) -> list[str]:
        """Run a bash script in the home directory of the first worker, or of all."""
        flags = self._ssh_flags("all" if everywhere else "0")
        return [*_TPUS, "tpu-vm", "ssh", self._target.name, *flags, remote_flag(script)]

    def tunnel(self, port: int) -> list[str]:
        """Forward a port of this computer to TensorBoard."""
        forward = ["--", "-N", "-L", f"{port}:localhost:{TENSORBOARD_PORT}"]
        return [*_TPUS, "tpu-vm", "ssh", self._target.name, *self._ssh_flags("0"), *forward]

    def _command(self, group: str, verb: str, *flags: str) -> list[str]:
        return [*_TPUS, group, verb, self._target.name, *location_flags(self._target), *flags]

    def _ssh_flags(self, worker: str) -> list[str]:
        """Return the flags by which a worker, or all, is reached by SSH."""
        internal = ["--internal-ip"] if self._target.internal_ips else []
        return [*location_flags(self._target), f"--worker={worker}", *internal]

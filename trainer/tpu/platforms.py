"""The two services of Google that rent TPUs, behind one interface.

- trainer.tpu.tpu_vm: the Cloud TPU API, which gets bug fixes only.
- trainer.tpu.compute_engine: its successor, and the only one for TPU7x.
"""

from collections.abc import Sequence
from typing import Protocol

from trainer.tpu.compute_engine import ComputeEngine
from trainer.tpu.gcloud import Gcloud
from trainer.tpu.gcloud_output import Observation
from trainer.tpu.options import RunRequest, TpuTarget
from trainer.tpu.tpu_vm import TpuVm


class Platform(Protocol):
    """Makes the command lines for one TPU.

    Attributes:
      creates_in_background: `create` ends before the TPU exists; `observe` tells whether it came.
    """

    creates_in_background: bool

    def create(self, request: RunRequest, run_id: str, *, seconds: float) -> list[str]:
        """Request the TPU, with the id of the run as its label.

        Args:
          seconds: how long the run may still take.
        """

    def observe(self, gcloud: Gcloud, run_id: str | None) -> Observation:
        """Return the state of the TPU.

        Args:
          gcloud: runs a command.
          run_id: the run that created the TPU; None accepts every run of this program.
        """

    def delete(self, resource: str = "") -> list[str]:
        """Delete everything that a run created. Given the resource that was observed, delete only that."""

    def copy(self, files: Sequence[str]) -> list[str]:
        """Copy files into the home directory of every machine."""

    def remote(self, script: str, *, everywhere: bool = False) -> list[str]:
        """Run a bash script in the home directory of the first machine, or of all.

        It prints its exit status after trainer.tpu.gcloud_commands.EXIT_MARK.
        """

    def tunnel(self, port: int) -> list[str]:
        """Forward a port of this computer to TensorBoard."""


def make_platform(target: TpuTarget) -> Platform:
    """Return the platform of a TPU."""
    return ComputeEngine(target) if target.on_compute_engine else TpuVm(target)

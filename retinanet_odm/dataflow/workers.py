"""The worker machines of a job: their type, disk and number, and the accelerator of `score` with its flags of Beam."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class WorkerDefaults:
    """Default machines.

    Attributes:
      machine_type: Type of Compute Engine.
      disk_size_gb: For system, image and logs, not for data.
      max_num_workers: Maximum number of machines.
      harness_threads: Threads of a process of Beam; 0 for Beam's own number.
    """

    machine_type: str
    disk_size_gb: int
    max_num_workers: int
    harness_threads: int = 0


PREPARE_WORKERS = WorkerDefaults(machine_type="e2-standard-4", disk_size_gb=30, max_num_workers=10)
SCORE_WORKERS = WorkerDefaults(machine_type="n2-standard-8", disk_size_gb=50, max_num_workers=10)

NO_ACCELERATOR = "none"
# The GPUs of Dataflow that are economical for one RetinaNet, each with a machine type of 8 CPUs that can feed it.
_MACHINE_OF_GPU = {"nvidia-tesla-t4": "n1-standard-8", "nvidia-l4": "g2-standard-8"}
_CPUS = 8
ACCELERATORS = (NO_ACCELERATOR, *_MACHINE_OF_GPU)


def accelerated_workers(accelerator: str) -> WorkerDefaults:
    """Return the default machines with an accelerator. The quotas of projects for them are small."""
    return WorkerDefaults(
        machine_type=_MACHINE_OF_GPU[accelerator],
        disk_size_gb=100,
        max_num_workers=1,
        # The threads of the one process share the model, and read images: one for each CPU.
        harness_threads=_CPUS,
    )


def accelerator_flags(accelerator: str) -> list[str]:
    """Return the flags of Beam for an accelerator, empty for none."""
    if accelerator == NO_ACCELERATOR:
        return []
    service = f"--dataflow_service_options=worker_accelerator=type:{accelerator};count:1;install-nvidia-driver"
    # One process per machine: otherwise each would load its own model into the GPU's memory.
    return [service, "--experiments=no_use_multiple_sdk_containers"]

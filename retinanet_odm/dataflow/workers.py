"""The worker machines of a job: their type, disk and number, and the accelerator of `score` with its flags of Beam."""

from dataclasses import dataclass

from retinanet_odm.errors import UsageError
from retinanet_odm.xla import XLA


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


@dataclass(frozen=True, kw_only=True)
class _Accelerator:
    """What a worker has besides CPUs.

    Attributes:
      machine_type: With a TPU, the only one that Dataflow permits.
      threads: That share the one process and its model.
      service: The value of Dataflow's option worker_accelerator.
    """

    machine_type: str
    threads: int
    service: str


NO_ACCELERATOR = "none"
# The GPUs of Dataflow that are economical for one RetinaNet, each with a machine type of 8 CPUs that can feed it.
_GPUS = {
    name: _Accelerator(machine_type=machine, threads=8, service=f"type:{name};count:1;install-nvidia-driver")
    for name, machine in (("nvidia-tesla-t4", "n1-standard-8"), ("nvidia-l4", "g2-standard-8"))
}
# Those of Google's page dataflow/docs/tpu/tpu-support that have one chip, as a process uses one. The machines have more
# CPUs than threads: TensorFlow decodes a batch with all of them.
_TPUS = {
    name: _Accelerator(machine_type=machine, threads=16, service=f"type:{kind};topology:1x1")
    for name, kind, machine in (
        ("tpu-v5-lite:1x1", "tpu-v5-lite-podslice", "ct5lp-hightpu-1t"),
        ("tpu-v6e:1x1", "tpu-v6e-slice", "ct6e-standard-1t"),
    )
}
_ACCELERATORS = {**_GPUS, **_TPUS}
ACCELERATORS = (NO_ACCELERATOR, *_ACCELERATORS)


def is_tpu(accelerator: str) -> bool:
    """Return whether an accelerator is a TPU, whose programs XLA compiles."""
    return accelerator in _TPUS


def runtime_flags(accelerator: str, given: str | None) -> list[str]:
    """Return the flag of score that selects the runtime of an accelerator, empty if it needs none or has been given.

    Raises:
      UsageError: another runtime has been given.
    """
    if not is_tpu(accelerator) or given == XLA:
        return []
    if given is not None:
        raise UsageError(f"--runtime: TensorFlow has no {accelerator} on Dataflow; omit it, or give {XLA}")
    return [f"--runtime={XLA}"]


def accelerated_workers(accelerator: str) -> WorkerDefaults:
    """Return the default machines with an accelerator. The quotas of projects for them are small."""
    found = _ACCELERATORS[accelerator]
    return WorkerDefaults(
        machine_type=found.machine_type, disk_size_gb=100, max_num_workers=1, harness_threads=found.threads
    )


def accelerator_flags(accelerator: str) -> list[str]:
    """Return the flags of Beam for an accelerator, empty for none."""
    if accelerator == NO_ACCELERATOR:
        return []
    service = f"--dataflow_service_options=worker_accelerator={_ACCELERATORS[accelerator].service}"
    # One process per machine: each would load its own model into the GPU's memory, and a TPU belongs to one process.
    return [service, "--experiments=no_use_multiple_sdk_containers"]

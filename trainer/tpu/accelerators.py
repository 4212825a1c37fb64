"""Names of TPUs: accelerator types of the Cloud TPU API, machine types and images of Compute Engine.

The names are those of Google's pages tpu/docs/v5e, v5p, v6e, tpu7x and tpu-os-images; see docs/tpu.md.
"""

import re
from typing import Final

from retinanet_odm.errors import UsageError

COMPUTE_ENGINE, TPU_VM = "compute", "tpu_vm"
PLATFORMS: Final = (COMPUTE_ENGINE, TPU_VM)

# The TPUs that are one machine: accelerator type to machine type. v5p counts two cores per chip.
_MACHINE_TYPES = {
    **{f"v5litepod-{chips}": f"ct5lp-hightpu-{chips}t" for chips in (1, 4, 8)},
    **{f"v6e-{chips}": f"ct6e-standard-{chips}t" for chips in (1, 4, 8)},
    "v5p-8": "ct5p-hightpu-4t",
}
_MACHINE_TYPE = re.compile(r"(ct|tpu)[0-9a-z]+-[a-z]+-\d+t(-tpu)?")
_TPU7X = re.compile(r"(tpu|v)7x?-.*")

# Runtime versions without TensorFlow, made for JAX and PyTorch: none of their packages conflicts with ours.
_RUNTIMES = {"v5litepod": "v2-alpha-tpuv5-lite", "v5p": "v2-alpha-tpuv5", "v6e": "v2-alpha-tpuv6e"}
_RUNTIME = "tpu-ubuntu2204-base"
# Image families, all of one project.
IMAGE_PROJECT = "ubuntu-os-accelerator-images"
_TPU7X_IMAGE = "ubuntu-accel-2404-amd64-tpu-tpu7x"
_IMAGE = "ubuntu-accel-2204-amd64-tpu-v5e-v5p-v6e"


def is_tpu7x(accelerator: str) -> bool:
    """Return whether a name means TPU7x (Ironwood), which the Cloud TPU API and TensorFlow do not support."""
    return bool(_TPU7X.fullmatch(accelerator))


def default_platform(accelerator: str) -> str:
    """Return the platform of a TPU: Compute Engine for its machine types and for TPU7x.

    Example:
      >>> default_platform("ct6e-standard-8t"), default_platform("v6e-8")
      ('compute', 'tpu_vm')
    """
    is_compute = _MACHINE_TYPE.fullmatch(accelerator) or is_tpu7x(accelerator)
    return COMPUTE_ENGINE if is_compute else TPU_VM


def machine_type(accelerator: str) -> str:
    """Return the machine type of Compute Engine for a TPU, which may be named by its accelerator type.

    Raises:
      UsageError: The TPU is not one machine of Compute Engine.

    Example:
      >>> machine_type("v6e-8")
      'ct6e-standard-8t'
    """
    if _MACHINE_TYPE.fullmatch(accelerator):
        return accelerator
    if accelerator in _MACHINE_TYPES:
        return _MACHINE_TYPES[accelerator]
    if is_tpu7x(accelerator):
        raise UsageError(
            f"--accelerator_type: expected tpu7x-standard-4t, one machine, found {accelerator!r}; several machines of"
            " TPU7x are not supported on any platform"
        )
    raise UsageError(
        f"--accelerator_type: {accelerator} is not a single machine of Compute Engine, such as"
        f" {', '.join(_MACHINE_TYPES)}; pass --platform=tpu_vm"
    )


def check_tpu_vm_type(accelerator: str) -> None:
    """Raise UsageError if the Cloud TPU API does not know the name of a TPU."""
    if is_tpu7x(accelerator):
        raise UsageError(f"--accelerator_type: {accelerator} is not a TPU VM; pass --platform=compute")
    if _MACHINE_TYPE.fullmatch(accelerator):
        names = [name for name, machine in _MACHINE_TYPES.items() if machine == accelerator.removesuffix("-tpu")]
        instead = f"{names[0]}, or " if names else ""
        raise UsageError(
            f"--accelerator_type: {accelerator} is a machine type of Compute Engine; pass {instead}--platform=compute"
        )


def runtime_version(accelerator: str) -> str:
    """Return the runtime version that suits an accelerator type."""
    return _RUNTIMES.get(accelerator.split("-", maxsplit=1)[0], _RUNTIME)


def image_family(accelerator: str) -> str:
    """Return the image family of IMAGE_PROJECT that suits a machine type."""
    return _TPU7X_IMAGE if is_tpu7x(accelerator) else _IMAGE

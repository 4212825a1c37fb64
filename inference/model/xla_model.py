"""An export of the trainer whose network runs by XLA, on the TPU, GPU or CPU that jax finds (`--runtime=xla`).

Begin with `XlaDetector`. Only the network runs there: XLA decodes no JPEG, and has no operation that suppresses the
overlapping boxes of all classes. For both, TensorFlow runs the steps of the export on the CPU, so that pixels and
suppression cannot differ from those of `saved_model`. What goes to the device are canvases of a fixed size; what comes
back are the candidates of an image, 24 kB.

`lower_network` translates the network of the export to StableHLO, `compile_network` compiles it; the packages jax and
TensorFlow are imported where they are used.

Shapes: N images in a batch, H × W the canvas.
"""

import functools
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from inference.model.outcome import ModelOutput
from inference.model.saved_model import OUTPUTS, call_errors, decode_pixels, find_signature, read_outputs
from inference.model.scorer import CallError, MemoryShortError
from inference.model.tiling import RgbPixels
from retinanet_odm import exported_model, xla
from retinanet_odm.errors import ContractError
from retinanet_odm.exported_model import ModelManifest
from retinanet_odm.imaging.images import EncodedImage
from retinanet_odm.novelty import Reference

Arrays = Mapping[str, npt.NDArray[Any]]

# The arguments of the network, and what a batch is filled up with: an empty image on a canvas of any colour.
_FILLING: Mapping[str, float] = {
    exported_model.IMAGE_CANVASES: 0,
    exported_model.PLACED: 1,
    exported_model.IMAGE_SIZE: 0,
}
_LOADED = (*_FILLING, exported_model.STATUS)
_PROPOSED = (
    exported_model.CANDIDATE_BOXES,
    exported_model.CANDIDATE_SCORES,
    exported_model.CANDIDATE_CLASSES,
    exported_model.FEATURES,
)
_SIZE_RATIO = 4  # of one number of images for which the network is compiled to the next


def check_signatures(folder: str, manifest: ModelManifest) -> None:
    """Check, without TensorFlow, that an export has its steps as signatures.

    Raises:
      ContractError: an earlier version has exported it.
    """
    if missing := {*exported_model.SIGNATURES} - {*manifest.signatures}:
        raise ContractError(
            f"--runtime=xla: {folder} has no signature {', '.join(sorted(missing))}, as an earlier version has exported"
            " it: export it again"
        )


def batch_sizes(most: int) -> tuple[int, ...]:
    """Return the numbers of images for which the network is compiled: few, because each takes seconds to minutes.

    Example:
      >>> batch_sizes(10)
      (1, 4, 10)
    """
    sizes = [1]
    while sizes[-1] * _SIZE_RATIO < most:
        sizes.append(sizes[-1] * _SIZE_RATIO)
    return (*sizes, most) if most > 1 else (1,)


class XlaDetector:
    """Detects objects in images. Its methods raise CallError for an error of TensorFlow or of the device."""

    decode = staticmethod(decode_pixels)

    def __init__(self, loaded: Any, *, folder: str, max_images: int, reference: Reference | None = None) -> None:
        """Check the signatures, and send the weights to the first device of this machine.

        Args:
          loaded: SavedModel; it owns the variables that its signatures read, so it is kept.
          folder: its name in messages.
          max_images: maximum number of images in a call.
          reference: of the training images; None if the export has none.

        Raises:
          ContractError: the SavedModel lacks a signature.
          UsageError: jax is not installed, or has no device.
        """
        self._loaded = loaded
        self._reference = reference
        find = functools.partial(find_signature, loaded, folder)
        self._decode = find(exported_model.DECODE, [exported_model.IMAGE_BYTES], _LOADED)
        self._place = find(exported_model.PLACE, [exported_model.IMAGES], _LOADED)
        self._suppress = find(exported_model.SUPPRESS, [*_LOADED[1:], *_PROPOSED], (*OUTPUTS, exported_model.FEATURES))
        propose = find(exported_model.PROPOSE, [*_FILLING], _PROPOSED)
        # A process takes memory of a GPU as it needs it: several may share one.
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
        self._network = DeviceNetwork(propose, xla.local_device(), batch_sizes(max_images))

    def score(self, images: Sequence[EncodedImage]) -> list[ModelOutput]:
        """Return the output for each of one or more images, in order; they may differ in size."""
        import tensorflow as tf

        with call_errors():
            encoded = tf.constant([image.data for image in images], tf.string)
            return self._detect(self._decode(**{exported_model.IMAGE_BYTES: encoded}), self._reference)

    def score_pixels(self, pixels: RgbPixels) -> list[ModelOutput]:
        """Return the output for each image of RGB [N, height, width, 3], in order; boxes are in pixels of each."""
        import tensorflow as tf

        with call_errors():
            return self._detect(self._place(**{exported_model.IMAGES: tf.constant(pixels)}))

    def _detect(self, loaded: Mapping[str, Any], reference: Reference | None = None) -> list[ModelOutput]:
        import tensorflow as tf

        proposed = self._network({name: loaded[name].numpy() for name in _FILLING})
        found = {name: tf.constant(value) for name, value in proposed.items()}
        return read_outputs(self._suppress(**found, **{name: loaded[name] for name in _LOADED[1:]}), reference)


class DeviceNetwork:
    """The network of an export on a device. Threads may call it at the same time."""

    def __init__(self, propose: Any, device: Any, sizes: Sequence[int]) -> None:
        """Prepare; the network is compiled when a number of images is first met.

        Args:
          propose: the signature.
          device: of jax.
          sizes: rising numbers of images for which the network may be compiled.
        """
        xla.keep_compiled()
        self._propose, self._device, self._sizes = propose, device, sizes
        self._calls: dict[int, Callable[..., Any]] = {}
        self._weights: list[Any] = []
        self._compiling = threading.Lock()

    def __call__(self, batch: Arrays) -> dict[str, npt.NDArray[Any]]:
        """Return what the signature returns for a batch of canvases [N, H, W, 3] and their sizes, [N, ...] each."""
        count = len(batch[exported_model.IMAGE_CANVASES])
        # The smallest that is large enough; the rest is computed for nothing.
        size = next(size for size in self._sizes if size >= count)
        with _device_errors():
            call = self._compiled(size)
            filled = [_fill(batch[name], size, filling) for name, filling in _FILLING.items()]
            results = call(filled, self._weights)
            return {name: np.asarray(value)[:count] for name, value in zip(_PROPOSED, results, strict=True)}

    def _compiled(self, size: int) -> Callable[..., Any]:
        import jax

        with self._compiling:  # what another thread is compiling is not compiled twice
            if size not in self._calls:
                lowered = lower_network(self._propose, size)
                self._weights = self._weights or jax.device_put(lowered.weights, self._device)
                self._calls[size] = compile_network(lowered, self._device)
            return self._calls[size]


def _fill(values: npt.NDArray[Any], size: int, filling: float) -> npt.NDArray[Any]:
    room = [(0, size - len(values)), *((0, 0) for _ in values.shape[1:])]
    return np.pad(values, room, constant_values=filling)


@contextmanager
def _device_errors() -> Iterator[None]:
    """Turn errors of the compiler and of the device into CallError, so that callers need not import jax."""
    import jax

    try:
        yield
    except xla.ChipMemoryError as error:
        raise MemoryShortError(str(error)) from error
    except xla.CompilationError as error:
        raise CallError(str(error)) from error
    except jax.errors.JaxRuntimeError as error:
        reason = xla.explain_compiler_error(str(error))
        kind = MemoryShortError if isinstance(reason, xla.ChipMemoryError) else CallError
        raise kind(str(reason)) from error


@dataclass(frozen=True, kw_only=True)
class LoweredNetwork:
    """The network of an export for a number of images, as a program of arrays: a batch and the weights.

    Attributes:
      text: the StableHLO module.
      batch: shapes and types of the arguments of the signature.
      weights: what follows them.
      results: shapes and types of what the signature returns, in the order of its names here.
    """

    text: str
    batch: Sequence[Any]
    weights: Sequence[npt.NDArray[Any]]
    results: Sequence[Any]


def lower_network(propose: Any, size: int) -> LoweredNetwork:
    """Translate the network of an export to StableHLO.

    Args:
      propose: the signature of the SavedModel.
      size: number of images.

    Raises:
      CompilationError: an operation has no translation.
    """
    import jax
    import tensorflow as tf

    inputs = propose.structured_input_signature[1]
    specs = [tf.TensorSpec((size, *inputs[name].shape[1:]), inputs[name].dtype) for name in _FILLING]

    @tf.function(jit_compile=True, autograph=False)
    def program(*batch: Any) -> list[Any]:
        found = propose(**dict(zip(_FILLING, batch, strict=True)))
        return [found[name] for name in _PROPOSED]

    try:
        text = str(program.experimental_get_compiler_ir(*specs)(stage="stablehlo"))
    except ValueError as error:
        raise xla.CompilationError(xla.explain_lowering_error(str(error))) from error
    traced = program.get_concrete_function(*specs)
    variables = {id(variable.handle): variable for variable in traced.variables}
    outputs = [propose.structured_outputs[name] for name in _PROPOSED]

    def shape(spec: Any) -> Any:
        return jax.ShapeDtypeStruct((size, *spec.shape[1:]), spec.dtype.as_numpy_dtype)

    return LoweredNetwork(
        text=text,
        batch=[shape(spec) for spec in specs],
        # Variables, and constants that the export keeps outside of its graph.
        weights=[variables.get(id(tensor), tensor).numpy() for tensor in traced.captured_inputs],
        results=[shape(output) for output in outputs],
    )


def compile_network(lowered: LoweredNetwork, device: Any, *, platform: str = "") -> Any:
    """Compile a network for a device.

    Args:
      lowered: the network.
      device: of jax.
      platform: of the device, if it is not one of this machine.

    Returns:
      A function of (batch, weights), lists of arrays, that returns a tuple of arrays: jax.stages.Compiled.

    Raises:
      ChipMemoryError: it needs more memory than a chip has.
      CompilationError: the compiler rejects it.
    """
    import jax
    from jax.sharding import Mesh, NamedSharding, PartitionSpec

    weights = [jax.ShapeDtypeStruct(value.shape, value.dtype) for value in lowered.weights]
    module = xla.as_function(lowered.text, [*lowered.batch, *weights], lowered.results, platform=platform)
    place = NamedSharding(Mesh([device], ("device",)), PartitionSpec())

    def network(batch: list[Any], weights: list[Any]) -> tuple[Any, ...]:
        return module(*batch, *weights)

    function = jax.jit(network, in_shardings=place, out_shardings=place)
    return xla.compile_lowered(function, lowered.batch, weights)

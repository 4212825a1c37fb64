"""SavedModels of other programs, whose signature a user has described in a JSON file (`--signature_map`)."""

import hashlib
import itertools
import json
import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from inference.model.outcome import ModelOutput
from inference.model.saved_model import call_errors, decode_pixels
from inference.model.tiling import RgbPixels
from retinanet_odm import boxes as box_ops
from retinanet_odm import exported_model
from retinanet_odm.errors import ContractError
from retinanet_odm.imaging.images import EncodedImage
from retinanet_odm.labels.label_map import LabelMap, parse_label_map
from retinanet_odm.storage import files

_FLAG = "--signature_map"

# Kinds of input, and the dtype of each: RGB pixels [N, height, width, 3], or JPEG and PNG bytes [N].
PIXEL_INPUT, ENCODED_INPUT = "pixels", "encoded"
_DTYPES = {PIXEL_INPUT: "uint8", ENCODED_INPUT: "string"}
FRACTION_UNITS, PIXEL_UNITS = "fraction", "pixels"

# Indices of (ymin, xmin, ymax, xmax) in a box of the model.
BOX_ORDERS = {"ymin xmin ymax xmax": (0, 1, 2, 3), "xmin ymin xmax ymax": (1, 0, 3, 2)}
_REQUIRED_OUTPUTS = ("boxes", "scores", "classes")
_KEYS = {
    *("signature", "input", "outputs", "box_order", "box_units", "first_class", "labels"),
    *("nms_iou", "score_threshold"),
}


@dataclass(frozen=True, kw_only=True)
class SignatureMap:
    """The signature of a third-party model.

    Attributes:
      signature: its name in the SavedModel.
      input_name: of its one input.
      input_kind: PIXELS or ENCODED.
      boxes, scores, classes: names of the outputs [N, M, 4], [N, M] and [N, M].
      count: name of the output [N] with the number of detections; "" if there is none, so that every score above 0
        counts.
      order: indices of ymin, xmin, ymax and xmax in a box.
      box_units: FRACTION of the image's sides, or PIXEL_UNITS.
      first_class: class number of the first class, 0 or 1.
      labels: names by label id. Ids begin at 1: they are the class numbers, plus one if these begin at 0.
      nms_iou: minimum IoU at which boxes from two tiles are the same object.
      score_threshold: minimum score of the detections in the rows.
    """

    signature: str
    input_name: str
    input_kind: str
    boxes: str
    scores: str
    classes: str
    count: str
    order: tuple[int, ...]
    box_units: str
    first_class: int
    labels: LabelMap
    nms_iou: float
    score_threshold: float = 0.0

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of all outputs that are read."""
        return tuple(filter(None, (self.boxes, self.scores, self.classes, self.count)))

    @property
    def digest(self) -> str:
        """Hex SHA-256 of the content: with another map, the same files are another model."""
        # Part of model_hash and so of the key of every row: this text must never change.
        text = (
            f"SignatureMap(signature={self.signature!r}, input_name={self.input_name!r},"
            f" input_kind={self.input_kind!r}, boxes={self.boxes!r}, scores={self.scores!r},"
            f" classes={self.classes!r}, count={self.count!r}, order={self.order!r}, box_units={self.box_units!r},"
            f" first_class={self.first_class!r}, labels=LabelMap(items={self.labels.items!r}),"
            f" nms_iou={self.nms_iou!r}"
            + (f", score_threshold={self.score_threshold!r})" if self.score_threshold else ")")
        )
        return hashlib.sha256(text.encode()).hexdigest()


def read_signature_map(path: str) -> SignatureMap:
    """Read a signature map, and the label map that it may name.

    Raises:
      ContractError: it is not of this form; the message names what was expected.
    """
    try:
        value = json.loads(files.read_text(path, flag=_FLAG))
    except ValueError as error:
        raise ContractError(f"{_FLAG}: {path} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise ContractError(f"{_FLAG}: {path}: expected a JSON object, found {type(value).__name__}")
    try:
        return _parse(value, folder=posixpath.dirname(path))
    except ContractError as error:
        raise ContractError(f"{_FLAG}: {path}: {error}") from error


def _parse(value: dict[str, Any], *, folder: str) -> SignatureMap:
    unknown = sorted(value.keys() - _KEYS)
    if unknown:
        raise ContractError(f"unknown key {unknown[0]!r}; expected some of {', '.join(sorted(_KEYS))}")
    # Unknown keys are refused above, because a misspelt optional key would be ignored silently.
    outputs, model_input = _object(value, "outputs"), _object(value, "input")
    missing = [name for name in _REQUIRED_OUTPUTS if not isinstance(outputs.get(name), str)]
    if missing:
        raise ContractError(f"outputs: expected the name of the output for {missing[0]!r}")
    first_class = _choice(value, "first_class", (0, 1))
    nms_iou = value.get("nms_iou", 0.5)
    if not isinstance(nms_iou, int | float) or not 0 < nms_iou <= 1:
        raise ContractError(f"nms_iou: expected a number above 0, up to 1, found {nms_iou!r}")
    score_threshold = value.get("score_threshold", 0.0)
    if not isinstance(score_threshold, int | float) or not 0 <= score_threshold <= 1:
        raise ContractError(f"score_threshold: expected a score from 0 to 1, found {score_threshold!r}")
    return SignatureMap(
        signature=str(value.get("signature", "serving_default")),
        input_name=str(model_input.get("name", "")),
        input_kind=_choice(model_input, "kind", (PIXEL_INPUT, ENCODED_INPUT)),
        boxes=outputs["boxes"],
        scores=outputs["scores"],
        classes=outputs["classes"],
        count=str(outputs.get("count", "")),
        order=BOX_ORDERS[_choice(value, "box_order", tuple(BOX_ORDERS))],
        box_units=_choice(value, "box_units", (FRACTION_UNITS, PIXEL_UNITS)),
        first_class=first_class,
        labels=_labels(value.get("labels"), first_class, folder),
        nms_iou=float(nms_iou),
        score_threshold=float(score_threshold),
    )


def _object(value: dict[str, Any], key: str) -> dict[str, Any]:
    found = value.get(key)
    if not isinstance(found, dict):
        raise ContractError(f"{key}: expected a JSON object, found {found!r}")
    return found


def _choice(value: dict[str, Any], key: str, allowed: tuple[Any, ...]) -> Any:
    found = value.get(key)
    if found not in allowed or isinstance(found, bool):
        raise ContractError(f"{key}: expected one of {', '.join(map(repr, allowed))}, found {found!r}")
    return found


def _labels(value: Any, first_class: int, folder: str) -> LabelMap:
    """Read the labels: names in the order of the classes, names by class number, or a labels.pbtxt beside the file."""
    if isinstance(value, str):
        return parse_label_map(files.read_text(files.join(folder, value) if folder else value, flag=_FLAG))
    if isinstance(value, list):
        return LabelMap(tuple(enumerate(map(str, value), start=1)))
    if not isinstance(value, dict) or not all(str(number).isdecimal() for number in value):
        raise ContractError(f"labels: expected a list of names, class numbers with names or a file, found {value!r}")
    return LabelMap(tuple((int(number) + 1 - first_class, str(name)) for number, name in value.items()))


class ThirdPartyDetector:
    """Detects objects as inference.model.saved_model.Detector does.

    Unlike an export of the trainer, the model cannot report that an image is corrupt.
    """

    decode = staticmethod(decode_pixels)

    def __init__(self, loaded: Any, signature_map: SignatureMap, *, folder: str) -> None:
        """Check the signature.

        Args:
          loaded: SavedModel; it owns the variables that its signatures read, so it is kept.
          signature_map: the description of its signature.
          folder: its name in messages.

        Raises:
          ContractError: the signature is not as described; the message names what the model has.
        """
        self._loaded = loaded
        self._map = signature_map
        self._serve = _serve(loaded, signature_map, folder)
        # A first dimension of None takes any number of images; a fixed one is served image by image.
        shape = self._serve.structured_input_signature[1][signature_map.input_name].shape
        self._takes_batches = shape.rank is None or shape[0] is None

    def score(self, images: Sequence[EncodedImage]) -> list[ModelOutput]:
        """Return the output for each image, in order. Adjacent images of one size share a call."""
        if self._map.input_kind == ENCODED_INPUT:
            results = self._call([image.data for image in images])
        else:
            pixels = map(self.decode, images)
            # Pixels can only be stacked if all images of a call have one size.
            # Adjacent ones only, so that the results stay in the order of the images.
            same_size = (list(group) for _, group in itertools.groupby(pixels, key=np.shape))
            results = (result for group in same_size for result in self._call(group))
        return [self._output(result, image.height, image.width) for result, image in zip(results, images, strict=True)]

    def score_pixels(self, pixels: RgbPixels) -> list[ModelOutput]:
        """Return the output for each image of RGB [N, height, width, 3], in order; boxes are in pixels of each."""
        import tensorflow as tf

        encoded = self._map.input_kind == ENCODED_INPUT
        results = self._call([tf.io.encode_png(tile).numpy() for tile in pixels] if encoded else list(pixels))
        height, width = pixels.shape[1:3]
        return [self._output(result, height, width) for result in results]

    def _call(self, items: Sequence[Any]) -> Iterator[dict[str, npt.NDArray[Any]]]:
        """Yield the outputs for each item; in one call, unless the model takes one item at a time."""
        import tensorflow as tf

        dtype = tf.string if self._map.input_kind == ENCODED_INPUT else tf.uint8
        for group in [items] if self._takes_batches else [[item] for item in items]:
            with call_errors():
                batch = tf.stack([tf.constant(item, dtype) for item in group])
                result = self._serve(**{self._map.input_name: batch})
                values = {name: result[name].numpy() for name in self._map.outputs}
            for index in range(len(group)):
                yield {name: value[index] for name, value in values.items()}

    def _output(self, values: Mapping[str, npt.NDArray[Any]], height: int, width: int) -> ModelOutput:
        # float32, as ModelOutput has them, whatever the model returns.
        scores = values[self._map.scores].astype(np.float32)
        count = int(values[self._map.count]) if self._map.count else int((scores > 0).sum())
        best = np.argsort(-scores, kind="stable")[:count]  # our rows are sorted by score, other models' may not be
        boxes = values[self._map.boxes][best][:, list(self._map.order)]
        pixels = box_ops.to_pixels(boxes, height, width) if self._map.box_units == FRACTION_UNITS else boxes
        return ModelOutput(
            status=exported_model.STATUS_OK,
            height=height,
            width=width,
            boxes=box_ops.clip(box_ops.as_boxes(pixels), height, width),
            scores=scores[best],
            # The TensorFlow Object Detection API returns class numbers as floats.
            classes=np.rint(values[self._map.classes][best]).astype(np.int32) + 1 - self._map.first_class,
        )


def _serve(loaded: Any, signature_map: SignatureMap, folder: str) -> Any:
    serve = loaded.signatures.get(signature_map.signature)
    if serve is None:
        raise ContractError(_mismatch(folder, "signature", signature_map.signature, loaded.signatures))
    # The second part holds arguments by name, as signatures are called.
    inputs = serve.structured_input_signature[1]
    if set(inputs) != {signature_map.input_name}:
        raise ContractError(_mismatch(folder, "one input", signature_map.input_name, inputs))
    for name in signature_map.outputs:
        if name not in serve.structured_outputs:
            raise ContractError(_mismatch(folder, "output", name, serve.structured_outputs))
    dtype, expected = inputs[signature_map.input_name].dtype.name, _DTYPES[signature_map.input_kind]
    if dtype != expected:
        raise ContractError(
            f"{folder}: input {signature_map.input_name!r} is {dtype}, but {signature_map.input_kind} are {expected}"
        )
    return serve


def _mismatch(folder: str, what: str, wanted: str, found: Iterable[str]) -> str:
    return f"{folder}: --signature_map names the {what} {wanted!r}; the model has {', '.join(sorted(found)) or 'none'}"

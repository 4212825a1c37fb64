"""What a SavedModel of another program takes and gives, as a person who knows it wrote it down in a JSON file."""

import hashlib
import itertools
import json
import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from inference.model.options import ModelOptions
from inference.model.outcome import ModelOutput
from inference.model.saved_model import call_errors, decode_image
from inference.model.tiling import Pixels
from retinanet_odm import boxes as boxes_of
from retinanet_odm import exported_model
from retinanet_odm.errors import ContractError
from retinanet_odm.imaging.images import EncodedImage
from retinanet_odm.labels.label_map import LabelMap, parse_label_map
from retinanet_odm.storage import files

_FLAG = "--signature_map"

# Kinds of input: RGB pixels, uint8 [N, height, width, 3], or JPEG and PNG bytes, string [N].
PIXELS, ENCODED = "pixels", "encoded"
FRACTION, PIXEL_UNITS = "fraction", "pixels"

# From the order of a model's edges to ours: (ymin, xmin, ymax, xmax).
ORDERS = {"ymin xmin ymax xmax": (0, 1, 2, 3), "xmin ymin xmax ymax": (1, 0, 3, 2)}
_NEEDED = ("boxes", "scores", "classes")
_KEYS = {"signature", "input", "outputs", "box_order", "box_units", "first_class", "labels", "nms_iou"}


@dataclass(frozen=True, kw_only=True)
class SignatureMap:
    """What a foreign model takes and gives.

    Attributes:
      signature: its name in the SavedModel.
      input_name: the one input; input_kind: PIXELS or ENCODED.
      boxes, scores, classes: names of the outputs [N, M, 4], [N, M] and [N, M]; count: of [N], or "" where there is
        none, so that every score above 0 counts.
      order: where ymin, xmin, ymax and xmax stand in a box.
      box_units: FRACTION of the photograph's sides, or PIXEL_UNITS.
      first_class: the class number that stands for the first class, 0 or 1.
      labels: names by our ids, which are the class numbers where these begin at 1, and one more where they begin at 0.
      nms_iou: from which overlap boxes from two tiles are of one animal.
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

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of all outputs that are read."""
        return tuple(filter(None, (self.boxes, self.scores, self.classes, self.count)))

    @property
    def digest(self) -> str:
        """Hex SHA-256: another map makes another model of the same files."""
        return hashlib.sha256(repr(self).encode()).hexdigest()


def read_signature_map(path: str) -> SignatureMap:
    """Reads the file, and the label map that it may name.

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


def find_signature_map(options: ModelOptions) -> SignatureMap | None:
    """The map that the options name, if any.

    Raises:
      ContractError: as read_signature_map.
    """
    return None if options.signature_map is None else read_signature_map(options.signature_map)


def _parse(value: dict[str, Any], *, folder: str) -> SignatureMap:
    unknown = sorted(value.keys() - _KEYS)
    if unknown:
        raise ContractError(f"unknown key {unknown[0]!r}; expected some of {', '.join(sorted(_KEYS))}")
    outputs, given = _object(value, "outputs"), _object(value, "input")
    missing = [name for name in _NEEDED if not isinstance(outputs.get(name), str)]
    if missing:
        raise ContractError(f"outputs: expected the name of the output for {missing[0]!r}")
    first_class = _choice(value, "first_class", (0, 1))
    nms_iou = value.get("nms_iou", 0.5)
    if not isinstance(nms_iou, int | float) or not 0 < nms_iou <= 1:
        raise ContractError(f"nms_iou: expected a number above 0, up to 1, found {nms_iou!r}")
    return SignatureMap(
        signature=str(value.get("signature", "serving_default")),
        input_name=str(given.get("name", "")),
        input_kind=_choice(given, "kind", (PIXELS, ENCODED)),
        boxes=outputs["boxes"],
        scores=outputs["scores"],
        classes=outputs["classes"],
        count=str(outputs.get("count", "")),
        order=ORDERS[_choice(value, "box_order", tuple(ORDERS))],
        box_units=_choice(value, "box_units", (FRACTION, PIXEL_UNITS)),
        first_class=first_class,
        labels=_labels(value.get("labels"), first_class, folder),
        nms_iou=float(nms_iou),
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
    """Names in the order of the classes, or by class number, or the name of a labels.pbtxt beside the file."""
    if isinstance(value, str):
        return parse_label_map(files.read_text(files.join(folder, value) if folder else value, flag=_FLAG))
    if isinstance(value, list):
        return LabelMap(tuple(enumerate(map(str, value), start=1)))
    if not isinstance(value, dict) or not all(str(number).isdecimal() for number in value):
        raise ContractError(f"labels: expected a list of names, class numbers with names or a file, found {value!r}")
    return LabelMap(tuple((int(number) + 1 - first_class, str(name)) for number, name in value.items()))


_KINDS = {PIXELS: "uint8", ENCODED: "string"}


class ThirdPartyDetector:
    """Answers for photographs, as inference.model.saved_model.Detector; the model cannot say that a picture is spoilt."""

    def __init__(self, loaded: Any, signature_map: SignatureMap, *, folder: str) -> None:
        """loaded: a SavedModel, which owns the variables that its signatures read.

        Raises:
          ContractError: it is not what the map says; the message names what is there.
        """
        self._loaded = loaded
        self._map = signature_map
        self._serve = _serve(loaded, signature_map, folder)
        shape = self._serve.structured_input_signature[1][signature_map.input_name].shape
        self._takes_many = shape.rank is None or shape[0] is None

    def score(self, images: Sequence[EncodedImage]) -> list[ModelOutput]:
        """One Outcome per image, in order; pictures of one size that follow each other share a call."""
        if self._map.input_kind == ENCODED:
            answers = self._ask([image.data for image in images])
        else:
            pixels = map(self.decode, images)
            alike = (list(group) for _, group in itertools.groupby(pixels, key=np.shape))
            answers = (answer for group in alike for answer in self._ask(group))
        return [self._outcome(answer, image.height, image.width) for answer, image in zip(answers, images, strict=True)]

    def decode(self, image: EncodedImage) -> Pixels:
        return decode_image(image)

    def score_pixels(self, pixels: Pixels) -> list[ModelOutput]:
        """One Outcome per picture of RGB [N, height, width, 3], in order."""
        import tensorflow as tf

        encoded = self._map.input_kind == ENCODED
        answers = self._ask([tf.io.encode_png(tile).numpy() for tile in pixels] if encoded else list(pixels))
        return [self._outcome(answer, *pixels.shape[1:3]) for answer in answers]

    def _ask(self, items: Sequence[Any]) -> Iterator[dict[str, np.ndarray]]:
        """The outputs for each item; all in one call, unless the model takes one at a time."""
        import tensorflow as tf

        dtype = tf.string if self._map.input_kind == ENCODED else tf.uint8
        for group in [items] if self._takes_many else [[item] for item in items]:
            with call_errors():
                answer = self._serve(**{self._map.input_name: tf.stack([tf.constant(item, dtype) for item in group])})
                values = {name: answer[name].numpy() for name in self._map.outputs}
            for index in range(len(group)):
                yield {name: value[index] for name, value in values.items()}

    def _outcome(self, values: Mapping[str, np.ndarray], height: int, width: int) -> ModelOutput:
        scores = values[self._map.scores].astype(np.float32)
        count = int(values[self._map.count]) if self._map.count else int((scores > 0).sum())
        best = np.argsort(-scores, kind="stable")[:count]
        boxes = values[self._map.boxes][best][:, list(self._map.order)]
        pixels = boxes_of.to_pixels(boxes, height, width) if self._map.box_units == FRACTION else boxes
        return ModelOutput(
            status=exported_model.STATUS_OK,
            height=height,
            width=width,
            boxes=boxes_of.clip(boxes_of.as_boxes(pixels), height, width),
            scores=scores[best],
            classes=np.rint(values[self._map.classes][best]).astype(np.int32) + 1 - self._map.first_class,
        )


def _serve(loaded: Any, signature_map: SignatureMap, folder: str) -> Any:
    serve = loaded.signatures.get(signature_map.signature)
    if serve is None:
        raise ContractError(_unlike(folder, "signature", signature_map.signature, loaded.signatures))
    inputs = serve.structured_input_signature[1]
    if set(inputs) != {signature_map.input_name}:
        raise ContractError(_unlike(folder, "one input", signature_map.input_name, inputs))
    for name in signature_map.outputs:
        if name not in serve.structured_outputs:
            raise ContractError(_unlike(folder, "output", name, serve.structured_outputs))
    dtype, expected = inputs[signature_map.input_name].dtype.name, _KINDS[signature_map.input_kind]
    if dtype != expected:
        raise ContractError(
            f"{folder}: input {signature_map.input_name!r} is {dtype}, but {signature_map.input_kind} are {expected}"
        )
    return serve


def _unlike(folder: str, what: str, wanted: str, there: Iterable[str]) -> str:
    return f"{folder}: --signature_map names the {what} {wanted!r}; the model has {', '.join(sorted(there)) or 'none'}"

"""A SavedModel of another program, told by a SignatureMap, as a Detector."""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from detection import boxes as boxes_of
from detection import signatures
from detection.errors import ContractError
from detection.images import EncodedImage
from inference.detector import call_errors, decode
from inference.rows import Outcome
from inference.signature_map import ENCODED, FRACTION, PIXELS, SignatureMap
from inference.tiles import Pixels

_KINDS = {PIXELS: "uint8", ENCODED: "string"}


class ForeignDetector:
    """Answers for photographs, as inference.detector.Detector; the model cannot say that a picture is spoilt."""

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

    def score(self, images: Sequence[EncodedImage]) -> list[Outcome]:
        """One Outcome per image, in order; pictures of one size that follow each other share a call."""
        if self._map.input_kind == ENCODED:
            answers = self._ask([image.data for image in images])
        else:
            pixels = map(self.decode, images)
            alike = (list(group) for _, group in itertools.groupby(pixels, key=np.shape))
            answers = (answer for group in alike for answer in self._ask(group))
        return [self._outcome(answer, image.height, image.width) for answer, image in zip(answers, images, strict=True)]

    def decode(self, image: EncodedImage) -> Pixels:
        return decode(image)

    def score_pixels(self, pixels: Pixels) -> list[Outcome]:
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

    def _outcome(self, values: Mapping[str, np.ndarray], height: int, width: int) -> Outcome:
        scores = values[self._map.scores].astype(np.float32)
        count = int(values[self._map.count]) if self._map.count else int((scores > 0).sum())
        best = np.argsort(-scores, kind="stable")[:count]
        boxes = values[self._map.boxes][best][:, list(self._map.order)]
        pixels = boxes_of.to_pixels(boxes, height, width) if self._map.box_units == FRACTION else boxes
        return Outcome(
            status=signatures.STATUS_OK,
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

"""Detections of images in memory and of a few files, without Beam and without an output folder.

Begin with `load_detector`, for programs and notebooks; the command `detect` prints what the same detector finds. Images
are checked, turned upright, tiled and counted by the code of `score`.
"""

import copy
import io
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar, cast, overload

import numpy as np
import numpy.typing as npt
from PIL import Image

from inference.image_sources import chunks
from inference.model.loading import CheckedModel, find_model, load_scorer
from inference.model.options import ModelOptions, make_model_options
from inference.model.outcome import Failure, ModelOutput
from inference.rows.rows import ShotFacts, failed_row, make_row
from inference.rows.thresholds import OperatingThresholds, check_score_flag, choose_thresholds
from retinanet_odm.errors import DataError, UsageError
from retinanet_odm.imaging.drawing import draw_boxes, draw_small
from retinanet_odm.imaging.images import EncodedImage, encode_image, encode_pixels, normalise_image
from retinanet_odm.predictions.drawing import drawn_detection
from retinanet_odm.predictions.rows import OK, Detection, PredictionRow
from retinanet_odm.storage import files
from retinanet_odm.systems import with_slashes

ImageInput: TypeAlias = str | os.PathLike[str] | bytes | Image.Image | npt.NDArray[np.uint8]

_Image = TypeVar("_Image", bound=ImageInput)


@dataclass(frozen=True, kw_only=True)
class ScoredImage:
    """What a detector has found in an image. A notebook shows the image with its boxes.

    Attributes:
      row: what `score` writes for the image, with the detections that count. Its `image` is the path of a file, or
        "image N", the position of an image in memory. Scores and boxes are rounded as in a file of rows.
      image: the upright image that the boxes belong to; None if it could not be read.
    """

    row: PredictionRow
    image: EncodedImage | None = field(repr=False)

    @property
    def detections(self) -> tuple[Detection, ...]:
        """By falling score; boxes (xmin, ymin, xmax, ymax) in pixels of the upright image, continuous 0-based edges."""
        return self.row.detections

    def to_dict(self) -> dict[str, Any]:
        """Return the row as predictions-*.jsonl holds it."""
        return self.row.to_dict()

    def draw(self) -> Image.Image:
        """Return an RGB copy of the upright image, in full size, with its detections.

        Raises:
          DataError: the image could not be read.
        """
        if self.image is None:
            raise _failure(self.row)
        # The upright bytes, not the file: boxes are in pixels of the upright image.
        with Image.open(io.BytesIO(self.image.data)) as opened:
            return draw_boxes(opened, map(drawn_detection, self.detections))

    def _repr_png_(self) -> bytes | None:
        """Return a small copy with its detections for IPython, which shows the text instead if there is none."""
        if self.image is None:
            return None
        return encode_image(draw_small(self.image.data, map(drawn_detection, self.detections)), "png")


class ImageDetector:
    """A model in memory; see `load_detector`, which makes it.

    Attributes:
      classes: names by label id.
      thresholds: the minimum scores of the detections that count.
      manifest: the model.json of the model, or what takes the place of one.
    """

    def __init__(self, model: CheckedModel, thresholds: OperatingThresholds) -> None:
        """Load the model."""
        self.classes: Mapping[int, str] = model.manifest.labels.name_by_id
        self.thresholds = thresholds
        self.manifest = model.manifest
        self._max_images = model.options.max_images
        self._scorer = load_scorer(model)

    @overload
    def __call__(self, images: ImageInput) -> ScoredImage: ...

    @overload
    def __call__(self, images: list[_Image] | tuple[_Image, ...]) -> list[ScoredImage]: ...

    def __call__(self, images: ImageInput | Sequence[ImageInput]) -> ScoredImage | list[ScoredImage]:
        """Find the objects in one image, or in each image of a list or tuple.

        Args:
          images: an image is a path (local or gs://), the bytes of a file, a Pillow image, or an array uint8
            [height, width, 3] of RGB or [height, width] of grey. A file is decoded as by `score`, with its EXIF
            orientation; of a Pillow image, the EXIF orientation is applied; an array is upright.

        Returns:
          For a list, a result for each image, in order; `row.status` of an image that could not be scored is "failed",
          with `row.reason` and `row.detail`, as in the rows of `score`.

        Raises:
          DataError: the one image could not be scored. In a list, it has a failed row instead.
          UsageError: the value is no image, or the model fails on every image.
        """
        if isinstance(images, (list, tuple)):
            return list(self.stream(images))
        (result,) = self.stream([cast(ImageInput, images)])
        if result.row.status != OK:
            raise _failure(result.row)
        return result

    def stream(self, images: Iterable[ImageInput]) -> Iterator[ScoredImage]:
        """Yield the results of a call with a list, batch by batch, so that not all images are in memory at once."""
        for batch in chunks.groups(enumerate(images, start=1), self._max_images):
            loaded = [_load(image, number) for number, image in batch]
            readable = [image for _, image in loaded if isinstance(image, EncodedImage)]
            results = iter(self._scorer.score(readable)[0])
            for name, image in loaded:
                if isinstance(image, DataError):
                    yield ScoredImage(row=failed_row(name, image), image=None)
                else:
                    yield ScoredImage(row=self._row(name, image, next(results)), image=image)

    def with_min_score(self, min_score: float | str | None) -> "ImageDetector":
        """Return a detector of the same model in memory, whose detections count from other scores: see load_detector.

        Raises:
          UsageError: min_score is out of its range, or "best" though the model has no thresholds.
        """
        check_score_flag(min_score)
        other = copy.copy(self)
        other.thresholds = choose_thresholds(min_score, self.manifest)
        return other

    def _row(self, name: str, image: EncodedImage, result: ModelOutput | Failure) -> PredictionRow:
        shot = ShotFacts.of(name, image)
        row = make_row(name, result, shot, labels=self.classes, min_score=self.manifest.score_threshold)
        # By way of its text: so the row is to the last digit what `score` writes and what is read back from there.
        return self.thresholds.counted(PredictionRow.from_json(row.to_json(), source=name))


def load_detector(
    model: str | os.PathLike[str],
    *,
    min_score: float | str | None = None,
    tile: int | None = None,
    tile_overlap: float | None = None,
    tile_merge: str | None = None,
    signature_map: str | os.PathLike[str] | None = None,
    batch_size: int | None = None,
    batch_megabytes: int = ModelOptions.batch_megabytes,
    runtime: str = ModelOptions.runtime,
) -> ImageDetector:
    """Load an exported model; the result is called with images and finds what `score` finds in them.

    The arguments are the flags of `score`, and messages name them as flags.

    Args:
      model: folder of the export, with model.json, local or gs://.
      min_score: minimum score of the detections that count, for every class, or "best" for the threshold of each class
        in model.json. None: "best", or else the default of a model without thresholds.
      tile: side of overlapping tiles in pixels, which are scored too; 0 for none; None for those of the model.
      tile_overlap: minimum overlap of adjacent tiles, as a fraction of the side.
      tile_merge: "nms" or "wbf".
      signature_map: JSON file that describes a SavedModel of another program.
      batch_size: maximum number of images, or tiles, in one call of the model.
      batch_megabytes: maximum size of their decoded pixels, in 2^20 bytes.
      runtime: "tensorflow" or "xla", which runs the network.

    Raises:
      UsageError: there is no complete export, the model lacks what is asked for, or a value is out of its range.

    Example (see docs/python.md):
      ``inference.load_detector("MODEL/export", min_score=0.4)("IMAGE.jpg").detections``
    """
    options = make_model_options(
        batch_size=batch_size,
        batch_megabytes=batch_megabytes,
        tile=tile,
        tile_overlap=tile_overlap,
        tile_merge=tile_merge,
        signature_map=None if signature_map is None else with_slashes(os.fspath(signature_map)),
        runtime=runtime,
    )
    return open_detector(with_slashes(os.fspath(model)).rstrip("/"), min_score, options)


def open_detector(model: str, min_score: float | str | None, options: ModelOptions) -> ImageDetector:
    """Load an exported model; see load_detector."""
    check_score_flag(min_score)
    checked = find_model(model, options)
    # Before the model is loaded, which takes seconds.
    thresholds = choose_thresholds(min_score, checked.manifest)
    return ImageDetector(checked, thresholds)


def _load(image: ImageInput, number: int) -> tuple[str, EncodedImage | DataError]:
    """Return the name of an image, and the image as the model gets it, or why it cannot be read."""
    name = f"image {number}"
    try:
        match image:
            case bytes():
                return name, normalise_image(image, name=name)
            case Image.Image():
                return name, encode_pixels(image, name=name)
            case np.ndarray():
                return name, encode_pixels(_from_array(image, name), name=name)
            case str() | os.PathLike():
                name = with_slashes(os.fspath(image))
                return name, normalise_image(files.read_bytes(name), name=name)
    except DataError as error:
        return name, error
    raise UsageError(f"{name}: expected a path, bytes, a Pillow image or an array, found {type(image).__name__}")


def _from_array(pixels: npt.NDArray[Any], name: str) -> Image.Image:
    is_rgb = pixels.ndim == 3 and pixels.shape[2] == 3
    if pixels.dtype != np.uint8 or not (is_rgb or pixels.ndim == 2) or not pixels.size:
        raise UsageError(
            f"{name}: expected an array uint8 [height, width, 3] of RGB or [height, width] of grey,"
            f" found {pixels.dtype} {list(pixels.shape)}"
        )
    return Image.fromarray(pixels)


def _failure(row: PredictionRow) -> DataError:
    return DataError(str(row.reason), str(row.detail))

"""Options of the model, shared by `score` and `detect`: batches, tiles, signature map, score thresholds."""

import argparse
import dataclasses
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from inference.model.tiling import MERGES, Tiling
from retinanet_odm.errors import UsageError
from retinanet_odm.exported_model import ModelManifest
from retinanet_odm.systems import with_slashes

# Small images are scored faster by the dozen. Of large ones, a few keep every core busy and many would fill the memory.
_MAX_IMAGES, _MAX_CANVAS_PIXELS = 32, 2**22
_IMAGES = 8  # per call, where the size of the canvas is not known
_logger = logging.getLogger(__name__)

# Value of --threshold for the score of the best F1 of each class.
BEST = "best"


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """How the model is called.

    Attributes:
      batch_size: maximum number of images, or tiles, in one call; None for a size that suits the model.
      batch_megabytes: maximum size of their decoded pixels, in 2^20 bytes; a larger image gets a call of its own.
      tiling: how images are cut into tiles; None for no tiles.
      signature_map: JSON file that describes the signature of a third-party model; None for an export of the trainer.

    Raises:
      UsageError: a value is out of its range.
    """

    batch_size: int | None = None
    batch_megabytes: int = 256
    tiling: Tiling | None = None
    signature_map: str | None = None

    def __post_init__(self) -> None:
        for flag, value in (("--batch_size", self.batch_size), ("--batch_megabytes", self.batch_megabytes)):
            if value is not None and value < 1:
                raise UsageError(f"{flag}: expected 1 or more, found {value}")

    def fitted(self, image_size: tuple[int, int]) -> "ModelOptions":
        """Fill in a missing batch size, for a model with a canvas of (height, width) pixels."""
        # A third-party model has no known canvas: (0, 0) keeps the default number of images.
        height, width = image_size
        if self.batch_size is not None or not height * width:
            return self
        images = _MAX_CANVAS_PIXELS // (height * width)
        return dataclasses.replace(self, batch_size=min(max(images, 1), _MAX_IMAGES))

    @property
    def max_images(self) -> int:
        """Maximum number of images in one call."""
        return _IMAGES if self.batch_size is None else self.batch_size

    @property
    def batch_bytes(self) -> int:
        """Maximum size of a batch's decoded pixels in bytes."""
        return self.batch_megabytes * 2**20

    def to_json(self) -> dict[str, Any]:
        """Return the options as summary.json holds them."""
        return {
            "batch_size": self.batch_size,
            "batch_megabytes": self.batch_megabytes,
            "tiling": self.tiling and self.tiling.to_json(),
            "signature_map": self.signature_map,
        }


def add_model_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ModelOptions."""
    default = ModelOptions
    parser.add_argument(
        "--batch_size",
        type=int,
        metavar="N",
        help="maximum number of images, or tiles, in one call of the model; default: as many as have 4 million pixels"
        f" when resized for the model, at most {_MAX_IMAGES}",
    )
    parser.add_argument(
        "--batch_megabytes",
        type=int,
        metavar="MB",
        default=default.batch_megabytes,
        help="maximum size of decoded pixels (3 bytes each) in one call of the model; a larger image gets a call of its"
        " own; default: %(default)s",
    )
    parser.add_argument(
        "--tile",
        type=int,
        metavar="PIXELS",
        help="find small objects in large images: score overlapping tiles of this side length too; default: no tiles",
    )
    parser.add_argument(
        "--tile_overlap",
        type=float,
        metavar="SHARE",
        help="minimum overlap of adjacent tiles as a fraction of the tile size; choose it larger than the objects to"
        f" detect; default: {Tiling.overlap:g}",
    )
    parser.add_argument(
        "--tile_merge",
        metavar="|".join(MERGES),
        help="how to merge the boxes of an object that several tiles show: nms keeps the best box, wbf averages them,"
        f" weighted by score; default: {Tiling.merge}",
    )
    parser.add_argument(
        "--signature_map",
        type=with_slashes,
        metavar="FILE",
        help="for a SavedModel of another program: JSON file with its inputs and outputs; see docs/scoring.md",
    )


def model_options(flags: argparse.Namespace) -> ModelOptions:
    """Return the options that the flags of add_model_flags specify.

    Raises:
      UsageError: as ModelOptions and Tiling; or a flag for tiles is given without --tile.
    """
    # None means not given: Tiling has the defaults, and a value without --tile is an error.
    chosen = {"overlap": flags.tile_overlap, "merge": flags.tile_merge}
    tile_flags = {name: value for name, value in chosen.items() if value is not None}
    if flags.tile is None and tile_flags:
        raise UsageError("--tile_overlap and --tile_merge have no effect without --tile")
    tiling = None if flags.tile is None else Tiling(side=flags.tile, **tile_flags)
    return ModelOptions(
        batch_size=flags.batch_size,
        batch_megabytes=flags.batch_megabytes,
        tiling=tiling,
        signature_map=flags.signature_map,
    )


# --- Score thresholds: one for all classes, or one per class from the evaluation of the model ---


@dataclass(frozen=True, kw_only=True)
class ScoreThresholds:
    """Minimum scores of the detections that are kept.

    Attributes:
      score: minimum score of any class.
      by_id: minimum score by label id, of classes that have their own.
    """

    score: float
    by_id: Mapping[int, float] = field(default_factory=dict)

    def keeps(self, label_id: int, score: float) -> bool:
        """Return whether a detection is kept."""
        return score >= self.by_id.get(label_id, self.score)


def resolve_threshold_flag(value: float | str | None, manifest: ModelManifest) -> ScoreThresholds:
    """Return the thresholds that a value of --threshold means for a model.

    The model itself returns no detection below its own threshold.

    Args:
      value: a score for all classes; BEST for the thresholds in model.json; None for the model's own threshold.
      manifest: of the model.

    Raises:
      UsageError: value is BEST, but model.json has no thresholds.
    """
    # The graph itself drops what lies below; a lower threshold cannot bring it back.
    own = manifest.score_threshold
    # Only BEST is a text: see `threshold_value`.
    if isinstance(value, str):
        if not manifest.thresholds:
            raise UsageError(
                f"--threshold={value}: {manifest.FILE} has no thresholds per class, because the model was exported"
                " without an evaluation; give a score"
            )
        names = manifest.labels.name_by_id.items()
        # A class that the evaluation did not have keeps the model's own threshold.
        by_id = {label_id: max(own, manifest.thresholds.get(name, own)) for label_id, name in names}
        return ScoreThresholds(score=min(by_id.values()), by_id=by_id)
    if value is not None and value < own:
        _logger.warning(
            "--threshold=%g has no effect: the model returns no detection below its own threshold, %g", value, own
        )
    return ScoreThresholds(score=own if value is None else max(value, own))


def describe_thresholds(thresholds: ScoreThresholds, manifest: ModelManifest) -> dict[str, Any]:
    """Return the thresholds as summary.json holds them. They are part of the key of every row."""
    names = manifest.labels.name_by_id
    return {
        "score": thresholds.score,
        "classes": {names[label_id]: score for label_id, score in thresholds.by_id.items()},
        "model_score": manifest.score_threshold,
        "nms_iou": manifest.nms_iou,
    }


def threshold_value(text: str) -> float | str:
    """Parse a value of --threshold: BEST or a number.

    Example:
      >>> threshold_value("best"), threshold_value("0.3")
      ('best', 0.3)
    """
    if text == BEST:
        return text
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a score or {BEST!r}, found {text!r}") from None

"""What a user may ask of the model: how photographs go into it, and from which score its detections are kept."""

import argparse
import dataclasses
from dataclasses import dataclass

from inference.model.tiling import MERGES, Tiling
from retinanet_odm.errors import UsageError

# Small pictures are faster by the dozen, while of large ones a few keep every core busy and many would take the memory.
_MOST_IMAGES, _CANVAS_PIXELS = 32, 2**22
_IMAGES = 8  # where the size of the canvas is not known


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """How the model is asked.

    Attributes:
      batch_size: the most photographs, or tiles, in one call of the model; None for what fits the model.
      batch_megabytes: the most decoded pixels of these, in 2^20 bytes; a photograph with more is in a call of its own.
      tiling: how photographs are cut; None for whole ones alone.
      signature_map: a file that tells what a model of another program takes and gives; None for a model of ours.

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
        """With a batch size, where none is given, that suits a model with a canvas of (height, width) pixels."""
        height, width = image_size
        if self.batch_size is not None or not height * width:
            return self
        images = _CANVAS_PIXELS // (height * width)
        return dataclasses.replace(self, batch_size=min(max(images, 1), _MOST_IMAGES))

    @property
    def most_images(self) -> int:
        """batch_size, if there is one."""
        return _IMAGES if self.batch_size is None else self.batch_size

    @property
    def batch_bytes(self) -> int:
        return self.batch_megabytes * 2**20


def add_model_flags(parser: argparse.ArgumentParser) -> None:
    """The flags that score and detect share."""
    default = ModelOptions
    parser.add_argument(
        "--batch_size",
        type=int,
        metavar="N",
        help="most images, or tiles, in one call of the model; default: as many as have 4 million pixels once they are"
        f" resized for it, at most {_MOST_IMAGES}",
    )
    parser.add_argument(
        "--batch_megabytes",
        type=int,
        metavar="MB",
        default=default.batch_megabytes,
        help="most decoded pixels (3 bytes each) in one call of the model; a larger image has a call of its own;"
        " default: %(default)s",
    )
    parser.add_argument(
        "--tile",
        type=int,
        metavar="PIXELS",
        help="for small animals in large images: also score overlapping tiles of this side; default: whole images only",
    )
    parser.add_argument(
        "--tile_overlap",
        type=float,
        metavar="SHARE",
        help="least share of a tile that it has in common with the next, better more than the largest animal in tiles;"
        f" default: {Tiling.overlap:g}",
    )
    parser.add_argument(
        "--tile_merge",
        metavar="|".join(MERGES),
        help="an animal that several tiles show: nms keeps the best box, wbf takes the mean, weighted by the scores;"
        f" default: {Tiling.merge}",
    )
    parser.add_argument(
        "--signature_map",
        metavar="FILE",
        help="for a SavedModel of another program: a JSON file that tells what it takes and gives; see docs/scoring.md",
    )


def model_options(flags: argparse.Namespace) -> ModelOptions:
    """The request that the flags of add_model_flags make.

    Raises:
      UsageError: as ModelOptions and Tiling; or a flag says something about tiles though there are none.
    """
    chosen = {"overlap": flags.tile_overlap, "merge": flags.tile_merge}
    given = {name: value for name, value in chosen.items() if value is not None}
    if flags.tile is None and given:
        raise UsageError("--tile: no side of tiles is given, so --tile_overlap and --tile_merge have no effect")
    tiling = None if flags.tile is None else Tiling(side=flags.tile, **given)
    return ModelOptions(
        batch_size=flags.batch_size,
        batch_megabytes=flags.batch_megabytes,
        tiling=tiling,
        signature_map=flags.signature_map,
    )

"""Options of the model, shared by `score` and `detect`: batches, tiles, signature map, runtime."""

import argparse
import dataclasses
from dataclasses import dataclass
from typing import Any

from inference.model.tiling import MERGES, Tiling
from retinanet_odm.errors import UsageError
from retinanet_odm.exported_model import ModelManifest
from retinanet_odm.systems import with_slashes
from retinanet_odm.xla import RUNTIMES, TENSORFLOW, XLA

MODEL_HELP = "folder of the exported model, with model.json"  # of the flag --model

# Small images are scored faster by the dozen. Of large ones, a few keep every core busy and many would fill the memory.
_MAX_IMAGES, _MAX_CANVAS_PIXELS = 32, 2**22
_IMAGES = 8  # per call, where the size of the canvas is not known


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """How the model is called.

    Attributes:
      batch_size: maximum number of images, or tiles, in one call; None for a size that suits the model.
      batch_megabytes: maximum size of their decoded pixels, in 2^20 bytes; a larger image gets a call of its own.
      tiling: how images are cut into tiles; None for no tiles, or for those of the model.
      whole: whether to score no tiles, even if the model was trained on tiles.
      signature_map: JSON file that describes the signature of a third-party model; None for an export of the trainer.
      runtime: one of RUNTIMES, which runs the network.

    Raises:
      UsageError: a value is out of its range, or two contradict each other.
    """

    batch_size: int | None = None
    batch_megabytes: int = 256
    tiling: Tiling | None = None
    whole: bool = False
    signature_map: str | None = None
    runtime: str = TENSORFLOW

    def __post_init__(self) -> None:
        if self.runtime not in RUNTIMES:
            raise UsageError(f"--runtime: expected {' or '.join(RUNTIMES)}, found {self.runtime!r}")
        if self.runtime == XLA and self.signature_map is not None:
            raise UsageError("--runtime=xla: runs exports of the trainer, and no model of a --signature_map")
        for flag, value in (("--batch_size", self.batch_size), ("--batch_megabytes", self.batch_megabytes)):
            if value is not None and value < 1:
                raise UsageError(f"{flag}: expected 1 or more, found {value}")

    def fitted(self, manifest: ModelManifest) -> "ModelOptions":
        """Fill in what was not given: the tiles from which a model has learned, and a batch size for its canvas."""
        tiling = self.tiling
        if manifest.tile and tiling is None and not self.whole:
            tiling = Tiling(side=manifest.tile["side"], overlap=manifest.tile["overlap"])
        # A third-party model has no known canvas: (0, 0) keeps the default number of images.
        height, width = manifest.image_size
        size = self.batch_size
        if size is None and height * width:
            size = min(max(_MAX_CANVAS_PIXELS // (height * width), 1), _MAX_IMAGES)
        return dataclasses.replace(self, tiling=tiling, batch_size=size)

    def describe_tiles(self, manifest: ModelManifest) -> str:
        """Return a line on the tiles of a model that has learned from tiles; "" for other models."""
        learned = manifest.tile.get("side")
        if not learned:
            return ""
        given = self.tiling.side if self.tiling else 0
        if self.whole or given not in (0, learned):
            found = f"tiles of {given} px" if given else "whole images"
            return (
                f"warning: the model has learned from tiles of {learned} px, and scores {found}: objects have another"
                f" size than it knows; leave out --tile, or give --tile={learned}"
            )
        return f"tiles of {learned} px, as in the training of the model (--tile=0 scores whole images)"

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
            "runtime": self.runtime,
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
        help="find small objects in large images: score overlapping tiles of this side length too; 0: no tiles;"
        " default: the tiles from which the model has learned, or none",
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
    parser.add_argument(
        "--runtime",
        choices=RUNTIMES,
        default=default.runtime,
        help="what runs the network: tensorflow, or xla on the TPU, GPU or CPU that jax finds (extra [xla]); default:"
        " %(default)s",
    )


def model_options(flags: argparse.Namespace) -> ModelOptions:
    """Return the options that the flags of add_model_flags specify.

    Raises:
      UsageError: as ModelOptions and Tiling; or a flag for tiles is given without --tile.
    """
    return make_model_options(
        batch_size=flags.batch_size,
        batch_megabytes=flags.batch_megabytes,
        tile=flags.tile,
        tile_overlap=flags.tile_overlap,
        tile_merge=flags.tile_merge,
        signature_map=flags.signature_map,
        runtime=flags.runtime,
    )


def make_model_options(
    *,
    batch_size: int | None = None,
    batch_megabytes: int = ModelOptions.batch_megabytes,
    tile: int | None = None,
    tile_overlap: float | None = None,
    tile_merge: str | None = None,
    signature_map: str | None = None,
    runtime: str = ModelOptions.runtime,
) -> ModelOptions:
    """Return the options that values of the flags of these names specify; None for a flag that is not given.

    Raises:
      UsageError: as model_options.
    """
    # Tiling has the defaults, and a value without --tile is an error.
    chosen = {"overlap": tile_overlap, "merge": tile_merge}
    tile_flags: dict[str, Any] = {name: value for name, value in chosen.items() if value is not None}
    if not tile and tile_flags:
        raise UsageError("--tile_overlap and --tile_merge have no effect without --tile")
    return ModelOptions(
        batch_size=batch_size,
        batch_megabytes=batch_megabytes,
        tiling=Tiling(side=tile, **tile_flags) if tile else None,
        whole=tile == 0,
        signature_map=signature_map,
        runtime=runtime,
    )

"""The novelty of an image: how unlike the training images it is, by the features of the detector's backbone.

It is the distance to the nearest training images (Sun et al. 2022, arXiv 2204.06507, with standardised features) as a
multiple of a limit, which images like those of the training rarely exceed. So 1 is the limit, and an image above it is
unlike the training images. Begin with `make_reference`, which the trainer calls at export, then with
`Reference.novelty_of`, which scoring calls.

Shapes: R training images, H held-out images, N images of any kind, D features.
"""

import io
import math
import zipfile
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from retinanet_odm.errors import ContractError

FeatureRows = npt.NDArray[Any]  # floats [N, D]
_Floats = npt.NDArray[np.float64]

FILE = "reference.npz"  # in the folder of an export
MIN_TRAINING_IMAGES = 2

# The distance to the nearest training image of this rank: a single one may be an exception itself.
_RANK = 5
# Share of the images like those of the training that exceed the limit.
_RARE = 0.01
# Channels are measured by their standard deviation over the training images, or this share of that of most channels.
_MIN_SCALE = 0.05
_NO_DEVIATION = 1e-6  # … if all training images are equal
# JSON has no infinity: features of a network that has diverged, or training images that are all equal.
_MAX_NOVELTY = 999.0
_ARRAYS = ("mean", "scale", "features", "limit")  # in the file


@dataclass(frozen=True, kw_only=True, eq=False)
class Reference:
    """Features of training images, and how far from them images of their kind are.

    Attributes:
      mean, scale: float64 [D] each, of the training images; features are measured from the one in units of the other.
      features: float16 [R, D], of the training images, measured so.
      limit: the distance that has the novelty 1.
    """

    mean: _Floats
    scale: _Floats
    features: npt.NDArray[np.float16]
    limit: float

    def novelty_of(self, features: FeatureRows) -> _Floats:
        """Return the novelty [N] of images, 0 to 999, by their features [N, D]."""
        measured = (features.astype(np.float64) - self.mean) / self.scale
        with np.errstate(all="ignore"):  # a limit of 0, or features that are no numbers
            distances = _distances(measured, self._wide_features, rank=_RANK)
            # What equals training images is like them, also where these are all equal and the limit is 0.
            novelty = np.where(distances == 0, 0.0, distances / self.limit)
        return np.nan_to_num(np.minimum(novelty, _MAX_NOVELTY), nan=_MAX_NOVELTY)

    @cached_property
    def _wide_features(self) -> _Floats:
        return self.features.astype(np.float64)

    def to_bytes(self) -> bytes:
        """Return the content of the file."""
        buffer = io.BytesIO()
        arrays = {name: np.asarray(getattr(self, name)) for name in _ARRAYS}
        np.savez(buffer, **arrays)  # type: ignore[arg-type] # its other argument is a bool
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes, *, source: str) -> Self:
        """Parse the content of the file.

        Args:
          data: the content.
          source: name of the file, for messages.

        Raises:
          ContractError: it is not what to_bytes returns.
        """
        try:
            with np.load(io.BytesIO(data)) as arrays:
                mean, scale, features, limit = (arrays[name] for name in _ARRAYS)
        except (ValueError, KeyError, OSError, EOFError, TypeError, zipfile.BadZipFile) as error:
            raise ContractError(f"{source}: not a reference of this version: {error}") from error
        if features.ndim != 2 or not mean.shape == scale.shape == features.shape[1:] or limit.shape:
            raise ContractError(f"{source}: expected features of images, found arrays that do not belong together")
        return cls(mean=mean, scale=scale, features=features, limit=float(limit))


def make_reference(training: FeatureRows, held_out: FeatureRows) -> Reference:
    """Make a reference of training images, with a limit that images like them rarely exceed.

    The limit is the larger of two: that of the held-out images, and that of each training image among the others. The
    second is all there is without held-out images, and helps where there are few.

    Args:
      training: [R, D], of at least MIN_TRAINING_IMAGES images.
      held_out: [H, D], of images that were not trained on, perhaps none.
    """
    values = training.astype(np.float64)
    mean, deviation = values.mean(axis=0), values.std(axis=0)
    # A channel that the training images hardly use would outweigh all others as soon as an image does.
    scale = np.maximum(deviation, max(_MIN_SCALE * float(np.median(deviation)), _NO_DEVIATION))
    features = ((values - mean) / scale).astype(np.float16)
    # From the rounded ones, which are all that scoring has.
    stored = features.astype(np.float64)
    limit = _rarely_exceeded(_distances(stored, stored, rank=_RANK + 1))  # the nearest of each is itself, at 0
    if len(held_out):
        measured = (held_out.astype(np.float64) - mean) / scale
        limit = max(limit, _rarely_exceeded(_distances(measured, stored, rank=_RANK)))
    return Reference(mean=mean, scale=scale, features=features, limit=limit)


def _distances(features: _Floats, others: _Floats, *, rank: int) -> _Floats:
    """Return the distance [N] from each row [N, D] to the row of a rank by distance among the others [R, D]."""
    # |a - b|² = |a|² + |b|² - 2ab needs one product, where the differences themselves would be an array [N, R, D].
    squares = (features**2).sum(axis=1)[:, None] + (others**2).sum(axis=1) - 2 * features @ others.T
    position = min(rank, len(others)) - 1
    return np.sqrt(np.maximum(np.partition(squares, position, axis=1)[:, position], 0))


def _rarely_exceeded(distances: _Floats) -> float:
    """Return the distance that one more image of the same kind exceeds with a probability of _RARE at most.

    That is a rank among the distances (Vovk et al. 2005, conformal prediction), or the largest where there are too few.
    """
    rank = math.ceil((len(distances) + 1) * (1 - _RARE))
    return float(np.sort(distances)[min(rank, len(distances)) - 1])

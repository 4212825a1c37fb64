"""One run of `score`: what is asked, and what of it is still to do.

`ScoreRequest` holds the options and what the launcher has found out about model and sources. `find_pending_work`
compares the images of the sources with the rows in the output folder: images without a row are scored, the rows of all
others are kept. Rows are matched by their keys (inference.rows.rows), so every file of rows in the output folder can be
used as it is, whether its run was finished or killed. Rows with other keys are dropped.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import retinanet_odm
from inference.image_sources import chunks, listing
from inference.image_sources.chunks import Chunk
from inference.image_sources.listing import ImageSource, SourceFiles
from inference.model.loading import CheckedModel
from inference.model.options import ScoreThresholds, describe_thresholds
from inference.options import ScoreOptions
from inference.rows.commit import Commit
from inference.rows.finished_run import SUMMARY_SCHEMA_VERSION
from inference.rows.part_files import find_earlier_keys
from inference.rows.rows import make_run_key, row_keys
from retinanet_odm.imaging.images import VERIFY_FULL, VERIFY_HEADER, ImageRule

# To be increased when the same model and settings give other rows; rows of earlier versions are then scored again.
_ROWS_VERSION = 2

# --- What is asked ---


@dataclass(frozen=True, kw_only=True)
class ScoreRequest:
    """A request that has been checked. The job is built from it directly.

    Attributes:
      options: with a batch size that suits the model.
      model: to score with.
      thresholds: minimum scores of the detections in the rows.
      sources: of the images.
    """

    options: ScoreOptions
    model: CheckedModel
    thresholds: ScoreThresholds
    sources: tuple[ImageSource, ...]

    @property
    def run_key(self) -> str:
        """Identifies runs whose rows are interchangeable."""
        return make_run_key([SUMMARY_SCHEMA_VERSION, _ROWS_VERSION, self._row_settings()])

    @property
    def image_rule(self) -> ImageRule:
        """How images are checked before the model gets them."""
        # An export of the trainer reports images that it cannot decode. A third-party model may accept half an image.
        return ImageRule(verify=VERIFY_HEADER if self.model.signature_map is None else VERIFY_FULL)

    @property
    def commit(self) -> Commit:
        """The last step of the run."""
        header = {**self._row_settings(), "options": self.options.to_json()}
        return Commit(output=self.options.output, header=header, exports=self.options.exports)

    def num_shards(self, images: int) -> int:
        """Returns the number of prediction files for this number of images."""
        return min(self.options.num_shards, images)

    def _row_settings(self) -> dict[str, Any]:
        """Returns everything that can change a row, as summary.json holds it: a change here voids all earlier rows."""
        # Batch sizes, formats and shards are not here: they change no row.
        manifest, tiling = self.model.manifest, self.model.options.tiling
        return {
            "model_hash": manifest.model_hash,
            "labels": manifest.labels.to_json(),
            "thresholds": describe_thresholds(self.thresholds, manifest),
            "max_detections": manifest.max_detections or None,
            "tiling": tiling and tiling.to_json(),
            "code_version": retinanet_odm.__version__,
        }


# --- What is still to do ---


@dataclass(frozen=True, kw_only=True)
class PendingWork:
    """What a run has to do.

    Attributes:
      images: number of images in the sources.
      chunks: the images without a row.
      kept_keys: keys of the rows that are kept.
      unused: number of earlier rows that are dropped: of another model, threshold or program version, or of images that
        have changed or are gone.
      skipped_archives: archives in folders, which are not opened.
    """

    images: int
    chunks: tuple[Chunk, ...]
    kept_keys: frozenset[str]
    unused: int
    skipped_archives: tuple[str, ...]

    @property
    def missing(self) -> int:
        """Number of images without a row."""
        return self.images - len(self.kept_keys)

    def is_done_by(self, summary: Mapping[str, Any]) -> bool:
        """Returns whether a finished run, with undamaged files, has rows of exactly these images."""
        return not self.missing and not self.unused and self.images == summary["images"]


def find_pending_work(
    listed: Sequence[SourceFiles], output: str, run_key: str, *, without: Collection[str] = ()
) -> PendingWork:
    """Compares the images of the sources with the rows in the output folder; opens every archive to list it.

    Args:
      listed: the files of all sources.
      output: the output folder.
      run_key: from make_run_key.
      without: names of damaged files with rows, which are not used.

    Raises:
      UsageError: as list_chunks.
    """
    # The keys are enough: some 100 bytes in memory for each earlier row.
    earlier = find_earlier_keys(output, without=without)
    images = 0
    pending: list[Chunk] = []
    kept: set[str] = set()
    for chunk in listing.list_chunks(listed):
        keys = row_keys(run_key, chunk)
        images += len(keys)
        kept.update(key for key in keys if key in earlier)
        missing = [position for position, key in enumerate(keys) if key not in earlier]
        if missing:
            pending.append(chunks.select_images(chunk, missing))
    return PendingWork(
        images=images,
        chunks=tuple(pending),
        kept_keys=frozenset(kept),
        unused=len(earlier) - len(kept),
        skipped_archives=tuple(listing.skipped_archives(listed)),
    )

"""What a run has to do: images without a row are scored, the rows of all others are kept.

Rows are matched by their keys (inference.rows.rows), so every file of rows in the output folder can be used as it is,
whether its run was finished or killed. Rows with other keys are dropped.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inference.image_sources import chunks, listing
from inference.image_sources.chunks import Chunk
from inference.image_sources.listing import SourceFiles
from inference.rows.part_files import find_earlier_keys
from inference.rows.rows import row_keys


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

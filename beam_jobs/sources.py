"""What the launcher asks of zip files before the job starts, and the rows of an annotation file in the job's terms."""

from collections.abc import Iterable, Iterator

from beam_jobs import plan
from beam_jobs.options import PrepareOptions
from beam_jobs.rows import Reject
from beamio import files, sources
from beamio.rows import AnnotationFile
from beamio.sources import ANNOTATION, PHOTOGRAPH
from detection.errors import DataError, UsageError


def check_zips(options: PrepareOptions) -> None:
    """Looks into every zip file before the job starts.

    Raises:
      UsageError: one is broken, lacks what its flag promises, or is given as an export and otherwise too; or a file of
        --exports is none.
    """
    loose = sources.check_zips(_list(options.images), "--images", PHOTOGRAPH)
    loose |= sources.check_zips(_list(options.annotations), "--annotations", ANNOTATION)
    given = _list(options.exports)
    exports = sources.check_zips(given, "--exports", PHOTOGRAPH, ANNOTATION)
    if other := min(given - exports, default=None):
        raise UsageError(f"--exports: {other} is no zip file; give loose files by --images and --annotations")
    if twice := min(loose & exports, default=None):
        raise UsageError(f"--exports: {twice} is matched by --images or --annotations too: give it once")


def _list(patterns: Iterable[str]) -> set[str]:
    return {uri for pattern in patterns for uri in files.iter_matches(pattern)}


def read_annotation(lone: AnnotationFile) -> Iterator[AnnotationFile | Reject]:
    """A row for every image of a file, as beamio.sources reads it; a fault after the first of them is a reject."""
    for row in sources.read_annotation(lone):
        yield plan.broken_annotation(lone, row) if isinstance(row, DataError) else row

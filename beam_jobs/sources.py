"""From patterns to rows: which photographs and annotation files there are, and what the files say."""

import dataclasses
from collections.abc import Iterator

from beam_jobs import plan
from beam_jobs.rows import AnnotationFile, ImageFile, Reject
from beamio import files
from detection.annotation_files import HEAD_BYTES, Kind, read_annotations, recognise
from detection.errors import DataError


def match_images(pattern: str) -> Iterator[ImageFile]:
    """The files that match a pattern, named by their path below its root."""
    root = files.root_of(pattern)
    for uri in files.iter_matches(pattern):
        yield ImageFile(uri=uri, name=files.name_below(root, uri))


def match_annotations(pattern: str) -> Iterator[tuple[bytes, AnnotationFile]]:
    """The files that match a pattern, not read yet, by uri as bytes (a path need not be valid UTF-8)."""
    root = files.root_of(pattern)
    for uri in files.iter_matches(pattern):
        yield uri.encode("utf-8", "surrogateescape"), AnnotationFile(uri=uri, name=files.name_below(root, uri))


def read_annotation(lone: AnnotationFile) -> Iterator[AnnotationFile | Reject]:
    """A row for every image of a file, as it is read.

    A file that cannot be read is one row with the reason; where rows came before the fault, they stay, and the fault is
    a reject: nobody knows which images are missing.
    """
    uri, rows = lone.uri, 0
    try:
        with files.open_binary(uri) as file:
            # Pascal VOC goes by the file's name: what tools write as <filename> is often wrong.
            listed = recognise(file.read(HEAD_BYTES)) is not Kind.VOC
            file.seek(0)
            for annotation in read_annotations(file, source=uri):
                image_name = annotation.filename if listed else ""
                yield dataclasses.replace(lone, image_name=image_name, annotation=annotation)
                rows += 1
    except DataError as error:
        detail = error.detail if uri in error.detail else f"{uri}: {error.detail}"
        if rows:
            yield plan.broken_annotation(lone, error.reason, f"{detail} ({rows} images before that were read)")
        else:
            yield dataclasses.replace(lone, reason=error.reason, detail=detail)

"""The files that flags name. The launcher reads and checks them; workers read the large ones again.

An id map or a list of splits may have a million rows, so the graph of the job holds only its path and digest.
"""

import argparse
import functools
import hashlib
import threading
from collections.abc import Callable, Iterable
from typing import TypeVar

from beam_jobs.options import Inputs, NamedFile, PrepareOptions
from retinanet_odm.dataset.source_ids import IdMap, parse_id_map
from retinanet_odm.dataset.splits import SplitPlan, Splits, parse_split_list, parse_splits
from retinanet_odm.errors import ContractError, UsageError
from retinanet_odm.labels.aliases import parse_aliases
from retinanet_odm.labels.label_map import LabelMap, parse_label_map
from retinanet_odm.sources.listing import ANNOTATION_CONTENT, IMAGE_CONTENT, check_input, check_zip_files
from retinanet_odm.storage import files

_Content = TypeVar("_Content")


def check_patterns(options: PrepareOptions) -> None:
    """Checks the files that --images, --annotations and --exports match, before the job starts.

    Raises:
      UsageError: a pattern matches nothing; a zip file is broken, lacks what its flag promises, or is matched by
        --exports and by another flag; or a file of --exports is not a zip file.
    """
    check_input(options.images, flag="--images")
    check_input(options.annotations, flag="--annotations")
    check_input(options.exports, flag="--exports")
    loose = check_zip_files(_list_matches(options.images), "--images", IMAGE_CONTENT)
    loose |= check_zip_files(_list_matches(options.annotations), "--annotations", ANNOTATION_CONTENT)
    given = _list_matches(options.exports)
    exports = check_zip_files(given, "--exports", IMAGE_CONTENT, ANNOTATION_CONTENT)
    if other := min(given - exports, default=None):
        raise UsageError(f"--exports: {other} is no zip file; give loose files by --images and --annotations")
    if twice := min(loose & exports, default=None):
        raise UsageError(f"--exports: {twice} is matched by --images or --annotations too: give it once")


def _list_matches(patterns: Iterable[str]) -> set[str]:
    return {uri for pattern in patterns for uri in files.iter_matches(pattern)}


def read_inputs(flags: argparse.Namespace) -> Inputs:
    """Reads the files that flags name.

    Raises:
      UsageError: a file cannot be read, has another form or contradicts itself.
    """
    labels = read_labels(flags.labels) if flags.labels else None
    aliases, aliases_file = _read(flags, "label_aliases", lambda text, path: parse_aliases(text, labels, source=path))
    _, id_map = _read(flags, "id_map", lambda text, path: parse_id_map(text, source=path))
    _, split_from = _read(
        flags, "split_from", lambda text, path: parse_split_list(text, parse_splits(flags.splits), source=path)
    )
    return Inputs(labels=labels, aliases=aliases or {}, aliases_file=aliases_file, id_map=id_map, split_from=split_from)


def read_labels(path: str) -> LabelMap:
    """Reads the label map of --labels.

    Raises:
      UsageError: it cannot be read, has another form or contradicts itself.
    """
    try:
        return parse_label_map(files.read_text(path, flag="--labels"))
    except ContractError as error:
        raise UsageError(f"--labels: {path}: {error}") from error


def _read(
    flags: argparse.Namespace, name: str, parse: Callable[[str, str], _Content]
) -> tuple[_Content | None, NamedFile | None]:
    """Reads the file of one flag as parse(text, path), and takes its digest; (None, None) without the flag."""
    path = getattr(flags, name)
    if not path:
        return None, None
    try:
        data = files.read_bytes(path)
        content = parse(_decode(data), path)
    except (files.FileError, ContractError) as error:
        raise UsageError(f"--{name}: {error}") from error
    return content, NamedFile(path=path, sha256=hashlib.sha256(data).hexdigest())


def _decode(data: bytes) -> str:
    # File names in it need not be valid UTF-8.
    return data.decode("utf-8", "surrogateescape")


def load_id_map(options: PrepareOptions) -> IdMap:
    """Returns the ids of earlier builds, read once per process; an empty map without --id_map.

    The file may belong to the data set that is being replaced. A commit that is retried then finds the new map and
    fails; the next run, with the new map, ends in the same ids.
    """
    with _LOADING:
        return _load_id_map(options.id_map) if options.id_map else IdMap()


def load_split_plan(options: PrepareOptions) -> SplitPlan:
    """Returns how the request splits images; its list is read once per process."""
    with _LOADING:
        listed = _load_split_list(options.split_from, options.splits) if options.split_from else None
    return SplitPlan(splits=options.splits, group=options.split_group, listed=listed)


# Cached per process: as a side input, a million rows would be unpickled again for every bundle of work.
@functools.lru_cache(maxsize=1)
def _load_id_map(file: NamedFile) -> IdMap:
    return parse_id_map(_read_again(file), source=file.path)


@functools.lru_cache(maxsize=1)
def _load_split_list(file: NamedFile, splits: Splits) -> dict[str, str]:
    return parse_split_list(_read_again(file), splits, source=file.path)


def _read_again(file: NamedFile) -> str:
    data = files.read_bytes(file.path)
    if hashlib.sha256(data).hexdigest() != file.sha256:
        raise UsageError(f"{file.path}: the file was changed while the job ran: run it again")
    return _decode(data)


_LOADING = threading.Lock()  # the threads of a process wait for the first one instead of all reading the file

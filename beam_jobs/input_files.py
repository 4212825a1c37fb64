"""The files that flags name: read and checked by the launcher, the large ones read again where workers need them.

An id map or a list of splits may have a million rows: the graph of the job holds only its name and digest.
"""

import argparse
import functools
import hashlib
import threading
from collections.abc import Callable
from typing import TypeVar

from beam_jobs.options import Inputs, NamedFile, PrepareOptions
from retinanet_odm.dataset.source_ids import IdMap, parse_id_map
from retinanet_odm.dataset.splits import SplitPlan, Splits, parse_split_list, parse_splits
from retinanet_odm.errors import ContractError, UsageError
from retinanet_odm.labels.aliases import parse_aliases
from retinanet_odm.labels.label_map import LabelMap, parse_label_map
from retinanet_odm.storage import files

_Content = TypeVar("_Content")


def read_inputs(flags: argparse.Namespace) -> Inputs:
    """Reads what flags name.

    Raises:
      UsageError: a file cannot be read, is not of its form or contradicts itself.
    """
    labels = read_labels(flags.labels) if flags.labels else None
    aliases: dict[str, str] = {}
    aliases_file, id_map, split_list = None, None, None
    if flags.label_aliases:
        aliases, aliases_file = _read(
            flags.label_aliases, "--label_aliases", lambda text: parse_aliases(text, labels, source=flags.label_aliases)
        )
    if flags.id_map:
        _, id_map = _read(flags.id_map, "--id_map", lambda text: parse_id_map(text, source=flags.id_map))
    if flags.split_from:
        splits = parse_splits(flags.splits)
        _, split_list = _read(
            flags.split_from, "--split_from", lambda text: parse_split_list(text, splits, source=flags.split_from)
        )
    return Inputs(
        labels=labels,
        aliases=aliases,
        aliases_file=aliases_file,
        id_map=id_map,
        split_from=split_list,
    )


def read_labels(path: str) -> LabelMap:
    """The label map of --labels.

    Raises:
      UsageError: it cannot be read, is not of that form or contradicts itself.
    """
    try:
        return parse_label_map(files.read_text(path, flag="--labels"))
    except ContractError as error:
        raise UsageError(f"--labels: {path}: {error}") from error


def _read(path: str, flag: str, parse: Callable[[str], _Content]) -> tuple[_Content, NamedFile]:
    try:
        data = files.read_bytes(path)
        content = parse(_decode(data))
    except (files.FileError, ContractError) as error:
        raise UsageError(f"{flag}: {error}") from error
    return content, NamedFile(path=path, sha256=hashlib.sha256(data).hexdigest())


def _decode(data: bytes) -> str:
    """Names of files in it need not be valid UTF-8."""
    return data.decode("utf-8", "surrogateescape")


def read_again(file: NamedFile) -> str:
    """The text of a file that the launcher has read.

    Raises:
      UsageError: it is another file now.
    """
    data = files.read_bytes(file.path)
    if hashlib.sha256(data).hexdigest() != file.sha256:
        raise UsageError(f"{file.path}: the file was changed while the job ran: run it again")
    return _decode(data)


def load_id_map(options: PrepareOptions) -> IdMap:
    """The ids of earlier builds; empty without --id_map.

    The map may be that of the data set which is replaced. A commit that is tried again then finds the new one and
    fails; the next run, with the new one, ends in the same ids.
    """
    with _LOADING:
        return _load_id_map(options.id_map) if options.id_map else IdMap()


def load_split_plan(options: PrepareOptions) -> SplitPlan:
    """How the request splits images."""
    with _LOADING:
        listed = _load_split_list(options.split_from, options.splits) if options.split_from else None
    return SplitPlan(splits=options.splits, group=options.split_group, listed=listed)


# Once a process: as a side input, a million rows would be unpickled again for every bundle of work.
@functools.lru_cache(maxsize=1)
def _load_id_map(file: NamedFile) -> IdMap:
    return parse_id_map(read_again(file), source=file.path)


@functools.lru_cache(maxsize=1)
def _load_split_list(file: NamedFile, splits: Splits) -> dict[str, str]:
    return parse_split_list(read_again(file), splits, source=file.path)


_LOADING = threading.Lock()  # the threads of a process wait for the first, and do not all read

"""The files that flags of `prepare` and `check` name.

The launcher reads them and checks them (`read_inputs`); workers read the large ones again (`load_id_map` and those that
follow): an id map or a list of splits may have a million rows, so the graph of the job holds only its path and digest.
"""

import argparse
import functools
import hashlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from beam_jobs.options import NamedFile, PrepareOptions
from retinanet_odm.dataset.exhaustive import ExhaustiveClasses, parse_exhaustive
from retinanet_odm.dataset.frame_names import DeploymentRule
from retinanet_odm.dataset.source_ids import IdMap, parse_id_map
from retinanet_odm.dataset.splits import SplitPlan, Splits, parse_split_list, parse_splits
from retinanet_odm.errors import ContractError, UsageError
from retinanet_odm.labels.aliases import parse_aliases
from retinanet_odm.labels.label_map import LabelMap, parse_label_map
from retinanet_odm.storage import files

_Content = TypeVar("_Content")
_LOADING = threading.Lock()  # the threads of a process wait for the first one instead of all reading a file


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What the launcher read: small files by content; files that workers read again by path and digest.

    Attributes:
      labels: of --labels.
      aliases, aliases_file: of --label_aliases, name by alias.
      id_map, split_from, exhaustive: of these flags.
    """

    labels: LabelMap | None = None
    aliases: Mapping[str, str] = field(default_factory=dict)
    aliases_file: NamedFile | None = None
    id_map: NamedFile | None = None
    split_from: NamedFile | None = None
    exhaustive: NamedFile | None = None


def read_inputs(flags: argparse.Namespace) -> Inputs:
    """Read the files that flags name.

    Raises:
      UsageError: a file cannot be read, has another form or contradicts itself.
    """
    labels = read_labels(flags.labels) if flags.labels else None
    # With the label map, so that an alias for an unknown class ends the program before the job starts.
    aliases, aliases_file = _read(flags, "label_aliases", lambda text, path: parse_aliases(text, labels, source=path))
    # These three are parsed only to check them. Workers read them again: see `load_id_map` and so on below.
    _, id_map = _read(flags, "id_map", lambda text, path: parse_id_map(text, source=path))
    _, split_from = _read(
        flags, "split_from", lambda text, path: parse_split_list(text, parse_splits(flags.splits), source=path)
    )
    _, exhaustive = _read(
        flags, "exhaustive", lambda text, path: parse_exhaustive(text, labels=labels, aliases=aliases, source=path)
    )
    return Inputs(
        labels=labels,
        aliases=aliases or {},
        aliases_file=aliases_file,
        id_map=id_map,
        split_from=split_from,
        exhaustive=exhaustive,
    )


def read_labels(path: str) -> LabelMap:
    """Read the label map of --labels.

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
    """Read the file of one flag as parse(text, path), and take its digest; (None, None) without the flag."""
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
    """Return the ids of earlier builds, read once per process; an empty map without --id_map.

    The file may belong to the data set that is being replaced. A commit that is retried then finds the new map and
    fails; the next run, with the new map, ends in the same ids.
    """
    with _LOADING:
        return _load_id_map(options.id_map) if options.id_map else IdMap()


def load_split_plan(options: PrepareOptions) -> SplitPlan:
    """Return how the request splits images; its list is read once per process."""
    with _LOADING:
        listed = _load_split_list(options.split_from, options.splits) if options.split_from else None
    return SplitPlan(splits=options.splits, group=options.split_group, listed=listed)


def load_exhaustive(options: PrepareOptions) -> ExhaustiveClasses | None:
    """Return what --exhaustive says, read once per process; None without it."""
    if not options.exhaustive:
        return None
    with _LOADING:
        return _load_exhaustive(options.exhaustive, tuple(options.aliases.items()), options.deployments)


# Cached per process: as a side input, a million rows would be unpickled again for every bundle of work.
@functools.lru_cache(maxsize=1)
def _load_id_map(file: NamedFile) -> IdMap:
    return parse_id_map(_read_again(file), source=file.path)


@functools.lru_cache(maxsize=1)
def _load_split_list(file: NamedFile, splits: Splits) -> dict[str, str]:
    return parse_split_list(_read_again(file), splits, source=file.path)


@functools.lru_cache(maxsize=1)
def _load_exhaustive(
    file: NamedFile, aliases: tuple[tuple[str, str], ...], deployments: DeploymentRule
) -> ExhaustiveClasses:
    # The classes were checked by the launcher.
    return parse_exhaustive(_read_again(file), aliases=dict(aliases), deployments=deployments, source=file.path)


def _read_again(file: NamedFile) -> str:
    data = files.read_bytes(file.path)
    if hashlib.sha256(data).hexdigest() != file.sha256:
        raise UsageError(f"{file.path}: the file was changed while the job ran: run it again")
    return _decode(data)

"""Which files beside the rows a command may delete or write over. Begin with `plan_derived_files` and `refuse_losses`.

| a derived file | the rows stay | images are added | rows are deleted |
|---|---|---|---|
| asked for, with the same settings | written again | written again | `--replace` |
| asked for, with other settings | `--replace` | `--replace` | `--replace` |
| not asked for, a format of `--formats` | stays | written again with its own settings | `--replace` |
| evaluation.*, label_errors*, repeats.*, audit*, abundance.*, and their like | stays | `--replace` | `--replace` |
| not in summary.json | as above | `--replace` | `--replace` |
| changed by a person | stays; if it would be written: refused | refused | refused |

A person has changed a file if its digest is not one that this program has recorded (inference.rows.journal).
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from inference.rows.export_options import EXPORT_FILES, ExportOptions
from inference.rows.journal import EarlierRun
from inference.rows.output_folder import DERIVED_NAMES
from retinanet_odm.errors import UsageError
from retinanet_odm.storage import files

# Of an entry in summary.json: what may differ though the settings are the same. `options` has the classes that were
# named; a model may detect more of them later.
_NO_SETTINGS = frozenset({"sha256", "classes"})

# Options that entries of earlier versions have beside `options`, or in its place.
_ONCE_BESIDE: Mapping[str, Any] = {"below": "", "without_repeats": False, "deployment": ""}


class RowsChange(Enum):
    """What happens to the rows: none changes, images are added, or rows are deleted."""

    NONE = auto()
    MORE = auto()
    OTHER = auto()


@dataclass(frozen=True, kw_only=True)
class Renewal:
    """How the files of a format are written again that nobody asked for.

    Attributes:
      options: by which they were written.
      thresholds: minimum scores by class of what they count; a later run may count from others.
    """

    options: ExportOptions
    thresholds: Mapping[str, float]

    def adapt(self, summary: Mapping[str, Any]) -> dict[str, Any]:
        """Return a summary with the thresholds of these files."""
        return {**summary, "thresholds": {**summary["thresholds"], "classes": dict(self.thresholds)}}


@dataclass(frozen=True, kw_only=True)
class DerivedPlan:
    """What becomes of the derived files of an earlier run.

    Attributes:
      kept: names of those that stay as they are.
      entries: of these in summary.json.
      renewed: how those that nobody asked for are written again.
      lost: names of those that are deleted, or written over with something else.
    """

    kept: tuple[str, ...] = ()
    entries: tuple[Mapping[str, Any], ...] = ()
    renewed: tuple[Renewal, ...] = ()
    lost: tuple[str, ...] = ()


def plan_derived_files(
    output: str, earlier: EarlierRun, asked: Sequence[Mapping[str, Any]], change: RowsChange
) -> DerivedPlan:
    """Decide what becomes of each derived file in the output folder; changes nothing.

    Args:
      output: the folder.
      earlier: what is known of it.
      asked: entries in summary.json, without digests, of the files that are to be written.
      change: of the rows.

    Raises:
      UsageError: a person has changed a file that would be deleted or written over.
    """
    wanted = {entry["name"]: entry for entry in asked}
    kept: list[str] = []
    lost: list[str] = []
    renewed: dict[str, Renewal] = {}
    present = _present(output)
    for name in present:
        listed = earlier.entry(name)
        renewal = _recorded_renewal(listed)
        if name in wanted:
            if change is RowsChange.OTHER or not earlier.knows(name) or _has_other_settings(listed, wanted[name]):
                lost.append(name)
        elif change is RowsChange.NONE:
            kept.append(name)
        elif change is RowsChange.MORE and renewal:
            renewed[listed["format"]] = renewal
        else:
            lost.append(name)
    refuse_changed(output, earlier, [name for name in present if name not in kept])
    entries = tuple(earlier.entry(name) for name in kept if earlier.entry(name))
    return DerivedPlan(kept=tuple(kept), entries=entries, renewed=tuple(renewed.values()), lost=tuple(lost))


def _has_other_settings(listed: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    before = _in_this_form(listed, wanted)
    # Only what both have: an earlier version has recorded less.
    names = (before.keys() & wanted.keys()) - _NO_SETTINGS
    return any(_setting(before[name]) != _setting(wanted[name]) for name in names)


def _in_this_form(listed: Mapping[str, Any], wanted: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return an entry of an earlier version, with one threshold, as this one records it; the unknown is as wanted."""
    if "threshold" not in listed:
        return listed
    beside = {name: listed.get(name, default) for name, default in _ONCE_BESIDE.items()}
    options = {**wanted.get("options", {}), **beside, **listed.get("options", {})}
    return {**listed, "min_scores": _recorded_scores(listed), "options": options}


def _recorded_scores(listed: Mapping[str, Any]) -> dict[str, float]:
    """Return the minimum scores by class of what a file counts."""
    if "threshold" in listed:
        return dict.fromkeys(listed.get("classes", ()), listed["threshold"])
    return dict(listed.get("thresholds", listed["min_scores"]))


def _setting(value: Any) -> Any:
    # Where the images of the report lie is no setting of it.
    return {**value, "images": None} if isinstance(value, dict) else value


def _recorded_renewal(listed: Mapping[str, Any]) -> Renewal | None:
    """Return how a file can be written again from more rows; None if it cannot."""
    options = listed.get("options")
    # The flags of `repeats` are those of the rows so far.
    if listed.get("format") not in EXPORT_FILES or options is None or options["without_repeats"]:
        return None
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in options.items()
    }
    options = ExportOptions(**values, formats=(listed["format"],))
    return Renewal(options=options, thresholds=_recorded_scores(listed))


def refuse_changed(output: str, earlier: EarlierRun, names: Collection[str]) -> None:
    """Raise UsageError if a person has changed one of these derived files, which would be deleted or written over."""
    changed = [name for name in names if earlier.is_changed(output, name)]
    if changed:
        raise UsageError(_describe_changed(output, changed))


def refuse_new_losses(output: str, earlier: EarlierRun, kept: Collection[str], *, replace: bool) -> None:
    """Refuse again, at the end of a run, to delete derived files that appeared or were changed in the meantime.

    Args:
      output: the folder.
      earlier: what is known of it.
      kept: names of the files that stay.
      replace: the value of --replace.

    Raises:
      UsageError: there are such files.
    """
    going = [name for name in _present(output) if name not in kept]
    refuse_changed(output, earlier, going)
    unknown = [name for name in going if not earlier.knows(name)]
    refuse_losses(output, list(describe_lost(earlier, unknown)), replace=replace)


def _present(output: str) -> list[str]:
    return [name for name in files.list_names(output) if name in DERIVED_NAMES]


def _describe_changed(output: str, names: Sequence[str]) -> str:
    return (
        f"--output: {_join(names)} in {output} {'was' if len(names) == 1 else 'were'} changed after this program wrote"
        f" {'it' if len(names) == 1 else 'them'}, and would be deleted or overwritten: move"
        f" {'it' if len(names) == 1 else 'them'} out of this folder"
    )


def refuse_changed_shards(output: str, names: Sequence[str]) -> None:
    """Raise UsageError if there are prediction files that are not those of summary.json."""
    if names:
        raise UsageError(f"{_describe_changed(output, names)}; the images are then scored again")


def refuse_losses(output: str, losses: Sequence[str], *, replace: bool, remedy: str = "") -> None:
    """Raise UsageError if something of an earlier run would be lost, and --replace does not permit it.

    Args:
      output: the folder.
      losses: what would be lost, in words.
      replace: the value of --replace.
      remedy: what else could be done, in words.
    """
    if losses and not replace:
        other = f"{remedy}, " if remedy else ""
        raise UsageError(
            f"--output: {output} holds {_join(losses)}, which this would delete or overwrite: {other}permit it with"
            " --replace, or choose another folder"
        )


def describe_lost(earlier: EarlierRun, names: Sequence[str]) -> Iterator[str]:
    """Yield derived files that would be lost, in words."""
    for name in names:
        yield name if earlier.knows(name) else f"{name} (not listed in summary.json)"


def check_overwrite(output: str, earlier: EarlierRun, entries: Sequence[Mapping[str, Any]], *, replace: bool) -> None:
    """Refuse to write over derived files of a finished run with something else.

    Args:
      output: the folder.
      earlier: what is known of it.
      entries: in summary.json, without digests, of the files that are to be written.
      replace: the value of --replace.

    Raises:
      UsageError: a person has changed one of the files; or one was written with other settings or is not listed, and
        --replace was not given.
    """
    plan = plan_derived_files(output, earlier, entries, RowsChange.NONE)
    refuse_losses(output, list(describe_lost(earlier, plan.lost)), replace=replace)


def _join(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"

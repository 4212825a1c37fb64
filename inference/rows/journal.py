"""unfinished.json: what is known of the output folder while no summary.json says it.

A run that changes rows sets summary.json aside first, so that a killed run never looks complete. What the summary said
must not be lost with it: which files were derived from the rows, by which settings, and the digests that tell whether a
person has changed one since. The file also gets the digest of each derived file before it appears under its name, so
that a file of a killed command is never taken for one that a person has changed. It is deleted when a summary is
written.

Begin with `find_earlier`, which every command calls that writes into the folder.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inference.rows import finished_run, output_folder
from retinanet_odm.predictions.finished_rows import SUMMARY_FILE
from retinanet_odm.storage import files


@dataclass(frozen=True, kw_only=True)
class EarlierRun:
    """What is known of an output folder.

    Attributes:
      summary: the content of summary.json, or of the one that an unfinished run has set aside; empty if there was none.
      is_finished: whether summary.json is there.
      digests: hex SHA-256 of contents that this program has written, by the name of a derived file.
      adding: what an unfinished run with --add adds; empty for other runs.
    """

    summary: Mapping[str, Any]
    is_finished: bool
    digests: Mapping[str, frozenset[str]]
    adding: tuple[str, ...]

    def entry(self, name: str) -> Mapping[str, Any]:
        """Return what the summary says about a derived file; empty if it does not list it."""
        return next((entry for entry in self.summary.get("exports", ()) if entry["name"] == name), {})

    def knows(self, name: str) -> bool:
        """Return whether the digest of a derived file is known."""
        return name in self.digests

    def is_changed(self, output: str, name: str) -> bool:
        """Return whether a derived file exists and is not what this program has written."""
        digest = files.find_digest(files.join(output, name)) if self.knows(name) else None
        return digest is not None and digest not in self.digests[name]


def find_earlier(output: str) -> EarlierRun:
    """Return what is known of a folder.

    Raises:
      ContractError: it has a summary.json of another program.
    """
    summary, journal = finished_run.find_summary(output), _read_journal(output)
    known = (summary or journal["summary"]) or {}
    digests: dict[str, set[str]] = defaultdict(set)
    for entry in known.get("exports", ()):
        digests[entry["name"]].add(entry["sha256"])
    for name, written in journal["written"].items():
        digests[name].update(written)
    return EarlierRun(
        summary=known,
        is_finished=summary is not None,
        digests={name: frozenset(values) for name, values in digests.items()},
        adding=tuple(journal["adding"]),
    )


def set_summary_aside(output: str, earlier: EarlierRun, *, adding: Sequence[str]) -> None:
    """Move the content of summary.json, if there is one, to unfinished.json; adding as in EarlierRun."""
    if not earlier.summary:
        return
    # The order matters: at every moment one of the two files has the digests.
    journal = _read_journal(output)
    _write_journal(output, {**journal, "summary": earlier.summary, "adding": list(adding)})
    files.delete([files.join(output, SUMMARY_FILE)])


def commit_summary(output: str, summary: Mapping[str, Any]) -> None:
    """Write summary.json, and delete unfinished.json if the summary knows all that it says."""
    finished_run.write_summary(output, summary)
    drop_journal(output, summary)


def drop_journal(output: str, summary: Mapping[str, Any]) -> None:
    """Delete unfinished.json, unless it has the digest of a file of a killed command that the summary does not know."""
    listed = {entry["name"]: entry["sha256"] for entry in summary.get("exports", ())}
    written = _read_journal(output)["written"].items()
    if all(listed.get(name) in digests or not files.is_file(files.join(output, name)) for name, digests in written):
        files.delete([files.join(output, output_folder.JOURNAL_FILE)])


def write_derived(output: str, name: str, pieces: Iterable[bytes]) -> str:
    """Write a derived file atomically, piece by piece, and return the hex SHA-256 of its content."""
    return files.write_pieces(files.join(output, name), _noted(output, name, pieces))


def _noted(output: str, name: str, pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the pieces, and note their digest after the last one: the file then still has a temporary name."""
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
        yield piece
    journal = _read_journal(output)
    written = {**journal["written"], name: sorted({*journal["written"].get(name, ()), digest.hexdigest()})}
    _write_journal(output, {**journal, "written": written})


def _read_journal(output: str) -> dict[str, Any]:
    path = files.join(output, output_folder.JOURNAL_FILE)
    empty: dict[str, Any] = {"summary": None, "written": {}, "adding": []}
    return {**empty, **(files.read_json(path) if files.is_file(path) else {})}


def _write_journal(output: str, value: Mapping[str, Any]) -> None:
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    files.write_text(files.join(output, output_folder.JOURNAL_FILE), text)

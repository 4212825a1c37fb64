"""``run.json``: which steps of a run have ended, with their commands, times and what they were made from.

Begin with `RunRecord`. Whether a step has anything left to do, its program decides; the record saves the start of those
that have nothing.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Self

from retinanet_odm.errors import ContractError, UsageError
from retinanet_odm.json_documents import check_schema_version, parse_json_object
from retinanet_odm.sources.inputs import folders_as_patterns
from retinanet_odm.storage import files
from retinanet_odm.storage.file_kinds import is_left_by_system
from retinanet_odm.storage.file_names import escape_glob
from retinanet_odm.storage.local import LOCK_FILE
from retinanet_odm.workflow.plan import RunOptions, WorkflowStep

_SCHEMA_VERSION = 1
_FILE = "run.json"


@dataclass(frozen=True, kw_only=True)
class StepEntry:
    """A step that has begun; the attributes are its keys in run.json.

    Attributes:
      command: as it was printed.
      inputs: `inputs_digest` when it began.
      seconds: how long it has run, those times included when it was interrupted.
      complete: it has ended without an error.
    """

    command: str
    inputs: str
    seconds: float = 0.0
    complete: bool = False


class RunRecord:
    """The steps of a run by name. Every change is written at once."""

    def __init__(self, path: str, entries: dict[str, StepEntry]) -> None:
        self._path, self._entries = path, entries

    @classmethod
    def open(cls, output: str) -> Self:
        """Read the record of a folder, or begin one if the folder is new or empty.

        Raises:
          UsageError: the folder holds something else, or the record is of another version.
        """
        path = files.join(output, _FILE)
        if files.is_file(path):
            return cls(path, _parse(files.read_written_text(path), source=path))
        if foreign := next((name for name in _names(output) if not is_left_by_system(name)), None):
            raise UsageError(
                f"--output: {output} holds files that are not of a run, such as {foreign}: choose an empty or a new"
                " folder"
            )
        record = cls(path, {})
        record._write()
        return record

    def entry(self, step: WorkflowStep) -> StepEntry | None:
        """Return what is known of a step; None if it never began."""
        return self._entries.get(step.name)

    def begin(self, step: WorkflowStep, inputs: str) -> StepEntry:
        """Return the entry of a step with these inputs: the one that is there if it is of the same command."""
        found = self.entry(step)
        if found is None or (found.command, found.inputs) != (step.command, inputs):
            return StepEntry(command=step.command, inputs=inputs)
        # Its result may have been removed since.
        return found if files.exists(step.mark) else replace(found, complete=False)

    def set(self, step: WorkflowStep, entry: StepEntry) -> None:
        """Record what is known of a step."""
        self._entries[step.name] = entry
        self._write()

    def _write(self) -> None:
        steps = {name: asdict(entry) for name, entry in self._entries.items()}
        value = {"schema_version": _SCHEMA_VERSION, "steps": steps}
        files.write_text(self._path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def _names(output: str) -> Iterator[str]:
    """Yield the names of all files in a folder and below it, but for the lock of this run."""
    for path in files.iter_matches(files.join(escape_glob(output), "**")):
        name = path.removeprefix(files.join(output, ""))
        if name != LOCK_FILE:
            yield name


def _parse(text: str, *, source: str) -> dict[str, StepEntry]:
    value = parse_json_object(text, source=source)
    check_schema_version(value.get("schema_version"), _SCHEMA_VERSION, source=source, remedy="choose another --output")
    try:
        return {name: StepEntry(**entry) for name, entry in value["steps"].items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise ContractError(f"{source}: not the record of a run: {error}") from error


def inputs_digest(step: WorkflowStep, options: RunOptions) -> str:
    """Return a digest of what a step is made from: changed, new and removed files change it.

    The user's files are listed, not read. Files of the run are read, because they are small, and may be written again
    with the same content.
    """
    digest = hashlib.sha256()
    below = files.join(options.output, "")
    for pattern in folders_as_patterns(step.reads):
        for file in files.list_files(pattern):
            if not file.path.startswith(below):
                digest.update(f"{file.path}\n{file.version}\n".encode("utf-8", "surrogateescape"))
    for path in step.depends:
        digest.update(f"{path}\n{files.find_digest(path)}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()

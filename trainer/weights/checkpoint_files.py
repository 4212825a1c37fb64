"""Checkpoints of TensorFlow in a folder: which are whole, writing and rotation. Begin with `CheckpointFolder`.

A checkpoint NAME-STEP consists of NAME-STEP.index and of data files, NAME-STEP.data-00000-of-00001 and so on. They are
found by listing the folder. TensorFlow's state file, ``checkpoint``, is written for other programs; no run depends on
it. The description of a checkpoint is stored inside of it, so that no other file is needed to use its weights.
"""

import contextlib
import json
import logging
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from retinanet_odm.errors import ContractError, UsageError
from retinanet_odm.json_documents import parse_json_object
from retinanet_odm.storage import files
from trainer.tf_errors import first_line, is_unavailable

STATE_FILE = "checkpoint"
_DESCRIPTION = "description"  # its attribute of tf.train.Checkpoint
_DESCRIPTION_KEY = f"{_DESCRIPTION}/.ATTRIBUTES/py_state"
_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class CheckpointFolder:
    """Checkpoints of one name in a folder.

    Attributes:
      folder: Local or gs://; it need not exist.
      name: Of every checkpoint, before its step.
      keep: Number of checkpoints that `save` keeps.
      flag: The flag that named the folder, for messages.

    Raises:
      UsageError: TensorFlow cannot read checkpoints there: it takes brackets and backslashes in a path for a pattern.
    """

    folder: str
    name: str
    keep: int = 3
    flag: str = "--model_dir"

    def __post_init__(self) -> None:
        if found := re.search(r"[\[\\]", self.folder):
            raise UsageError(
                f"{self.flag}: TensorFlow cannot read checkpoints in a path that contains {found[0]}: {self.folder};"
                " rename the folder"
            )

    def prefix(self, step: int) -> str:
        """Return the path of a checkpoint without the suffixes of its files."""
        return f"{self.folder}/{self.name}-{step}"

    def newest_whole(self, *, expected: Collection[int] = ()) -> int | None:
        """Return the step of the newest checkpoint that can be read, None if there is none; log which ones cannot.

        Args:
          expected: Steps of checkpoints that should be there, besides those in the state file.

        Raises:
          ContractError: There are checkpoints of steps above 0, but none is whole: a run must not start over silently.
        """
        recorded = self._recorded()
        damages: dict[int, str] = {}
        for step in sorted({*self._present(), *recorded, *expected}, reverse=True):
            damage = find_damage(self.prefix(step))
            if not damage:
                self._report(step, damages, is_recorded=max(recorded, default=None) == step)
                return step
            damages[step] = damage
        if any(damages):  # step 0 holds initial weights: nothing is lost with it
            raise ContractError(
                f"{self.flag}: {self.folder} holds no whole checkpoint: {self._listed(damages)};"
                " copy them again, or delete the folder to start from the beginning"
            )
        return None

    def save(self, tracked: Mapping[str, Any], step: int, *, description: dict[str, Any]) -> None:
        """Write a checkpoint, then delete old ones: of those that this method wrote, `keep` remain.

        Args:
          tracked: The arguments of tf.train.Checkpoint.
          step: Of the checkpoint.
          description: A JSON object that is stored in it, for `read_description`.

        Raises:
          UsageError: The state file cannot be written, or an old checkpoint cannot be deleted.
          tf.errors.OpError: The checkpoint cannot be written.
        """
        self._delete_partial()  # what killed runs have left
        checkpoint = tf.train.Checkpoint(**tracked, **{_DESCRIPTION: _Description(description)})
        try:
            checkpoint.write(self.prefix(step))
        except tf.errors.OpError:
            with contextlib.suppress(tf.errors.OpError):
                self._delete_partial()  # it takes space
            raise
        kept, dropped = rotate(self._present(), self._recorded(), step, keep=self.keep)
        # The order matters: the state file still names an existing checkpoint if the program ends in between.
        for old in dropped:
            self._delete(old)
        files.write_text(f"{self.folder}/{STATE_FILE}", state_text(self.name, kept))

    def _present(self) -> set[int]:
        return steps_in(files.list_names(self.folder), self.name)

    def _recorded(self) -> set[int]:
        return recorded_steps(_read_if_there(f"{self.folder}/{STATE_FILE}"), self.name)

    def _report(self, step: int, damages: dict[int, str], *, is_recorded: bool) -> None:
        if damages:
            _LOGGER.warning(
                "warning: in %s, %s; using %s-%d, the newest whole checkpoint",
                self.folder,
                self._listed(damages),
                self.name,
                step,
            )
        elif not is_recorded:
            _LOGGER.warning(
                "note: %s/%s is missing, damaged or old; using %s-%d, the newest whole checkpoint",
                self.folder,
                STATE_FILE,
                self.name,
                step,
            )

    def _listed(self, damages: dict[int, str]) -> str:
        return ", ".join(f"{self.name}-{step} is damaged ({damage})" for step, damage in damages.items())

    def _delete(self, step: int) -> None:
        names = [name for name in files.list_names(self.folder) if steps_in([name], self.name) == {step}]
        files.delete([f"{self.folder}/{name}" for name in names])

    def _delete_partial(self) -> None:
        """Delete the folders into which TensorFlow writes a checkpoint before it renames the files."""
        names = tf.io.gfile.listdir(self.folder) if tf.io.gfile.isdir(self.folder) else []
        for name in (name.rstrip("/") for name in names):
            if re.fullmatch(rf"{re.escape(self.name)}-[0-9]+_temp", name):
                tf.io.gfile.rmtree(f"{self.folder}/{name}")


def find_damage(prefix: str) -> str:
    """Read a checkpoint completely, with its checksums. Returns why it cannot be read, or "" if it can.

    Raises:
      tf.errors.OpError: The storage does not respond or denies access, which says nothing about the checkpoint.
    """
    try:
        # TensorFlow raises several classes for a file that is damaged in different places.
        reader = tf.train.load_checkpoint(prefix)
        for name in reader.get_variable_to_shape_map():
            reader.get_tensor(name)
    except (tf.errors.OpError, ValueError, IndexError) as error:  # IndexError: a truncated data file
        if is_unavailable(error):
            raise
        return first_line(error)
    return ""


# --- Names and the state file ---


def steps_in(names: Iterable[str], name: str) -> set[int]:
    """Return the steps of the checkpoints of which at least one file is there.

    Example:
      >>> sorted(steps_in(["ckpt-20.index", "ckpt-40.data-00000-of-00001", "ckpt-60_temp", "notes.txt"], "ckpt"))
      [20, 40]
    """
    file = re.compile(rf"{re.escape(name)}-([0-9]+)\.(?:index|data-[0-9]{{5}}-of-[0-9]{{5}})")
    return {int(match[1]) for match in map(file.fullmatch, names) if match}


def rotate(present: set[int], recorded: set[int], step: int, *, keep: int) -> tuple[list[int], list[int]]:
    """Select which checkpoints to keep and to delete when one is saved; both lists are in ascending order.

    Deleted are only those that the state file names, or that are newer: those of a run which was killed before it wrote
    the state file. Without a state file, only the newest are taken for the program's own. Those above the saved step
    are damaged, as otherwise the run would have continued from there; they stay until a save of the same step.

    Args:
      present: Steps of all checkpoints in the folder.
      recorded: Steps that the state file names; empty if it is lost.
      step: That was saved.
      keep: How many to keep.

    Example:
      >>> rotate({20, 40, 60, 80}, {20, 40, 60}, 80, keep=3)
      ([40, 60, 80], [20])
    """
    older = sorted(present - {step})
    newest = max(recorded, default=0)
    own = [old for old in older if old in recorded or old > newest] if recorded else older[-keep:]
    steps = [*(old for old in own if old < step), step]
    return steps[-keep:], steps[:-keep]


def state_text(name: str, steps: Sequence[int]) -> str:
    """Return a state file of TensorFlow (CheckpointState in text format), in which the last step is the newest."""
    all_paths = "".join(f'all_model_checkpoint_paths: "{name}-{step}"\n' for step in steps)
    return f'model_checkpoint_path: "{name}-{steps[-1]}"\n{all_paths}'


def recorded_steps(state: str, name: str) -> set[int]:
    """Return the steps that a state file names; none if it is damaged."""
    pattern = rf'^(?:all_)?model_checkpoint_paths?: "(?:.*/)?{re.escape(name)}-([0-9]+)"$'
    return {int(step) for step in re.findall(pattern, state, re.MULTILINE)}


# --- The description inside a checkpoint ---


class _Description(tf.train.experimental.PythonState):
    """A JSON object in a checkpoint."""

    def __init__(self, values: dict[str, Any]) -> None:
        self._values = values

    def serialize(self) -> str:
        return json.dumps(self._values, ensure_ascii=False)

    def deserialize(self, string_value: str) -> None:
        self._values = json.loads(string_value)


def read_record(path: str) -> dict[str, Any]:
    """Read a JSON object that the trainer has written beside checkpoints; empty if it is missing or damaged.

    Raises:
      UsageError: The storage denies it.
    """
    try:
        return parse_json_object(_read_if_there(path), source=path)
    except ContractError:
        return {}


def _read_if_there(path: str) -> str:
    if not files.is_file(path):
        return ""
    try:
        return files.read_bytes(path).decode(errors="replace")
    except files.FileError as error:
        raise UsageError(str(error)) from error


def read_description(prefix: str) -> dict[str, Any]:
    """Return the description that a whole checkpoint stores; empty if it is of an older version."""
    reader = tf.train.load_checkpoint(prefix)
    if not reader.has_tensor(_DESCRIPTION_KEY):
        return {}
    values = json.loads(reader.get_tensor(_DESCRIPTION_KEY))
    return values if isinstance(values, dict) else {}

"""Small text files of a run, local or gs://."""

import json
from typing import Any

import tensorflow as tf

from retinanet_odm.errors import ContractError, UsageError


def read_text_file(path: str) -> str:
    """A whole UTF-8 file.

    Raises:
      ContractError: it cannot be read or is no UTF-8 text.
    """
    try:
        with tf.io.gfile.GFile(path) as file:
            return file.read()
    except (tf.errors.OpError, UnicodeDecodeError) as error:
        raise ContractError(f"cannot read {path}: {first_line(error)}") from error


def read_json(path: str) -> dict[str, Any]:
    """A JSON object.

    Raises:
      ContractError: it cannot be read or is none.
    """
    try:
        value = json.loads(read_text_file(path))
    except ValueError as error:
        raise ContractError(f"{path}: not JSON: {error}") from error
    if not isinstance(value, dict):
        raise ContractError(f"{path}: expected a JSON object, found {type(value).__name__}")
    return value


def first_line(error: Exception) -> str:
    """What an error of TensorFlow says, without the graph and the stack that may follow."""
    return str(error).strip().partition("\n")[0]


def write_text_file(path: str, text: str) -> None:
    """Writes a whole file, which appears under its name only when complete."""
    temporary = f"{path}.tmp"
    tf.io.gfile.makedirs(path.rpartition("/")[0])
    with tf.io.gfile.GFile(temporary, "w") as file:
        file.write(text)
    tf.io.gfile.rename(temporary, path, overwrite=True)


def make_model_folder(path: str) -> None:
    """Makes a folder and those above it, and tries whether it can be written to.

    Raises:
      UsageError: a file has that name, or the folder cannot be made or written to.
    """
    probe = f"{path.rstrip('/')}/.probe"
    try:
        tf.io.gfile.makedirs(path)
        with tf.io.gfile.GFile(probe, "w") as file:
            file.write("")
        tf.io.gfile.remove(probe)
    except tf.errors.OpError as error:
        raise UsageError(f"--model_dir: cannot write to the folder {path}: {first_line(error)}") from error

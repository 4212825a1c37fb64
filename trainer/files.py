"""Small text files of a run, local or gs://."""

import tensorflow as tf

from detection.errors import UsageError


def read_text(path: str) -> str:
    """A whole UTF-8 file."""
    with tf.io.gfile.GFile(path) as file:
        return file.read()


def write_text(path: str, text: str) -> None:
    """Writes a whole file, which appears under its name only when complete."""
    temporary = f"{path}.tmp"
    tf.io.gfile.makedirs(path.rpartition("/")[0])
    with tf.io.gfile.GFile(temporary, "w") as file:
        file.write(text)
    tf.io.gfile.rename(temporary, path, overwrite=True)


def make_folder(path: str) -> None:
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
        raise UsageError(f"--model_dir: cannot write to the folder {path}: {error.message}") from error

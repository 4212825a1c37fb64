"""Small text files of a run, local or gs://."""

import tensorflow as tf


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

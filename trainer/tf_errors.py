"""Errors of TensorFlow as one line. TensorFlow is not imported here."""

import re
import sys

GCS = "gs://"
_NODE = re.compile(r"\{\{.*?\}\}")  # of the graph


def first_line(error: Exception) -> str:
    r"""Returns the message of an error without the graph and the stack that may follow it.

    Example:
      >>> first_line(ValueError("no such file\n  at node A"))
      'no such file'
    """
    return str(error).strip().partition("\n")[0]


def describe_storage_error(error: BaseException) -> str:
    """Describes an error of TensorFlow about a file on gs:// in one line, with the file's name; "" for all others."""
    # What is not imported has not raised the error, and importing it here would take seconds.
    if "tensorflow" not in sys.modules:
        return ""
    errors = sys.modules["tensorflow"].errors
    # The errors of storage; a bug in a graph has other classes.
    kinds = (errors.NotFoundError, errors.PermissionDeniedError, errors.UnauthenticatedError, errors.UnavailableError)
    line = " ".join(_NODE.sub("", str(error)).split())
    return line.partition(" [Op:")[0] if isinstance(error, kinds) and GCS in line else ""

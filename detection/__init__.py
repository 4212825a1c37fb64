"""The vocabulary that the three programs share: what a record, a label map, a manifest and a prediction mean.

Nothing here knows a file system, Beam or TensorFlow: bytes and text come in, values go out.
"""

__version__ = "0.1.0"

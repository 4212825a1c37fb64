"""The library that the three programs share. Each room answers one question; ARCHITECTURE.md lists them.

Begin with `annotations` (what an annotation file says), `dataset` (what a data set is) and `predictions` (what a row of
results is). Nothing here imports TensorFlow, and only `beam` imports Apache Beam.
"""

__version__ = "0.1.0"
PROGRAM = "retinanet-odm"  # written into the files of other formats as their origin

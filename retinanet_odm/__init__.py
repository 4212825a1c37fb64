"""The library of the three programs. Each room answers one question; ARCHITECTURE.md lists them.

Begin with `annotations` (what does an annotation file contain?), `dataset` (what is a data set?) and `predictions`
(what is a row of results?). Nothing here imports TensorFlow, and only `beam` imports Apache Beam.
"""

__version__ = "0.1.0"
PROGRAM = "retinanet-odm"  # the origin that is written into files of other formats

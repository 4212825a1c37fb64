"""Prediction rows and the output folder of `score`: rows are made, saved, merged, exported and reused.

Begin with `rows`: how a model's output becomes a row with a key. While a job runs, `part_files` saves rows; at its end
it merges them into prediction files; `earlier_rows` chooses rows of earlier runs. `output_folder` knows the files of
the folder, `finished_run` reads them back, `journal` and `replacing` keep what an earlier run or a person has written,
`exports` writes them in the formats that `export_options` lists, and `repeat_marks` adds the flags of `repeats`.
"""

from typing import TYPE_CHECKING

from retinanet_odm.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from inference.rows.export_options import ExportOptions
    from inference.rows.exports import write_exports
    from inference.rows.finished_run import finished_summary, iter_rows
    from inference.rows.rows import make_row

__all__ = [
    "ExportOptions",
    "finished_summary",
    "iter_rows",
    "make_row",
    "write_exports",
]

# Imported when they are first used: the parser of the command line reads `export_options` alone and must start fast.
_MODULES = {
    "ExportOptions": "export_options",
    "finished_summary": "finished_run",
    "iter_rows": "finished_run",
    "make_row": "rows",
    "write_exports": "exports",
}

__getattr__ = lazy_exports(__name__, _MODULES)

"""The rows of a finished run, for programs and notebooks. Begin with `read_rows`."""

import importlib.util
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from inference.rows.export_options import ExportOptions
from inference.rows.exports import exported_rows, run_of
from inference.rows.finished_run import finished_summary
from retinanet_odm.errors import UsageError
from retinanet_odm.predictions.rows import PredictionRow, ScoringRun
from retinanet_odm.systems import with_slashes

_FORMAT = "csv"  # the table that to_pandas returns


@dataclass(frozen=True, kw_only=True)
class ScoredRows:
    """The rows of a finished run in the order of image names. They are read while they are iterated, each time again.

    Attributes:
      output: folder of the run.
      summary: the content of its summary.json.
      run: the model, and the minimum score of each class.
      options: which detections the rows hold.
    """

    output: str
    summary: Mapping[str, Any] = field(repr=False)
    run: ScoringRun = field(repr=False)
    options: ExportOptions

    def __len__(self) -> int:
        return int(self.summary["images"])

    def __iter__(self) -> Iterator[PredictionRow]:
        return exported_rows(self.output, self.summary, self.options, self.run, _FORMAT)

    def to_pandas(self) -> Any:
        """Return the table of detections.parquet (docs/outputs.md) as a pandas DataFrame: a line for each detection.

        An image without detections has one line without a label, so that no image is missing.

        Raises:
          UsageError: pandas is not installed.
          ContractError: as read_rows.
        """
        if importlib.util.find_spec("pandas") is None:
            raise UsageError("to_pandas: pandas is not installed: pip install pandas")
        from retinanet_odm.predictions.formats.parquet import to_table

        return to_table(self, self.run).to_pandas()


def read_rows(
    output: str | os.PathLike[str],
    *,
    min_score: float | str | None = None,
    classes: Sequence[str] = (),
    without_repeats: bool = False,
) -> ScoredRows:
    """Return the rows of a folder that `score` has written, with the detections that count.

    The arguments are the flags of `convert`, and messages name them as flags.

    Args:
      output: folder of a finished run, local or gs://.
      min_score: minimum score of the detections, for every class, or "best" for the threshold of each class in
        model.json; None for the thresholds of the run. 0 gives all detections of the rows.
      classes: names of the classes whose detections the rows hold; empty for all.
      without_repeats: leave out detections that `repeats` has flagged.

    Raises:
      UsageError: the folder has no finished run, or a value is out of its range.
      ContractError: while the rows are iterated: a prediction file is not the one that summary.json lists.

    Example (see docs/python.md):
      ``[len(row.detections) for row in inference.read_rows("OUT")]``
    """
    folder = with_slashes(os.fspath(output)).rstrip("/")
    options = ExportOptions(
        formats=(_FORMAT,),
        classes=(classes,) if isinstance(classes, str) else tuple(classes),
        min_score=min_score,
        without_repeats=without_repeats,
    )
    summary = finished_summary(folder, command="read_rows")
    return ScoredRows(output=folder, summary=summary, run=run_of(summary, options, _FORMAT), options=options)

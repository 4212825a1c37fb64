"""The shells of the verbs, as far as no run of the job is sure to show it."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import apache_beam as beam
from apache_beam.testing.test_pipeline import TestPipeline
from apache_beam.testing.util import assert_that, equal_to

from beam_jobs.batches import MAIN
from beam_jobs.tally import Tally
from beam_jobs.transforms import in_batches


@dataclass
class _Counts:
    counts: Counter[str] = field(default_factory=Counter)


def _names(_: int, **sides: Any) -> Iterator[str]:
    yield from sorted(sides)


def test_beam_looks_at_no_type_of_keyword_arguments() -> None:
    """It would make a schema of dataclasses, and fail on a Counter; of others, only in some orders of a set of classes,
    which differ from process to process."""
    with TestPipeline() as pipeline:
        names = pipeline | beam.Create([0]) | in_batches(_names, tally=Tally(), counts=_Counts())
        assert_that(names[MAIN], equal_to(["counts", "tally"]))

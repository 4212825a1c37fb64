"""Shows why --direct_running_mode=multi_threading is rejected: Beam's threads corrupt or lose elements.

    python benchmarks/beam_threads.py [--mode multi_threading] [--times N]

Runs a pipeline of Create, Reshuffle, Map and GroupByKey over rows that can be checked, without code of this project.
Prints the result of each run; exits with 1 if a run lost or corrupted an element.
"""

import argparse
import sys
from collections.abc import Iterable
from dataclasses import dataclass

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

ROWS = 60_000


@dataclass(frozen=True)
class Row:
    """An element whose values follow from its name."""

    name: str
    values: tuple[int, ...]


def make_row(number: int) -> tuple[str, Row]:
    """Return a row with its key."""
    return f"k{number % 20_000}", Row(name=str(number), values=tuple(range(number % 7)))


def check(group: tuple[str, Iterable[Row]]) -> list[Row]:
    """Raise RuntimeError if a row has changed."""
    rows = list(group[1])
    for row in rows:
        if not isinstance(row, Row) or row.values != tuple(range(int(row.name) % 7)):
            raise RuntimeError(f"an element arrived as {row!r}")
    return rows


def check_count(count: int) -> None:
    """Raise RuntimeError if rows are missing."""
    if count != ROWS:
        raise RuntimeError(f"{ROWS} rows went in, {count} came out")


def run(mode: str) -> str:
    """Run the pipeline once; return the last line of its error, or "" for none."""
    workers = 1 if mode == "in_memory" else 2
    flags = ["--runner=FnApiRunner", f"--direct_running_mode={mode}", f"--direct_num_workers={workers}"]
    pipeline = beam.Pipeline(options=PipelineOptions(flags))
    rows = pipeline | beam.Create(range(ROWS)) | "Spread" >> beam.Reshuffle() | beam.Map(make_row)
    found = rows | "Group" >> beam.GroupByKey() | "Check" >> beam.FlatMap(check)
    keyed = found | "Spread again" >> beam.Reshuffle() | "Key again" >> beam.Map(lambda row: (row.name[-2:], row))
    again = keyed | "Group again" >> beam.GroupByKey() | "Check again" >> beam.FlatMap(check)
    _ = again | beam.combiners.Count.Globally() | "Check the count" >> beam.Map(check_count)
    try:
        pipeline.run().wait_until_finish()
    except Exception as error:  # any failure of the run is a result
        return str(error).strip().splitlines()[-1]
    return ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--mode", default="multi_threading", choices=("in_memory", "multi_threading", "multi_processing")
    )
    parser.add_argument("--times", type=int, default=3)
    flags = parser.parse_args()
    failures = []
    for number in range(1, flags.times + 1):
        failure = run(flags.mode)
        print(f"{flags.mode}, run {number}: {failure or f'all {ROWS} rows arrived intact'}", flush=True)
        failures += [failure] if failure else []
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())

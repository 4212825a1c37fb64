"""Compares the time and memory of Beam's runners for `prepare` and `score` on one machine.

    python -m benchmarks.runners [--runners processes prism portable flink] [--images N] [--to_score N] [--rounds N]

The baseline is the local default, FnApiRunner in one process; `processes` is the same runner with two processes, the
others are started as in tests/runners. A runner that is not available is reported and skipped. The benchmark makes
images of about 118 KB, and the export of an untrained network of --preset=tiny. All runners run in turns, as complete
commands including their startup, but not that of services that wait for jobs; ratios are medians over the rounds.
Memory is the peak of all processes of a runner together, each shared page counted once.
"""

import argparse
import contextlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.measures import HERE, Result, in_turns, median_ratio, print_results
from benchmarks.prepare_sources import Cost, write_source
from benchmarks.score import QUALITY, SIZE, TWO, make_model
from tests.runners.kills import find_processes
from tests.runners.runners import RUNNERS
from tests.runners.services import Flags, MissingError

BASELINE = "in one process"
_SECONDS_BETWEEN = 0.25  # two measurements of the memory

Runner = Callable[[Path], contextlib.AbstractContextManager[Flags]]
KNOWN: Mapping[str, Runner] = {"processes": lambda _work: contextlib.nullcontext(TWO), **RUNNERS}


def find_available(names: Sequence[str], work: Path) -> dict[str, Runner]:
    """Return the baseline and the available runners; reports the others."""
    found: dict[str, Runner] = {BASELINE: lambda _work: contextlib.nullcontext(())}
    for name in names:
        try:
            with KNOWN[name](work):
                found[name] = KNOWN[name]
        except MissingError as missing:
            print(f"      {name} is skipped: {missing}", flush=True)
    return found


def measure(*command: str) -> Cost:
    """Run a command of this Python to its end; measure the memory of all processes below this one."""
    start = time.monotonic()
    peak = 0.0
    with tempfile.TemporaryFile() as output:
        environment = {**os.environ, "PYTHONPATH": str(HERE)}
        process = subprocess.Popen([sys.executable, *command], cwd=HERE, env=environment, stdout=output, stderr=output)
        while process.poll() is None:
            peak = max(peak, sum(map(megabytes, find_processes())))
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_SECONDS_BETWEEN)
        seconds = time.monotonic() - start
        if process.returncode:
            output.seek(0)
            raise SystemExit(f"failed: {command[:4]}\n{output.read().decode()[-2000:]}")
    return Cost(seconds=seconds, megabytes=peak)


def megabytes(pid: int) -> float:
    """Return the memory of a process, with 1/n of a page that n processes share; 0 when it has ended."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in text.splitlines() if line.startswith("Pss:")), 0.0)


def compare(title: str, rounds: int, costs: Mapping[str, Callable[[], Cost]]) -> Iterator[Result]:
    """Yield the time and memory of each runner, relative to the baseline."""
    measured = dict(zip(costs, in_turns(rounds, *costs.values()), strict=True))
    seconds = {name: [cost.seconds for cost in found] for name, found in measured.items()}
    peak = {name: statistics.median(cost.megabytes for cost in found) for name, found in measured.items()}
    for name in costs:
        ratio = median_ratio(seconds[name], seconds[BASELINE])
        value = f"{ratio:.2f} x the time ({statistics.median(seconds[name]):.1f} s, minimum {min(seconds[name]):.1f} s)"
        memory = f"{peak[name] / peak[BASELINE]:.2f} x the memory ({peak[name]:.0f} MB)"
        yield Result(title=f"{title}: {name}", value=f"{value}, {memory}")


def compare_prepare(work: Path, images: int, rounds: int, runners: Mapping[str, Runner]) -> Iterator[Result]:
    source = work / "source"
    write_source(source, images, SIZE, QUALITY)
    where = (f"--images={source}/images/*", f"--annotations={source}/annotations/*")
    command = ("-m", "beam_jobs", "prepare", *where)
    return compare(f"prepare, {images} images", rounds, _costs(runners, work, command))


def compare_score(work: Path, images: int, rounds: int, runners: Mapping[str, Runner]) -> Iterator[Result]:
    source, model = work / "to_score", make_model(work)
    write_source(source, images, SIZE, QUALITY)
    command = ("-m", "inference", "score", f"--images={source}/images", f"--model={model}")
    return compare(f"score, {images} images", rounds, _costs(runners, work, command))


def _costs(runners: Mapping[str, Runner], work: Path, command: Sequence[str]) -> dict[str, Callable[[], Cost]]:
    def cost(runner: Runner) -> Cost:
        shutil.rmtree(work / "out", ignore_errors=True)
        with runner(work) as flags:
            return measure(*command, f"--output={work}/out", *flags)

    return {name: lambda runner=runner: cost(runner) for name, runner in runners.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runners", nargs="+", choices=KNOWN, default=list(KNOWN))
    parser.add_argument("--images", type=int, default=2000, help="images to prepare")
    parser.add_argument("--to_score", type=int, default=500, help="images to score")
    parser.add_argument("--rounds", type=int, default=5, help="number of measurements of each runner")
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        runners = find_available(flags.runners, work)
        print_results(compare_prepare(work, flags.images, flags.rounds, runners))
        print_results(compare_score(work, flags.to_score, flags.rounds, runners))
    return 0


if __name__ == "__main__":
    sys.exit(main())

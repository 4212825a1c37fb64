"""Which engine runs `prepare` and `score` best on one machine: time and memory of others against FnApiRunner.

    python -m benchmarks.engines [--engines processes prism portable flink] [--images N] [--to_score N] [--rounds N]

The base is the local default, FnApiRunner in one process; `processes` is the same runner with two, the others are
Beam's engines as tests/engines starts them. One that is missing is named and left out. Makes photographs of about 118
KB, and the export of an untrained network of --preset=tiny. All engines run in turns, as whole commands with their
start-up, but that of services that wait for jobs; ratios are medians over the rounds. Memory is that of all of an
engine's processes together, each shared page once, at its peak.
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
from benchmarks.prepare import Cost, write_source
from benchmarks.score import QUALITY, SIZE, TWO, make_model, processes_below
from tests.engines.engines import ENGINES, Flags, MissingError

BASE = "in one process"
_SECONDS_BETWEEN = 0.25  # looks at the memory

Engine = Callable[[Path], contextlib.AbstractContextManager[Flags]]
KNOWN: Mapping[str, Engine] = {"processes": lambda _work: contextlib.nullcontext(TWO), **ENGINES}


def find(names: Sequence[str], work: Path) -> dict[str, Engine]:
    """The base, and those of the engines that are here; names the others."""
    found: dict[str, Engine] = {BASE: lambda _work: contextlib.nullcontext(())}
    for name in names:
        try:
            with KNOWN[name](work):
                found[name] = KNOWN[name]
        except MissingError as missing:
            print(f"      {name} is left out: {missing}", flush=True)
    return found


def measure(*command: str) -> Cost:
    """Runs a command of this Python to its end; the memory is that of all processes below this one."""
    start = time.monotonic()
    peak = 0.0
    with tempfile.TemporaryFile() as said:
        environment = {**os.environ, "PYTHONPATH": str(HERE)}
        process = subprocess.Popen([sys.executable, *command], cwd=HERE, env=environment, stdout=said, stderr=said)
        while process.poll() is None:
            peak = max(peak, sum(map(megabytes, processes_below(str(os.getpid())))))
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_SECONDS_BETWEEN)
        seconds = time.monotonic() - start
        if process.returncode:
            said.seek(0)
            raise SystemExit(f"failed: {command[:4]}\n{said.read().decode()[-2000:]}")
    return Cost(seconds=seconds, megabytes=peak)


def megabytes(pid: str) -> float:
    """A process's memory, of a page that n processes share its n-th part; 0 when it has ended."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in text.splitlines() if line.startswith("Pss:")), 0.0)


def compare(title: str, rounds: int, costs: Mapping[str, Callable[[], Cost]]) -> Iterator[Result]:
    measured = dict(zip(costs, in_turns(rounds, *costs.values()), strict=True))
    seconds = {name: [cost.seconds for cost in found] for name, found in measured.items()}
    peak = {name: statistics.median(cost.megabytes for cost in found) for name, found in measured.items()}
    for name in costs:
        ratio = median_ratio(seconds[name], seconds[BASE])
        value = f"{ratio:.2f} x the time ({statistics.median(seconds[name]):.1f} s, least {min(seconds[name]):.1f} s)"
        memory = f"{peak[name] / peak[BASE]:.2f} x the memory ({peak[name]:.0f} MB)"
        yield Result(title=f"{title}: {name}", value=f"{value}, {memory}")


def of_prepare(work: Path, images: int, rounds: int, engines: Mapping[str, Engine]) -> Iterator[Result]:
    source = work / "source"
    write_source(source, images, SIZE, QUALITY)
    where = (f"--images={source}/images/*", f"--annotations={source}/annotations/*")
    command = ("-m", "beam_jobs", "prepare", *where)
    return compare(f"prepare, {images} images", rounds, _costs(engines, work, command))


def of_score(work: Path, images: int, rounds: int, engines: Mapping[str, Engine]) -> Iterator[Result]:
    source, model = work / "to_score", make_model(work)
    write_source(source, images, SIZE, QUALITY)
    command = ("-m", "inference", "score", f"--images={source}/images", f"--model={model}")
    return compare(f"score, {images} images", rounds, _costs(engines, work, command))


def _costs(engines: Mapping[str, Engine], work: Path, command: Sequence[str]) -> dict[str, Callable[[], Cost]]:
    def cost(engine: Engine) -> Cost:
        shutil.rmtree(work / "out", ignore_errors=True)
        with engine(work) as flags:
            return measure(*command, f"--output={work}/out", *flags)

    return {name: lambda engine=engine: cost(engine) for name, engine in engines.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engines", nargs="+", choices=KNOWN, default=list(KNOWN))
    parser.add_argument("--images", type=int, default=2000, help="photographs to prepare")
    parser.add_argument("--to_score", type=int, default=500, help="photographs to score")
    parser.add_argument("--rounds", type=int, default=5, help="of each of those that are compared")
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        engines = find(flags.engines, work)
        print_results(of_prepare(work, flags.images, flags.rounds, engines))
        print_results(of_score(work, flags.to_score, flags.rounds, engines))
    return 0


if __name__ == "__main__":
    sys.exit(main())

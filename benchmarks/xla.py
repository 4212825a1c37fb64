"""Compares the runtimes of the training step on the CPU: TensorFlow with jit_compile=True, and --runtime=xla.

    python -m benchmarks.xla [--steps 20] [FLAGS OF THE TRAINER]

Prints the seconds of a step, and those from the start of the program to the end of its first step, without and with
compiled programs of an earlier run, and what these seconds are spent on; and how far the variables of both are apart
after three steps. Each row is a process of its own. Images and boxes are random. Needs the extra [xla]. Without flags
of the trainer: --preset=tiny --image_size=256 --train_batch_size=8.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

RECIPE = ["--preset=tiny", "--image_size=256", "--train_batch_size=8"]
BOXES = 20
COMPARED_STEPS = 3


def measure(runtime: str, steps: int, flags: list[str], started: float) -> dict[str, float]:
    """Run steps in this process; return the figures of a row."""
    import numpy as np
    import tensorflow as tf

    from trainer import strategy
    from trainer.flags import parse_request
    from trainer.loop import schedule
    from trainer.loop.runtimes import make_runtime
    from trainer.loop.steps import train_step
    from trainer.network import build
    from trainer.tpu import fit

    parts = {"importing": time.time() - started}
    compiling = _listen_to_compiler() if runtime == "xla" else []
    translating = _time_translation()
    config = parse_request([*flags, f"--runtime={runtime}"], read_text=open).config
    devices = strategy.make_strategy(use_tpu=False, tpu="local", runtime=runtime)
    with devices.scope():
        network = build.build_network(config, fit.synthetic_manifest(3))
        optimizer, _ = schedule.build_optimizer(config.schedule, network.model, total_steps=1000)
    parts["building"] = time.time() - started - parts["importing"]
    batches = tf.data.Dataset.from_tensors(_draw_batch(config.schedule.train_batch_size, network.canvas)).repeat()
    if runtime == "xla":
        runner = make_runtime(config, network, optimizer, devices)
        shipped = runner.distribute(batches)

        def step() -> Any:
            return runner.run(shipped, 1)

        fetch = runner.fetch
    else:
        compiled = tf.function(
            lambda parts: train_step(parts, config, network, optimizer), jit_compile=True, autograph=False
        )
        read = iter(batches)

        def step() -> Any:
            parts = next(read)
            del parts["boxes_truncated"]
            return {name: float(value) for name, value in compiled(parts).items()}

        def fetch() -> None:
            pass

    loss = step()["loss"]
    start = time.time() - started
    parts["translating"] = sum(translating)
    for _ in range(COMPARED_STEPS - 1):
        step()
    fetch()
    variables = (*network.model.variables, *optimizer.variables)
    np.savez(f"{os.environ['BENCHMARK_FOLDER']}/{runtime}.npz", *[variable.numpy() for variable in variables])
    seconds = []
    for _ in range(steps):
        before = time.monotonic()
        step()
        seconds.append(time.monotonic() - before)
    return {"loss": loss, "start": start, "compile": sum(compiling), "step": statistics.median(seconds), **parts}


def _draw_batch(size: int, canvas: tuple[int, int]) -> dict[str, Any]:
    import numpy as np

    draws = np.random.default_rng(0)
    corners = draws.uniform(0, canvas[0] / 2, (size, BOXES, 2)).astype(np.float32)
    return {
        "image": draws.integers(0, 256, (size, *canvas, 3), np.uint8),
        "boxes": np.concatenate([corners, corners + 40], axis=-1),
        "labels": draws.integers(1, 4, (size, BOXES)).astype(np.int32),
        "boxes_truncated": np.zeros(size, np.int32),
    }


def _time_translation() -> list[float]:
    """Return a list to which each translation of a step, tracing included, appends its seconds."""
    from trainer.loop import lowering

    found: list[float] = []
    translate = lowering.lower_step

    def timed(*args: Any, **settings: Any) -> Any:
        before = time.monotonic()
        lowered = translate(*args, **settings)
        found.append(time.monotonic() - before)
        return lowered

    lowering.lower_step = timed
    return found


def _listen_to_compiler() -> list[float]:
    """Return a list to which jax appends the seconds of each compilation of a second or more."""
    import jax

    found: list[float] = []

    def listen(event: str, seconds: float, **_: Any) -> None:
        if event.endswith("backend_compile_duration") and seconds >= 1:
            found.append(seconds)

    jax.monitoring.register_event_duration_secs_listener(listen)
    return found


def measure_apart(runtime: str, steps: int, flags: list[str], folder: str) -> dict[str, float]:
    """Return the figures of a row, of a process of its own."""
    command = [sys.executable, "-m", "benchmarks.xla", "--part", runtime, "--steps", str(steps), *flags]
    environment = {"JAX_COMPILATION_CACHE_DIR": f"{folder}/cache", "JAX_PLATFORMS": "cpu"}
    environment |= {"BENCHMARK_FOLDER": folder, "BENCHMARK_STARTED": str(time.time())}
    done = subprocess.run(command, env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def _largest_difference(first: str, second: str) -> float:
    import numpy as np

    with np.load(first) as one, np.load(second) as other:
        return max(float(np.abs(one[name].astype(np.float64) - other[name]).max(initial=0.0)) for name in one.files)


def main() -> int:
    """Print the table, or measure one row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=20, help="timed steps; the table has their median")
    parser.add_argument("--part", choices=("tensorflow", "xla"), help=argparse.SUPPRESS)
    arguments, flags = parser.parse_known_args()
    flags = flags or RECIPE
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if arguments.part:
        started = float(os.environ["BENCHMARK_STARTED"])
        print(json.dumps(measure(arguments.part, arguments.steps, flags, started)))
        return 0
    print("| runtime | first loss | start, s | of which compiling, s | a step, ms |\n|---|---|---|---|---|", flush=True)
    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, runtime in (("tensorflow, jit_compile", "tensorflow"), ("xla", "xla"), ("xla, again", "xla")):
            row = rows[name] = measure_apart(runtime, arguments.steps, flags, folder)
            compiling = f"{row['compile']:.1f}" if runtime == "xla" else ""
            cells = (name, f"{row['loss']:.6f}", f"{row['start']:.1f}", compiling, f"{1000 * row['step']:.1f}")
            print(f"| {' | '.join(cells)} |", flush=True)
        apart = _largest_difference(f"{folder}/tensorflow.npz", f"{folder}/xla.npz")
    print(f"\nlargest difference of a variable after {COMPARED_STEPS} steps: {apart:.1e}")
    print(f"a step relative to TensorFlow's: {rows['xla']['step'] / rows['tensorflow, jit_compile']['step']:.2f}×")
    print(f"start beyond compiling: {rows['xla']['start'] - rows['xla']['compile']:.1f} s, of which")
    print(", ".join(f"{name} {rows['xla'][name]:.1f} s" for name in ("importing", "building", "translating")))
    return 0


if __name__ == "__main__":
    sys.exit(main())

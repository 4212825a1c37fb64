"""Prints what a recipe needs on each kind of TPU chip: memory, work and a bound on its speed. Needs no TPU.

    python benchmarks/tpu_fit.py [--batch 8] [--topology v4:2x2x1 ...] [FLAGS OF THE TRAINER]

Without flags of the trainer, the recipe is --preset=retinanet_r50 with 9 classes. Each row of the table compiles the
training step once, which takes minutes. Needs the extra [tpu-check].
"""

import argparse
import os
import sys
import time

from retinanet_odm.errors import UsageError
from trainer.flags import parse_request

TOPOLOGIES = ("v4:2x2x1", "v5e:2x2", "v6e:2x2")
RECIPE = ["--preset=retinanet_r50", "--num_classes=9"]
HEADINGS = (
    "topology",
    "HBM of a device, GiB",
    "GFLOP a step and device",
    "ms a step",
    "images/s a device",
    "compiled in",
)


def measure(topology: str, batch_size: int, flags: list[str]) -> str:
    """Compile the step for a topology; return a row of the table."""
    from trainer.tpu import chips, fit  # imports TensorFlow, which --help need not wait for

    start = time.monotonic()
    config = parse_request([*flags, f"--tpu_topology={topology}"], read_text=open).config
    step = fit.make_replica_step(config, fit.synthetic_manifest(config.data.num_classes))
    program = step.compile(batch_size)
    bound = fit.min_step_seconds(program, step.chip)
    cells = (
        topology,
        f"{program.hbm / chips.GIB:.2f} of {step.chip.hbm / chips.GIB:.2f}",
        f"{program.flops / 1e9:,.0f}",
        f"{bound * 1e3:.1f}",
        f"{batch_size / bound:,.0f}",
        f"{time.monotonic() - start:.0f} s",
    )
    return f"| {' | '.join(cells)} |"


def main() -> int:
    """Print the table; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=8, help="number of images on each chip")
    parser.add_argument("--topology", nargs="+", default=TOPOLOGIES, help="chips to compile for")
    arguments, flags = parser.parse_known_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    print(f"| {' | '.join(HEADINGS)} |\n{'|---' * len(HEADINGS)}|", flush=True)
    try:
        for topology in arguments.topology:
            print(measure(topology, arguments.batch, flags or RECIPE), flush=True)
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.status
    return 0


if __name__ == "__main__":
    sys.exit(main())

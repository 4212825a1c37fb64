"""Prints what scoring needs on a TPU chip: the network of an export compiled for it. Needs no TPU.

    python -m benchmarks.tpu_score [--model MODEL/export] [--batch 1 8] [--topology v5e:2x2 …] [FLAGS OF THE TRAINER]

Without --model, an untrained network of the trainer's flags is exported; by default --preset=retinanet_r50 with 9
classes. Each row of the table compiles what `score --runtime=xla` runs for one number of images, which takes a minute
for a large network. Needs the extras [cpu] and [tpu-check].
"""

import argparse
import os
import sys
import tempfile
import time
from typing import Any

TOPOLOGIES = ("v5e:2x2", "v6e:2x2")
RECIPE = ["--preset=retinanet_r50", "--num_classes=9"]
HEADINGS = ("topology", "images", "HBM of a chip, GiB", "GFLOP a batch", "images/s at most", "compiled in")


def export_untrained(folder: str, flags: list[str]) -> None:
    """Write the SavedModel of an untrained network."""
    from trainer.export import signatures
    from trainer.flags import parse_request
    from trainer.network import build
    from trainer.tpu import fit

    config = parse_request(flags, read_text=open).config
    network = build.build_network(config, fit.synthetic_manifest(config.data.num_classes))
    signatures.write_saved_model(config, network, folder)


def measure(propose: Any, topology: str, images: int) -> str:
    """Compile the network for a topology; return a row of the table."""
    from inference.model.xla_model import compile_network, lower_network
    from retinanet_odm import xla
    from trainer.tpu import chips, compiler

    start = time.monotonic()
    chip = chips.find_chip(topology)
    device = compiler.find_devices(topology, **chip.settings)[0]
    compiled = compile_network(lower_network(propose, images), device, platform="tpu")
    flops = compiled.cost_analysis()["flops"]
    cells = (
        topology,
        str(images),
        f"{xla.memory_of(compiled) / chips.GIB:.2f} of {chip.hbm / chips.GIB:.2f}",
        f"{flops / 1e9:,.0f}",
        f"{images * chip.peak / flops:,.0f}",
        f"{time.monotonic() - start:.0f} s",
    )
    return f"| {' | '.join(cells)} |"


def main() -> int:
    """Print the table; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="folder of an export")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8], help="numbers of images")
    parser.add_argument("--topology", nargs="+", default=TOPOLOGIES, help="chips to compile for")
    arguments, flags = parser.parse_known_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as folder:
        if not arguments.model:
            export_untrained(folder, flags or RECIPE)
        loaded = tf.saved_model.load(arguments.model or folder)
        print(f"| {' | '.join(HEADINGS)} |\n{'|---' * len(HEADINGS)}|", flush=True)
        for topology in arguments.topology:
            for images in arguments.batch:
                print(measure(loaded.signatures["propose"], topology, images), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

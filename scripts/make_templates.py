"""Writes containers/*-metadata.json, from which Dataflow's console makes the forms of our Flex Templates.

Run it after a flag of prepare or score has changed: python scripts/make_templates.py
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import beam_jobs.flags  # noqa: E402 - the script runs without the package being installed
import inference.options  # noqa: E402
from retinanet_odm.dataflow.flex_templates import template_metadata  # noqa: E402

# Flags whose output nobody would see, because the launcher runs in the cloud.
OMITTED_FLAGS = ("estimate", "vcpu_hour_price", "images_a_second")


def make_templates() -> dict[str, dict[str, Any]]:
    """Return the metadata of each template by the name of its file in containers/."""
    prepare = beam_jobs.flags.make_prepare_parser().commands["prepare"]
    score = inference.options.make_score_parser().commands["score"]
    return {
        "prepare-metadata.json": template_metadata(prepare, name="RetinaNet-ODM prepare", omit=OMITTED_FLAGS),
        "score-metadata.json": template_metadata(score, name="RetinaNet-ODM score", omit=OMITTED_FLAGS),
    }


def main() -> None:
    """Write the files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=ROOT / "containers", help="default: %(default)s")
    folder = parser.parse_args().folder
    for name, value in make_templates().items():
        (folder / name).write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n")
        print(folder / name)


if __name__ == "__main__":
    main()

"""Turns the flags of `python -m beam_jobs` into PrepareOptions."""

import argparse
import re

from beam_jobs.named_files import Inputs
from beam_jobs.options import PREPARE, PrepareOptions, RecordOptions
from retinanet_odm.dataset.frame_names import DeploymentRule
from retinanet_odm.dataset.splits import GroupRule, parse_num_shards, parse_splits
from retinanet_odm.errors import UsageError
from retinanet_odm.imaging.images import ImageRule


def prepare_options(flags: argparse.Namespace, inputs: Inputs) -> PrepareOptions:
    """Make the request from parsed flags and the files that they name.

    Raises:
      UsageError: a flag cannot be read or contradicts another.
    """
    deployments = DeploymentRule(flags.deployment or "")
    return PrepareOptions(
        images=tuple(flags.images),
        annotations=tuple(flags.annotations),
        exports=tuple(flags.exports),
        output=flags.output.rstrip("/"),  # files.join adds the slash
        splits=parse_splits(flags.splits),
        num_shards=parse_num_shards(flags.num_shards) if flags.num_shards is not None else {},
        labels=inputs.labels,
        labels_file=flags.labels,
        aliases=inputs.aliases,
        aliases_file=inputs.aliases_file,
        id_map=inputs.id_map,
        split_group=None if flags.split_group is None else GroupRule(flags.split_group, deployments),
        deployments=deployments,
        split_from=inputs.split_from,
        exhaustive=inputs.exhaustive,
        ignore_labels=tuple(flags.ignore_label),
        without_annotation=flags.without_annotation,
        without_image=flags.without_image,
        negatives=flags.negatives,
        content=RecordOptions(
            # Always with the perceptual hash: retinanet_odm.dataset.leakage compares the images of all splits by it.
            pixels=ImageRule(
                verify=flags.verify, max_side=flags.max_side, grayscale=flags.grayscale, perceptual_hash=True
            ),
            min_box=parse_min_box(flags.min_box) if flags.min_box is not None else None,
        ),
        min_score=flags.min_score,
        max_rejected=flags.max_rejected,
        writes=flags.command == PREPARE,
        # `check` writes no shard, so it has no flag to resume.
        resume=flags.command == PREPARE and flags.resume,
        replace=flags.command == PREPARE and flags.replace,
    )


def parse_min_box(text: str) -> tuple[float, float]:
    """Read width and height in pixels.

    Example:
      >>> parse_min_box("75x50.5")
      (75.0, 50.5)

    Raises:
      UsageError: the text has another form.
    """
    # float() would also accept inf, nan and negative sizes.
    match = re.fullmatch(r"(\d+(?:\.\d+)?)x(\d+(?:\.\d+)?)", text)
    if match is None:
        raise UsageError(f"--min_box: expected WIDTHxHEIGHT in pixels, such as 75x75; found {text!r}")
    return float(match[1]), float(match[2])

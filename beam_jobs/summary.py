"""The last lines of a run, for the person at the terminal."""

import shlex
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from beam_jobs import folder
from beam_jobs.rows import ANNOTATION, COCO_SPLIT, IMAGE, OBJECT, Reject
from beamio import files
from detection.manifests import DatasetManifest
from detection.problems import SEVERITIES, Problem

# Enough to see what is wrong; all of them are in rejected.jsonl.
_SHOWN = 5
_MOST_BATCH = 32  # images in an evaluation batch of TPU RetinaNet that is proposed


def of_dataset(
    manifest: DatasetManifest, rejects: Sequence[Reject], problems: Sequence[Problem], output: str
) -> list[str]:
    """What was kept, what was not and why, what is doubtful, and the next command."""
    examples = manifest.images_in - manifest.rejected
    lines = [f"{manifest.images_in} images in = {examples} examples + {manifest.rejected} rejected"]
    for name, split in manifest.splits.items():
        limit = manifest.options["num_shards"][name]
        fewer = f" (of at most {limit}: a shard holds at least one image)" if len(split.shards) < limit else ""
        lines.append(f"{name}: {split.examples} examples, {split.boxes} boxes, {len(split.shards)} shards{fewer}")
    lines += _reject_lines(rejects, IMAGE, "images rejected")
    lines += _reject_lines(rejects, OBJECT, "objects dropped")
    lines += _reject_lines(rejects, ANNOTATION, "annotations unused")
    if rejects:
        lines.append(f"all of them: {files.join(output, folder.REJECTED)}")
    told = {reject.reason for reject in rejects}
    lines += _problem_lines([problem for problem in problems if problem.code not in told])
    lines.append(f"data set: {files.join(output, DatasetManifest.FILE)}")
    lines.append(f"report: {files.join(output, folder.REPORT)}")
    return lines + _trainer_lines(manifest, output)


def _mode(manifest: DatasetManifest) -> str:
    """What the trainer can do with these splits: it refuses to evaluate on an empty one, and that is often val."""
    held_out = [name for name, split in manifest.splits.items() if name != "train" and split.examples]
    if COCO_SPLIT in held_out:
        return "--mode=train_and_eval"
    return f"--mode=train_and_eval --eval_split={held_out[0]}" if held_out else "--mode=train"


def _trainer_lines(manifest: DatasetManifest, output: str) -> list[str]:
    """The trainer's command, and the flags of tensorflow/tpu's RetinaNet, which must be told what the manifest says."""
    lines = [f"next: python -m trainer {_mode(manifest)} --dataset={shlex.quote(output)} --model_dir=MODEL"]
    train, val = manifest.splits.get("train"), manifest.splits.get(COCO_SPLIT)
    if train and val and train.examples and val.examples:
        flags = {
            "training_file_pattern": files.join(output, "train-*"),
            "validation_file_pattern": files.join(output, f"{COCO_SPLIT}-*"),
            "val_json_file": files.join(output, folder.VAL),
            "num_examples_per_epoch": train.examples,
            "eval_samples": val.examples,
            # It drops the last, smaller batch, and with it images.
            "eval_batch_size": max(size for size in range(1, _MOST_BATCH + 1) if val.examples % size == 0),
            "hparams": f"num_classes={manifest.num_classes}",
        }
        told = " ".join(f"--{name}={shlex.quote(str(value))}" for name, value in flags.items())
        lines.append(f"for tensorflow/tpu's retinanet_main.py: {told}")
    return lines


def of_check(problems: Sequence[Problem], output: str) -> list[str]:
    """How many problems there are, the first of each kind, and where to read all."""
    number = {severity: sum(row.severity == severity for row in problems) for severity in SEVERITIES}
    lines = [", ".join(f"{count} {_plural(severity, count)}" for severity, count in number.items())]
    lines += _problem_lines(problems)
    if problems:
        lines.append(f"all of them: {files.join(output, folder.PROBLEMS)}")
    lines.append(f"report: {files.join(output, folder.CHECK)}")
    return lines


def _plural(word: str, count: int) -> str:
    return word if count == 1 or word == "info" else f"{word}s"


def _problem_lines(problems: Sequence[Problem]) -> list[str]:
    """Those of one code together, the worst first, as they are sorted."""
    by_code: dict[tuple[str, str], list[Problem]] = defaultdict(list)
    for problem in problems:
        by_code[problem.severity, problem.code].append(problem)
    lines = []
    for (severity, code), found in by_code.items():
        lines.append(f"{severity}: {code} ({len(found)}): {found[0].suggestion}")
        lines += _first(problem.detail for problem in found)
    return lines


def _first(details: Iterable[str]) -> list[str]:
    found = list(details)
    more = [f"  and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
    return [*(f"  {detail}" for detail in found[:_SHOWN]), *more]


def _reject_lines(rejects: Sequence[Reject], kind: str, title: str) -> list[str]:
    details = defaultdict(list)
    for reject in rejects:
        if reject.kind == kind:
            details[reject.reason].append(reject.detail)
    lines = []
    for reason, found in sorted(details.items()):
        lines.append(f"{len(found)} {title}: {reason}")
        lines += _first(found)
    return lines


def counts(reasons: Mapping[str, int]) -> str:
    """Such as "2 ambiguous_match, 1 image_empty"."""
    return ", ".join(f"{count} {reason}" for reason, count in reasons.items())

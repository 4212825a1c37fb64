"""What a run has shown, in sentences: the first lines of its page, and what to do next.

Begin with `run_verdict`. Texts that hold a command are pairs of a sentence and the command, or "".
"""

from collections.abc import Iterator, Mapping
from typing import Any

from retinanet_odm.dataset.manifest import DatasetManifest
from retinanet_odm.dataset.splits import TEST_SPLIT, evaluation_splits
from retinanet_odm.predictions.unlike_training import NoveltySummary
from retinanet_odm.reports.dataset_page import judge_dataset
from retinanet_odm.reports.evaluation_verdict import describe_rates
from retinanet_odm.systems import shell_word
from retinanet_odm.wording import plural

_Values = Mapping[str, Any]
_USABLE = 0.5  # recall and precision; below, more is missed than found, or more is wrong than right


def run_verdict(
    manifest: DatasetManifest, *, evaluation: _Values | None, test: _Values | None, scored: _Values | None
) -> list[str]:
    """Return a sentence or a few on the model, on the data and on the archive, in this order.

    Args:
      manifest: dataset.json.
      evaluation: eval.json; None if no image was held out for it.
      test: eval-test.json; None if there is no test split.
      scored: summary.json of the archive; None if there is none.
    """
    return [
        _judge_model(test or evaluation),
        judge_dataset(manifest)[0],
        *([_describe_archive(scored)] if scored is not None else []),
    ]


def _judge_model(metrics: _Values | None) -> str:
    """State the rates on the images that say most: those of the test split, if there is one."""
    if not metrics or not (rates := describe_rates(metrics)):
        return "How good the detector is, is not known: no labelled image was held out to judge it by."
    images = metrics["images"]
    poor = "Not yet good enough to count by. " if _is_poor(metrics) else ""
    return f"{poor}{' '.join(rates)} Measured on {images:,} {plural('image', images)} that it has not learned from."


def _is_poor(metrics: _Values) -> bool:
    rates = metrics["at_thresholds"]
    return any(rates[name] is None or rates[name] < _USABLE for name in ("recall", "precision"))


def _describe_archive(scored: _Values) -> str:
    failed = sum(scored["failed"].values())
    counted = [f"{count:,} {label}" for label, count in scored["counted"].items() if count]
    where = f"{scored['images'] - failed:,} of {scored['images']:,} images of the archive"
    novelty = NoveltySummary.from_json(scored["novelty"]) if "novelty" in scored else NoveltySummary()
    unlike = f" {novelty.describe()}." if novelty.is_alarming else ""
    return f"In {where}, it counted {', '.join(counted) or 'nothing'}.{unlike}"


def describe_empty_splits(manifest: DatasetManifest) -> Iterator[str]:
    """Yield what it means that a split has no images, as is frequent in small data sets."""
    sizes = {name: split.examples for name, split in manifest.splits.items()}
    if not evaluation_splits(sizes):
        yield (
            "No labelled image is in a split for the evaluation, such as val. The detector is trained and exported, but"
            " neither its weights nor its thresholds are chosen by results. Label more images."
        )
    if not sizes.get(TEST_SPLIT):
        yield (
            "No labelled image is in the split test, so there is no independent test: expect somewhat worse results"
            " than in the evaluation. With more images, or more deployments, there will be one."
        )


def next_steps(
    manifest: DatasetManifest, judged: _Values | None, links: Mapping[str, str], folder: str
) -> Iterator[tuple[str, str]]:
    """Yield what to do next, and its command, the most useful first.

    Args:
      manifest: dataset.json.
      judged: eval-test.json, or else eval.json, or None.
      links: paths of pages and tables below the folder, by key; see `run_page`.
      folder: the folder of the run.
    """
    if manifest.rejected:
        count = f"{manifest.rejected:,} {plural('image', manifest.rejected)} {plural('was', manifest.rejected)}"
        yield f"{count} left out: the page of the data set names the reason of each. Correct what matters.", ""
    is_poor = bool(judged and describe_rates(judged) and _is_poor(judged))
    if is_poor:
        yield "Improve the detector before you count with it: label more images, and train longer (--num_epochs).", ""
    if "scored" not in links:
        yield "Count objects in new images: run the same command with --archive=ARCHIVE.zip.", ""
        return
    yield (
        "Count some images of the archive by hand: label them, and compare. Only this shows how good the counts are"
        " where you need them.",
        f"python -m inference evaluate {shell_word(f'{folder}/scored')} --annotations 'TRUTH/*.xml'",
    )
    if "to_label" in links:
        yield (
            f"Label next the images of {links['to_label']}, in which the detector is least certain. Add them to your"
            " images and run again, into a new folder.",
            "",
        )
    if "boxes" in links and not is_poor:
        yield f"Begin with the boxes that it has drawn: {links['boxes']} can be imported into CVAT.", ""

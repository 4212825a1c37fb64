"""What an evaluation means, in sentences for a reader who knows no machine learning: the first lines of the page.

Begin with `evaluation_verdict`. Every number comes from eval.json (docs/training.md).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from retinanet_odm.evaluation.intervals import FEW_IMAGES
from retinanet_odm.wording import plural

_Values = Mapping[str, Any]
_MIN_OBJECTS = 20  # true boxes of a class; with fewer, a share of them is known to no better than about 20 in 100
_EQUAL = 0.005  # counts that differ by less agree
# What is said of the most frequent type of error, and what would help; see evaluation.error_types.
_ADVICE = {
    "missed": "no box was drawn at them. More labelled images with such objects would help most.",
    "background": (
        "boxes were drawn where nothing is labelled. Look at the images of this evaluation: where the boxes are right,"
        " labels are missing; otherwise, images without such objects would help most."
    ),
    "localisation": "the boxes do not fit the objects. Longer training and more tightly drawn labels would help most.",
    "classification": "the class is wrong. More labelled images of the confused classes would help most.",
    "both": "the class is wrong and the box does not fit. More labelled images would help most.",
    "duplicate": "an object was found twice. Longer training would help most.",
}


def evaluation_verdict(metrics: _Values) -> list[str]:
    """Return the sentences, the most important first; none for metrics without thresholds.

    Args:
      metrics: eval.json or evaluation.json.
    """
    if not (overall := describe_rates(metrics)):
        return []
    return [
        *overall,
        *_counts_by_class(metrics["details"]["counts"]),
        *_weakest(metrics["per_class"]),
        *_main_error(metrics["details"]["mistakes"]),
        *_caution(metrics, _last_interval(metrics)),
    ]


def describe_rates(metrics: _Values) -> list[str]:
    """Return how much is found, how much of that is wrong, and how far counts are from the truth; see above."""
    rates, details = metrics.get("at_thresholds"), metrics.get("details")
    return list(_overall(rates, details["counts"], _last_interval(metrics))) if rates and details else []


def _last_interval(metrics: _Values) -> _Values:
    return metrics["intervals"][-1] if metrics["intervals"] else {}


def _overall(rates: _Values, counts: _Values, interval: _Values) -> Iterator[str]:
    if rates["recall"] is not None:
        yield f"Of 100 objects, the model finds {_of_100(rates['recall'])}{_range(interval.get('recall'))}."
    if rates["precision"] is None:
        yield "It draws no box."
    else:
        wrong = 1 - rates["precision"]
        found = interval.get("precision")
        between = _range(found and [1 - value for value in reversed(found)])
        yield f"Of 100 boxes that it draws, {_of_100(wrong)} are wrong{between}."
    true = sum(entry["true"] for entry in counts.values())
    if true:
        ratio = sum(entry["found"] for entry in counts.values()) / true
        found = interval.get("count_ratio")
        between = f" (95 % interval: {describe_ratios(found)})" if found else ""
        yield f"Over all images, its counts are {describe_ratio(ratio)}{between}."


def _counts_by_class(counts: _Values) -> Iterator[str]:
    """Name the lowest and the highest counts of several classes: in the sum, their errors cancel."""
    known = {name: entry["found"] / entry["true"] for name, entry in counts.items() if entry["true"] >= _MIN_OBJECTS}
    if len(known) > 1:
        low, high = (choose(known, key=lambda name: known[name]) for choose in (min, max))
        if describe_ratio(known[low]) == describe_ratio(known[high]):
            yield f"The counts of each class are {describe_ratio(known[low])}."
        else:
            extremes = " to ".join(f"{describe_ratio(known[name])} ({name})" for name in (low, high))
            yield f"By class, its counts are {extremes}."


def _of_100(share: float) -> str:
    return f"{share * 100:.0f}"


def _range(interval: list[float] | None) -> str:
    return f" (95 % interval: {_of_100(interval[0])} to {_of_100(interval[1])})" if interval else ""


def describe_ratio(ratio: float) -> str:
    """Name how far a count is from the truth.

    Example:
      >>> describe_ratio(0.97), describe_ratio(1.0), describe_ratio(1.2)
      ('3 % too low', 'right', '20 % too high')
    """
    if abs(ratio - 1) < _EQUAL:
        return "right"
    return f"{abs(ratio - 1) * 100:.0f} % too {'high' if ratio > 1 else 'low'}"


def describe_ratios(interval: Sequence[float]) -> str:
    """Name an interval of counts by its ends.

    Example:
      >>> describe_ratios((0.9, 1.0)), describe_ratios((1.0, 1.0))
      ('10 % too low to right', 'right')
    """
    return " to ".join(dict.fromkeys(map(describe_ratio, interval)))


def _weakest(per_class: _Values) -> Iterator[str]:
    """Name the class with the lowest F1 of several, and those too rare to judge."""
    objects = {name: values["ground_truth"] for name, values in per_class.items()}
    known = [name for name in per_class if objects[name] >= _MIN_OBJECTS and per_class[name]["f1"] is not None]
    if len(known) > 1:
        name = min(known, key=lambda one: per_class[one]["f1"])
        values = per_class[name]
        wrong = (
            "" if values["precision"] is None else f", and {_of_100(1 - values['precision'])} of 100 boxes are wrong"
        )
        yield f"The weakest class is {name}: of 100, it finds {_of_100(values['recall'])}{wrong}."
    if rare := [f"{name} ({objects[name]})" for name in per_class if objects[name] < _MIN_OBJECTS]:
        yield f"Too few objects to judge: {', '.join(rare)}; at least {_MIN_OBJECTS} labelled ones are needed here."


def _main_error(mistakes: _Values) -> Iterator[str]:
    counts = {kind: values["count"] for kind, values in mistakes["kinds"].items()}
    total = sum(counts.values())
    if total:
        kind = max(counts, key=lambda one: counts[one])
        yield f"Of {total:,} errors, {counts[kind]:,} are of one type: {_ADVICE[kind]}"


def _caution(metrics: _Values, interval: _Values) -> Iterator[str]:
    images = metrics.get("images", 0)
    if any(interval.get(name) for name in ("recall", "precision", "count_ratio")):
        yield "In 95 of 100 such evaluations, a 95 % interval contains the number for all images of the same kind."
    if images < FEW_IMAGES or not interval:
        count = f"{images:,} {plural('image', images)} {plural('was', images)}"
        yield f"Only {count} evaluated: other images may give quite different numbers."
    # eval.json has no key, because the trainer chooses the thresholds on the images that it evaluates.
    if "these images" in metrics.get("thresholds_from", "these images"):
        yield "The thresholds were chosen on these images, so expect somewhat worse numbers on new ones."

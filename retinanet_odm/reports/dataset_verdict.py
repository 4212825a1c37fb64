"""Whether a data set is enough to begin with, in sentences: the first lines of its page and of that of a check."""

from collections.abc import Iterator, Mapping

from retinanet_odm.dataset.leakage import Leakage

# With 50 labelled images of BCCD, a class of 50 boxes is found; with 10 held-out boxes, a share is known to about 30 in
# 100.
ENOUGH_TO_LEARN = 50
ENOUGH_TO_JUDGE = 10
_MANY_WITHOUT = 0.5  # share of images without objects


def dataset_verdict(
    training: Mapping[str, int],
    held_out: Mapping[str, Mapping[str, int]],
    *,
    without_objects: float = 0.0,
    leakage: Leakage | None = None,
) -> list[str]:
    """Return the sentences, the verdict first.

    Args:
      training: boxes of each class to learn from, 0 where there is none.
      held_out: boxes of each class, by the split that judges the model.
      without_objects: share of the images that have no object, 0..1.
      leakage: what the splits have in common.

    Example:
      >>> dataset_verdict({"crab": 80}, {"val": {"crab": 12}})
      ['Enough to begin: each class has 50 boxes or more to learn from.']
    """
    return [*_to_learn(training), *_to_judge(held_out), *_without(without_objects), *_leaked(leakage)]


def _to_learn(training: Mapping[str, int]) -> Iterator[str]:
    if not any(training.values()):
        yield "Nothing to learn from: no image for training has a box."
    elif few := _below(training, ENOUGH_TO_LEARN):
        yield f"Too few boxes to learn from: {few}. Label at least {ENOUGH_TO_LEARN} of each, or merge classes."
    else:
        yield f"Enough to begin: each class has {ENOUGH_TO_LEARN} boxes or more to learn from."


def _to_judge(held_out: Mapping[str, Mapping[str, int]]) -> Iterator[str]:
    for split, boxes in held_out.items():
        if few := _below(boxes, ENOUGH_TO_JUDGE):
            yield f"Too few boxes in {split} to judge a model by: {few}."


def _below(boxes: Mapping[str, int], limit: int) -> str:
    """List the classes with fewer boxes than the limit, the rarest first."""
    few = sorted((count, name) for name, count in boxes.items() if count < limit)
    return ", ".join(f"{name} ({count:,})" for count, name in few)


def _without(share: float) -> Iterator[str]:
    if share > _MANY_WITHOUT:
        yield f"{share:.0%} of the images have no object: make sure that all of them were looked at."


def _leaked(leakage: Leakage | None) -> Iterator[str]:
    for split in leakage.held_out if leakage else ():
        if seen := split.exact + split.near:
            share = f"{seen:,} of {split.images:,} images in {split.split}"
            yield f"{share} are, or nearly are, in training too: the evaluation will be too optimistic."

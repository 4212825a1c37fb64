"""Words of messages: those that follow a count, and lists of scores by class."""

from collections.abc import Mapping

_PLURALS = {
    "box": "boxes",
    "class": "classes",
    "stratum": "strata",
    "has": "have",
    "info": "info",
    "is": "are",
    "was": "were",
}


def plural(word: str, count: int) -> str:
    """Return a noun or a verb as it stands with a count.

    Example:
      >>> f"1 {plural('box', 1)}, 2 {plural('box', 2)}, 0 {plural('image', 0)}"
      '1 box, 2 boxes, 0 images'
    """
    return word if count == 1 else _PLURALS.get(word, f"{word}s")


def describe_min_scores(by_name: Mapping[str, float]) -> str:
    """Return minimum scores by class in one line.

    Example:
      >>> describe_min_scores({"crab": 0.5, "sea pig": 0.5}), describe_min_scores({"crab": 0.5, "sea pig": 0.61})
      ('0.5 for every class', 'crab 0.5, sea pig 0.61')
    """
    if len(set(by_name.values())) == 1:
        return f"{next(iter(by_name.values())):g} for every class"
    return ", ".join(f"{name} {score:g}" for name, score in by_name.items())

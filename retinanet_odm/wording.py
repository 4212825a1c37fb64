"""Words of messages that follow a count."""

_PLURALS = {"box": "boxes", "info": "info", "is": "are", "was": "were"}


def plural(word: str, count: int) -> str:
    """Return a noun or a verb as it stands with a count.

    Example:
      >>> f"1 {plural('box', 1)}, 2 {plural('box', 2)}, 0 {plural('image', 0)}"
      '1 box, 2 boxes, 0 images'
    """
    return word if count == 1 else _PLURALS.get(word, f"{word}s")

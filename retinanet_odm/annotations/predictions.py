"""Predictions in place of annotations: they are accepted only if the user asks for them by a minimum score."""

from retinanet_odm.errors import AnnotationError


def check_accepted(min_score: float | None, seen: str, source: str) -> None:
    """Raise AnnotationError if predictions are not accepted.

    Args:
      min_score: the minimum score of predictions; None if they are not accepted.
      seen: what the file has, for the message.
      source: the file's name, for the message.
    """
    if min_score is None:
        detail = (
            f"{source}: these are predictions and not annotations ({seen}); to learn from them all the same, give"
            " --min_score, such as --min_score=0.8"
        )
        raise AnnotationError("predictions_not_accepted", detail)

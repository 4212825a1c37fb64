"""What the page asks for, as plain values: the run, a selection, an image, a decision, an export. No HTTP here.

Begin with `ReviewService`, of which `app` maps each method to an address.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from inference.review_page.decision_log import DecisionLog
from inference.review_page.decisions import ACTIONS, OPEN, Decision, check_objects, first_objects
from inference.review_page.listed_images import ImageFilter, ListedImages, filter_images
from inference.review_page.pictures import SIZES, Picture, Pictures
from retinanet_odm.errors import DataError, UsageError
from retinanet_odm.imaging.drawing import colour_of
from retinanet_odm.predictions.rows import OK, PredictionRow, reaches

LabelWriter = Callable[[tuple[str, ...]], list[str]]


class UnknownImageError(Exception):
    """There is no image of this number."""


class ReviewService:
    """A review of the images of one run. Threads may share it."""

    def __init__(self, images: ListedImages, log: DecisionLog, pictures: Pictures, export: LabelWriter) -> None:
        """Review images.

        Args:
          images: that are listed.
          log: of the decisions.
          pictures: to look at.
          export: writes the reviewed images in formats, and returns the paths of the files.
        """
        self._images, self._log, self._pictures, self._export = images, log, pictures, export
        self._names = [row.image for row in images.rows]

    def describe_run(self) -> dict[str, Any]:
        """Return what the page shows of the run, and columns with an entry for each image."""
        images, states = self._images, self._log.states
        places = sorted(set(images.deployments))
        numbers = {place: number for number, place in enumerate(places)}
        return {
            "model": images.run.model,
            "decisions": self._log.path,
            "classes": [
                {"name": name, "colour": colour_of(label_id), "threshold": images.run.thresholds[label_id]}
                for label_id, name in images.run.classes.items()
            ],
            "deployments": places,
            "audit": bool(images.audited),
            "images": {
                "name": self._names,
                "deployment": [numbers[place] for place in images.deployments],
                "uncertainty": list(images.uncertainties),
                "failed": [number for number, row in enumerate(images.rows) if row.status != OK],
                "started": [number for number, name in enumerate(self._names) if name in states],
                "done": [number for number, name in enumerate(self._names) if name in states and states[name].done],
            },
        }

    def select(self, wanted: ImageFilter) -> list[int]:
        """Return the numbers of the images that a filter selects."""
        return filter_images(self._images, wanted, self._log.states)

    def describe_image(self, number: int) -> dict[str, Any]:
        """Return an image with its detections, and its objects as they were decided.

        Raises:
          UnknownImageError: there is no image of this number.
        """
        row = self._row(number)
        state = self._log.states.get(row.image)
        thresholds = self._images.run.thresholds
        objects = state.objects if state else first_objects(row, thresholds)
        # Detections of a row that has changed since are not those that the decisions were about.
        is_current = state is None or state.row == row.key
        return {
            "image": row.image,
            "width": row.width,
            "height": row.height,
            "failure": row.detail if row.status != OK else None,
            "deployment": row.deployment,
            "time": row.frame.time.isoformat(sep=" ") if row.frame else None,
            "uncertainty": self._images.uncertainties[number],
            "is_current": is_current,
            "detections": [{**item.to_dict(), "counts": reaches(item, thresholds)} for item in row.detections],
            "objects": [{**item.to_dict(), **({} if is_current else {"detection": None})} for item in objects],
            "done": bool(state and state.done),
            "version": self._log.versions[row.image],
        }

    def decide(self, number: int, value: Mapping[str, Any]) -> dict[str, Any]:
        """Append a decision of the page.

        Args:
          number: of the image.
          value: action, done, objects and version, as in `Decision` and `describe_image`.

        Returns:
          The version of the image after it.

        Raises:
          UnknownImageError: there is no image of this number.
          DataError: it is no decision about this image, or the image failed.
          StaleDecisionError: another window has decided since.
          OSError: it cannot be written.
        """
        row = self._row(number)
        action, done, objects, version = (value.get(name) for name in ("action", "done", "objects", "version"))
        if action not in ACTIONS or not isinstance(done, bool) or not isinstance(objects, list):
            raise DataError("not_a_decision", f"expected an action of {', '.join(ACTIONS)}, done and objects")
        if not isinstance(version, int):
            raise DataError("not_a_decision", "expected the version of the image")
        if row.status != OK:
            raise DataError("image_failed", f"{row.image} was not scored: {row.detail}")
        state = self._log.states.get(row.image)
        # With another model, an image may have been reviewed whose classes this one does not have.
        labels = {*self._images.run.classes.values(), *(item.label for item in (state.objects if state else ()))}
        checked = check_objects(objects, row, labels)
        if done and any(item.verdict == OPEN for item in checked):
            raise DataError("open_objects", "expected an accepted or rejected verdict of every object")
        decision = Decision(
            image=row.image,
            row=row.key,
            action=action,
            done=done,
            objects=checked,
            time=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        )
        return {"version": self._log.append(decision, after=version)}

    def picture(self, number: int, size: str) -> Picture:
        """Return an image for the screen.

        Raises:
          UnknownImageError: there is no image of this number, or no such size.
          DataError: it cannot be read.
          UsageError: the storage does not answer.
        """
        if size not in SIZES:
            raise UnknownImageError
        return self._pictures.picture(self._row(number).image, size)

    def export(self, formats: list[str]) -> dict[str, Any]:
        """Write the reviewed images in formats, and return the paths of the files.

        Raises:
          UsageError: there is nothing to write, or a file may not be overwritten.
        """
        if not formats or not all(isinstance(name, str) for name in formats):
            raise UsageError("expected the names of formats")
        return {"files": self._export(tuple(formats))}

    def _row(self, number: int) -> PredictionRow:
        if not 0 <= number < len(self._images.rows):
            raise UnknownImageError
        return self._images.rows[number]

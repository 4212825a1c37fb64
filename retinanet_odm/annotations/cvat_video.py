"""Reads CVAT for video 1.1: the tracks of a file become the objects of every frame.

The frames of the video must be given as images. Begin with `TrackCollector`, which `cvat.read_cvat` fills.

Assumptions, from CVAT's exporter (cvat/apps/dataset_manager/bindings.py and formats/cvat.py):

- The image of a frame is named frame_%06d, by the number of the frame in the video; the file does not give its
  extension. A task made of images has other names, which this export does not contain. It is rejected with the advice
  to export it as CVAT for images.
- A track lists every frame, also interpolated ones; only the attribute keyframe differs. So keyframe is ignored, and
  nothing is interpolated here. If a track skips a frame without being outside before, that frame is unreadable: either
  it was deleted in CVAT and has no image, or the file lists only keyframes and the object is missing.
- outside="1" means that the object is not on that frame.
- <meta> gives start_frame, stop_frame, the step (in frame_filter) and the number of frames (size): frames without
  an object are true negatives. If these four disagree, only frames with shapes are known.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from lxml import etree

from retinanet_odm.annotations.cvat_shapes import ShapeCollector
from retinanet_odm.annotations.safe_xml import element_position, is_true, line_of, parse_index, text_of
from retinanet_odm.annotations.types import ImageAnnotation
from retinanet_odm.errors import AnnotationError

# The largest number of frames that frame_%06d can name. It also bounds the memory that a malicious <size> can claim.
_MAX_FRAMES = 1_000_000
_STEP = re.compile(r"step=([0-9]{1,6})")


@dataclass(frozen=True, kw_only=True)
class CvatTask:
    """A <task> or <job> of <meta>.

    Attributes:
      task_id: None for a job, whose id is another one.
      mode: "interpolation" for a video, "annotation" for images.
      subset: train, validation or test, if given.
      frames: the numbers of its frames; empty if they are not known.
      size: (width, height) in pixels.
    """

    task_id: str | None
    mode: str
    subset: str | None
    frames: range
    size: tuple[int | None, int | None]


@dataclass(frozen=True, kw_only=True, order=True)
class _Gap:
    """Frames that a track skips: the first and last of them, and the shape at which the track continues."""

    first: int
    last: int
    line: int | None = field(compare=False)
    position: str = field(compare=False)


def read_tasks(meta: etree._Element, source: str) -> list[CvatTask]:
    """Reads the tasks of a task, job or project export.

    Raises:
      AnnotationError: a number of frames or pixels cannot be read, or there are more than a million frames.
    """
    elements = [*meta.iterfind("task"), *meta.iterfind("job"), *meta.iterfind("project/tasks/task")]
    tasks = [_task(element, source) for element in elements]
    frames = sum(len(task.frames) for task in tasks)
    if frames > _MAX_FRAMES:
        raise AnnotationError("video_too_long", f"{source}: expected at most {_MAX_FRAMES} frames, found {frames}")
    return tasks


def _task(element: etree._Element, source: str) -> CvatTask:
    width, height = (_meta_number(element, f"original_size/{side}", source) for side in ("width", "height"))
    return CvatTask(
        task_id=(text_of(element, "id") or None) if element.tag == "task" else None,
        mode=text_of(element, "mode"),
        subset=text_of(element, "subset") or None,
        frames=_frames(element, source),
        size=(width or None, height or None),
    )


def _frames(element: etree._Element, source: str) -> range:
    start, stop, size = (_meta_number(element, name, source) for name in ("start_frame", "stop_frame", "size"))
    frames = range(start, stop + 1, _step(element))
    # If <meta> is incomplete or inconsistent, only frames with shapes are known: see the module docstring.
    return frames if text_of(element, "stop_frame") and len(frames) == size else range(0)


def _step(element: etree._Element) -> int:
    step = _STEP.search(text_of(element, "frame_filter"))
    return max(1, int(step[1])) if step else 1


def _meta_number(element: etree._Element, name: str, source: str) -> int:
    return parse_index(text_of(element, name) or "0", f"<{name}> in <meta>", source, line_of(element))


class TrackCollector:
    """Collects the tracks of one file. Memory grows with the shapes: a track may span the complete video."""

    def __init__(self, tasks: Iterable[CvatTask], source: str) -> None:
        self._tasks = {task.task_id: task for task in tasks}
        self._source = source
        self._shapes: dict[str | None, dict[int, ShapeCollector]] = {key: {} for key in self._tasks}
        self._gaps: dict[str | None, list[_Gap]] = defaultdict(list)
        self._check_tasks_are_videos()

    def _check_tasks_are_videos(self) -> None:
        for task in self._tasks.values():
            if task.mode == "annotation":
                detail = (
                    f"{self._source}: tracks of a task made of images, whose names CVAT for video does not hold;"
                    " export the task as CVAT for images 1.1"
                )
                raise AnnotationError("video_of_images", detail)

    def add(self, track: etree._Element) -> None:
        """Adds one <track>.

        Raises:
          AnnotationError: a frame number cannot be read, so that the shape belongs to no image.
        """
        # Only project exports name the task of a track.
        key = track.get("task_id") or (next(iter(self._tasks)) if len(self._tasks) == 1 else None)
        task = self._tasks.get(key)
        step = task.frames.step if task else 1
        before = None
        # Sorted, because a gap shows only between neighbouring frames.
        for frame, shape in sorted(self._by_frame(track), key=lambda pair: pair[0]):
            if before is not None and frame > before + step:
                self._gaps[key].append(
                    _Gap(first=before + 1, last=frame - 1, line=line_of(shape), position=element_position(shape))
                )
            # A track that was outside before has no gap: its object was not there.
            before = None if is_true(shape.get("outside")) else frame
            if before is not None:
                frames = self._shapes.setdefault(key, {})
                frames.setdefault(frame, ShapeCollector()).add(shape, track.get("label"), self._source)

    def _by_frame(self, track: etree._Element) -> Iterator[tuple[int, etree._Element]]:
        for shape in track.iterchildren("*"):
            where = f"frame of <{shape.tag}>, {element_position(shape)}"
            yield parse_index(shape.get("frame"), where, self._source, line_of(shape)), shape

    def images(self) -> Iterator[ImageAnnotation]:
        """Yields the annotation of each frame that is listed in <meta> or has a shape, by task and frame number."""
        for key in sorted(self._shapes, key=lambda key: key or ""):
            yield from self._images_of(key)

    def _images_of(self, key: str | None) -> Iterator[ImageAnnotation]:
        task, shapes = self._tasks.get(key), self._shapes[key]
        # A sweep over the frames: gaps that have begun are taken from the end of the list.
        gaps, missing = sorted(self._gaps[key], reverse=True), None
        for frame in sorted({*shapes, *(task.frames if task else ())}):
            collector = shapes.get(frame) or ShapeCollector()
            # Gaps may overlap: of those that have begun, the one that ends last counts.
            while gaps and gaps[-1].first <= frame:
                missing = max(gaps.pop(), missing, key=lambda gap: gap.last if gap else -1)
            if missing and frame <= missing.last:
                collector.add_unreadable(self._gap_error(frame, missing), missing.line)
            size, subset = (task.size, task.subset) if task else ((None, None), None)
            yield collector.annotation(f"frame_{frame:06d}", size, self._source, subset=subset, task=key)

    def _gap_error(self, frame: int, gap: _Gap) -> AnnotationError:
        detail = (
            f"{self._source}: frame {frame}: a track that continues at {gap.position} has no shape on this frame;"
            " was the file written without interpolated frames?"
        )
        return AnnotationError("frame_missing_in_track", detail)

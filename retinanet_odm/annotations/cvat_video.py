"""Reads CVAT for video 1.1: the tracks of a file become the objects of every frame.

The frames of the video must be given as images. Begin with `TrackCollector`, which `cvat.read_cvat` fills.

Assumptions, from CVAT's exporter (cvat/apps/dataset_manager/bindings.py and formats/cvat.py):

- The image of a frame is named frame_%06d, by the number of the frame in the video; the file does not give its
  extension. A task made of images has other names, which this export does not contain. It is rejected with the advice
  to export it as CVAT for images.
- A track lists every frame, also interpolated ones; only the attribute keyframe differs. So keyframe is ignored, and
  nothing is interpolated here. If a track skips a frame without being outside before, that frame is unreadable: either
  it was deleted in CVAT and has no image, or the file lists only keyframes and the object is missing.
- outside="1" means that the object is not on that frame. A track without it goes on to the last frame. If a track ends
  before, its object may be on the frames that follow, which are unreadable; except for the last frame, because CVAT
  leaves out the end of a shape that was drawn on the frame before the last. That one is kept with a remark.
- A track with skeletons holds nothing else. It has no boxes, and is ignored alone: its skeletons are counted. Older
  versions of CVAT write their points as tracks within it.
- <meta> gives start_frame, stop_frame, the step (in frame_filter) and the number of frames (size): frames without
  an object are true negatives. If these four disagree, only frames with shapes are known.
"""

import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from lxml import etree

from retinanet_odm.annotations.collector import POINTS, SKELETON, ObjectCollector
from retinanet_odm.annotations.cvat_shapes import WITHOUT_BOX, add_shape, check_inside
from retinanet_odm.annotations.safe_xml import element_position, line_of, misplaced, text_of
from retinanet_odm.annotations.types import ImageAnnotation, Remark
from retinanet_odm.annotations.values import parse_flag, parse_index
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


@dataclass(frozen=True, kw_only=True)
class _Shape:
    """A shape of a track, with its frame."""

    frame: int
    element: etree._Element
    is_outside: bool


@dataclass(frozen=True, kw_only=True, order=True)
class _Gap:
    """Frames on which a track has no shape, though its object may be there.

    Attributes:
      first, last: of the frames.
      is_end: the track does not continue after them.
      line, position: of the shape at which the track continues, or of its last one.
    """

    first: int
    last: int
    is_end: bool = field(compare=False)
    line: int | None = field(compare=False)
    position: str = field(compare=False)


def read_tasks(meta: etree._Element, source: str) -> list[CvatTask]:
    """Read the tasks of a task, job or project export.

    Raises:
      AnnotationError: a number of frames or pixels cannot be read, or there are more than a million frames.
    """
    # Where <meta> has them in the export of a task, of a job and of a project.
    elements = [*meta.iterfind("task"), *meta.iterfind("job"), *meta.iterfind("project/tasks/task")]
    tasks = [_task(element, source) for element in elements]
    frames = sum(len(task.frames) for task in tasks)
    if frames > _MAX_FRAMES:
        raise AnnotationError("video_too_long", f"{source}: expected at most {_MAX_FRAMES} frames, found {frames}")
    return tasks


def _task(element: etree._Element, source: str) -> CvatTask:
    width, height = (_meta_number(element, f"original_size/{side}", source) for side in ("width", "height"))
    return CvatTask(
        task_id=(text_of(element, "id", source) or None) if element.tag == "task" else None,
        mode=text_of(element, "mode", source),
        subset=text_of(element, "subset", source) or None,
        frames=_frames(element, source),
        size=(width or None, height or None),
    )


def _frames(element: etree._Element, source: str) -> range:
    start, stop, size = (_meta_number(element, name, source) for name in ("start_frame", "stop_frame", "size"))
    # stop_frame is the last frame, so the end of the range is one more.
    frames = range(start, stop + 1, _step(element, source))
    # If <meta> is incomplete or inconsistent, only frames with shapes are known: see the module docstring.
    return frames if text_of(element, "stop_frame", source) and len(frames) == size else range(0)


def _step(element: etree._Element, source: str) -> int:
    step = _STEP.search(text_of(element, "frame_filter", source))
    return max(1, int(step[1])) if step else 1


def _meta_number(element: etree._Element, name: str, source: str) -> int:
    return parse_index(text_of(element, name, source) or "0", f"<{name}> in <meta>", source, line_of(element))


class TrackCollector:
    """Collects the tracks of one file. Memory grows with the shapes: a track may span the complete video."""

    def __init__(self, tasks: Iterable[CvatTask], source: str) -> None:
        self._tasks = {task.task_id: task for task in tasks}
        self._source = source
        # One entry for each task from the start: a task without shapes still has frames.
        self._shapes: dict[str | None, dict[int, ObjectCollector]] = {key: {} for key in self._tasks}
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
        """Add one <track>.

        Raises:
          AnnotationError: a frame number cannot be read, so that the shape belongs to no image.
        """
        # Only project exports name the task of a track.
        key = track.get("task_id") or (next(iter(self._tasks)) if len(self._tasks) == 1 else None)
        if track.find(SKELETON) is not None:
            for frame in _skeleton_frames(track, self._source):
                self._collector(key, frame).ignore(SKELETON)
            return
        # Sorted, because a gap shows only between neighbouring frames.
        shapes = sorted(self._shapes_of(track, key), key=lambda shape: shape.frame)
        times = Counter(shape.frame for shape in shapes)
        for shape in shapes:
            if times[shape.frame] > 1:
                detail = f"{self._source}: {element_position(shape.element)}: a track has {times[shape.frame]} shapes"
                # Two shapes of one track on a frame contradict each other: only that frame is unreadable.
                error = AnnotationError("element_repeated", f"{detail} on frame {shape.frame}, expected one")
                self._collector(key, shape.frame).add_unreadable(error, line_of(shape.element))
            elif not shape.is_outside:
                add_shape(self._collector(key, shape.frame), shape.element, track.get("label"), self._source)
        self._add_gaps(key, [shape for shape in shapes if shape.element.tag not in WITHOUT_BOX])

    def _collector(self, key: str | None, frame: int) -> ObjectCollector:
        return self._shapes.setdefault(key, {}).setdefault(frame, ObjectCollector())

    def _shapes_of(self, track: etree._Element, key: str | None) -> Iterator[_Shape]:
        for element in track.iterchildren("*"):
            check_inside(element, self._source)  # a shape in it would belong to another frame
            frame = _frame(element, self._source)
            try:
                is_outside = _is_outside(element, self._source)
            except AnnotationError as error:
                self._collector(key, frame).add_unreadable(error)
                is_outside = True
            yield _Shape(frame=frame, element=element, is_outside=is_outside)

    def _add_gaps(self, key: str | None, shapes: Sequence[_Shape]) -> None:
        """Find the frames on which the object of a track may be, without a shape; shapes are sorted by frame."""
        task = self._tasks.get(key)
        frames = task.frames if task else range(0)
        # A track that was outside before has no gap: its object was not there.
        for before, shape in itertools.pairwise(shapes):
            if not before.is_outside and shape.frame > before.frame + frames.step:
                self._add_gap(key, before.frame + 1, shape.frame - 1, shape.element, is_end=False)
        # The end of the track, judged by the last frame of its task.
        last = shapes[-1] if shapes else None
        if last is None or last.is_outside or not frames or last.frame >= frames[-1]:
            return
        if last.frame + frames.step < frames[-1]:
            self._add_gap(key, last.frame + 1, frames[-1], last.element, is_end=True)
        else:
            detail = (
                f"{self._source}: a track ends at {element_position(last.element)} without outside, on the frame before"
                f" the last; frame {frames[-1]} is taken to be without its object, because CVAT writes no end there"
            )
            remark = Remark(reason="track_end_assumed", detail=detail, line=line_of(last.element))
            self._collector(key, frames[-1]).add_remark(remark)

    def _add_gap(self, key: str | None, first: int, last: int, shape: etree._Element, *, is_end: bool) -> None:
        line, position = line_of(shape), element_position(shape)
        self._gaps[key].append(_Gap(first=first, last=last, is_end=is_end, line=line, position=position))

    def images(self) -> Iterator[ImageAnnotation]:
        """Yield the annotation of each frame that is listed in <meta> or has a shape, by task and frame number."""
        for key in sorted(self._shapes, key=lambda key: key or ""):
            yield from self._images_of(key)

    def _images_of(self, key: str | None) -> Iterator[ImageAnnotation]:
        task, shapes = self._tasks.get(key), self._shapes[key]
        # A sweep over the frames: gaps that have begun are taken from the end of the list.
        gaps, missing = sorted(self._gaps[key], reverse=True), None
        for frame in sorted({*shapes, *(task.frames if task else ())}):
            collector = shapes.get(frame) or ObjectCollector()
            # Gaps may overlap: of those that have begun, the one that ends last counts.
            while gaps and gaps[-1].first <= frame:
                missing = max(gaps.pop(), missing, key=lambda gap: gap.last if gap else -1)
            if missing and frame <= missing.last:
                collector.add_unreadable(self._gap_error(frame, missing), missing.line)
            size, subset = (task.size, task.subset) if task else ((None, None), None)
            yield collector.annotation(f"frame_{frame:06d}", size, self._source, subset=subset, task_id=key)

    def _gap_error(self, frame: int, gap: _Gap) -> AnnotationError:
        where = f"{self._source}: frame {frame}"
        if gap.is_end:
            detail = f"{where}: a track ends at {gap.position} without outside, so its object may be on this frame"
            return AnnotationError("track_without_end", detail)
        detail = (
            f"{where}: a track that continues at {gap.position} has no shape on this frame;"
            " was the file written without interpolated frames?"
        )
        return AnnotationError("frame_missing_in_track", detail)


def _frame(shape: etree._Element, source: str) -> int:
    where = f"frame of <{shape.tag}>, {element_position(shape)}"
    return parse_index(shape.get("frame"), where, source, line_of(shape))


def _skeleton_frames(track: etree._Element, source: str) -> set[int]:
    """Return the frames on which a track of skeletons has one.

    Raises:
      AnnotationError: a frame cannot be read, or the track holds other shapes, which would be lost.
    """
    frames = set()
    for child in track.iterchildren("*"):
        if child.tag == "track":
            frames |= {_frame(shape, source) for shape in _points_of(child, source) if not _is_outside(shape, source)}
        elif child.tag != SKELETON:
            raise misplaced(child, f"only <{SKELETON}> in a <track> of skeletons", source)
        elif not _is_outside(child, source):
            check_inside(child, source)
            # In older files, only the points have frames.
            if child.get("frame") is not None or track.find("track") is None:
                frames.add(_frame(child, source))
    return frames


def _points_of(track: etree._Element, source: str) -> Iterator[etree._Element]:
    for shape in track.iterchildren("*"):
        if shape.tag != POINTS:
            raise misplaced(shape, f"only <{POINTS}> in the <track> of a skeleton", source)
        check_inside(shape, source)
        yield shape


def _is_outside(shape: etree._Element, source: str) -> bool:
    where = f"outside of <{shape.tag}>, {element_position(shape)}"
    return parse_flag(shape.get("outside"), where, source, line_of(shape))

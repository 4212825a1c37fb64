"""CVAT for video: tracks become the objects of frames, or a clear refusal."""

import io

import pytest

from retinanet_odm.annotations.cvat import read_cvat
from retinanet_odm.annotations.types import ImageAnnotation
from retinanet_odm.errors import AnnotationError


def _task(number: int = 1, mode: str = "interpolation", frames: str = "0 2 3", more: str = "") -> str:
    start, stop, size = frames.split()
    return (
        f"<task><id>{number}</id><size>{size}</size><mode>{mode}</mode><start_frame>{start}</start_frame>"
        f"<stop_frame>{stop}</stop_frame>{more}</task>"
    )


def _track(*frames: str, label: str = "x", more: str = "") -> str:
    """Frames such as "3" or "4 outside"; all of the same box."""
    boxes = (
        f'<box frame="{frame.split()[0]}" outside="{int("outside" in frame)}" occluded="0" keyframe="0"'
        ' xtl="1" ytl="2" xbr="3" ybr="4"/>'
        for frame in frames
    )
    return f'<track id="0" label="{label}" {more}>{"".join(boxes)}</track>'


def _read(meta: str, *tracks: str) -> list[ImageAnnotation]:
    data = f"<annotations><version>1.1</version><meta>{meta}</meta>{''.join(tracks)}</annotations>".encode()
    return list(read_cvat(io.BytesIO(data), source="a.xml"))


def _seen(images: list[ImageAnnotation]) -> dict[str, str]:
    return {image.filename[6:]: "".join(item.label for item in image.objects) for image in images}


@pytest.mark.parametrize(
    ("meta", "tracks", "expected"),
    [
        pytest.param(
            _task(), [_track("0", "1")], {"000000": "x", "000001": "x", "000002": ""}, id="a frame without object too"
        ),
        pytest.param(
            _task(),
            [_track("0", "1 outside")],
            {"000000": "x", "000001": "", "000002": ""},
            id="boxes outside are dropped",
        ),
        pytest.param(
            _task(),
            [_track("2", label="b"), _track("1", "2", label="a")],
            {"000000": "", "000001": "a", "000002": "ba"},
            id="two tracks meet on a frame",
        ),
        pytest.param(
            _task(frames="10 20 3", more="<frame_filter>step=5</frame_filter>"),
            [_track("10", "15", "20 outside")],
            {"000010": "x", "000015": "x", "000020": ""},
            id="every fifth frame, by its number in the video",
        ),
        pytest.param(_task(), [], {"000000": "", "000001": "", "000002": ""}, id="a video without tracks"),
        pytest.param(_task(frames="0 2 9"), [_track("1")], {"000001": "x"}, id="meta disagrees: frames with shapes"),
        pytest.param("", [_track("1")], {"000001": "x"}, id="no meta: frames with shapes"),
        pytest.param("", [], {}, id="nothing at all"),
        pytest.param(
            "<job><id>5</id><size>2</size><mode>interpolation</mode><start_frame>1</start_frame>"
            "<stop_frame>2</stop_frame></job>",
            [_track("1")],
            {"000001": "x", "000002": ""},
            id="a job",
        ),
    ],
)
def test_frames(meta: str, tracks: list[str], expected: dict[str, str]) -> None:
    images = _read(meta, *tracks)
    assert _seen(images) == expected
    assert not any(image.unreadable for image in images)


def test_frames_of_two_tasks_of_a_project_are_distinct() -> None:
    tasks = _task(1, more="<subset>Train</subset>", frames="0 0 1") + _task(2, frames="0 0 1")
    images = _read(
        f"<project><tasks>{tasks}</tasks></project>",
        _track("0", label="a", more='task_id="1"'),
        _track("0", label="b", more='task_id="2"'),
    )
    assert [(image.filename, image.task_id, image.subset, image.objects[0].label) for image in images] == [
        ("frame_000000", "1", "Train", "a"),
        ("frame_000000", "2", None, "b"),
    ]


def test_size_is_that_of_the_video() -> None:
    size = "<original_size><width>640</width><height>360</height></original_size>"
    assert {(image.width, image.height) for image in _read(_task(more=size))} == {(640, 360)}


def test_a_frame_that_a_track_skips_is_unreadable() -> None:
    images = _read(_task(frames="0 5 6"), _track("0", "3", "4 outside"), _track("1", "2", "3 outside"))
    unread = {image.filename: [fault.reason for fault in image.unreadable] for image in images if image.unreadable}
    assert unread == {"frame_000001": ["frame_missing_in_track"], "frame_000002": ["frame_missing_in_track"]}


def test_an_unreadable_shape_rejects_only_its_frame() -> None:
    images = _read(_task(), _track("0", "1").replace('xtl="1"', 'xtl="one"', 1))
    assert [[fault.reason for fault in image.unreadable] for image in images] == [["number_not_readable"], [], []]


def test_lines_are_those_of_the_file() -> None:
    track = _track("0", "1", "3").replace("<box", "\n<box").replace('xtl="1"', 'xtl="one"', 1)
    images = _read("", track)
    assert [[item.line for item in image.objects] for image in images] == [[], [3], [4]]
    assert [image.unreadable[0].line for image in _read(_task(frames="0 3 4"), track) if image.unreadable] == [2, 4], (
        "the gap"
    )
    assert {image.line for image in images} == {None}, "a frame has no element of its own"


def test_skeletons_are_counted() -> None:
    (image,) = _read("", '<track label="x"><skeleton frame="3"><points/></skeleton></track>')
    assert (image.ignored, image.objects) == ((("skeleton", 1),), ())
    assert [fault.reason for fault in image.unreadable] == ["object_without_box"], "nothing else is on the frame"


@pytest.mark.parametrize(
    ("meta", "track", "reason", "message"),
    [
        pytest.param(_task(mode="annotation"), _track("0"), "video_of_images", "as CVAT for images", id="image names"),
        pytest.param(_task(mode="annotation"), "", "video_of_images", "as CVAT for images", id="likewise, no track"),
        pytest.param("", _track("one"), "number_not_readable", "'one'", id="frame in words"),
        pytest.param("", _track("-1"), "number_not_readable", "'-1'", id="before the first frame"),
        pytest.param(
            "", _track("0").replace('<box frame="0"', "<box"), "number_not_readable", "frame of <box>", id="no frame"
        ),
        pytest.param(_task(frames="0 x 3"), "", "number_not_readable", "<stop_frame>", id="meta in words"),
        pytest.param(_task(frames="0 99999999 100000000"), "", "video_too_long", "1000000", id="a year of video"),
    ],
)
def test_refused(meta: str, track: str, reason: str, message: str) -> None:
    with pytest.raises(AnnotationError, match=message) as caught:
        _read(meta, track)
    assert caught.value.reason == reason

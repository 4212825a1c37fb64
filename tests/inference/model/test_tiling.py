"""Tiles cover an image, and every object is found once, wherever the seams are."""

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from inference.model.outcome import ModelOutput
from inference.model.tiling import MERGES, NMS, WBF, Piece, Tiling, cut_tiles, merge_tiles
from retinanet_odm import boxes as boxes_of
from retinanet_odm.errors import UsageError
from retinanet_odm.imaging.tile_grid import Window


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"side": 31}, "--tile: expected 32 pixels or more, found 31"),
        ({"side": 64, "overlap": -0.1}, "--tile_overlap: expected a fraction from 0 to 0.9, found -0.1"),
        ({"side": 64, "overlap": float("nan")}, "--tile_overlap: expected a fraction from 0 to 0.9, found nan"),
        ({"side": 64, "overlap": 1.0}, "--tile_overlap: expected a fraction from 0 to 0.9, found 1"),
        ({"side": 64, "merge": "nmm"}, "--tile_merge: expected nms or wbf, found 'nmm'"),
    ],
)
def test_bad_tilings(values: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Tiling(**values)


@pytest.mark.parametrize(
    ("height", "width", "overlap", "windows"),
    [
        pytest.param(100, 100, 0.2, [], id="an image as large as a tile has no tiles"),
        pytest.param(100, 101, 0.2, [(0, 0, 100, 100), (0, 1, 100, 101)], id="one pixel more"),
        pytest.param(50, 180, 0.2, [(0, 0, 50, 100), (0, 80, 50, 180)], id="lower than a tile"),
        pytest.param(50, 200, 0.0, [(0, 0, 50, 100), (0, 100, 50, 200)], id="no overlap"),
        pytest.param(50, 220, 0.2, [(0, 0, 50, 100), (0, 60, 50, 160), (0, 120, 50, 220)], id="spread evenly"),
    ],
)
def test_plans(height: int, width: int, overlap: float, windows: list[Window]) -> None:
    assert Tiling(side=100, overlap=overlap).plan(height, width) == windows


@given(st.integers(1, 500), st.integers(1, 500), st.integers(32, 200), st.floats(0, 0.9))
def test_tiles_cover_the_image_and_overlap(height: int, width: int, side: int, overlap: float) -> None:
    windows = Tiling(side=side, overlap=overlap).plan(height, width)
    if not windows:
        assert max(height, width) <= side
        return
    assert len(set(windows)) == len(windows)
    pixels = np.zeros([height, width, 3], np.uint8)
    assert cut_tiles(pixels, windows).shape == (len(windows), min(height, side), min(width, side), 3)
    for axis, length in ((0, height), (1, width)):
        spans = sorted({(window[axis], window[axis + 2]) for window in windows})
        assert (spans[0][0], spans[-1][1]) == (0, length)
        for (_, end), (start, _) in itertools.pairwise(spans):
            assert end - start >= side * overlap - 1e-6, "neighbours have at least that much in common"


def see(window: Window, objects: list[tuple[int, ...]], *, score: float = 0.9, error: float = 0.0) -> Piece:
    """Returns what a perfect model finds in a part of an image: objects of which at least 4 x 4 pixels are visible.

    Args:
      objects: boxes (ymin, xmin, ymax, xmax) in the image; those at odd positions have class 2, the others 1.
      error: by how many pixels edges are wrong, up and down in turn.
    """
    origin = np.tile(np.float32(window[:2]), 2)
    shown = boxes_of.as_boxes(objects) - origin
    off = error * np.float32([1, -1, -1, 1])
    height, width = window[2] - window[0], window[3] - window[1]
    clipped = boxes_of.clip(shown + off, height, width)
    visible = ((clipped[:, 2:] - clipped[:, :2]) >= 4).all(axis=1)
    classes = np.int32([1 + place % 2 for place in range(len(objects))])
    outcome = ModelOutput(
        status=0,
        height=height,
        width=width,
        boxes=clipped[visible],
        scores=np.full(int(visible.sum()), score, np.float32),
        classes=classes[visible],
    )
    return Piece(window=window, output=outcome)


def found(outcome: ModelOutput) -> set[tuple[int, tuple[float, ...]]]:
    rows = zip(outcome.classes.tolist(), outcome.boxes.tolist(), strict=True)
    made = [(label_id, tuple(round(edge, 3) for edge in box)) for label_id, box in rows]
    assert len(set(made)) == len(made)
    return set(made)


@st.composite
def scenes(draw: st.DrawFn) -> tuple[int, int, list[tuple[int, ...]]]:
    """Height, width and objects that do not touch each other: each lies in its own cell of a coarse grid."""
    height, width, cell = draw(st.integers(60, 260)), draw(st.integers(60, 260)), draw(st.integers(20, 130))
    objects = []
    for top, left in itertools.product(range(0, height - cell, cell + 8), range(0, width - cell, cell + 8)):
        if draw(st.booleans()):
            high, wide = draw(st.integers(10, cell)), draw(st.integers(10, cell))
            y, x = draw(st.integers(0, cell - high)), draw(st.integers(0, cell - wide))
            objects.append((top + y, left + x, top + y + high, left + x + wide))
    return height, width, objects


@given(scenes(), st.sampled_from(MERGES), st.booleans())
@example((100, 160, [(10, 5, 40, 155)]), NMS, False)  # longer than a tile: three parts, all of them cut
def test_a_perfect_model_finds_every_object_once_and_complete(
    scene: tuple[int, int, list[tuple[int, ...]]], how: str, with_image: bool
) -> None:
    height, width, objects = scene
    windows = Tiling(side=80, overlap=0.3).plan(height, width)
    whole = [see((0, 0, height, width), objects, score=0.3)] if with_image or not windows else []
    outcome = merge_tiles([*whole, *(see(window, objects) for window in windows)], height, width, iou=0.5, how=how)
    assert found(outcome) == {(1 + place % 2, tuple(map(float, box))) for place, box in enumerate(objects)}
    assert (np.diff(outcome.scores) <= 0).all()


@pytest.mark.parametrize("how", MERGES)
@pytest.mark.parametrize("left_edge", range(20, 81, 4))
def test_a_seam_anywhere_in_an_object_with_inexact_edges(left_edge: int, how: str) -> None:
    objects = [(20, left_edge, 50, left_edge + 40)]
    windows = Tiling(side=80, overlap=0.2).plan(80, 144)
    pieces = [see(window, objects, score=score, error=2) for window, score in zip(windows, (0.6, 0.8), strict=True)]
    (box,) = merge_tiles(pieces, 80, 144, iou=0.5, how=how).boxes.tolist()
    assert np.abs(np.subtract(box, objects[0])).max() <= 2 + 1e-5


def one(window: Window, box: tuple[float, ...], score: float, label_id: int = 1) -> Piece:
    """One detection of a piece; the box is in pixels of the piece."""
    outcome = ModelOutput(
        status=0,
        height=window[2] - window[0],
        width=window[3] - window[1],
        boxes=boxes_of.as_boxes([box]),
        scores=np.float32([score]),
        classes=np.int32([label_id]),
    )
    return Piece(window=window, output=outcome)


WHOLE, LEFT, RIGHT = (0, 0, 100, 180), (0, 0, 100, 100), (0, 80, 100, 180)


@pytest.mark.parametrize(
    ("pieces", "nms", "wbf"),
    [
        pytest.param(
            [one(LEFT, (10, 10, 30, 30), 0.9), one(WHOLE, (12, 10, 32, 30), 0.3)],
            [(0.9, (10, 10, 30, 30))],
            [(0.9, (10.5, 10, 30.5, 30))],
            id="seen by two: the better box, or the mean by score",
        ),
        pytest.param(
            [one(LEFT, (10, 60, 30, 100), 0.9), one(WHOLE, (10, 60, 30, 140), 0.3)],
            [(0.9, (10, 60, 30, 140))],
            [(0.9, (10, 60, 30, 140))],
            id="an uncut box replaces a cut one, with the better score",
        ),
        pytest.param(
            [one(LEFT, (10, 10, 30, 30), 0.9, 1), one(WHOLE, (10, 10, 30, 30), 0.3, 2)],
            [(0.9, (10, 10, 30, 30)), (0.3, (10, 10, 30, 30))],
            [(0.9, (10, 10, 30, 30)), (0.3, (10, 10, 30, 30))],
            id="two classes are two objects",
        ),
        pytest.param(
            [one(LEFT, (10, 10, 30, 30), 0.9), one(LEFT, (10, 12, 30, 32), 0.8)],
            [(0.9, (10, 10, 30, 30)), (0.8, (10, 12, 30, 32))],
            [(0.9, (10, 10, 30, 30)), (0.8, (10, 12, 30, 32))],
            id="within a piece the model has decided already",
        ),
        pytest.param(
            [one(LEFT, (10, 60, 30, 78), 0.9), one(RIGHT, (10, 2, 30, 20), 0.8)],
            [(0.9, (10, 60, 30, 78)), (0.8, (10, 82, 30, 100))],
            [(0.9, (10, 60, 30, 78)), (0.8, (10, 82, 30, 100))],
            id="objects on both sides of a seam are two",
        ),
        pytest.param(
            [one(LEFT, (10, 50, 30, 100), 0.7), one(RIGHT, (10, 0, 30, 60), 0.8)],
            [(0.8, (10, 50, 30, 140))],
            [(0.8, (10, 50, 30, 140))],
            id="two halves make one object",
        ),
        pytest.param(
            [one(LEFT, (10, 90, 30, 100), 0.9), one(RIGHT, (50, 0, 70, 60), 0.8)],
            [(0.9, (10, 90, 30, 100)), (0.8, (50, 80, 70, 140))],
            [(0.9, (10, 90, 30, 100)), (0.8, (50, 80, 70, 140))],
            id="halves at different heights are two objects",
        ),
    ],
)
def test_merging(pieces: list[Piece], nms: list, wbf: list) -> None:
    for how, expected in ((NMS, nms), (WBF, wbf)):
        outcome = merge_tiles(pieces, 100, 180, iou=0.5, how=how)
        np.testing.assert_allclose(outcome.boxes, [box for _, box in expected], rtol=1e-6)
        np.testing.assert_allclose(outcome.scores, [score for score, _ in expected])


@st.composite
def contradictions(draw: st.DrawFn) -> list[Piece]:
    """Detections of any extent anywhere in three overlapping tiles, as of a model that has learnt nothing."""
    pieces = []
    for window in (WHOLE, LEFT, RIGHT):
        height, width = window[2], window[3] - window[1]
        for _ in range(draw(st.integers(0, 6))):
            high, wide = draw(st.integers(1, height)), draw(st.integers(1, width))
            top, left = draw(st.integers(0, height - high)), draw(st.integers(0, width - wide))
            score = draw(st.integers(1, 99)) / 100
            pieces.append(one(window, (top, left, top + high, left + wide), score))
    return [*pieces, one(WHOLE, (0, 0, 1, 1), 0.01)]


CONTRADICTION = [  # all cut; joined one by one, the mean of the left edges is right of that of the right edges
    one(LEFT, (10, 60, 30, 100), 0.05),
    one(RIGHT, (10, 0, 30, 5), 0.9),
    one(LEFT, (10, 90, 30, 100), 0.9),
    one(RIGHT, (10, 0, 30, 15), 0.05),
]


@given(contradictions(), st.sampled_from(MERGES))
@example(CONTRADICTION, NMS)
@example(CONTRADICTION, WBF)
def test_a_merged_box_has_extent_and_lies_in_the_image(pieces: list[Piece], how: str) -> None:
    boxes = merge_tiles(pieces, 100, 180, iou=0.5, how=how).boxes
    assert (boxes[:, 2:] - boxes[:, :2] >= 0.99).all(), boxes
    assert (boxes >= 0).all() and (boxes[:, 2:] <= (100, 180)).all(), boxes


def test_boxes_without_extent_are_counted_over_all_pieces() -> None:
    pieces = [dataclasses.replace(see(window, []).output, without_extent=2) for window in (WHOLE, LEFT)]
    placed = [Piece(window=window, output=output) for window, output in zip((WHOLE, LEFT), pieces, strict=True)]
    assert merge_tiles(placed, 100, 180, iou=0.5, how=NMS).without_extent == 4


def test_nothing_found() -> None:
    outcome = merge_tiles([see(WHOLE, []), see(LEFT, []), see(RIGHT, [])], 100, 180, iou=0.5, how=NMS)
    assert (outcome.boxes.shape, len(outcome.scores), len(outcome.classes)) == ((0, 4), 0, 0)
    assert (outcome.height, outcome.width) == (100, 180)

"""Scenes: boxes are inside the image, and animals are visible."""

import numpy as np

from retinanet_odm.samples.scenes import SCENE_HEIGHT, SCENE_WIDTH, make_scene
from retinanet_odm.samples.sprites import SPECIES


def test_boxes_lie_inside_and_state_when_they_are_truncated() -> None:
    seen = [item for seed in range(12) for item in make_scene(seed)[1]]
    assert {item.label for item in seen} == set(SPECIES)
    for item in seen:
        ymin, xmin, ymax, xmax = item.box
        assert 0 <= ymin < ymax <= SCENE_HEIGHT
        assert 0 <= xmin < xmax <= SCENE_WIDTH
        if item.truncated:
            assert ymin == 0 or xmin == 0 or ymax == SCENE_HEIGHT or xmax == SCENE_WIDTH
    assert any(item.truncated for item in seen)


def test_animals_stand_out_from_the_ground_within_their_boxes() -> None:
    """The colours inside boxes differ from those of the background, so that a detector can learn."""
    for seed in range(4):
        image, objects = make_scene(seed)
        pixels = np.asarray(image, float)
        for item in objects:
            ymin, xmin, ymax, xmax = (round(edge) for edge in item.box)
            inside = pixels[ymin:ymax, xmin:xmax].std(axis=(0, 1)).max()
            assert inside > 1.3 * np.median(np.abs(np.diff(pixels, axis=1)))

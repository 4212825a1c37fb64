"""Scenes: boxes are inside the image and hold the animals, and animals are visible."""

import dataclasses

import numpy as np
import pytest

from retinanet_odm.samples.scenes import make_scene
from retinanet_odm.samples.seafloor import SCENE_HEIGHT, SCENE_WIDTH, Site, make_site
from retinanet_odm.samples.sprites import SPECIES


@pytest.fixture(scope="module")
def black_site() -> Site:
    """A ground on which nothing but animals is visible."""
    site = make_site(np.random.default_rng(0))
    black = np.zeros_like(site.ground)
    return dataclasses.replace(
        site, ground=black, light=black + 1, haze=np.zeros_like(site.haze), snow=0, blur=0, noise=0
    )


def test_the_boxes_hold_all_that_was_drawn_and_nothing_else(black_site: Site) -> None:
    for seed in range(6):
        image, objects = make_scene(seed, site=black_site)
        drawn = np.asarray(image).any(axis=-1)
        for item in objects:
            ymin, xmin, ymax, xmax = (round(edge) for edge in item.box)
            inside = drawn[ymin:ymax, xmin:xmax]
            # Every edge is reached to within a pixel: the sprites are reduced after their boxes were measured.
            assert all(edge.any() for edge in (inside[:2], inside[-2:], inside[:, :2], inside[:, -2:])), item
        for item in objects:
            ymin, xmin, ymax, xmax = (round(edge) for edge in item.box)
            drawn[max(ymin - 1, 0) : ymax + 1, max(xmin - 1, 0) : xmax + 1] = False
        assert not drawn.any()


def test_a_site_without_animals_gives_empty_images(black_site: Site) -> None:
    image, objects = make_scene(1, site=dataclasses.replace(black_site, animals=0))
    assert objects == () and not np.asarray(image).any()


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

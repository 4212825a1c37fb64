"""Sites: deterministic, and as different as the deployments of a project."""

import dataclasses

import numpy as np

from retinanet_odm.samples.seafloor import SCENE_HEIGHT, SCENE_WIDTH, make_site


def test_equal_generators_give_equal_sites() -> None:
    one, same = (dataclasses.asdict(make_site(np.random.default_rng(4))) for _ in range(2))
    assert all(np.array_equal(value, same[name]) for name, value in one.items())


def test_arrays_have_the_shape_of_the_image_and_light_stays_in_range() -> None:
    site = make_site(np.random.default_rng(1))
    assert site.ground.shape == site.light.shape == (SCENE_HEIGHT, SCENE_WIDTH, 3)
    assert site.haze.shape == (SCENE_HEIGHT, 1, 3)
    assert {array.dtype for array in (site.ground, site.light, site.haze)} == {np.dtype(np.float32)}
    assert site.ground.min() > 0 and site.ground.max() < 1.6
    assert site.light.min() > 0 and site.light.max() < 1.4


def test_sites_differ_in_light_turbidity_and_animals() -> None:
    sites = [make_site(np.random.default_rng(seed)) for seed in range(8)]
    for values in (
        [site.ground.mean() for site in sites],
        [site.light.mean() for site in sites],
        [site.haze.mean() for site in sites],
        [site.snow for site in sites],
        [site.animals for site in sites],
    ):
        assert len(set(values)) == len(sites)
        assert max(values) > 1.2 * min(values)

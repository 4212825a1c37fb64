"""Images with known truth: a made-up data set of seafloor animals, for the quickstart, tests and benchmarks.

Begin with `files.sample_files`, which yields the files of a sample; ``python -m retinanet_odm.samples`` writes them.

  command     the program that writes a sample
  files       the sample as (path, bytes) pairs: images, annotations and an archive
  scenes      one scene: animals on the seafloor, and the camera
  seafloor    one deployment: the ground, the light and the water that its scenes share
  sprites     one animal: colour, opacity and box

Equal seeds give equal bytes, and nothing is downloaded.
"""

from typing import TYPE_CHECKING

from retinanet_odm.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from retinanet_odm.samples.files import SAMPLE_LABELS, SampleImage, make_sample_image, sample_files
    from retinanet_odm.samples.scenes import make_scene
    from retinanet_odm.samples.sprites import draw_animal

__all__ = [
    "SAMPLE_LABELS",
    "SampleImage",
    "draw_animal",
    "make_sample_image",
    "make_scene",
    "sample_files",
]

# Imported on first use, and Pillow and numpy with them.
_MODULES = {
    "SAMPLE_LABELS": "files",
    "SampleImage": "files",
    "draw_animal": "sprites",
    "make_sample_image": "files",
    "make_scene": "scenes",
    "sample_files": "files",
}

__getattr__ = lazy_exports(__name__, _MODULES)

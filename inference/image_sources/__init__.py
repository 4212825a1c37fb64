"""Image sources: from the values of `--images` to chunks of images, and from a chunk to its images.

Begin with `listing`: `resolve_sources` interprets the values, `list_source_files` lists their files and `list_chunks`
opens archives and yields chunks, which hold names and offsets but no image. `chunks` defines them, and `read_images`
reads one, on the worker where the model runs. `tfrecords` reads the shards of a data set; zip and tar archives are read
by `retinanet_odm.storage`.
"""

from inference.image_sources.chunks import Chunk, read_images
from inference.image_sources.listing import ImageSource, list_chunks, list_source_files, resolve_sources

__all__ = ["Chunk", "ImageSource", "list_chunks", "list_source_files", "read_images", "resolve_sources"]

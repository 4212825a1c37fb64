"""How many photographs go into one call of the model: so many at most, and so many bytes of decoded pixels."""

from collections.abc import Iterable, Iterator

from detection.images import EncodedImage
from inference.model_options import ModelOptions

_BYTES_PER_PIXEL = 3


def capacity(options: ModelOptions) -> int:
    """What the weights of a batch may add up to: batch_megabytes, rounded up to a multiple of most_images."""
    return options.most_images * _share(options)


def weight(image: EncodedImage, options: ModelOptions) -> int:
    """Bytes of a batch that an image takes up: its decoded pixels, within two bounds.

    No less than its share of the batch, so that there are at most most_images in one; and no more than the batch,
    because Beam makes an empty batch before an element that fits into none.
    """
    return min(max(_BYTES_PER_PIXEL * image.width * image.height, _share(options)), capacity(options))


def batches(images: Iterable[EncodedImage], options: ModelOptions) -> Iterator[list[EncodedImage]]:
    """The images, in order, in batches as Beam makes them: each is as full as can be."""
    batch: list[EncodedImage] = []
    room = capacity(options)
    for image in images:
        if batch and weight(image, options) > room:
            yield batch
            batch, room = [], capacity(options)
        batch.append(image)
        room -= weight(image, options)
    if batch:
        yield batch


def most_tiles(options: ModelOptions) -> int:
    """The most tiles in one call of the model."""
    if options.tiling is None:
        return options.most_images
    return min(options.most_images, max(1, options.batch_bytes // (_BYTES_PER_PIXEL * options.tiling.side**2)))


def _share(options: ModelOptions) -> int:
    return -(-options.batch_bytes // options.most_images)

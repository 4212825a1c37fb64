"""How many photographs go into one call of the model: so many at most, and so many bytes of decoded pixels."""

from collections.abc import Iterable, Iterator

from detection.images import EncodedImage
from inference.model_options import ModelOptions

_BYTES_PER_PIXEL = 3


def capacity(options: ModelOptions) -> int:
    """What the weights of a batch may add up to: batch_megabytes, rounded up to a multiple of batch_size."""
    return options.batch_size * _share(options)


def weight(image: EncodedImage, options: ModelOptions) -> int:
    """Bytes of a batch that an image takes up: its decoded pixels, within two bounds.

    No less than its share of the batch, so that there are at most batch_size in one; and no more than the batch,
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
        return options.batch_size
    return min(options.batch_size, max(1, options.batch_bytes // (_BYTES_PER_PIXEL * options.tiling.side**2)))


def _share(options: ModelOptions) -> int:
    return -(-options.batch_bytes // options.batch_size)

"""Reads and writes CVAT XML 1.1 (CVAT documentation, manual/advanced/xml_format).

Begin with `read_cvat`. It reads exports for images here and passes the tracks of exports for video to `cvat_video`;
the shapes of both are read by `cvat_shapes`. `format_cvat` writes exports for images.
"""

from collections.abc import Iterable, Iterator
from typing import BinaryIO

from lxml import etree

from retinanet_odm.annotations.collector import ObjectCollector
from retinanet_odm.annotations.cvat_shapes import SHAPE_NAMES, add_shape
from retinanet_odm.annotations.cvat_video import CvatTask, TrackCollector, read_tasks
from retinanet_odm.annotations.safe_xml import check_names, element_position, iterate_xml, line_of, misplaced
from retinanet_odm.annotations.types import ImageAnnotation
from retinanet_odm.annotations.values import parse_index
from retinanet_odm.errors import AnnotationError


def read_cvat(file: BinaryIO, *, source: str) -> Iterator[ImageAnnotation]:
    """Yield every image of a task, job or project export, in file order, also images without shapes.

    An export for images is streamed: memory does not grow with the number of images. An export for video yields its
    frames after the complete file was read, see cvat_video.

    Boxes are the axis-aligned boxes around box (with its rotation), polygon, polyline, ellipse, mask and cuboid.
    Points, tags, skeletons and empty masks are counted as ignored; see collector for images that have nothing else. A
    shape that cannot be read makes its image unreadable, not the file. Width and height are as CVAT wrote them: before
    or after EXIF orientation, depending on CVAT's version.

    Args:
      file: opened for reading bytes; need not be seekable.
      source: the file's name, for messages.

    Raises:
      AnnotationError: the file is not well-formed or not CVAT's, an image has no name, the frames of a video have no
        known names, or an image, track or shape is where CVAT writes none. It is raised where the fault is found:
        images before the fault were yielded.

    Example:
      >>> import io
      >>> file = io.BytesIO(b'<annotations><image name="a.jpg" width="64" height="48"/></annotations>')
      >>> [(image.filename, image.width) for image in read_cvat(file, source="annotations.xml")]
      [('a.jpg', 64)]
    """
    tasks: list[CvatTask] | None = None
    tracks: TrackCollector | None = None
    has_images = False
    tags = ("meta", "image", "track")
    for element in iterate_xml(
        file, root="annotations", tags=tags, source=source, nesting="track", forbidden=SHAPE_NAMES
    ):
        if element.tag == "meta":
            # It says which frames a video has and what they are called, so it must be known before the first of them.
            if tasks is not None or tracks or has_images:
                raise misplaced(element, "one <meta> before all images and tracks", source)
            check_names(element, SHAPE_NAMES, source)
            tasks = read_tasks(element, source)
        elif element.tag == "image":
            has_images = True
            yield _read_image(element, tasks or [], source)
        else:
            tracks = tracks or TrackCollector(tasks or [], source)
            tracks.add(element)
    # An export for images lists every image. A file without any is a video, possibly one without tracks.
    if tracks or not has_images:
        yield from (tracks or TrackCollector(tasks or [], source)).images()


def _read_image(image: etree._Element, tasks: list[CvatTask], source: str) -> ImageAnnotation:
    name = image.get("name")
    # Without a name, no image can be paired with it, and nothing could be rejected in its place.
    if not name:
        detail = f"{source}: {element_position(image)}: expected a name on <image>, found none"
        raise AnnotationError("image_without_name", detail, line_of(image))
    collector = ObjectCollector()
    # Every child is a shape: one of an unknown kind makes the image unreadable, and is not passed over.
    for shape in image.iterchildren("*"):
        add_shape(collector, shape, shape.get("label"), source)
    width, height = (_side(image, side, collector, source) for side in ("width", "height"))
    # Only project exports name the task on each image; otherwise the file's only task is the one.
    only = tasks[0] if len(tasks) == 1 else None
    return collector.annotation(
        name,
        (width, height),
        source,
        subset=image.get("subset") or (only and only.subset) or None,
        task_id=image.get("task_id") or (only and only.task_id) or None,
        line=line_of(image),
    )


def _side(image: etree._Element, side: str, collector: ObjectCollector, source: str) -> int | None:
    """Read the width or height in pixels; missing, empty or 0 means that CVAT did not know it."""
    try:
        return parse_index(image.get(side) or "0", f"{side} of <image>, {element_position(image)}", source) or None
    except AnnotationError as error:
        collector.add_unreadable(error, line_of(image))
        return None


def format_cvat(images: Iterable[ImageAnnotation], *, labels: Iterable[str], task: str) -> bytes:
    """Format boxes as a task export of CVAT for images 1.1: one file with one <image> for each image.

    Args:
      images: with boxes in their own pixels.
      labels: the names that the task lists.
      task: its name.
    """
    head, tail = task_envelope(labels=labels, task=task)
    # One image at a time: only the bytes of all images are in memory, not their trees.
    elements = (image_element(number, image) for number, image in enumerate(images))
    body = (etree.tostring(element, pretty_print=True, encoding="utf-8") for element in elements)
    return b"".join((head, *body, tail))


def task_envelope(*, labels: Iterable[str], task: str) -> tuple[bytes, bytes]:
    """Return the bytes before and after the <image> elements of a task export, for writing these one by one."""
    root = etree.Element("annotations")
    etree.SubElement(root, "version").text = "1.1"
    task_element = etree.SubElement(etree.SubElement(root, "meta"), "task")
    etree.SubElement(task_element, "name").text = task
    label_list = etree.SubElement(task_element, "labels")
    for name in labels:
        etree.SubElement(etree.SubElement(label_list, "label"), "name").text = name
    document = etree.tostring(root, pretty_print=True, encoding="utf-8", xml_declaration=True)
    tail = b"</annotations>\n"
    return document.removesuffix(tail), tail


def image_element(number: int, image: ImageAnnotation) -> etree._Element:
    """Return the <image> element of an export, with a <box> for each object in order."""
    sides = {"width": image.width, "height": image.height}
    size = {side: str(pixels) for side, pixels in sides.items() if pixels is not None}
    element = etree.Element("image", {"id": str(number), "name": image.filename, **size})
    for item in image.objects:
        ymin, xmin, ymax, xmax = item.box
        corners = {"xtl": xmin, "ytl": ymin, "xbr": xmax, "ybr": ymax}
        attributes = {"label": item.label, "source": "manual", "occluded": str(int(item.occluded))}
        attributes |= {name: f"{value:.2f}" for name, value in corners.items()}
        etree.SubElement(element, "box", {**attributes, "z_order": "0"})
    return element

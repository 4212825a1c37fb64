"""CVAT XML 1.1 for images (CVAT documentation, manual/advanced/xml_format)."""

from collections.abc import Iterable

from lxml import etree

from detection.annotations import ImageAnnotation


def format_cvat(images: Iterable[ImageAnnotation], *, labels: Iterable[str], task: str) -> bytes:
    """Writes boxes as a CVAT for images 1.1 task export: one file, one <image> per photograph."""
    root = etree.Element("annotations")
    etree.SubElement(root, "version").text = "1.1"
    task_element = etree.SubElement(etree.SubElement(root, "meta"), "task")
    etree.SubElement(task_element, "name").text = task
    label_list = etree.SubElement(task_element, "labels")
    for name in labels:
        etree.SubElement(etree.SubElement(label_list, "label"), "name").text = name
    for number, image in enumerate(images):
        _append_image(root, number, image)
    return etree.tostring(root, pretty_print=True, encoding="utf-8", xml_declaration=True)


def _append_image(root: etree._Element, number: int, image: ImageAnnotation) -> None:
    sides = {"width": image.width, "height": image.height}
    size = {side: str(pixels) for side, pixels in sides.items() if pixels is not None}
    element = etree.SubElement(root, "image", {"id": str(number), "name": image.filename, **size})
    for item in image.objects:
        ymin, xmin, ymax, xmax = item.box
        corners = {"xtl": xmin, "ytl": ymin, "xbr": xmax, "ybr": ymax}
        attributes = {"label": item.label, "source": "manual", "occluded": str(int(item.occluded))}
        attributes |= {name: f"{value:.2f}" for name, value in corners.items()}
        etree.SubElement(element, "box", {**attributes, "z_order": "0"})

"""Reads the CSV of VGG Image Annotator (VIA): the regions of `via`, one in each row."""

from collections.abc import Iterator

from retinanet_odm.annotations.json_values import image_name_of, object_of, parse_json
from retinanet_odm.annotations.types import ImageAnnotation
from retinanet_odm.annotations.via import ViaImage, ViaRegion, annotations_of
from retinanet_odm.csv_tables import parse_table
from retinanet_odm.errors import AnnotationError, ContractError

_COLUMNS = ("filename", "file_size", "region_count", "region_id", "region_shape_attributes", "region_attributes")


def parse_via_csv(data: bytes, *, source: str) -> Iterator[ImageAnnotation]:
    """Yield every image of VIA's CSV, which has a row for each region, and one for an image without regions.

    Args:
      data: the file's bytes, UTF-8.
      source: the file's name, for messages.

    Raises:
      AnnotationError: the file is not CSV or not VIA's, an image has no name, or no attribute or several may be the
        label.
    """
    images: dict[tuple[str, str], ViaImage] = {}
    counts: dict[tuple[str, str], list[tuple[str, str]]] = {}
    try:
        # VIA 1 has a # before the header.
        text = data.decode("utf-8-sig").removeprefix("#")
        for row in parse_table(text, _COLUMNS, source=source):
            name, size, count, region_id, shape, attributes = row.cells
            if (name, size) not in images:
                filename = image_name_of(name, f"filename in line {row.line}", source)
                images[name, size] = ViaImage(filename=filename, line=row.line)
            counts.setdefault((name, size), []).append((count.strip(), region_id))
            _add_row(images[name, size], count, (shape, attributes), row.line, source)
    except (UnicodeDecodeError, ContractError) as error:
        detail = str(error) if isinstance(error, ContractError) else f"{source}: not UTF-8: {error}"
        raise AnnotationError("csv_not_well_formed", detail) from error
    for key, image in images.items():
        _check_count(image, counts[key], source)
    yield from annotations_of(images.values(), source)


def _add_row(image: ViaImage, count: str, cells: tuple[str, str], line: int, source: str) -> None:
    what = f"line {line}"
    try:
        shape, attributes = (
            object_of(parse_json(cell.encode("utf-8", "replace"), f"{source}: {what}", bool)[0], what, source)
            for cell in cells
        )
    except AnnotationError as error:
        image.faults.append(AnnotationError(error.reason, error.detail, line))
        return
    if shape or attributes or count.strip() != "0":
        image.regions.append(ViaRegion(shape=shape, attributes=attributes, what=what, line=line))


def _check_count(image: ViaImage, rows: list[tuple[str, str]], source: str) -> None:
    """Add a fault if rows of an image are missing or repeated: each of them says how many there are."""
    expected = str(len(image.regions) + len(image.faults))
    if len(set(rows)) < len(rows) or {count for count, _ in rows} != {expected}:
        found = ", ".join(sorted({repr(count) for count, _ in rows}))
        detail = (
            f"{source}: {image.filename!r}: expected a row for each region, found {expected}; region_count is {found}"
        )
        image.faults.append(AnnotationError("structure_unexpected", detail, image.line))

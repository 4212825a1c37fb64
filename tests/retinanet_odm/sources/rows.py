"""Rows of images and annotations by their names, without files behind them; and small zip files."""

import zipfile
from pathlib import Path

from retinanet_odm.annotations.types import ImageAnnotation
from retinanet_odm.sources.listing import AnnotationFile, ImageFile


def image_file(name: str) -> ImageFile:
    return ImageFile(uri=f"/i/{name}", name=name)


def image_annotation(filename: str, subset: str | None = None, task: str | None = None, **more) -> ImageAnnotation:
    sizes = {"width": None, "height": None, "objects": (), "source": "s", "subset": subset, "task_id": task}
    return ImageAnnotation(filename=filename, **{**sizes, **more})


def listed_annotation(
    name: str,
    *,
    uri: str = "/x/all.json",
    file: str = "all.json",
    subset: str | None = None,
    task: str | None = None,
):
    """Returns an image of a file that lists images."""
    return AnnotationFile(uri=uri, name=file, image_name=name, annotation=image_annotation(name, subset, task))


def voc_file(name: str, inside: str = "") -> AnnotationFile:
    return AnnotationFile(uri=f"/x/{name}", name=name, annotation=image_annotation(inside))


def broken_file(name: str) -> AnnotationFile:
    return AnnotationFile(uri=f"/x/{name}", name=name, reason="xml_not_well_formed", detail=f"/x/{name}: line 3")


def unknown_file(name: str) -> AnnotationFile:
    return AnnotationFile(uri=f"/x/{name}", name=name, reason="annotation_kind_unknown", detail=f"/x/{name}: a list")


VOC = b"<annotation><size/></annotation>"


def write_zip(path: Path, *names: str, data: bytes = VOC) -> str:
    """Writes a zip file whose members all have the same content, and returns its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for name in names:
            target.writestr(name, data)
    return str(path)

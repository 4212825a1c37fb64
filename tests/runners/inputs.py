"""The input of the runners: small, but with every kind of file and of fault."""

import shutil
from pathlib import Path

from retinanet_odm.annotations.cvat import format_cvat
from retinanet_odm.samples.files import SAMPLE_LABELS, make_sample_image, make_zip, sample_files
from tests.inference.fake_model import BLUE, FAILING_WIDTH, RED, make_image, write_manifest

LABELLED, EXPORTED = 56, 16
LOOSE, ZIPPED = 40, 24


def write_images(root: Path) -> Path:
    """Writes labelled images with XML and in a zip export, and images to score, loose and in a zip archive.

    Among the labelled: one that is truncated, one without annotation, an annotation without image, XML that is not
    well-formed and XML of another size. Among those to score: one that is truncated and one that the model fails on.
    """
    for name, data in sample_files(images=LABELLED, archive_images=0):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(data)
    images, annotations = sorted((root / "images").iterdir()), sorted((root / "annotations").iterdir())
    images[3].write_bytes(images[3].read_bytes()[:2000])
    images[5].rename(root / "images" / "alone.JPG")  # leaves an annotation without image behind
    annotations[7].write_text("<annotation><object></annotation>")
    annotations[9].write_bytes(annotations[10].read_bytes().replace(b"<width>", b"<width>1"))
    _write_export(root / "export.zip")
    _write_to_score(root)
    return root


def _write_export(path: Path) -> None:
    exported = [make_sample_image(index, first_deployment=20) for index in range(EXPORTED)]
    document = format_cvat([sample.annotation for sample in exported], labels=SAMPLE_LABELS, task="export")
    members = [(f"images/{sample.name}", sample.data) for sample in exported]
    path.write_bytes(make_zip(iter([("annotations.xml", document), *members])))


def _write_to_score(root: Path) -> None:
    (root / "to_score").mkdir()
    for number in range(LOOSE):
        painted = {RED: (number, 6, number + 15, 16), BLUE: (2, 20, 9, 28)}
        data = make_image(64 + number, 32, dict(list(painted.items())[: number % 3]))
        (root / "to_score" / f"{number:02d}.png").write_bytes(data)
    (root / "to_score" / "cut off.jpg").write_bytes(make_image(64, 64, kind="JPEG")[:200])
    (root / "to_score" / "failing.png").write_bytes(make_image(FAILING_WIDTH, 20))
    zipped = ((f"dive/é {number}.png", make_image(48 + number, 24, {BLUE: (1, 1, 9, 9)})) for number in range(ZIPPED))
    (root / "to_score.zip").write_bytes(make_zip(zipped))


def write_broken_model(model: Path, folder: Path) -> Path:
    """Copies an export and replaces its SavedModel by bytes that are none, with a matching manifest."""
    shutil.copytree(model, folder)
    (folder / "saved_model.pb").write_bytes(b"no model")
    write_manifest(folder)
    return folder

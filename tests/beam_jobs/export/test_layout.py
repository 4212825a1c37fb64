"""Which folders an export may be written into."""

from pathlib import Path

import pytest

from beam_jobs.export.layout import UNFINISHED, check_export_folder, request_text
from beam_jobs.export.options import COCO, YOLO, DatasetExportOptions
from retinanet_odm.errors import UsageError


def options(folder: Path, form: str = COCO) -> DatasetExportOptions:
    return DatasetExportOptions(dataset=str(folder / "DS"), output=str(folder / "OUT"), format=form)


MARK = request_text(options(Path()), "f")
REFUSED = [
    ({"notes.txt": ""}, "holds files that are not of this export, such as notes.txt", "a file of somebody"),
    ({"images/a.jpg": ""}, "such as images/a.jpg", "without the mark, images may be anybody's"),
    ({"export.json": "{}", UNFINISHED: MARK}, "holds an export", "killed after its last step: it is complete"),
    ({UNFINISHED: MARK.replace("coco", "yolo")}, "an unfinished export of another", "another format"),
    ({UNFINISHED: MARK.replace('"f"', '"g"')}, "an unfinished export of another", "another data set"),
]


def fill(folder: Path, content: dict[str, str]) -> None:
    for name, text in content.items():
        path = folder / "OUT" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.mark.parametrize(("content", "message", "reason"), REFUSED)
def test_refused(content: dict[str, str], message: str, reason: str, tmp_path: Path) -> None:
    fill(tmp_path, content)
    with pytest.raises(UsageError, match=message):
        pytest.fail(f"{reason}: {check_export_folder(options(tmp_path), 'f')}")
    assert {str(path.relative_to(tmp_path / "OUT")) for path in tmp_path.rglob("*.*") if path.is_file()} == set(content)


ACCEPTED = [
    ({}, [], "an empty or a new folder"),
    ({".DS_Store": ""}, [], "what systems leave behind"),
    ({f"{UNFINISHED}.tmp-0a1b2c3d": ""}, [f"{UNFINISHED}.tmp-0a1b2c3d"], "killed while the mark was written"),
    ({UNFINISHED: MARK, "images/a.jpg": "", "images/b.jpg.tmp-0a1b2c3d": ""}, ["images/b.jpg.tmp-0a1b2c3d"], "killed"),
]


@pytest.mark.parametrize(("content", "partial", "reason"), ACCEPTED)
def test_accepted(content: dict[str, str], partial: list[str], reason: str, tmp_path: Path) -> None:
    fill(tmp_path, content)
    assert check_export_folder(options(tmp_path), "f") == [f"{tmp_path}/OUT/{name}" for name in partial], reason


@pytest.mark.parametrize("output", ["DS", "DS/x", "."])
def test_folders_that_overlap(output: str, tmp_path: Path) -> None:
    request = DatasetExportOptions(dataset=str(tmp_path / "DS"), output=str(tmp_path / output), format=YOLO)
    with pytest.raises(UsageError, match="overlap"):
        check_export_folder(request, "f")

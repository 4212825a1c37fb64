"""`check`: every problem in one pass, and nothing else written; `--max_rejected`; `--resume`."""

import pytest

from beam_jobs.main import main
from retinanet_odm.dataset.problems import parse_problems

FISH = [("Scotoplanes", (1.0, 2.0, 9.0, 12.0))]


def _check(source, output, *more: str) -> list[str]:
    return ["check", *source.flags(output, *more)[1:]]


@pytest.fixture
def flawed(source):
    """Thirty good images and one of every common fault."""
    source.fill(30)
    source.add_image("no xml.jpg")
    (source.images / "broken.jpg").write_bytes(b"not an image")
    source.add_annotation("broken", FISH)
    source.add_image("half size.jpg", size=(24, 16))
    source.add_annotation("half size", FISH)
    source.add_image("flat.jpg")
    source.add_annotation("flat", [("Scotoplanes", (5.0, 5.0, 5.0, 9.0)), *FISH])
    source.add_annotation("no image", FISH)
    source.add_image("drift.jpg")
    source.add_annotation("drift", [("scotoplanes", (1.0, 2.0, 9.0, 12.0)), ("sctoplanes", (2.0, 2.0, 9.0, 12.0))])
    labels = source.root / "labels.pbtxt"
    names = ("Peniagone sp. A", "Étoile de mer", "Scotoplanes", "Elpidia")
    labels.write_text("".join(f'item {{ id: {row} name: "{name}" }}\n' for row, name in enumerate(names, 1)))
    return source


def test_check_names_everything_at_once(flawed, tmp_path, caplog, read_folder):
    output = tmp_path / "out"
    before = {**read_folder(flawed.images), **read_folder(flawed.annotations)}
    with caplog.at_level("INFO"):
        assert main(_check(flawed, output, f"--labels={flawed.root}/labels.pbtxt")) == 1
    problems = parse_problems((output / "problems.jsonl").read_text())
    found = {(row.severity, row.code, row.image or row.object) for row in problems}
    assert found >= {
        ("error", "image_without_annotation", "no xml.jpg"),
        ("error", "image_not_decodable", "broken.jpg"),
        ("warning", "size_scaled", "half size.jpg"),
        ("warning", "zero_size_box", "flat.jpg"),
        ("error", "unknown_label", "scotoplanes"),
        ("error", "unknown_label", "sctoplanes"),
        ("error", "unknown_label", "drift.jpg"),
        ("warning", "label_never_seen", "Elpidia"),
    }
    flat = next(row for row in problems if row.code == "zero_size_box")
    assert flat.file == str(flawed.annotations / "flat.xml")
    assert (
        flat.line is not None and "<object>" in (flawed.annotations / "flat.xml").read_text().split("\n")[flat.line - 1]
    )
    assert (flat.object, flat.value) == ("Scotoplanes", "xmin=5 ymin=5 xmax=9 ymax=5")
    drift = next(row for row in problems if row.object == "scotoplanes")
    assert "Scotoplanes" in drift.suggestion
    assert {path.name for path in output.iterdir()} == {"problems.jsonl", "check.html"}
    assert "unknown_label" in caplog.text
    assert {**read_folder(flawed.images), **read_folder(flawed.annotations)} == before


def test_check_of_good_data_ends_with_0(source, tmp_path, caplog):
    source.fill(40)
    with caplog.at_level("INFO"):
        assert main(_check(source, tmp_path / "out", "--splits=train=1")) == 0
    assert "0 errors" in caplog.text


def test_check_leaves_a_data_set_unchanged(source, tmp_path, read_folder):
    source.fill(6)
    assert main(source.flags(tmp_path / "out")) == 0
    before = read_folder(tmp_path / "out")
    main(_check(source, tmp_path / "out"))
    after = read_folder(tmp_path / "out")
    assert set(after) - set(before) == {"check.html"}
    assert {name: after[name] for name in before} == before, "the same problems, too"


def test_equal_images_in_two_splits_are_reported(source, tmp_path):
    for number in range(40):
        source.add_image(f"{number}.png", shade=7)
        source.add_annotation(str(number), FISH)
    assert main(_check(source, tmp_path / "out")) == 1
    codes = {row.code for row in parse_problems((tmp_path / "out" / "problems.jsonl").read_text())}
    assert "exact_duplicate_across_splits" in codes


def test_more_rejects_than_allowed(flawed, tmp_path, capfd):
    output = tmp_path / "out"
    assert main(flawed.flags(output, "--max_rejected=0.01")) == 1
    (line,) = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error: ")]
    for words in ("--max_rejected=0.01", "image_not_decodable", "rejected.jsonl"):
        assert words in line
    assert not (output / "dataset.json").exists()
    assert main(flawed.flags(output, "--max_rejected=0.5", "--resume")) == 0
    assert (output / "dataset.json").exists()


def test_annotations_without_image_may_be_an_error(source, tmp_path, capfd):
    source.fill(6)
    source.add_annotation("no image", FISH)
    assert main(source.flags(tmp_path / "out", "--without_image=refuse")) == 1
    (line,) = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error: ")]
    assert "no image.xml" in line and "--without_image=refuse" in line
    assert not (tmp_path / "out" / "dataset.json").exists()
    assert main(_check(source, tmp_path / "out", "--without_image=refuse", "--splits=train=1")) == 1
    assert main(_check(source, tmp_path / "out", "--splits=train=1")) == 0


def test_resume_after_a_change_writes_only_what_changed(source, tmp_path, read_folder):
    source.fill(24)
    output = tmp_path / "out"
    flags = source.flags(output, "--splits=train=1", "--num_shards=train=8")
    assert main(flags) == 0
    first = {path.name: path.stat().st_mtime_ns for path in output.glob("*.tfrecord")}
    source.add_annotation("StaM_6701_NF_tripod_20161110_14_24_05", FISH)
    assert main([*flags, "--resume"]) == 0
    second = {path.name: path.stat().st_mtime_ns for path in output.glob("*.tfrecord")}
    assert sum(first[name] != second[name] for name in first) == 1, "the shard of the one changed annotation"
    resumed = read_folder(output)
    assert main(flags) == 0
    assert read_folder(output) == resumed, "the same bytes as a run that kept nothing"

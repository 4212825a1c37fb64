"""Names of YOLO's classes: data.yaml in its variants, lists of lines, and faults."""

import pytest

from retinanet_odm.annotations.class_names import is_class_name_file, parse_class_names
from retinanet_odm.errors import AnnotationError

_NAMES = {0: "star", 1: "sea urchin"}


@pytest.mark.parametrize(
    ("source", "text"),
    [
        pytest.param("data.yaml", "train: ../train\nnc: 2\nnames: ['star', 'sea urchin']\n", id="a list, as Roboflow"),
        pytest.param("x/coco8.yml", "names:\n  0: star\n  1: sea urchin\n", id="by index, as Ultralytics"),
        pytest.param("data.yaml", "names:\n  '0': star\n  '1': sea urchin\n", id="indices as text"),
        pytest.param("data.yaml", "# a comment\nnames:\n- star\n- sea urchin\n", id="a list of lines"),
        pytest.param("classes.txt", "star\nsea urchin\n", id="classes.txt"),
        pytest.param("obj.names", "\ufeffstar\r\nsea urchin\r\n\r\n", id="obj.names from Windows"),
    ],
)
def test_names(source: str, text: str) -> None:
    found = parse_class_names(text.encode(), source=source)
    assert (found.names, found.has_keypoints) == (_NAMES, False)


def test_keypoints_and_numbers_as_names() -> None:
    found = parse_class_names(b"kpt_shape: [17, 3]\nnames: [2026, no, 1e3]", source="data.yaml")
    assert (found.names, found.has_keypoints) == ({0: "2026", 1: "no", 2: "1e3"}, True)


@pytest.mark.parametrize(
    ("source", "data"),
    [
        pytest.param("data.yaml", b"train: images\n", id="no names"),
        pytest.param("data.yaml", b"names: []", id="an empty list"),
        pytest.param("data.yaml", b"names: crab", id="one word"),
        pytest.param("data.yaml", b"names: {crab: 0}", id="indices and names exchanged"),
        pytest.param("data.yaml", b"names: ['', a]", id="a blank name"),
        pytest.param("data.yaml", b"names: [a, [b]]", id="a list as name"),
        pytest.param("data.yaml", b"names: [a", id="not YAML"),
        pytest.param("data.yaml", b"names: !!python/object/apply:os.getcwd []", id="code"),
        pytest.param("data.yaml", b"- a\n- b\n", id="a list alone"),
        pytest.param("data.yaml", b"names: [\xff]", id="not UTF-8"),
        pytest.param("classes.txt", b"", id="an empty file"),
        pytest.param("classes.txt", b"star\n\ncrab\n", id="a blank line between names"),
    ],
)
def test_files_that_are_rejected(source: str, data: bytes) -> None:
    with pytest.raises(AnnotationError) as caught:
        parse_class_names(data, source=f"dir/{source}")
    assert (caught.value.reason, f"dir/{source}" in caught.value.detail) == ("class_names_not_readable", True)


@pytest.mark.parametrize(
    ("path", "expected"),
    [("data.yaml", True), ("a/b.YML", True), ("a/classes.txt", True), ("obj.names", True), ("a/train.txt", False)],
)
def test_files_with_names_are_known_by_their_own(path: str, expected: bool) -> None:
    assert is_class_name_file(path) is expected

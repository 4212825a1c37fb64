"""The signatures of one export: different inputs, equal outputs, and the steps of which they consist."""

import dataclasses
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from retinanet_odm import exported_model, novelty
from retinanet_odm.dataset import example_keys
from retinanet_odm.dataset import examples as schema
from retinanet_odm.dataset.manifest import DatasetManifest
from retinanet_odm.exported_model import ModelManifest
from retinanet_odm.labels.label_map import LabelMap
from retinanet_odm.novelty import Reference
from tests.trainer.conftest import make_example, make_noise
from trainer import evaluate
from trainer.data import records
from trainer.export import saved_model
from trainer.export.reference import held_out_splits
from trainer.network import build
from trainer.presets import make_config

# An untrained network gives every class about 0.01.
SMALL = {"image_size": "64x64", "pyramid_channels": 16, "head_depth": 1, "score_threshold": 0.001}
# It converts its input itself. test_tflite_onnx exports the default backbone.
LITE0 = {**SMALL, "backbone": "efficientnet_lite0", "max_detections": 20}
OUTPUTS = {
    exported_model.BOXES: (tf.float32, (20, 4)),
    exported_model.SCORES: (tf.float32, (20,)),
    exported_model.CLASSES: (tf.int32, (20,)),
    exported_model.COUNT: (tf.int32, ()),
    exported_model.IMAGE_SIZE: (tf.int32, (2,)),
    exported_model.STATUS: (tf.int32, ()),
    exported_model.FEATURES: (tf.float32, (40 + 112 + 320,)),  # C3 to C5 of the backbone
}
INPUTS = {
    exported_model.SERVING: exported_model.IMAGE_BYTES,
    exported_model.TF_EXAMPLE: exported_model.EXAMPLES,
    exported_model.IMAGE_TENSOR: exported_model.IMAGES,
}


@pytest.fixture(scope="module")
def model(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """An untrained network as it is exported and loaded again."""
    folder = tmp_path_factory.mktemp("untrained")
    config = make_config("tiny", {**LITE0, "dataset": str(dataset), "model_dir": str(folder)})
    manifest = records.read_dataset_manifest(str(dataset))
    net = build.build_network(config, manifest)
    exported = saved_model.export_model(config, manifest, net, metrics={}, step=0)
    loaded = tf.saved_model.load(exported)
    loaded.reference = Reference.from_bytes((Path(exported) / novelty.FILE).read_bytes(), source="reference")
    return loaded


def test_the_reference_has_the_features_of_the_training_images(model: Any) -> None:
    """They are measured before the export, and are what the export returns for the same images."""
    training, held_out = ([make_example(number).encoded for number in ids] for ids in (range(1, 25), range(25, 32)))
    served = [ask(model, exported_model.SERVING, tf.constant(images)) for images in (training, held_out)]
    expected = novelty.make_reference(*(found[exported_model.FEATURES] for found in served))
    assert model.reference.limit == pytest.approx(expected.limit, rel=1e-3)
    np.testing.assert_allclose(model.reference.mean, expected.mean, rtol=1e-3)
    np.testing.assert_allclose(
        sorted(model.reference.features[:, 0]), sorted(expected.features[:, 0]), rtol=0.02, atol=0.02
    )


SPLITS = [
    ({}, ("val",), "the split that is evaluated"),
    ({"eval_split": "train"}, (), "images that were trained on are not held out"),
    ({"eval_split": "test"}, (), "nothing is chosen on the test split"),
    ({"eval_split": "other"}, (), "a split without images"),
]


@pytest.mark.parametrize(("settings", "expected", "why"), SPLITS, ids=[row[2] for row in SPLITS])
def test_which_images_are_held_out(
    dataset: Path, settings: dict[str, Any], expected: tuple[str, ...], why: str
) -> None:
    manifest = records.read_dataset_manifest(str(dataset))
    splits = {**manifest.splits, "test": manifest.splits["val"]}
    twice = dataclasses.replace(
        manifest, splits=splits, fingerprint="", images_in=manifest.images_in + splits["test"].examples
    )
    assert held_out_splits(make_config("tiny", settings), twice) == expected, why


def test_an_identity_is_of_weights_and_settings(dataset: Path, tmp_path: Path) -> None:
    """Unlike the files, which hold random names: equal networks are one model, and its export is left alone."""
    manifest = records.read_dataset_manifest(str(dataset))

    def export(folder: str, **settings: Any) -> ModelManifest:
        # Without a reference, which takes seconds.
        given = {**SMALL, "reference_images": 0, "dataset": str(dataset), "model_dir": str(tmp_path / folder)}
        given |= settings
        config = make_config("tiny", given)
        path = Path(
            saved_model.export_model(config, manifest, build.build_network(config, manifest), metrics={}, step=0)
        )
        return ModelManifest.from_json((path / ModelManifest.FILE).read_text(), source="f")

    first, other_folder = export("a"), export("b")
    sizes = {name: {"images": split.examples, "boxes": split.boxes} for name, split in manifest.splits.items()}
    assert first.dataset == {"name": dataset.name, "splits": sizes}
    assert first.versions == {"tensorflow": tf.__version__, "keras": keras.__version__}
    assert first.model_hash == other_folder.model_hash == first.identity
    same = [
        ({}, True, "the same once more"),
        ({"eval_batch_size": 3}, True, "a setting that decides no detection"),
        ({"nms_iou": 0.4}, False, "a setting of the graph"),
    ]
    for settings, is_left, reason in same:
        time = (tmp_path / "a/export/model.json").stat().st_mtime_ns
        found = export("a", **settings)
        assert ((tmp_path / "a/export/model.json").stat().st_mtime_ns == time) == is_left, reason
        assert (found.model_hash == first.model_hash) == is_left, reason
    config = make_config("tiny", {**SMALL, "reference_images": 0, "seed": 7})
    other_weights = saved_model.identify_model(config, manifest, build.build_network(config, manifest))
    assert other_weights != first.identity
    damaged = tmp_path / "b/export/saved_model.pb"
    whole = damaged.stat().st_size
    damaged.write_bytes(damaged.read_bytes()[:-1])
    assert export("b").model_hash == first.model_hash
    assert damaged.stat().st_size >= whole - 100, "a damaged export is written again"


def test_an_identity_is_of_the_images_that_others_are_compared_with(dataset: Path) -> None:
    manifest = records.read_dataset_manifest(str(dataset))
    other = dataclasses.replace(
        manifest, labels=LabelMap.from_names(["bright", "dark", "third"]), fingerprint=""
    )  # of another fingerprint
    net = build.build_network(make_config("tiny", SMALL), manifest)

    def identify(manifest: DatasetManifest, **settings: Any) -> str:
        return saved_model.identify_model(make_config("tiny", {**SMALL, **settings}), manifest, net)

    five, none = {"reference_images": 5}, {"reference_images": 0}
    assert identify(manifest, **five) == identify(manifest, **five)
    ways = [identify(manifest), identify(manifest, **five), identify(manifest, **none), identify(other, **five)]
    assert len({*ways, identify(manifest, eval_split="train", **five)}) == 5
    assert identify(other, **none) == identify(manifest, **none), "without a reference, the weights alone decide"


def ask(model: Any, signature: str, items: Any) -> dict[str, np.ndarray]:
    answer = model.signatures[signature](**{INPUTS[signature]: items})
    return {name: value.numpy() for name, value in answer.items()}


def record_of(image: bytes) -> bytes:
    """Returns a record that contains only its image."""
    feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=[image]))
    return tf.train.Example(features=tf.train.Features(feature={example_keys.ENCODED: feature})).SerializeToString()


def test_a_signature_consists_of_its_steps(model: Any) -> None:
    """A program that runs the network by other means gets the same detections."""
    signatures = model.signatures
    assert set(signatures) >= set(exported_model.SIGNATURES)
    encoded = tf.constant([make_noise(1, (50, 30)), b"no image", make_noise(2, (40, 90))])
    loaded = signatures[exported_model.DECODE](**{exported_model.IMAGE_BYTES: encoded})
    inputs = {
        name: loaded[name] for name in (exported_model.IMAGE_CANVASES, exported_model.PLACED, exported_model.IMAGE_SIZE)
    }
    rest = {name: value for name, value in loaded.items() if name != exported_model.IMAGE_CANVASES}
    found = signatures[exported_model.SUPPRESS](**rest, **signatures[exported_model.PROPOSE](**inputs))
    for name, value in ask(model, exported_model.SERVING, encoded).items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


SIZES = [
    ("as the data set has them", (96, 128)),
    ("upright, and enlarged to fit", (50, 30)),
    ("eight times as high as wide", (160, 20)),
    ("far wider than the canvas", (40, 300)),
]


@pytest.mark.parametrize(("why", "size"), SIZES, ids=[row[0] for row in SIZES])
def test_the_signatures_agree(model: Any, why: str, size: tuple[int, int]) -> None:
    encoded = [make_noise(seed, size) for seed in (1, 2)]
    pixels = tf.stack([tf.io.decode_png(data, channels=3) for data in encoded])
    expected = ask(model, exported_model.SERVING, tf.constant(encoded))
    assert expected[exported_model.COUNT].all() and expected[exported_model.IMAGE_SIZE].tolist() == [list(size)] * 2, (
        why
    )
    written = [dataclasses.replace(make_example(3), encoded=data) for data in encoded]
    batches = [
        (exported_model.TF_EXAMPLE, tf.constant([schema.encode_example(example) for example in written])),
        (exported_model.IMAGE_TENSOR, pixels),
    ]
    for name, items in batches:
        found = ask(model, name, items)
        np.testing.assert_allclose(found[exported_model.BOXES], expected[exported_model.BOXES], atol=0.5, err_msg=name)
        np.testing.assert_allclose(
            found[exported_model.SCORES], expected[exported_model.SCORES], atol=1e-3, err_msg=name
        )
        np.testing.assert_allclose(
            found[exported_model.FEATURES], expected[exported_model.FEATURES], atol=1e-3, err_msg=name
        )
        for exact in (exported_model.CLASSES, exported_model.COUNT, exported_model.IMAGE_SIZE, exported_model.STATUS):
            np.testing.assert_array_equal(found[exact], expected[exact], err_msg=f"{name} {exact}")


def test_the_evaluation_finds_what_the_export_finds(model: Any, dataset: Path, tmp_path: Path) -> None:
    images = [
        dataclasses.replace(make_example(number), encoded=make_noise(number, size), height=size[0], width=size[1])
        for number, (_, size) in enumerate(SIZES, start=1)
    ]
    path = str(tmp_path / "val.tfrecord")
    with tf.io.TFRecordWriter(path) as writer:
        for image in images:
            writer.write(schema.encode_example(image))
    config = make_config("tiny", {**LITE0, "dataset": str(dataset), "eval_batch_size": 3})
    manifest = records.read_dataset_manifest(str(dataset))
    evaluator = evaluate.Evaluator(
        config=config,
        manifest=manifest,
        network=build.build_network(config, manifest),  # the seed makes it the network that was exported
        strategy=tf.distribute.get_strategy(),
        split=records.RecordSplit(paths=(path,), examples=len(images)),
    )
    results = evaluator.detect()
    found = ask(model, exported_model.SERVING, tf.constant([image.encoded for image in images]))
    for row, image in enumerate(images):
        count = found[exported_model.COUNT][row]
        mine = [result for result in results if result["image_id"] == image.source_id]
        assert len(mine) == count > 0
        corners = [(y, x, y + height, x + width) for x, y, width, height in (result["bbox"] for result in mine)]
        np.testing.assert_allclose(found[exported_model.BOXES][row, :count], corners, atol=0.5)
        np.testing.assert_allclose(
            found[exported_model.SCORES][row, :count], [result["score"] for result in mine], atol=1e-3
        )


BROKEN = [
    ("bytes that are no image", exported_model.SERVING, b"broken"),
    ("no bytes", exported_model.SERVING, b""),
    ("no serialized tf.train.Example", exported_model.TF_EXAMPLE, b"\xff\xff broken"),
    ("an Example without features", exported_model.TF_EXAMPLE, b""),
    ("an Example whose image is broken", exported_model.TF_EXAMPLE, record_of(b"broken")),
    ("an Example cut short", exported_model.TF_EXAMPLE, record_of(make_example(1).encoded)[:-20]),
]


@pytest.mark.parametrize(("why", "signature", "broken"), BROKEN, ids=[row[0] for row in BROKEN])
def test_what_cannot_be_read_fails_alone(model: Any, why: str, signature: str, broken: bytes) -> None:
    whole = make_example(4).encoded
    good = record_of(whole) if signature == exported_model.TF_EXAMPLE else whole
    alone = ask(model, signature, tf.constant([good]))
    found = ask(model, signature, tf.constant([good, broken, good]))
    assert found[exported_model.STATUS].tolist() == [0, 1, 0], why
    for name, values in found.items():
        assert name == exported_model.STATUS or not values[1].any(), (why, name)
        np.testing.assert_allclose(values[[0, 2]], np.repeat(alone[name], 2, axis=0), atol=1e-3, err_msg=name)


def test_frames_without_pixels_are_not_decodable(model: Any) -> None:
    found = ask(model, exported_model.IMAGE_TENSOR, tf.zeros([2, 0, 5, 3], tf.uint8))
    assert found[exported_model.STATUS].tolist() == [1, 1] and not found[exported_model.COUNT].any()


@pytest.mark.parametrize("signature", INPUTS)
def test_an_empty_batch(model: Any, signature: str) -> None:
    frames = signature == exported_model.IMAGE_TENSOR
    found = ask(model, signature, tf.zeros([0, 7, 9, 3], tf.uint8) if frames else tf.constant([], tf.string))
    assert {name: (values.dtype, values.shape) for name, values in found.items()} == {
        name: (dtype.as_numpy_dtype, (0, *shape)) for name, (dtype, shape) in OUTPUTS.items()
    }

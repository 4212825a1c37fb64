"""Do detectors of other programs compute here what they compute there? Of `benchmarks.first_weights parity`.

For each network: its random weights, written by PyTorch, are read by --init_from into the network of the preset;
logits, anchors and decoded boxes are compared on the same canvases, of which one is filled by its image and one is not.
Then the network is exported: what the SavedModel finds in the encoded images, and the ONNX file on the canvases, is
compared with what the network finds in training's evaluation.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.measures import Result, python
from retinanet_odm.labels.label_map import LabelMap

CLOSE = 1e-3  # largest difference
CLOSE_PIXELS = 0.5  # of a box of an export
COMPARED = (10, 60)  # fewest and most detections of an image that are compared, the best ones
CANVAS = (224, 320)  # sides that do not halve evenly to P7
PLACED = ((224, 320), (150, 301))  # of the images on it


class Network(NamedTuple):
    """A network of another program, the suffix of the file that holds it, and our settings for it."""

    name: str
    suffix: str
    preset: str
    backbone: str = "resnet50"


BACKBONE = Network("resnet50", ".safetensors", "torchvision")
DETECTORS = (
    Network("retinanet_resnet50_fpn", ".pth", "torchvision"),
    Network("retinanet_resnet50_fpn_v2", ".safetensors", "torchvision_v2"),
    Network("detectron2_r50", ".pkl", "detectron2"),
    Network("detectron2_r101", ".pth", "detectron2", "resnet101"),
)


class Imported(NamedTuple):
    """A network of ours with weights of another program, and what it was built from; the labels are COCO's."""

    built: Any
    config: Any
    manifest: Any

    @property
    def labels(self) -> LabelMap:
        labels: LabelMap = self.manifest.labels
        return labels


def of_parity(interpreter: str, work: Path) -> Iterator[Result]:
    images = make_canvases()
    np.savez(work / "canvases.npz", images=images, placed=np.array(PLACED))
    for network in (BACKBONE, *DETECTORS):
        weights, output = work / f"{network.name}{network.suffix}", work / f"{network.name}.npz"
        files = (str(work / "canvases.npz"), str(weights), str(output))
        python("benchmarks/detectors_torch.py", network.name, *files, interpreter=interpreter)
        imported, theirs = import_network(network, weights), dict(np.load(output))
        if network is BACKBONE:
            yield from compare_backbone(network, imported, images, theirs)
        else:
            yield from compare_detector(network, imported, images, theirs)
            yield from compare_exports(network, imported, images, work / network.name)


def make_canvases() -> np.ndarray:
    """Return random images of coarse squares on canvases, padded as ours are."""
    from trainer.data import preprocess

    rng = np.random.default_rng(0)
    canvases = []
    for height, width in PLACED:
        coarse = rng.integers(0, 256, (-(-height // 8), -(-width // 8), 3), np.uint8)
        canvases.append(np.asarray(preprocess.pad(coarse.repeat(8, 0).repeat(8, 1)[:height, :width], CANVAS)))
    return np.stack(canvases)


def import_network(network: Network, weights: Path) -> Imported:
    """Build the network of a preset, and read the file into it."""
    from trainer.network.build import build_network
    from trainer.presets import make_config
    from trainer.tpu.fit import synthetic_manifest
    from trainer.weights.coco_classes import COCO_IN_ORDER
    from trainer.weights.initialise import load_initial_weights

    given = {"backbone": network.backbone, "image_size": "x".join(map(str, CANVAS)), "init_from": str(weights)}
    config = make_config(network.preset, given)
    labels = LabelMap.from_names(COCO_IN_ORDER.name_by_id.values())  # in another order: rows are found by name
    manifest = dataclasses.replace(synthetic_manifest(labels.num_classes), labels=labels, fingerprint="")
    built = build_network(config, manifest)
    load_initial_weights(built.model, labels, config)
    return Imported(built, config, manifest)


def compared(title: str, ours: np.ndarray, theirs: np.ndarray) -> Result:
    full, padded = (np.abs(ours[row] - theirs[row]).max() for row in (0, 1))
    return Result(
        title=f"{title}, full / padded canvas (<= {CLOSE:g}; deviation {theirs.std():.2f})",
        value=f"{full:.1e} / {padded:.1e}",
        good=bool(max(full, padded) <= CLOSE),
    )


def compare_backbone(
    network: Network, imported: Imported, images: np.ndarray, theirs: dict[str, Any]
) -> Iterator[Result]:
    from trainer.data import preprocess
    from trainer.network.features import MAPS, with_maps

    maps = with_maps(imported.built.model)(preprocess.normalise(images), training=False)[MAPS]
    for name, ours in zip(("c3", "c4", "c5"), maps, strict=True):
        yield compared(f"{network.name}: {name}", np.asarray(ours), theirs[name])


def compare_detector(
    network: Network, imported: Imported, images: np.ndarray, theirs: dict[str, Any]
) -> Iterator[Result]:
    from trainer.data import preprocess
    from trainer.network.targets import decode_boxes
    from trainer.weights.coco_classes import COCO_BY_CATEGORY, COCO_IN_ORDER

    built, labels = imported.built, imported.labels
    outputs = built.model(preprocess.normalise(images), training=False)
    if network.preset == "detectron2":
        rows, columns = np.arange(len(theirs["anchors"])), [COCO_IN_ORDER.id_of(name) - 1 for _, name in labels.items]
    else:  # anchors of a cell by ratio, then size; classes by category
        rows = np.arange(len(theirs["anchors"])).reshape(-1, 3, 3).transpose(0, 2, 1).ravel()
        columns = [COCO_BY_CATEGORY.id_of(name) for _, name in labels.items]
    logits, boxes = theirs["logits"][:, rows][..., columns], theirs["boxes"][:, rows][..., [1, 0, 3, 2]]
    anchors = theirs["anchors"][rows][:, [1, 0, 3, 2]]
    yield compared(f"{network.name}: logits", np.asarray(outputs["class_logits"]), logits)
    difference = np.abs(built.anchors - anchors).max()
    yield Result(
        title=f"{network.name}: {len(anchors)} anchors, pixels (<= {CLOSE:g})",
        value=f"{difference:.1e}",
        good=bool(difference <= CLOSE),
    )
    sides = np.tile(anchors[:, 2:] - anchors[:, :2], 2)
    ours = np.asarray(decode_boxes(outputs["box_shifts"], built.anchors))
    yield compared(f"{network.name}: boxes, in sides of their anchors", ours / sides, boxes / sides)


# --- exports ---

Found = dict[str, np.ndarray]  # outputs of an export by name, see retinanet_odm.exported_model


def compare_exports(network: Network, imported: Imported, images: np.ndarray, folder: Path) -> Iterator[Result]:
    """Export the network, and compare what the exports find with what the network finds."""
    import tensorflow as tf

    from retinanet_odm import exported_model
    from trainer.data import preprocess
    from trainer.export.saved_model import export_model

    placed = zip(images, PLACED, strict=True)
    encoded = tf.stack([tf.io.encode_png(image[:height, :width]) for image, (height, width) in placed])
    batch = preprocess.load_batch(encoded, CANVAS, preprocess.decode_image_bytes)
    config = imported.config.replace(
        model_dir=str(folder),
        export_formats="savedmodel,onnx",
        score_threshold=0.0,
        reference_images=0,
    )
    export = export_model(config, imported.manifest, imported.built, metrics={}, step=0)
    serve = tf.saved_model.load(export).signatures[exported_model.SERVING]
    served = {name: value.numpy() for name, value in serve(image_bytes=encoded).items()}
    ours = find(config, imported.built, batch.images, batch.placed, batch.sizes)
    yield compare_found(f"{network.name}: SavedModel", served, ours)
    on_canvas = preprocess.find_placed(batch.images)
    ours = find(config, imported.built, batch.images, on_canvas, on_canvas)
    yield compare_found(f"{network.name}: ONNX", run_onnx(Path(export) / "model.onnx", batch.images.numpy()), ours)


def find(config: Any, built: Any, canvases: Any, placed: Any, sizes: Any) -> Found:
    """Return what the evaluation of the trainer finds with a network."""
    from retinanet_odm import exported_model
    from trainer.data import preprocess
    from trainer.network import postprocess

    outputs = built.model(preprocess.normalise(canvases), training=False)
    candidates = postprocess.top_candidates(outputs, built.anchors, placed, sizes)
    found = postprocess.suppress(candidates, num_classes=built.num_classes, **config.evaluation.suppression())
    return {
        exported_model.BOXES: np.asarray(postprocess.to_image_pixels(found.boxes, placed, sizes)),
        exported_model.SCORES: np.asarray(found.scores),
        exported_model.CLASSES: np.asarray(found.classes),
        exported_model.COUNT: np.asarray(found.count),
    }


def run_onnx(path: Path, canvases: np.ndarray) -> Found:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    (canvas,) = (entry.name for entry in session.get_inputs())
    rows = [session.run(names, {canvas: image[None]}) for image in canvases]
    return {name: np.concatenate(values) for name, values in zip(names, zip(*rows, strict=True), strict=True)}


def compare_found(title: str, export: Found, ours: Found) -> Result:
    """Compare our best detections with the nearest ones of their class; scores that are almost equal have no order."""
    from retinanet_odm import exported_model

    boxes = scores = 0.0
    counts = []
    for row, row_scores in enumerate(ours[exported_model.SCORES]):
        count, threshold = best_detections(row_scores)
        counts.append(count)
        if np.count_nonzero(export[exported_model.SCORES][row] > threshold) != count:
            return Result(title=title, value="other detections", good=False)
        names = (exported_model.BOXES, exported_model.SCORES, exported_model.CLASSES)
        mine, other = ({name: found[name][row][:count] for name in names} for found in (ours, export))
        is_other_class = mine[exported_model.CLASSES][:, None] != other[exported_model.CLASSES]
        shifts = np.abs(mine[exported_model.BOXES][:, None] - other[exported_model.BOXES]).max(axis=-1)
        shifts = np.where(is_other_class, np.inf, shifts)
        nearest = other[exported_model.SCORES][shifts.argmin(axis=1)]
        boxes = max(boxes, float(shifts.min(axis=1).max()))
        scores = max(scores, float(np.abs(mine[exported_model.SCORES] - nearest).max()))
    return Result(
        title=f"{title}, {' and '.join(map(str, counts))} detections (<= {CLOSE_PIXELS} px, {CLOSE:g} of the score)",
        value=f"{boxes:.1e} px, {scores:.1e}",
        good=boxes <= CLOSE_PIXELS and scores <= CLOSE,
    )


def best_detections(scores: np.ndarray) -> tuple[int, float]:
    """Return how many detections are compared, and a score between the last of them and the next.

    It lies in the widest gap, so that no detection is just below it. Detections with higher scores do not depend on it.
    """
    fewest, most = COMPARED
    last = fewest - 1 + int((scores[fewest - 1 : most - 1] - scores[fewest:most]).argmax())
    return last + 1, float(scores[last : last + 2].mean())

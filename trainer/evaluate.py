"""Evaluates a network on a split: every image once, in pixels of the photographs, by COCO's rules."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from detection.drawing import draw_thumbnail
from detection.errors import ContractError
from detection.examples import DetectionExample, decode_example
from detection.formats import coco
from detection.labels import LabelMap
from detection.manifests import DatasetManifest
from trainer import gallery, metrics, postprocess, preprocess, records
from trainer.analysis import Analysis, analyse
from trainer.config import TrainConfig
from trainer.files import read_json
from trainer.network import Network
from trainer.strategy import check_batch


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What eval.json says of a split, and pictures of it.

    Attributes:
      metrics: split, images, COCO's numbers (trainer.metrics) and those of trainer.analysis, its ``details`` last.
      gallery: captions with JPEG bytes of drawn photographs, by heading.
    """

    metrics: dict[str, Any]
    gallery: dict[str, list[tuple[str, bytes]]]


def evaluate(
    config: TrainConfig, manifest: DatasetManifest, network: Network, strategy: tf.distribute.Strategy
) -> Evaluation:
    """Scores every image of the split that the configuration names.

    Raises:
      ContractError: a shard is missing, damaged or short of records.
    """
    check_batch("eval_batch_size", config.eval_batch_size, strategy)
    split = records.find_split(config.dataset, manifest, config.eval_split)
    with records.whole_shards(split.paths):
        return _evaluate(config, manifest, split, network, strategy)


def _evaluate(
    config: TrainConfig,
    manifest: DatasetManifest,
    split: records.Split,
    network: Network,
    strategy: tf.distribute.Strategy,
) -> Evaluation:
    results = detect(config, split, network, strategy)
    truth = _ground_truth(config, manifest.labels, split)
    analysis = analyse(truth, results, manifest.options.get("split_group"))
    return Evaluation(
        metrics={"split": config.eval_split, "images": split.examples, **_metrics(truth, results, analysis)},
        gallery=_gallery(analysis, split),
    )


def _ground_truth(config: TrainConfig, labels: LabelMap, split: records.Split) -> dict[str, Any]:
    images, annotations = [], []
    for example in _examples(split):
        images.append(coco.image_entry(example))
        annotations.extend(coco.annotation_entries(example))
    if len(images) != split.examples:
        raise ContractError(
            f"--dataset: the manifest promises {split.examples} images of split {config.eval_split!r},"
            f" its shards hold {len(images)}: copy or prepare them again"
        )
    return coco.ground_truth(images, annotations, labels)


def _examples(split: records.Split) -> Iterator[DetectionExample]:
    return map(decode_example, tf.data.TFRecordDataset(split.paths).as_numpy_iterator())


def _metrics(truth: dict[str, Any], results: list[dict[str, Any]], analysis: Analysis) -> dict[str, Any]:
    found = metrics.coco_metrics(truth, results)
    analysed = analysis.per_class()
    per_class = {name: {**values, **analysed[name]} for name, values in found["per_class"].items()}
    return {**found, "per_class": per_class, **analysis.summary(), "details": analysis.details()}


def _gallery(analysis: Analysis, split: records.Split) -> dict[str, list[tuple[str, bytes]]]:
    """The records are read once more: only now is it known which photographs are worth a look."""
    chosen = gallery.choose_images(analysis)
    row_by_id = {analysis.split.image_ids[row]: row for rows in chosen.values() for row in rows}
    pictures = {}
    for example in _examples(split):
        row = row_by_id.get(example.source_id)
        if row is not None:
            drawn = draw_thumbnail(example.encoded, gallery.drawn_boxes(analysis, row))
            pictures[row] = (gallery.caption(analysis, row), drawn)
    return {heading: [pictures[row] for row in rows] for heading, rows in chosen.items()}


def stored_metrics(path: str, step: int) -> dict[str, Any]:
    """The metrics in an eval.json, if they are of this very step; else none."""
    found = read_json(path) if tf.io.gfile.exists(path) else {}
    return found if found.get("step") == step else {}


def detect(
    config: TrainConfig, split: records.Split, network: Network, strategy: tf.distribute.Strategy
) -> list[dict[str, Any]]:
    """COCO results of every image of a split."""
    batches = records.evaluation_batches(split, canvas=network.canvas, batch_size=config.eval_batch_size)

    @tf.function
    def predict(batch: dict[str, Any]) -> dict[str, Any]:
        outputs = network.model(preprocess.normalise(batch["image"]), training=False)
        candidates = postprocess.top_candidates(outputs, network.anchors)
        return {**candidates._asdict(), **{name: batch[name] for name in ("placed", "size", "source_id")}}

    results = []
    for batch in strategy.experimental_distribute_dataset(batches):
        values = strategy.run(predict, args=(batch,))
        local = {name: tf.concat(strategy.experimental_local_results(value), axis=0) for name, value in values.items()}
        results.extend(_coco_results(config, local, network.num_classes))
    return results


def _coco_results(config: TrainConfig, batch: dict[str, Any], num_classes: int) -> list[dict[str, Any]]:
    found = postprocess.suppress(
        postprocess.Candidates(batch["boxes"], batch["scores"], batch["classes"]),
        num_classes=num_classes,
        score_threshold=config.score_threshold,
        nms_iou=config.nms_iou,
        max_detections=config.max_detections,
    )
    boxes = postprocess.to_photograph(found.boxes, batch["placed"], batch["size"]).numpy()
    scores, classes, counts = found.scores.numpy(), found.classes.numpy(), found.count.numpy()
    return [
        coco.result_entry(int(source_id), int(classes[row, rank]), float(scores[row, rank]), boxes[row, rank])
        for row, source_id in enumerate(batch["source_id"].numpy())
        if source_id  # 0 marks the filler of the last batch
        for rank in range(counts[row])
    ]

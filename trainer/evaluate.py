"""Evaluates a network on a split: every image once, in pixels of the photographs, by COCO's rules."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import tensorflow as tf

from retinanet_odm.dataset.coco import annotation_entries, ground_truth, image_entry
from retinanet_odm.dataset.examples import DetectionExample, decode_example
from retinanet_odm.dataset.manifest import DatasetManifest
from retinanet_odm.errors import ContractError
from retinanet_odm.evaluation import coco_metrics, gallery
from retinanet_odm.evaluation.analysis import Analysis, analyse
from retinanet_odm.imaging.drawing import draw_thumbnail
from retinanet_odm.predictions.formats import coco
from retinanet_odm.storage import files
from trainer.config import TrainConfig
from trainer.data import contact_sheets, preprocess, records
from trainer.network import postprocess
from trainer.network.build import Network
from trainer.strategy import check_batch


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What eval.json says of a split, and pictures of it.

    Attributes:
      metrics: split, images, and what retinanet_odm.evaluation.coco_metrics.all_metrics finds.
      gallery: captions with JPEG bytes of drawn photographs, by heading.
    """

    metrics: dict[str, Any]
    gallery: dict[str, list[tuple[str, bytes]]]


@dataclass(frozen=True, kw_only=True)
class Evaluator:
    """Scores every image of a split; made once for many evaluations of a network, whose weights may change.

    Attributes:
      split: the split that the configuration names.
    """

    config: TrainConfig
    manifest: DatasetManifest
    network: Network
    strategy: tf.distribute.Strategy
    split: records.RecordSplit

    def brief(self) -> tuple[dict[str, Any], np.ndarray]:
        """Returns COCO's metrics, and a contact sheet of images with detections, uint8 [1, H, W, 3].

        Raises:
          ContractError: a shard is missing, damaged or short of records.
        """
        with records.whole_shards(self.split.paths):
            results = self.detect()
            shown = itertools.islice(_examples(self.split), contact_sheets.MAX_SHEET_IMAGES)
            sheet = contact_sheets.detection_sheet(shown, results, self.manifest.labels)
            return coco_metrics.coco_metrics(self.ground_truth, results), sheet

    def full(self) -> Evaluation:
        """Everything that eval.json and eval.html hold.

        Raises:
          ContractError: as brief.
        """
        with records.whole_shards(self.split.paths):
            results = self.detect()
            analysis = analyse(self.ground_truth, results, self.manifest.options.get("split_group"))
            found = coco_metrics.all_metrics(self.ground_truth, results, analysis)
            about = {"split": self.config.evaluation.eval_split, "images": self.split.examples}
            return Evaluation(metrics={**about, **found}, gallery=_gallery(analysis, self.split))

    def detect(self) -> list[dict[str, Any]]:
        """COCO results of every image of the split."""
        batches = records.evaluation_batches(
            self.split, canvas=self.network.canvas, batch_size=self.config.evaluation.eval_batch_size
        )
        results = []
        for batch in self.strategy.experimental_distribute_dataset(batches):
            values = self.strategy.run(self._predict, args=(batch,))
            local = {
                name: tf.concat(self.strategy.experimental_local_results(value), axis=0)
                for name, value in values.items()
            }
            results.extend(_coco_results(self.config, local, self.network.num_classes))
        return results

    @cached_property
    def _predict(self) -> Any:
        """Candidates of a batch, on a replica."""

        @tf.function
        def predict(batch: dict[str, Any]) -> dict[str, Any]:
            outputs = self.network.model(preprocess.normalise(batch["image"]), training=False)
            candidates = postprocess.top_candidates(outputs, self.network.anchors)
            return {**candidates._asdict(), **{name: batch[name] for name in ("placed", "size", "source_id")}}

        return predict

    @cached_property
    def ground_truth(self) -> dict[str, Any]:
        """The split's objects, as COCO has them."""
        images, annotations = [], []
        for example in _examples(self.split):
            images.append(image_entry(example))
            annotations.extend(annotation_entries(example))
        if len(images) != self.split.examples:
            raise ContractError(
                f"--dataset: the manifest promises {self.split.examples} images of split"
                f" {self.config.evaluation.eval_split!r}, its shards hold {len(images)}: copy or prepare them again"
            )
        return ground_truth(images, annotations, self.manifest.labels)


def make_evaluator(
    config: TrainConfig, manifest: DatasetManifest, network: Network, strategy: tf.distribute.Strategy
) -> Evaluator:
    """For the split that the configuration names.

    Raises:
      UsageError: the batch cannot be dealt out to the replicas.
      ContractError: there is no such split, or a shard of it is missing.
    """
    check_batch("eval_batch_size", config.evaluation.eval_batch_size, strategy)
    split = records.find_split(config.data.dataset, manifest, config.evaluation.eval_split)
    return Evaluator(config=config, manifest=manifest, network=network, strategy=strategy, split=split)


def _examples(split: records.RecordSplit) -> Iterator[DetectionExample]:
    return map(decode_example, tf.data.TFRecordDataset(split.paths).as_numpy_iterator())


def _gallery(analysis: Analysis, split: records.RecordSplit) -> dict[str, list[tuple[str, bytes]]]:
    """The records are read once more: only now is it known which photographs are worth a look."""
    chosen = gallery.choose_images(analysis)
    row_by_id = {analysis.split.image_ids[row]: row for rows in chosen.values() for row in rows}
    pictures = {}
    for example in _examples(split):
        row = row_by_id.get(example.source_id)
        if row is not None:
            drawn = draw_thumbnail(example.encoded, gallery.result_boxes(analysis, row))
            pictures[row] = (gallery.image_caption(analysis, row), drawn)
    return {heading: [pictures[row] for row in rows] for heading, rows in chosen.items()}


def stored_metrics(path: str, step: int) -> dict[str, Any]:
    """The metrics in an eval.json, if they are of this very step; else none."""
    found = files.read_json(path) if files.is_file(path) else {}
    return found if found.get("step") == step else {}


def _coco_results(config: TrainConfig, batch: dict[str, Any], num_classes: int) -> list[dict[str, Any]]:
    found = postprocess.suppress(
        postprocess.Candidates(batch["boxes"], batch["scores"], batch["classes"]),
        num_classes=num_classes,
        score_threshold=config.evaluation.score_threshold,
        nms_iou=config.evaluation.nms_iou,
        max_detections=config.evaluation.max_detections,
    )
    boxes = postprocess.to_image_pixels(found.boxes, batch["placed"], batch["size"]).numpy()
    scores, classes, counts = found.scores.numpy(), found.classes.numpy(), found.count.numpy()
    return [
        coco.result_entry(int(source_id), int(classes[row, rank]), float(scores[row, rank]), boxes[row, rank])
        for row, source_id in enumerate(batch["source_id"].numpy())
        if source_id  # 0 marks the filler of the last batch
        for rank in range(counts[row])
    ]

"""Evaluates a network on a split: every image once, in its own pixels, by COCO's rules. Begin with `Evaluator`.

Shapes: B images in a batch, N candidates of an image.
"""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import tensorflow as tf

from retinanet_odm.dataset.coco import annotation_entries, ground_truth, image_entry
from retinanet_odm.dataset.examples import DetectionExample, decode_example
from retinanet_odm.dataset.manifest import DatasetManifest
from retinanet_odm.dataset.splits import TEST_SPLIT
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
from trainer.strategy import check_batch, run_batches


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Metrics of a split, as eval.json holds them, and images for eval.html.

    Attributes:
      metrics: split, images, and the metrics of `retinanet_odm.evaluation.coco_metrics.all_metrics`.
      gallery: Captions with JPEG bytes of images with drawn boxes, by heading.
    """

    metrics: dict[str, Any]
    gallery: dict[str, list[tuple[str, bytes]]]


@dataclass(frozen=True, kw_only=True)
class Evaluator:
    """Evaluates a network on a split, as often as its weights change; made once by `make_evaluator`.

    Attributes:
      config: Its sections evaluation and data are used.
      manifest: Of the data set.
      network: The network.
      strategy: The devices of the network.
      split: The split that the configuration names.
    """

    config: TrainConfig
    manifest: DatasetManifest
    network: Network
    strategy: tf.distribute.Strategy
    split: records.RecordSplit

    def brief(self) -> tuple[dict[str, Any], contact_sheets.Sheet]:
        """Return COCO's metrics, and a contact sheet of images with detections.

        Raises:
          ContractError: A shard is missing, damaged or lacks records.
        """
        with records.reading_shards(self.split.paths):
            results = self.detect()
            # The same images at every evaluation, so that a sheet shows the progress.
            shown = itertools.islice(_examples(self.split), contact_sheets.MAX_SHEET_IMAGES)
            sheet = contact_sheets.detection_sheet(shown, results, self.manifest.labels)
            return coco_metrics.coco_metrics(self.ground_truth, results), sheet

    def full(self, thresholds: Mapping[str, float] | None = None) -> Evaluation:
        """Return everything that eval.json and eval.html hold.

        Args:
          thresholds: Minimum scores of the detections that count, by class; None to find those of the best F1.

        Raises:
          ContractError: As `brief`.
        """
        with records.reading_shards(self.split.paths):
            results = self.detect()
            prepared = self.manifest.options
            analysis = analyse(
                self.ground_truth,
                results,
                prepared.get("split_group"),
                thresholds,
                deployment=prepared.get("deployment", ""),  # data sets of earlier versions have no rule
                max_detections=self.config.evaluation.max_detections,
            )
            metrics = coco_metrics.all_metrics(self.ground_truth, results, analysis)
            header = {"split": self.config.evaluation.eval_split, "images": self.split.examples}
            return Evaluation(metrics={**header, **metrics}, gallery=_gallery(analysis, self.split))

    def detect(self) -> list[dict[str, Any]]:
        """Return COCO results of every image of the split."""
        batches = records.evaluation_batches(
            self.split, canvas=self.network.canvas, batch_size=self.config.evaluation.eval_batch_size
        )
        results = []
        # Network and selection run on the devices; suppression runs on the host, in `_coco_results`.
        for values in run_batches(self.strategy, self._predict, batches):
            results.extend(_coco_results(self.config, values, self.network.num_classes))
        return results

    @cached_property
    def _predict(self) -> Any:
        """Compute the candidates of a batch on a replica: boxes [B, N, 4], scores and classes [B, N]."""

        @tf.function
        def predict(batch: dict[str, Any]) -> dict[str, Any]:
            outputs = self.network.model(preprocess.normalise(batch["image"]), training=False)
            candidates = postprocess.top_candidates(outputs, self.network.anchors, batch["placed"], batch["size"])
            return {**candidates._asdict(), **{name: batch[name] for name in ("placed", "size", "source_id")}}

        return predict

    @cached_property
    def ground_truth(self) -> dict[str, Any]:
        """The ground truth of the split in COCO's format."""
        images, annotations = [], []
        for example in _examples(self.split):
            images.append(image_entry(example))
            annotations.extend(annotation_entries(example))
        # Fewer records would make a split of easy images, and metrics that cannot be compared.
        if len(images) != self.split.examples:
            raise ContractError(
                f"--dataset: the manifest promises {self.split.examples} images of split"
                f" {self.config.evaluation.eval_split!r}, its shards hold {len(images)}: copy or prepare them again"
            )
        return ground_truth(images, annotations, self.manifest.labels)


def make_evaluator(
    config: TrainConfig, manifest: DatasetManifest, network: Network, strategy: tf.distribute.Strategy
) -> Evaluator:
    """Make an evaluator of the split that the configuration names.

    Raises:
      UsageError: The batch cannot be divided evenly among the replicas.
      ContractError: There is no such split, or a shard of it is missing.
    """
    check_batch("eval_batch_size", config.evaluation.eval_batch_size, strategy.num_replicas_in_sync)
    split = records.find_split(config.data.dataset, manifest, config.evaluation.eval_split)
    return Evaluator(config=config, manifest=manifest, network=network, strategy=strategy, split=split)


def _examples(split: records.RecordSplit) -> Iterator[DetectionExample]:
    return map(decode_example, tf.data.TFRecordDataset(split.paths).as_numpy_iterator())


def _gallery(analysis: Analysis, split: records.RecordSplit) -> dict[str, list[tuple[str, bytes]]]:
    """Draw the images of the page; read the records again, because the choice depends on the results."""
    chosen = gallery.choose_images(analysis)
    # By id: rows of the analysis are sorted by id, records are not.
    row_by_id = {analysis.split.image_ids[row]: row for rows in chosen.values() for row in rows}
    images = {}
    for example in _examples(split):
        row = row_by_id.get(example.source_id)
        if row is not None:
            thumbnail = draw_thumbnail(example.encoded, gallery.result_boxes(analysis, row))
            images[row] = (gallery.image_caption(analysis, row), thumbnail)
    return {heading: [images[row] for row in rows] for heading, rows in chosen.items()}


def is_test(config: TrainConfig) -> bool:
    """Return whether the split to evaluate is the one on which nothing is chosen."""
    return config.evaluation.eval_split == TEST_SPLIT


def eval_path(config: TrainConfig) -> str:
    """Return the path of the files of an evaluation, without their extensions."""
    return f"{config.run.folder}/eval-{TEST_SPLIT}" if is_test(config) else f"{config.run.folder}/eval"


def stored_metrics(path: str, step: int) -> dict[str, Any]:
    """Read the metrics of an eval.json if they are of this step, and not of the test split; otherwise return none."""
    # Metrics of other weights must not go into the model.json of these, nor thresholds that were found on test images.
    metrics = files.read_json(path) if files.is_file(path) else {}
    return metrics if metrics.get("step") == step and metrics.get("split") != TEST_SPLIT else {}


def _coco_results(config: TrainConfig, batch: dict[str, Any], num_classes: int) -> list[dict[str, Any]]:
    detections = postprocess.suppress(
        postprocess.Candidates(batch["boxes"], batch["scores"], batch["classes"]),
        num_classes=num_classes,
        **config.evaluation.suppression(),
    )
    boxes = postprocess.to_image_pixels(detections.boxes, batch["placed"], batch["size"]).numpy()
    scores, classes, counts = detections.scores.numpy(), detections.classes.numpy(), detections.count.numpy()
    return [
        coco.result_entry(int(source_id), int(classes[row, rank]), float(scores[row, rank]), boxes[row, rank])
        for row, source_id in enumerate(batch["source_id"].numpy())
        if source_id  # 0 marks the filler of the last batch
        for rank in range(counts[row])
    ]

"""One run of `score`: what is asked, what of it is still to do, and its last step.

`ScoreRequest` holds the options and what the launcher has found out about model and sources. `find_pending_work`
compares the images of the sources with the rows in the output folder: images without a row are scored, the rows of all
others are kept. Rows are matched by their keys (inference.rows.rows), so every file of rows in the output folder can be
used as it is, whether its run was finished or killed. Rows with other keys are dropped, which inference.planning
permits or refuses before anything is written. `Commit` writes the exports and then summary.json: if that exists, the
run is complete.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import retinanet_odm
from inference.image_sources import chunks, listing
from inference.image_sources.chunks import Chunk
from inference.image_sources.listing import ImageSource, SourceFiles
from inference.model.loading import CheckedModel
from inference.options import ScoreOptions
from inference.rows import finished_run, output_folder
from inference.rows.earlier_rows import (
    RowChoice,
    digest_name,
    find_earlier_keys,
    find_earlier_names,
    find_lost_rows,
)
from inference.rows.export_options import ExportOptions
from inference.rows.exports import count_results, exports_exist, write_exports
from inference.rows.journal import commit_summary, find_earlier
from inference.rows.part_files import WrittenShard
from inference.rows.replacing import DerivedPlan, RowsChange, refuse_new_losses
from inference.rows.rows import RowCounts, make_run_key, row_keys
from inference.rows.thresholds import OperatingThresholds, describe_thresholds
from retinanet_odm.dataset.frame_names import DeploymentRule
from retinanet_odm.imaging.images import ImageRule
from retinanet_odm.predictions.finished_rows import SUMMARY_FILE, SUMMARY_SCHEMA_VERSION

# To be increased when the same model and settings give other rows; rows of earlier versions are then scored again.
_ROWS_VERSION = 3

# --- What is asked ---


@dataclass(frozen=True, kw_only=True)
class ScoreRequest:
    """A request that has been checked. The job is built from it directly.

    Attributes:
      options: with a batch size that suits the model.
      model: to score with.
      thresholds: minimum scores of the detections that count. They change no row.
      sources: of the images.
    """

    options: ScoreOptions
    model: CheckedModel
    thresholds: OperatingThresholds
    sources: tuple[ImageSource, ...]

    @property
    def run_key(self) -> str:
        """Identifies runs whose rows are interchangeable."""
        return make_run_key([SUMMARY_SCHEMA_VERSION, _ROWS_VERSION, self.row_settings()])

    @property
    def image_rule(self) -> ImageRule:
        """How images are checked before the model gets them."""
        # Every pixel: a decoder fills the missing part of a damaged image with grey, where the model finds nothing.
        return ImageRule()

    @property
    def adding(self) -> tuple[str, ...]:
        """Identifies what --add adds; empty without the flag."""
        return (self.run_key, *self.options.images) if self.options.add else ()

    def header(self, passed_over: Mapping[str, int], earlier: Mapping[str, Any]) -> dict[str, Any]:
        """Return the entries of summary.json besides counts and files.

        Args:
          passed_over: number of files by suffix that are not scored.
          earlier: the summary of the earlier run, or empty.
        """
        here = {"images": list(self.options.images), "passed_over": dict(sorted(passed_over.items()))}
        before = earlier.get("sources", ()) if self.options.add else ()
        # A source that is added twice is the same source.
        sources = [*(source for source in before if source["images"] != here["images"]), here]
        counts = sum((Counter(source["passed_over"]) for source in sources), Counter[str]())
        options = {"options": self.options.to_json(), "sources": sources, "passed_over": dict(sorted(counts.items()))}
        thresholds = describe_thresholds(self.thresholds, self.model.manifest)
        return {**self.row_settings(), "model": self.model.manifest.facts(), "thresholds": thresholds, **options}

    def make_commit(self, header: dict[str, Any], derived: DerivedPlan) -> "Commit":
        """Return the last step of the run."""
        options = self.options
        return Commit(
            output=options.output, header=header, exports=options.exports, derived=derived, replace=options.replace
        )

    def num_shards(self, images: int) -> int:
        """Return the number of prediction files for this number of images."""
        return min(self.options.num_shards, images)

    def row_settings(self) -> dict[str, Any]:
        """Return everything that can change a row, as summary.json holds it: a change here voids all earlier rows."""
        # Batch sizes, formats, shards and the thresholds of counts are not here: they change no row.
        manifest, tiling = self.model.manifest, self.model.options.tiling
        own = manifest.score_threshold
        return {
            "model_hash": manifest.model_hash,
            "labels": manifest.labels.to_json(),
            # In the form of versions that could cut rows at other scores, so that their complete rows stay.
            "thresholds": {"score": own, "classes": {}, "model_score": own, "nms_iou": manifest.nms_iou},
            "max_detections": manifest.max_detections or None,
            "tiling": tiling and tiling.to_json(),
            "code_version": retinanet_odm.__version__,
        }


# --- What is still to do ---


@dataclass(frozen=True, kw_only=True)
class PendingWork:
    """What a run has to do.

    Attributes:
      images: number of images in the sources, and of those of other sources whose rows stay.
      chunks: the images without a row.
      choice: the earlier rows that are kept.
      unused: number of earlier rows that are dropped: of another model or program version, or of images that have
        changed or are gone.
      skipped_archives: archives in folders, which are not opened.
      passed_over: number of files and members of archives by suffix that are no images or cannot be read.
      deployments: of all images of the sources, if they were asked for.
      others: number of images of other sources, whose rows stay.
    """

    images: int
    chunks: tuple[Chunk, ...]
    choice: RowChoice
    unused: int
    skipped_archives: tuple[str, ...]
    passed_over: Mapping[str, int] = field(default_factory=dict)
    deployments: frozenset[str] = frozenset()
    others: int = 0

    @property
    def missing(self) -> int:
        """Number of images without a row."""
        return self.images - self.others - len(self.choice.keys)

    @property
    def change(self) -> RowsChange:
        """What happens to the earlier rows."""
        if self.unused:
            return RowsChange.OTHER
        return RowsChange.MORE if self.missing else RowsChange.NONE

    def is_done_by(self, summary: Mapping[str, Any]) -> bool:
        """Return whether a finished run, with undamaged files, has rows of exactly these images."""
        return not self.missing and not self.unused and self.images == summary["images"]


def find_pending_work(
    listed: Sequence[SourceFiles],
    output: str,
    run_key: str,
    *,
    without: Collection[str] = (),
    rule: DeploymentRule | None = None,
    add: bool = False,
) -> PendingWork:
    """Compare the images of the sources with the rows in the output folder; opens every archive to list it.

    Args:
      listed: the files of all sources.
      output: the output folder.
      run_key: from make_run_key.
      without: names of damaged files with rows, which are not used.
      rule: how deployments are found; None if they are not needed.
      add: rows of images that are not in the sources stay.

    Raises:
      UsageError: as list_chunks.
    """
    # The keys are enough: some 100 bytes in memory for each earlier row.
    earlier = find_earlier_keys(output, without=without)
    images = 0
    pending: list[Chunk] = []
    kept: set[str] = set()
    names: set[str] = set()
    passed_over = Counter[str]()
    deployments: set[str] = set()
    for chunk in listing.list_chunks(listed, passed_over):
        # A key holds everything that can change the row, so an equal key means that the row can be kept.
        keys = row_keys(run_key, chunk)
        images += len(keys)
        if add:
            names.update(map(digest_name, chunk.names))
        if rule:
            deployments.update(map(rule.deployment_of, chunk.names))
        kept.update(key for key in keys if key in earlier)
        missing = [position for position, key in enumerate(keys) if key not in earlier]
        if missing:
            pending.append(chunks.select_images(chunk, missing))
    choice = RowChoice(keys=frozenset(kept), listed=frozenset(names) if add else None)
    others = len(find_earlier_names(output, without=without) - names) if add else 0
    return PendingWork(
        images=images + others,
        chunks=tuple(pending),
        choice=choice,
        unused=find_lost_rows(output, choice, without=without)[0] if add else len(earlier) - len(kept),
        skipped_archives=tuple(listing.skipped_archives(listed)),
        passed_over=passed_over,
        deployments=frozenset(deployments),
        others=others,
    )


# --- The last step ---


@dataclass(frozen=True, kw_only=True)
class Commit:
    """The last step of a run.

    Attributes:
      output: the output folder.
      header: entries of summary.json besides counts and files: model, thresholds, options, version.
      exports: which exports to write.
      derived: what becomes of those of an earlier run.
      replace: files that summary.json does not list may be deleted.
    """

    output: str
    header: dict[str, Any]
    exports: ExportOptions
    derived: DerivedPlan = field(default_factory=DerivedPlan)
    replace: bool = False

    def finish(self, shards: Sequence[WrittenShard], *, listed: int) -> None:
        """Delete files of earlier runs, and write the exports and then summary.json.

        One worker streams the exports from the prediction files: a million rows are some 200 MB to read, while a
        shuffle into one ordered file would hold them all in memory.

        Args:
          shards: the prediction files of this run.
          listed: number of images that were listed, which was counted independently of the rows.

        Raises:
          RuntimeError: the number of rows differs from the number of images.
        """
        # The last check that no image was lost on the way through the job.
        total = RowCounts.total([shard.counts for shard in shards])
        if total.images != listed:
            raise RuntimeError(
                f"{listed} images were listed, but {total.images} rows written: {SUMMARY_FILE} is not written"
            )
        entries = [
            {"name": shard.name, "images": shard.counts.images, "sha256": shard.sha256}
            for shard in sorted(shards, key=lambda shard: shard.name)
        ]
        version = SUMMARY_SCHEMA_VERSION
        self._write({"schema_version": version, **self.header, **total.to_json(), "shards": entries})

    def renew(self, earlier: Mapping[str, Any]) -> bool:
        """Update the output of a finished run whose rows are those of this one: other exports, other options.

        Args:
          earlier: its summary, whose prediction files are undamaged.

        Returns:
          Whether anything had to be done.
        """
        renewed = {**earlier, **finished_run.as_stored(self.header)}
        if renewed == earlier and exports_exist(self.output, earlier, self.exports):
            return False
        self._write(renewed)
        return True

    def _write(self, summary: dict[str, Any]) -> None:
        # Again: the launcher has looked before the images were scored, which may be hours ago.
        refuse_new_losses(self.output, find_earlier(self.output), self.derived.kept, replace=self.replace)
        # The order matters, because summary.json marks everything else as complete.
        shards = [shard["name"] for shard in summary["shards"]]
        output_folder.delete_stale_files(self.output, keep=[*shards, *self.derived.kept])
        summary = {**summary, **count_results(self.output, summary), "exports": list(self.derived.entries)}
        for renewal in self.derived.renewed:
            entries = write_exports(self.output, renewal.adapt(summary), renewal.options)
            summary = finished_run.add_exports(summary, entries)
        summary = finished_run.add_exports(summary, write_exports(self.output, summary, self.exports))
        commit_summary(self.output, summary)

"""A run: each step that is not complete, one after the other, then the page. Begin with `run_workflow`."""

import dataclasses
import logging
import time
from collections.abc import Callable, Sequence

from retinanet_odm.cli.progress import format_seconds
from retinanet_odm.dataset.manifest import DatasetManifest
from retinanet_odm.errors import UsageError
from retinanet_odm.reports.run_verdict import describe_empty_splits
from retinanet_odm.sources.inputs import folders_as_patterns
from retinanet_odm.storage import files
from retinanet_odm.storage.folder_lock import lock_folder
from retinanet_odm.storage.no_match import check_matches
from retinanet_odm.workflow.overview import OVERVIEW_PAGE, write_overview
from retinanet_odm.workflow.plan import (
    DATASET,
    MODEL,
    RunOptions,
    WorkflowStep,
    check_commands,
    plan_data,
    plan_model,
    shell_command,
)
from retinanet_odm.workflow.processes import start_program
from retinanet_odm.workflow.record import RunRecord, inputs_digest

_logger = logging.getLogger(__name__)

_FOUND_ERRORS = 1  # exit status of a check that found errors

# Runs Python with some words, and returns the exit status.
Start = Callable[[Sequence[str]], int]


class StepFailedError(UsageError):
    """A step has failed, and its program has not said what to do."""

    status = 1


def run_workflow(options: RunOptions, command: str, start: Start = start_program) -> int:
    """Run all steps that are not complete, and write the page; return the exit status of the step that failed, or 0.

    Args:
      options: the request.
      command: the command line of this run, for the page.
      start: runs a program.

    Raises:
      UsageError: a flag or a folder is wrong, or a step has failed without a line of its program.
    """
    # All that can be refused at once comes before the first step, which may take hours.
    check_commands(options)
    check_matches(folders_as_patterns(options.archive), flag="--archive")
    with lock_folder(options.output):
        record = RunRecord.open(options.output)
        data = plan_data(options)
        if status := _run_steps(data, options, record, start):
            return status
        manifest = read_run_manifest(options)
        for sentence in describe_empty_splits(manifest):
            _logger.info("\n%s", sentence)
        model = plan_model(options, {name: split.examples for name, split in manifest.splits.items()})
        _check_training(model[0], options, record)
        if status := _run_steps(model, options, record, start):
            return status
        page = write_overview(options, manifest, [*data, *model], record, command)
    _logger.info("\npage: %s", page)
    return 0


def read_run_manifest(options: RunOptions) -> DatasetManifest:
    """Read the manifest of the run's data set."""
    path = files.join(options.folder(DATASET), DatasetManifest.FILE)
    return DatasetManifest.from_json(files.read_written_text(path), source=path)


def _check_training(train: WorkflowStep, options: RunOptions, record: RunRecord) -> None:
    """Refuse to continue a training with another data set, and warn if flags were changed after its end.

    Raises:
      UsageError: the data set is another one: its new images would hardly be learned.
    """
    model, before = options.folder(MODEL), record.entry(train)
    if before is None or not files.exists(model):
        return
    if before.complete and before.command != train.command:
        _logger.warning(
            "warning: the training in %s is complete, and is not repeated with other flags: it continues only with more"
            " epochs. To train again, choose a new folder, or delete %s",
            *(model, model),
        )
    if before.inputs != inputs_digest(train, options):
        raise UsageError(
            f"--output: the data set has changed since the training in {model} began: choose a new folder, or delete"
            f" {model} to train again"
        )


def _run_steps(steps: Sequence[WorkflowStep], options: RunOptions, record: RunRecord, start: Start) -> int:
    """Run steps until one fails; return its exit status, or 0."""
    return next(filter(None, (_run_step(step, options, record, start) for step in steps)), 0)


def _run_step(step: WorkflowStep, options: RunOptions, record: RunRecord, start: Start) -> int:
    entry = record.begin(step, inputs_digest(step, options))
    if entry.complete:
        _logger.info("\n== %s: complete (%s)", step.name, format_seconds(entry.seconds))
        return 0
    words = (*step.words, *step.permissions)
    _logger.info("\n== %s: %s\n%s", step.name, step.purpose, shell_command(("python", *words)))
    # Whatever ends this run, the pages of an earlier one must not look like its result.
    old_check = [step.mark] if step.name == "check" else []
    files.delete([options.folder(OVERVIEW_PAGE), *old_check])
    record.set(step, entry)
    begun = time.monotonic()
    try:
        status = start(words)
    finally:
        entry = dataclasses.replace(entry, seconds=entry.seconds + time.monotonic() - begun)
        record.set(step, entry)
    if status := _judge(step, status, options):
        return status
    record.set(step, dataclasses.replace(entry, complete=True))
    return 0


def _judge(step: WorkflowStep, status: int, options: RunOptions) -> int:
    """Return the exit status with which the run ends after a step, 0 if it goes on.

    Raises:
      StepFailedError: the program has ended without saying why, or has found what the user has to decide.
    """
    if status < 0:
        raise StepFailedError(f"{step.name}: ended by signal {-status}, perhaps because memory was full")
    if step.name == "check" and status == _FOUND_ERRORS and files.exists(step.mark):
        if not options.accept_errors:
            raise StepFailedError(
                f"check found errors, see {step.mark}: correct them, or continue without these images by"
                " --accept_errors"
            )
        status = 0
    if not status and not files.exists(step.mark):
        raise StepFailedError(f"{step.name}: ended before {step.mark} was written: run the same command again")
    return status

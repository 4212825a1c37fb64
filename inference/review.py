"""`review`: serves a page in which a person looks through the scored images and corrects their boxes.

Begin with `review`. The page and its server are in inference.review_page.
"""

import contextlib
import logging
import posixpath
from collections.abc import Mapping
from functools import partial
from typing import Any

from inference.audit_frame import read_audit_frame
from inference.review_options import ReviewOptions
from inference.review_page import server
from inference.review_page.app import make_app
from inference.review_page.decision_log import DecisionLog
from inference.review_page.guard import new_token
from inference.review_page.listed_images import ListedImages, images_to_review
from inference.review_page.pictures import Pictures, locate_images
from inference.review_page.reviewed_labels import write_labels
from inference.review_page.service import ReviewService
from inference.rows import finished_run, output_folder
from inference.rows.export_options import ExportOptions
from inference.rows.exports import run_of
from inference.rows.page_images import sources_of_run
from retinanet_odm.cli.installation import check_extras
from retinanet_odm.errors import UsageError
from retinanet_odm.predictions.rows import OK
from retinanet_odm.storage.folder_lock import lock_folder
from retinanet_odm.wording import plural

_logger = logging.getLogger(__name__)


def review(options: ReviewOptions) -> None:
    """Serve the page until Ctrl-C, or write what was reviewed in the formats of --export.

    Raises:
      UsageError: the extra [review] is not installed, the folder has no finished run, its images are not found, the
        port is in use, or nothing is reviewed yet.
      ContractError: the rows, or the decisions, are not what they should be.
    """
    if not options.export:
        check_extras("review", starlette="review", uvicorn="review")  # first: nothing else is worth waiting for
    summary = finished_run.finished_summary(options.output, command="review")
    # The lock of the folder that is written to: that of the run may be on gs://, or a folder nobody may write to.
    with lock_folder(_folder_of(options.decisions_path)):
        images = _list_images(options, summary)
        with DecisionLog(options.decisions_path) as log:
            export = partial(_export, options, images, log)
            if options.export:
                for path in export(options.export):
                    _logger.info("review: %s", path)
                return
            _log_progress(images, log)
            pictures = _find_pictures(options, summary, images)
            service, token = ReviewService(images, log, pictures, export), new_token()
            server.serve(
                lambda port: make_app(service, port=port, token=token),
                port=options.port,
                fragment=f"token={token}",
                open_browser=options.open_browser,
            )
            _log_progress(images, log)


def _list_images(options: ReviewOptions, summary: Mapping[str, Any]) -> ListedImages:
    output = options.output
    entries = {entry["name"]: entry for entry in summary.get("exports", ())}
    frame = entries.get(output_folder.AUDIT_FRAME)
    if options.audited and frame is None:
        raise UsageError(f"--audited: {output} has no audit: run `python -m inference audit {output}` first")
    return images_to_review(
        finished_run.iter_rows(output, summary),
        run_of(summary, ExportOptions(formats=("csv",), min_score=options.min_score)),
        finished_run.deployment_rule(summary, options.deployment),
        below=options.below,
        audited=frozenset(read_audit_frame(output, frame).images.values()) if frame else None,
        only_audited=options.audited,
    )


def _find_pictures(options: ReviewOptions, summary: Mapping[str, Any], images: ListedImages) -> Pictures:
    names = [row.image for row in images.rows]
    pictures = Pictures(locate_images([options.images] if options.images else sources_of_run(summary), names))
    missing = [name for name in names if name not in pictures]
    if missing:
        count = len(missing)
        _logger.info("check: %d %s not found, such as %s", count, plural("image", count), missing[0])
    return pictures


def _export(options: ReviewOptions, images: ListedImages, log: DecisionLog, formats: tuple[str, ...]) -> list[str]:
    # Beside the decisions, the run's folder is locked all the time, and a second lock would wait for the first.
    is_locked = _folder_of(options.decisions_path) == options.output
    with contextlib.nullcontext() if is_locked else lock_folder(options.output):
        return write_labels(options.output, formats, images, dict(log.states))


def _folder_of(path: str) -> str:
    return posixpath.dirname(path) or "."


def _log_progress(images: ListedImages, log: DecisionLog) -> None:
    names = {row.image for row in images.rows if row.status == OK}
    done = sum(state.done for name, state in log.states.items() if name in names)
    _logger.info("review: %d of %d %s reviewed, in %s", done, len(names), plural("image", len(names)), log.path)

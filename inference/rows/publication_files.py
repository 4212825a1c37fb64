"""Reads what a publication says beside the rows: --deployments, --publication, the images and the audit's sample."""

from collections.abc import Mapping
from typing import Any

from inference.rows import finished_run, output_folder
from inference.rows.export_options import ExportOptions
from inference.rows.page_images import image_files
from inference.rows.taxa import read_taxa
from retinanet_odm.csv_tables import parse_table
from retinanet_odm.predictions.deployments import parse_deployments
from retinanet_odm.predictions.formats.encoding import legible
from retinanet_odm.predictions.publication import Publication, PublicationFacts, parse_publication_facts
from retinanet_odm.storage import files


def read_publication(output: str, summary: Mapping[str, Any], options: ExportOptions) -> Publication:
    """Return what the formats of a publication take beside rows and run.

    Raises:
      UsageError: a file does not exist.
      ContractError: a file is not what it should be.
    """
    deployments, facts = None, PublicationFacts()
    if options.deployments:
        text = files.read_text(options.deployments, flag="--deployments")
        deployments = parse_deployments(text, source=options.deployments)
    if options.publication:
        text = files.read_text(options.publication, flag="--publication")
        facts = parse_publication_facts(text, source=options.publication)
    return Publication(
        files=image_files(summary, options),
        facts=facts,
        deployments=deployments,
        taxonomy=read_taxa(options.taxa) if options.taxa else None,
        audited=_audited(output, summary, options.below),
    )


def _audited(output: str, summary: Mapping[str, Any], below: str) -> frozenset[str] | None:
    """Return the names of the audit's images as `legible` writes them, without the folder; None if none was drawn."""
    name = output_folder.AUDIT_FRAME
    digests = [entry["sha256"] for entry in summary.get("exports", ()) if entry["name"] == name]
    if not digests:
        return None
    path = files.join(output, name)
    text = b"\n".join(finished_run.read_checked_lines(path, digests[0], command="audit")).decode()
    rows = (row.cells for row in parse_table(text, ("image", "audited"), source=path))
    prefix = legible(f"{below}/") if below else ""
    return frozenset(image.removeprefix(prefix) for image, audited in rows if audited == "1")

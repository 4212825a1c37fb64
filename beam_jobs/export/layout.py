"""The files of an export, and which folders it may be written into."""

import json

from beam_jobs.export.options import COCO, DatasetExportOptions
from retinanet_odm.errors import UsageError
from retinanet_odm.storage import files
from retinanet_odm.storage.file_kinds import is_left_by_system
from retinanet_odm.storage.file_names import escape_glob, is_below, name_below
from retinanet_odm.storage.local import LOCK_FILE, final_name

EXPORT_MANIFEST = "export.json"  # written last
UNFINISHED = "export.unfinished.json"  # written first, deleted after the manifest
LABELS, ID_LIST, EXHAUSTIVE, README = "labels.pbtxt", "id_map.csv", "exhaustive.csv", "README.md"
DATA_YAML = "data.yaml"
IMAGES, TEXTS, ANNOTATIONS = "images", "labels", "annotations"


def image_path(form: str, split: str, name: str) -> str:
    """Return the path of an image below the folder of the export."""
    return files.join(IMAGES, name) if form == COCO else files.join(IMAGES, split, name)


def instances_path(split: str) -> str:
    """Return the path of COCO's file of a split below the folder of the export."""
    return files.join(ANNOTATIONS, f"instances_{split}.json")


def request_text(options: DatasetExportOptions, fingerprint: str) -> str:
    """Return the content of UNFINISHED: equal for requests whose files are equal."""
    return json.dumps({**options.to_json(), "fingerprint": fingerprint}, indent=2, sort_keys=True) + "\n"


def check_export_folder(options: DatasetExportOptions, fingerprint: str) -> list[str]:
    """Check that the export may be written into its folder; changes nothing.

    Returns:
      Partial files of a killed run of the same request, which alone may be continued: its files are written again.

    Raises:
      UsageError: the folder holds something else, or contains the data set, or is contained in it.
    """
    output = options.output
    if is_below(output, options.dataset) or is_below(options.dataset, output):
        raise UsageError(f"--output: {output} and the data set {options.dataset} overlap: choose another folder")
    found = [name_below(output, path) for path in files.iter_matches(files.join(escape_glob(output), "**"))]
    names = [name for name in found if not (is_left_by_system(name) or name in (LOCK_FILE, files.PROBE))]
    if EXPORT_MANIFEST in names:
        raise UsageError(f"--output: {output} holds an export: choose an empty or a new folder")
    mark = files.join(output, UNFINISHED)
    if UNFINISHED in names:
        if files.read_written_text(mark) != request_text(options, fingerprint):
            raise UsageError(
                f"--output: {output} holds an unfinished export of another data set or with other flags: delete it, or"
                " choose another folder"
            )
    elif foreign := next((name for name in names if final_name(name) != UNFINISHED), None):
        raise UsageError(
            f"--output: {output} holds files that are not of this export, such as {foreign}: choose an empty or a new"
            " folder"
        )
    return [files.join(output, name) for name in names if final_name(name) != name]

"""The command by which `prepare` makes a data set of an export again."""

from beam_jobs.export import layout
from beam_jobs.export.formats import filled_splits
from beam_jobs.export.options import COCO, COPY, DatasetExportOptions
from retinanet_odm.dataset.manifest import DatasetManifest
from retinanet_odm.storage import files
from retinanet_odm.systems import shell_word

_ELSEWHERE = "IMAGES"  # stands for the folder of images that are not in the export


def prepare_command(
    options: DatasetExportOptions, manifest: DatasetManifest, *, is_partial: bool, folder: str = ""
) -> str:
    """Return the command line: same ids by --id_map, same splits by --split_from, same classes by --labels.

    Args:
      options: the request of the export.
      manifest: of the data set that was exported.
      is_partial: whether the export has a list of exhaustive classes.
      folder: of the export; "" if the command is run in it.
    """
    images = files.join(folder, layout.IMAGES) if options.images == COPY else _ELSEWHERE
    if options.format == COCO:
        sources = [["--images", images], ["--annotations", files.join(folder, layout.ANNOTATIONS)]]
    else:
        # Folder by folder: the split is then no part of the names.
        names = [name for name, _ in filled_splits(manifest)]
        texts = [files.join(folder, layout.TEXTS, name) for name in names]
        sources = [
            ["--images", *(files.join(images, name) for name in names)],
            ["--annotations", *texts, files.join(folder, layout.DATA_YAML)],
        ]
    ids = files.join(folder, layout.ID_LIST)
    given = [
        *sources,
        ["--labels", files.join(folder, layout.LABELS)],
        ["--id_map", ids, "--split_from", ids],
        ["--splits", _fractions(manifest)],
        *([["--exhaustive", files.join(folder, layout.EXHAUSTIVE)]] if is_partial else []),
        ["--output", "DATASET" if folder else "../DATASET"],
    ]
    return " ".join(["python -m beam_jobs prepare", *(shell_word(word) for words in given for word in words)])


def _fractions(manifest: DatasetManifest) -> str:
    """Return the value of --splits: that of the data set, or the shares that it has."""
    total = sum(split.examples for split in manifest.splits.values())
    shares = {name: split.examples / total for name, split in manifest.splits.items()}
    asked = manifest.options.get("splits", {})
    fractions = asked if asked.keys() == shares.keys() else shares
    return ",".join(f"{name}={fraction!r}" for name, fraction in fractions.items())

"""What `prepare` would lose of the data set that lies in its output folder. Begin with `check_earlier_dataset`.

A data set that grows, or that is made again with other flags, replaces itself. One that has images which the new one
lacks is another data set: it is replaced only with --replace. A file that a person has changed is never overwritten.
"""

from collections.abc import Iterator

from beam_jobs import output_folder
from beam_jobs.options import PrepareOptions
from retinanet_odm.dataset.manifest import DatasetManifest
from retinanet_odm.dataset.source_ids import parse_id_map
from retinanet_odm.errors import ContractError, UsageError
from retinanet_odm.sources.listing import input_patterns, match_images
from retinanet_odm.storage import files


def check_earlier_dataset(options: PrepareOptions) -> None:
    """Refuse to lose an earlier data set; changes nothing.

    Raises:
      UsageError: a person has changed a file of it; or images of it are not among those of the request, and --replace
        was not given.
    """
    output = options.output
    path = files.join(output, DatasetManifest.FILE)
    if not files.is_file(path):
        return
    _check_unchanged(output, path)
    if options.replace:
        return
    lost = _lost_images(options)
    if lost:
        raise UsageError(
            f"--output: {output} holds a data set with {len(lost)} images that are not among those of this request"
            f" (first: {min(lost)}): permit to replace it with --replace, or choose another folder"
        )


def _check_unchanged(output: str, path: str) -> None:
    try:
        manifest = DatasetManifest.from_json(files.read_written_text(path), source=path)
    except ContractError:
        return  # of another version, which has recorded no digests that this one knows
    for name, digest in sorted(manifest.files.items()):
        found = files.find_digest(files.join(output, name)) if name in output_folder.BESIDE_SHARDS else None
        if found is not None and found != digest:
            raise UsageError(
                f"--output: {name} in {output} was changed after prepare wrote it, and would be overwritten: move it"
                " out of this folder"
            )


def _lost_images(options: PrepareOptions) -> set[str]:
    """Return the names of images of the earlier data set that the request does not name."""
    path = files.join(options.output, output_folder.ID_MAP)
    if not files.is_file(path):
        return set()
    rows = parse_id_map(files.read_written_text(path), source=path).rows
    # The map has images of still earlier builds too, which have no split any more.
    missing = {row.image for row in rows if row.split}
    for name in _image_names(options):
        missing.discard(name)
        if not missing:
            break
    return missing


def _image_names(options: PrepareOptions) -> Iterator[str]:
    for source in input_patterns(options.images, options.exports, flag="--images"):
        for image in match_images(source):
            yield image.name

"""What `prepare` would lose of the data set that lies in its output folder. Begin with `check_earlier_dataset`.

A data set that grows, or that is made again with other flags, replaces itself. One that has images which the new one
lacks is another data set: it is replaced only with --replace. A file that a person has changed is never overwritten.
"""

from collections.abc import Iterator

from beam_jobs import output_folder
from beam_jobs.options import PrepareOptions
from retinanet_odm.dataset.example_keys import SCHEMA_VERSIONS
from retinanet_odm.dataset.manifest import DatasetManifest
from retinanet_odm.dataset.source_ids import parse_id_map
from retinanet_odm.errors import ContractError, UsageError
from retinanet_odm.json_documents import parse_json_object
from retinanet_odm.sources.listing import input_patterns, match_images
from retinanet_odm.storage import files
from retinanet_odm.wording import plural


def check_earlier_dataset(options: PrepareOptions) -> None:
    """Refuse to lose an earlier data set; changes nothing.

    Raises:
      UsageError: a person has changed a file of it; images of it are not among those of the request, and --replace was
        not given; or its manifest or its id map cannot be read.
    """
    try:
        _check_unchanged(options.output)
        lost = set() if options.replace else _lost_images(options)
    except (ContractError, files.FileError) as error:
        raise UsageError(f"--output: {error}: move this file out of the folder, or choose another folder") from error
    if number := len(lost):
        raise UsageError(
            f"--output: {options.output} holds a data set with {number} {plural('image', number)} that"
            f" {plural('is', number)} not among those of this request (first: {min(lost)}): permit to replace it with"
            " --replace, or choose another folder"
        )


def _check_unchanged(output: str) -> None:
    path = files.join(output, DatasetManifest.FILE)
    if not files.is_file(path):
        return
    text = files.read_written_text(path)
    if parse_json_object(text, source=path).get("schema_version") not in SCHEMA_VERSIONS:
        return  # of another version, which has recorded no digests that this one knows
    for name, digest in sorted(DatasetManifest.from_json(text, source=path).files.items()):
        found = files.find_digest(files.join(output, name)) if name in output_folder.BESIDE_SHARDS else None
        if found is not None and found != digest:
            raise UsageError(
                f"--output: {name} in {output} was changed after prepare wrote it, and would be overwritten: move it"
                " out of this folder"
            )


def _lost_images(options: PrepareOptions) -> set[str]:
    """Return the names of images of the earlier data set that the request does not name.

    The id map tells them, and is there without a manifest too: a build deletes that first, and may have been killed.
    """
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

"""The annotations that evaluate and abundance take from the command line: files of any format, and label aliases."""

from collections.abc import Iterator, Mapping, Sequence

from retinanet_odm.errors import DataError
from retinanet_odm.labels.aliases import parse_aliases
from retinanet_odm.labels.label_map import LabelMap
from retinanet_odm.sources import listing
from retinanet_odm.sources.inputs import check_input, find_files, folders_as_patterns
from retinanet_odm.sources.listing import AnnotationFile
from retinanet_odm.storage import files


def read_truth_files(
    patterns: Sequence[str], *, flag: str, ignored: Sequence[str] = ()
) -> Iterator[AnnotationFile | DataError]:
    """Yield every image of every annotation file; a file that two patterns match is read once.

    Args:
      patterns: of the files, as for ``prepare``.
      flag: that they are from, for messages.
      ignored: labels of areas in which nobody has looked for objects.

    Raises:
      UsageError: a pattern matches no file of annotations.
    """
    patterns = folders_as_patterns(patterns)
    check_input(patterns, flag=flag)
    find_files(patterns, flag, listing.ANNOTATION_CONTENT)
    listed = (listing.match_annotations(source) for source in listing.input_patterns(patterns, (), flag=flag))
    distinct = {uri: file for found in listed for uri, file in found}
    for file in distinct.values():
        yield from listing.read_annotation(file, ignored=ignored)


def read_aliases(path: str | None, labels: LabelMap) -> Mapping[str, str]:
    """Return the label by alias from the file of --label_aliases; nothing without a file.

    Raises:
      UsageError: there is no such file.
      ContractError: it has another form, or names a class that the model does not have.
    """
    if path is None:
        return {}
    return parse_aliases(files.read_text(path, flag="--label_aliases"), labels, source=path)

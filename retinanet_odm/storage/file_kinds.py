"""What a file is by the suffix of its name, where its content need not be asked.

A file of an unknown suffix, or of none, may be anything. Begin with `is_never_image` and `is_never_annotation`;
`count_suffixes` and `describe_suffixes` name what a program passes over.
"""

from collections import Counter
from collections.abc import Iterable, Mapping

from retinanet_odm.storage.file_names import IMAGE_SUFFIXES, is_hidden


def _suffixes(words: str) -> frozenset[str]:
    return frozenset(f".{word}" for word in words.split())


# Raw formats of cameras. Many are TIFF files in which a reader of TIFF finds only a thumbnail.
_RAW = _suffixes("3fr arw cr2 cr3 crw dcr dng erf gpr iiq kdc mos mrw nef nrw orf pef raf raw rw2 rwl sr2 srf srw x3f")
_OTHER_IMAGES = _suffixes("dcm eps exr fits hdr ico j2k jp2 jpx jxl jxr psd svg tga xcf")
_VIDEOS = _suffixes("3gp avi flv m2ts m4v mkv mov mp4 mpeg mpg mts ogv webm wmv")
_SOUNDS = _suffixes("m4a mp3 ogg wav")
_ARCHIVES = _suffixes("7z bz2 gz rar tar tbz tbz2 tgz txz xz zip zst")
_DOCUMENTS = _suffixes("doc docx html log md pdf py sh xls xlsx")
_DATA = _suffixes("aux cfg csv ini json jsonl names pbtxt toml tsv txt xml xmp yaml yml")  # may be annotations
_MEDIA = _RAW | _OTHER_IMAGES | _VIDEOS | _SOUNDS | _ARCHIVES
_NO_IMAGES = _MEDIA | _DOCUMENTS | _DATA
_NO_ANNOTATIONS = _MEDIA | _DOCUMENTS | set(IMAGE_SUFFIXES)
# Files that operating systems write, in lower case.
_OF_SYSTEMS = frozenset(("thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", ".ds_store", ".localized"))
# Archives that no program here opens, by suffix.
_CLOSED = {
    ".7z": "a 7z archive",
    ".rar": "a RAR archive",
    **dict.fromkeys((".bz2", ".tbz", ".tbz2"), "a file compressed by bzip2"),
    **dict.fromkeys((".xz", ".txz"), "a file compressed by xz"),
    ".zst": "a file compressed by Zstandard",
}


def is_of_system(name: str) -> bool:
    """Return whether a file is hidden or was written by an operating system: nobody misses it."""
    return is_hidden(name) or name.rpartition("/")[2].lower() in _OF_SYSTEMS


def is_left_by_system(name: str) -> bool:
    """Return whether an operating system writes a file of this name into any folder that a person opens or copies.

    Example:
      >>> is_left_by_system("receipts/.DS_Store"), is_left_by_system("._dataset.json"), is_left_by_system(".git")
      (True, True, False)
    """
    base = name.rpartition("/")[2]
    # macOS keeps the attributes of x in ._x on disks that have none.
    return base.lower() in _OF_SYSTEMS or base.startswith("._")


def is_never_image(name: str) -> bool:
    """Return whether a file that a pattern matches is certainly no image that can be read.

    Example:
      >>> is_never_image("a.DNG"), is_never_image("a.txt"), is_never_image("a"), is_never_image("a.jpg")
      (True, True, False, False)
    """
    return suffix_of(name) in _NO_IMAGES or is_of_system(name)


def is_never_annotation(name: str) -> bool:
    """Return whether a file that a pattern matches is certainly no annotation file.

    Example:
      >>> is_never_annotation("a.jpg"), is_never_annotation("a.txt"), is_never_annotation("a")
      (True, False, False)
    """
    return suffix_of(name) in _NO_ANNOTATIONS or is_of_system(name)


def may_hold_images(suffix: str) -> bool:
    """Return whether files of a suffix may hold images or videos: somebody may miss them."""
    return suffix in _MEDIA - _SOUNDS or suffix in IMAGE_SUFFIXES


def closed_archive(name: str) -> str:
    """Describe an archive that must be unpacked before it can be read; "" for other files."""
    return _CLOSED.get(suffix_of(name), "")


def suffix_of(name: str) -> str:
    """Return the last suffix of a name in lower case, with its dot; "" if it has none."""
    # Called for every file several times: PurePosixPath(name).suffix takes ten times as long.
    base = name.rpartition("/")[2]
    dot = base.rfind(".")
    return base[dot:].lower() if 0 < dot < len(base) - 1 else ""


def count_suffixes(names: Iterable[str]) -> Counter[str]:
    """Count files by suffix, except those of operating systems."""
    return Counter(suffix_of(name) for name in names if not is_of_system(name))


def describe_suffixes(counts: Mapping[str, int]) -> str:
    """List counts by suffix, the most frequent first.

    Example:
      >>> describe_suffixes({".txt": 2, ".heic": 12, "": 1})
      '12 .heic, 2 .txt, 1 without extension'
    """
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{count} {suffix or 'without extension'}" for suffix, count in ordered)

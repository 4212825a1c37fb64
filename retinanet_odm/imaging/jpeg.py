"""Damage of JPEG files that decoders repair in silence: begin with `read_jpeg` and `JpegFile.verify`.

A decoder that meets damaged entropy-coded data goes on at the next code or restart marker that it finds. It fills what
is missing with grey or repeats, and only warns. Pillow drops these warnings, so every JPEG is decoded once by
libjpeg-turbo in a mode where a warning is an error. Two kinds of damage cause no warning and are looked for here: a
progressive file without its last scans, and zeros from a failed disk, which are valid codes.

The numbers in comments are sections of ITU-T T.81.
"""

import functools
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import simplejpeg

_SOI, _EOI, _SOS, _DHT = 0xD8, 0xD9, 0xDA, 0xC4
_END = b"\xff\xd9"
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
_HUFFMAN = frozenset({0xC0, 0xC1, 0xC2})  # the frames that every decoder reads
_COEFFICIENTS = 64
_NOT_SENT = 99  # more than any bit position

# More zero bytes than this follow each other in no scan, unless they mean blocks without detail (see _zeros_are_plain):
# the codes of so many small coefficients of one sign would have a probability below 1e-10 in a file of 10 MB.
# Refinement scans also contain one plain bit per coefficient, so they get more room.
_MAX_ZERO_BYTES, _MAX_ZERO_BYTES_REFINED = 5, 15

# Beginnings of libjpeg's warnings about the pixel data. Others, such as an unknown JFIF version, are no damage.
_DAMAGE_WARNINGS = ("Corrupt JPEG data", "Premature end", "Inconsistent progression")
# The extension and comment segments. The warnings about them, and about bytes between them, are no damage of pixels.
_HEADER_EXTRAS = frozenset({*range(0xE0, 0xF0), 0xFE})


class JpegError(ValueError):
    """A JPEG file is damaged; the message completes "not a readable image: "."""


class MissingEndError(JpegError):
    """A JPEG file stops without an end marker; whether pixels are missing, too, is not known."""


@dataclass
class _Scan:
    """A scan: its entropy-coded data and what decides how they are read.

    Attributes:
      start, end: position of the entropy-coded data.
      components: indexes of its components in the frame.
      first, last: the coefficients (Ss, Se).
      high, low: the bit positions (Ah, Al).
      zero_codes: what a code of zeros means, by component: the first symbol of its AC table, or None if unknown.
    """

    start: int
    end: int
    components: tuple[int, ...]
    first: int
    last: int
    high: int
    low: int
    zero_codes: tuple[int | None, ...]


@dataclass
class JpegFile:
    """The segments of a JPEG file up to its end.

    Attributes:
      data: the file.
      frame: the marker of its frame header.
      component_ids: of the frame.
      scans: in their order.
      segments: marker, start and end of each segment; a scan's includes its entropy-coded data.
    """

    data: bytes
    frame: int = 0
    component_ids: bytes = b""
    scans: list[_Scan] = field(default_factory=list)
    segments: list[tuple[int, int, int]] = field(default_factory=list)

    @property
    def is_common(self) -> bool:
        """Whether every decoder reads it: Huffman coded, and neither lossless nor hierarchical."""
        return self.frame in _HUFFMAN

    def verify(self, size: tuple[int, int], min_size: tuple[int, int]) -> np.ndarray | None:
        """Decode the file so that any damage shows.

        Damage remains unnoticed if it leaves a valid file of as many blocks: a changed coefficient, for example. See
        `benchmarks/damaged_jpegs.py`.

        Args:
          size: (width, height) of the image.
          min_size: it is decoded at a half, a quarter or an eighth if that is no smaller. This reads all coefficients,
            too, and takes a third of the time.

        Returns:
          Grey pixels [height, width]; None if libjpeg-turbo has no grey for the file.

        Raises:
          JpegError: the file is damaged.
        """
        _check_scans(self)
        _check_zeros(self)
        factor = min(size[0] // min_size[0], size[1] // min_size[1])
        reduction = next((power for power in (8, 4, 2) if power <= factor), 1)
        reduced = -(-size[0] // reduction), -(-size[1] // reduction)
        colours = "CMYK" if len(self.component_ids) == 4 else "GRAY"
        try:
            pixels = _decode(self.data, colours, reduced)
        except ValueError:
            # Perhaps a warning about something harmless, which would hide others.
            _decode_essentials(self, colours, reduced)
            return None
        return pixels[..., 0] if colours == "GRAY" else None


def _decode(data: bytes, colours: str, size: tuple[int, int]) -> np.ndarray:
    pixels: np.ndarray = simplejpeg.decode_jpeg(data, colours, min_width=size[0], min_height=size[1], strict=True)
    return pixels


def _decode_essentials(file: JpegFile, colours: str, size: tuple[int, int]) -> None:
    """Decode the tables, headers and scans alone; their colours may differ, so the pixels are of no use.

    Zeros after the last scan are left out, too: some webcams align the end of a file with them.
    """
    content = b"".join(file.data[start:end] for marker, start, end in file.segments if marker not in _HEADER_EXTRAS)
    content = content.rstrip(b"\0")
    if content.endswith(b"\xff"):  # the zero after it is a part of the code (B.1.1.5)
        content += b"\0"
    try:
        _decode(b"\xff\xd8" + content + _END, colours, size)
    except ValueError as error:
        # Any other error is a form that this decoder lacks; then the caller's decoder has to do.
        if str(error).startswith(_DAMAGE_WARNINGS):
            raise JpegError(str(error)) from error


def read_jpeg(data: bytes) -> JpegFile:
    """Read the segments of a JPEG file.

    Raises:
      MissingEndError: the file has no end marker.
      JpegError: the file has no scan, or the header of a scan is damaged.
    """
    file = JpegFile(data)
    tables: dict[int, int] = {}
    markers = _LaterMarkers(data)
    position = _next_marker(data, 2)
    while position >= 0 and data[position] != _EOI:
        end = position + 1 + int.from_bytes(data[position + 1 : position + 3], "big")
        if not position + 3 <= end <= len(data):
            break
        start, marker, body = position - 1, data[position], data[position + 3 : end]
        if marker == _DHT:
            tables.update(_first_symbols(body))
        elif marker in _FRAMES:
            file.frame, file.component_ids = marker, body[6::3]
        elif marker == _SOS:
            scan_end = markers.after(end)
            file.scans.append(_parse_scan(file, tables, body, (end, scan_end)))
            end = scan_end
        file.segments.append((marker, start, end))
        position = _next_marker(data, end)
    if not file.scans:
        raise JpegError("the file ends before its pixels")
    if position < 0 or data[position] != _EOI:
        raise MissingEndError("the file ends before its end marker")
    return file


def complete_jpeg(data: bytes) -> bytes:
    """Append the end marker to a JPEG file that stops without one; other files are returned unchanged.

    Some cameras and copy programs lose the last bytes. Verify the result: the decoder warns at the marker if pixels are
    missing before it.

    Raises:
      JpegError: as read_jpeg.
    """
    if data.endswith(_END):  # saves reading most files twice
        return data
    try:
        read_jpeg(data)
    except MissingEndError:
        return data.removesuffix(b"\xff") + _END
    return data


def _next_marker(data: bytes, position: int) -> int:
    """Return where the code of the next marker lies, past fill bytes and bytes of no segment; -1 at the end."""
    while True:
        position = data.find(b"\xff", position)
        if position < 0:
            return -1
        while position < len(data) and data[position] == 0xFF:
            position += 1
        if position >= len(data):
            return -1
        if data[position] and not 0xD0 <= data[position] <= _SOI:
            return position


class _LaterMarkers:
    """Finds the markers that end a scan: all but escaped bytes, fill bytes and restart markers (B.1.1)."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    @functools.cached_property
    def _positions(self) -> np.ndarray:
        pixels = np.frombuffer(self._data, np.uint8)
        found = np.flatnonzero(pixels[:-1] == 0xFF)
        codes = pixels[found + 1]
        is_end = (codes != 0) & (codes != 0xFF) & ((codes < 0xD0) | (codes > 0xD7))
        return np.asarray(found[is_end])

    def after(self, position: int) -> int:
        """Return the position of the first one from a position on, or the end of the file."""
        index = np.searchsorted(self._positions, position)
        return int(self._positions[index]) if index < len(self._positions) else len(self._data)


def _first_symbols(body: bytes) -> Iterator[tuple[int, int]]:
    """Yield class and number of each Huffman table with its first symbol, whose code is all zeros (C.2)."""
    while len(body) > 17:
        yield body[0], body[17]
        body = body[17 + sum(body[1:17]) :]


def _parse_scan(file: JpegFile, tables: dict[int, int], body: bytes, data: tuple[int, int]) -> _Scan:
    count = body[0] if body else 0
    ids, selectors = body[1 : 1 + 2 * count : 2], body[2 : 2 + 2 * count : 2]
    parameters = body[1 + 2 * count :]
    if not count or len(parameters) < 3 or any(identifier not in file.component_ids for identifier in ids):
        raise JpegError("the header of a scan is damaged")
    return _Scan(
        start=data[0],
        end=data[1],
        components=tuple(file.component_ids.index(identifier) for identifier in ids),
        first=parameters[0],
        last=parameters[1],
        high=parameters[2] >> 4,
        low=parameters[2] & 15,
        zero_codes=tuple(tables.get(0x10 | selector & 15) for selector in selectors),
    )


def _check_scans(file: JpegFile) -> None:
    """Raise JpegError unless the scans hold every bit of every coefficient of every component."""
    lowest = np.full((len(file.component_ids), _COEFFICIENTS), _NOT_SENT)
    for scan in file.scans:
        if file.frame in _PROGRESSIVE:
            lowest[list(scan.components), scan.first : scan.last + 1] = scan.low
        else:
            lowest[list(scan.components)] = 0
    if (lowest > 0).any():
        raise JpegError("the file lacks its last scans")


def _check_zeros(file: JpegFile) -> None:
    for scan in file.scans:
        limit = _MAX_ZERO_BYTES_REFINED if scan.high else _MAX_ZERO_BYTES
        is_dc_only = file.frame in _PROGRESSIVE and scan.first == 0
        if is_dc_only or file.frame not in _HUFFMAN or _zeros_are_plain(scan):
            continue
        position = _find_zeros(file.data, limit + 1, scan.start, scan.end)
        if position >= 0:
            raise JpegError(f"zeros in place of pixel data, at byte {position}")


def _find_zeros(data: bytes, count: int, start: int, end: int) -> int:
    """Return the first position from start to end of a run of `count` zero bytes, 5 or more; -1 if there is none."""
    # bytes.find is slow where single zeros are frequent. A run of 5 holds two pairs in a row at even positions.
    pairs = np.frombuffer(data, np.uint16, len(data) // 2)[start // 2 : -(-end // 2)]
    is_zero = pairs == 0
    return data.find(bytes(count), start, end) if (is_zero[1:] & is_zero[:-1]).any() else -1


def _zeros_are_plain(scan: _Scan) -> bool:
    """Return whether zeros mean "end of block" in every AC table: then they are common in images of one colour."""
    return all(code in (0, None) for code in scan.zero_codes)

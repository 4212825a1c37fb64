"""Images: which pass unchanged, which are re-encoded, and that invalid bytes raise only ImageError."""

import io
import struct
import warnings
from datetime import datetime
from typing import Any

import numpy as np
import pytest
from PIL import Image

from retinanet_odm.errors import ImageError, UsageError
from retinanet_odm.imaging.images import VERIFY_HEADER, ImageRule, difference_hash, normalise_image
from tests.retinanet_odm.images import EXIF, EXIF_PNG, IHDR, UPRIGHT, encoded, in_mode, png_of


def _decoded(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        pytest.param(encoded("JPEG"), "jpeg", id="JPEG"),
        pytest.param(encoded("JPEG", progressive=True), "jpeg", id="progressive JPEG"),
        pytest.param(encoded("JPEG", in_mode("L")), "jpeg", id="grey JPEG"),
        pytest.param(encoded("PNG"), "png", id="PNG"),
        pytest.param(encoded("PNG", in_mode("L")), "png", id="grey PNG"),
        pytest.param(encoded("JPEG") + b"trailing", "jpeg", id="bytes after the end, as some cameras write"),
    ],
)
def test_good_images_pass_byte_for_byte(data: bytes, kind: str) -> None:
    found = normalise_image(data, name="x")
    assert found.data is data
    assert (found.format, found.height, found.width) == (kind, 32, 48)


@pytest.mark.parametrize(
    ("data", "kind", "tolerance"),
    [
        pytest.param(encoded("PNG", in_mode("RGBA")), "png", 0, id="RGBA PNG"),
        pytest.param(encoded("PNG", in_mode("P")), "png", 0, id="palette PNG"),
        pytest.param(encoded("JPEG", in_mode("CMYK"), quality=95), "jpeg", 60, id="CMYK JPEG stays JPEG"),
        pytest.param(encoded("GIF"), "png", 0, id="GIF: rank 4 in TensorFlow"),
        pytest.param(encoded("WEBP", lossless=True), "png", 0, id="WebP: rank 4 in TensorFlow"),
        pytest.param(encoded("TIFF"), "png", 0, id="TIFF: unknown to TensorFlow"),
        pytest.param(encoded("TIFF", compression="tiff_lzw"), "png", 0, id="compressed TIFF"),
        pytest.param(encoded("BMP"), "png", 0, id="BMP"),
    ],
)
def test_other_images_become_rgb(data: bytes, kind: str, tolerance: int) -> None:
    found = normalise_image(data, name="x")
    with Image.open(io.BytesIO(found.data)) as image:
        assert (image.format, image.mode, image.size) == (kind.upper(), "RGB", (found.width, found.height))
    assert found.format == kind
    assert np.abs(_decoded(found.data).astype(int) - UPRIGHT).mean() <= tolerance


def test_the_same_bytes_whatever_the_time() -> None:
    """Pillow turns CIE LAB into RGB by a colour profile, and would store it with the second in which it was made."""
    found = normalise_image(encoded("TIFF", in_mode("LAB")), name="x")
    with Image.open(io.BytesIO(found.data)) as image:
        assert (image.mode, "icc_profile" in image.info) == ("RGB", False)


def test_black_and_white_becomes_rgb() -> None:
    found = normalise_image(encoded("PNG", in_mode("1")), name="x")
    assert set(np.unique(_decoded(found.data))) == {0, 255}


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bit_grey_keeps_its_high_byte(kind: str) -> None:
    """As TensorFlow does; Pillow's own conversion clips everything above 255 to white."""
    grey = np.arange(32 * 48, dtype=np.uint16).reshape(32, 48) * 42
    found = normalise_image(encoded(kind, Image.fromarray(grey)), name="x")
    np.testing.assert_array_equal(_decoded(found.data)[..., 0], grey >> 8)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_baked(kind: str, orientation: int) -> None:
    turns = {2: [0], 3: [0, 1], 4: [1], 5: ["t"], 6: ["t", 1], 7: [0, 1, "t"], 8: ["t", 0], 1: []}
    stored = UPRIGHT
    for step in turns[orientation]:  # the inverse of what a viewer does
        stored = np.swapaxes(stored, 0, 1) if step == "t" else np.flip(stored, axis=1 - int(step))
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if kind == "WEBP" else {"quality": 95} if kind == "JPEG" else {}
    data = encoded(kind, Image.fromarray(np.ascontiguousarray(stored)), exif=exif, **options)
    found = normalise_image(data, name="x")
    assert (found.height, found.width) == UPRIGHT.shape[:2]
    assert (found.full_size, found.orientation) == ((48, 32), orientation)
    assert np.abs(_decoded(found.data).astype(int) - UPRIGHT).mean() < 8
    with Image.open(io.BytesIO(found.data)) as image:
        assert image.getexif().get(0x0112, 1) == 1


def _taken_at(text: object) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 1  # without any tag of its own, the main part is not written into a PNG
    exif.get_ifd(0x8769)[0x9003] = text
    return exif


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_when_it_was_taken(kind: str) -> None:
    data = encoded(kind, exif=_taken_at("2016:11:10 14:24:12").tobytes())
    for rule in (ImageRule(), HEADER_RULE):
        assert normalise_image(data, name="x", rule=rule).capture_time == datetime(2016, 11, 10, 14, 24, 12)
    assert normalise_image(encoded(kind), name="x").capture_time is None


TIMES = [
    ("2016:11:10 14:24:12.123", "a fraction of a second"),
    ("2016:11:10 14:24:12+02:00", "a time zone; the time stays that of the camera's clock"),
    ("2016-11-10T14:24:12", "ISO 8601"),
    ("2016-11-10T14:24:12,5Z", "ISO 8601 with comma and zone"),
    ("2016:11:10 14:24:12\0", "a zero byte at the end"),
]


@pytest.mark.parametrize(("text", "reason"), TIMES)
def test_a_time_as_other_programs_write_it(text: str, reason: str) -> None:
    found = normalise_image(encoded("JPEG", exif=_taken_at(text)), name="x").capture_time
    assert found == datetime(2016, 11, 10, 14, 24, 12), reason


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("2016:11:10 14:24", id="a time without seconds"),
        pytest.param("0000:00:00 00:00:00", id="a clock that was never set"),
        pytest.param("1601:01:01 00:00:00", id="a computer's beginning of time"),
        pytest.param("    :  :     :  :  ", id="unknown, as the standard has it"),
        pytest.param("2016:11:31 14:24:12", id="31 November"),
        pytest.param("yesterday", id="no time"),
        pytest.param("", id="empty"),
    ],
)
def test_a_time_that_is_none_is_no_fault(text: str) -> None:
    assert normalise_image(encoded("JPEG", exif=_taken_at(text)), name="x").capture_time is None


def test_a_corrupt_exif_time_is_ignored() -> None:
    data = encoded("JPEG", exif=_taken_at("2016:11:10 14:24:12"))
    start = data.index(b"Exif")
    where = data.index(b"2016:11:10")
    for place in range(start + 14, where):  # everything that leads to the time
        for value in (0x00, 0xFF):
            corrupt = data[:place] + bytes([value]) + data[place + 1 :]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Pillow's, of corrupt EXIF
                assert normalise_image(corrupt, name="x").width in (32, 48)


def _bomb(kind: str) -> bytes:
    """An image of a few bytes whose header states 25000x20000 pixels."""
    if kind == "PNG":
        return png_of((b"IHDR", struct.pack(">IIBBBBB", 25000, 20000, 8, 2, 0, 0, 0)), (b"IEND", b""))
    data = encoded(kind)
    wanted, found = {
        "JPEG": (struct.pack(">HH", 20000, 25000), struct.pack(">HH", 32, 48)),
        "TIFF": (
            struct.pack("<HHIIHHII", 256, 4, 1, 25000, 257, 4, 1, 20000),
            struct.pack("<HHIIHHII", 256, 4, 1, 48, 257, 4, 1, 32),
        ),
    }[kind]
    assert data.count(found) == 1
    return data.replace(found, wanted)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(b"", "image_empty", id="zero bytes: a transfer that never began"),
        pytest.param(encoded("JPEG")[:-200], "image_not_decodable", id="JPEG cut short"),
        pytest.param(encoded("JPEG")[:30], "image_not_decodable", id="JPEG cut within its header"),
        pytest.param(encoded("PNG")[:-40], "image_not_decodable", id="PNG cut short"),
        pytest.param(encoded("TIFF")[:-40], "image_not_decodable", id="TIFF cut short"),
        pytest.param(encoded("GIF")[:60], "image_not_decodable", id="GIF cut short"),
        pytest.param(encoded("WEBP")[:60], "image_not_decodable", id="WebP cut short"),
        pytest.param(b"this is text, not a image\n" * 9, "image_not_decodable", id="a text file"),
        pytest.param(
            b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "image_not_decodable", id="EPS runs programs"
        ),
        pytest.param(
            encoded("TIFF").replace(b"\x11\x01\x04\0", b"\x11\x01\x05\0"),
            "image_not_decodable",
            id="a TIFF whose offsets are fractions: a TypeError in Pillow",
        ),
        pytest.param(bytes(1000), "image_not_decodable", id="zeros: a failed disk"),
    ],
)
def test_bad_bytes(data: bytes, reason: str) -> None:
    with pytest.raises(ImageError, match=r"dive 7/x\.jpg") as caught:
        normalise_image(data, name="dive 7/x.jpg")
    assert caught.value.reason == reason
    assert "0x" not in caught.value.detail  # an address would differ from run to run


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
@pytest.mark.parametrize(
    "rule", [ImageRule(), ImageRule(verify=VERIFY_HEADER, max_side=100)], ids=["full", "header, small"]
)
def test_a_bomb_is_refused_before_its_pixels_are_allocated(kind: str, rule: ImageRule) -> None:
    with pytest.raises(ImageError, match=r"500000000 pixels.*bomb"):
        normalise_image(_bomb(kind), name="x", rule=rule)


HEADER_RULE = ImageRule(verify=VERIFY_HEADER, perceptual_hash=True)


def _corrupt(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :]


def _with_thumbnail(image: bytes) -> bytes:
    """A JPEG that contains a complete JPEG in its header, as cameras' EXIF does."""
    thumbnail = b"Exif\0\0" + encoded("JPEG")
    return image[:2] + b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail + image[2:]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(encoded("JPEG"), id="JPEG"),
        pytest.param(encoded("JPEG", progressive=True), id="JPEG of several scans"),
        pytest.param(encoded("JPEG") + bytes(70_000), id="zeros after the end, as some cameras write"),
        pytest.param(_with_thumbnail(encoded("JPEG")), id="JPEG with a thumbnail"),
        pytest.param(encoded("PNG"), id="PNG"),
        pytest.param(encoded("PNG") + b"trailing", id="bytes after the end of a PNG"),
        pytest.param(_corrupt(encoded("JPEG"), -40), id="JPEG with a changed byte, which the header does not show"),
        pytest.param(
            png_of(IHDR, (b"IDAT", b"zlib?"), (b"IEND", b"")),
            id="PNG whose right checksums are of wrong pixels, likewise",
        ),
    ],
)
def test_by_the_header_good_images_pass_undecoded(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda _: pytest.fail("decoded"))
    found = normalise_image(data, name="x", rule=HEADER_RULE)
    assert found.data is data
    assert (found.width, found.height, found.full_size, found.perceptual_hash) == (48, 32, (48, 32), None)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(encoded("JPEG")[:-200], id="JPEG cut short"),
        pytest.param(_with_thumbnail(encoded("JPEG"))[:-200], id="the end mark is the thumbnail's"),
        pytest.param(encoded("PNG")[:-40], id="PNG cut short"),
        pytest.param(_corrupt(encoded("PNG"), -30), id="PNG with a changed byte"),
        pytest.param(png_of(IHDR, (b"IEND", b"")), id="no pixels"),
    ],
)
def test_by_the_header_bad_images_are_found(data: bytes) -> None:
    with pytest.raises(ImageError):
        normalise_image(data, name="x", rule=HEADER_RULE)


def _orientation_at_the_end() -> bytes:
    """Returns a PNG whose orientation follows its pixels: Pillow sees it only after it has decoded them."""
    start = EXIF_PNG.index(b"eXIf") - 4
    length = 12 + int.from_bytes(EXIF_PNG[start : start + 4], "big")
    chunk, rest = EXIF_PNG[start : start + length], EXIF_PNG[:start] + EXIF_PNG[start + length :]
    return rest[:-12] + chunk + rest[-12:]


@pytest.mark.parametrize(
    ("data", "size"),
    [
        pytest.param(encoded("GIF"), (48, 32), id="GIF must become PNG"),
        pytest.param(encoded("PNG", in_mode("P")), (48, 32), id="so must a palette"),
        pytest.param(EXIF_PNG, (32, 48), id="a turned PNG"),
        pytest.param(_orientation_at_the_end(), (32, 48), id="a PNG whose orientation follows its pixels"),
        pytest.param(encoded("JPEG", exif=EXIF), (32, 48), id="a turned JPEG"),
    ],
)
def test_by_the_header_what_must_change_is_decoded(data: bytes, size: tuple[int, int]) -> None:
    found = normalise_image(data, name="x", rule=HEADER_RULE)
    assert found == normalise_image(data, name="x", rule=ImageRule(perceptual_hash=True))
    assert (found.width, found.height) == size


@pytest.mark.parametrize(
    ("size", "max_side", "shrunk"),
    [
        pytest.param((48, 32), None, (48, 32), id="no limit"),
        pytest.param((48, 32), 48, (48, 32), id="not larger than the limit"),
        pytest.param((48, 32), 24, (24, 16), id="half"),
        pytest.param((32, 48), 24, (16, 24), id="upright format"),
        pytest.param((50, 33), 25, (25, 16), id="16.5 rounds to the even side"),
        pytest.param((50, 34), 24, (24, 16), id="16.32 rounds down"),
        pytest.param((500, 2), 10, (10, 1), id="no side vanishes"),
    ],
)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_max_side(kind: str, size: tuple[int, int], max_side: int | None, shrunk: tuple[int, int]) -> None:
    data = encoded(kind, Image.new("RGB", size))
    found = normalise_image(data, name="x", rule=ImageRule(max_side=max_side))
    assert (found.width, found.height) == shrunk
    assert found.full_size == size
    assert found.format == ("jpeg" if kind == "JPEG" else "png")
    assert (found.data is data) == (kind != "TIFF" and shrunk == size)
    with Image.open(io.BytesIO(found.data)) as image:
        assert image.size == shrunk


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_a_turned_image_shrinks_upright(kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    large = Image.fromarray(np.rot90(UPRIGHT)).resize((321, 480), Image.Resampling.NEAREST)
    found = normalise_image(encoded(kind, large, exif=exif, quality=95), name="x", rule=ImageRule(max_side=48))
    assert (found.width, found.height, found.full_size) == (48, 32, (480, 321))
    assert np.abs(_decoded(found.data).astype(int) - UPRIGHT).mean() < 8


def test_shrinking_a_jpeg_while_it_is_decoded_looks_the_same() -> None:
    """libjpeg decodes it to a quarter first; with 401 columns the last of that quarter is a part of one."""
    y, x = np.mgrid[:260, :401]
    waves = np.stack([127 + 120 * np.sin(x / 9), 127 + 120 * np.cos(y / 7), (x + y) % 200], -1).astype(np.uint8)
    data = encoded("JPEG", Image.fromarray(waves), quality=95)
    found = normalise_image(data, name="x", rule=ImageRule(max_side=50))
    with Image.open(io.BytesIO(data)) as image:
        expected = np.asarray(image.resize((50, 32), Image.Resampling.LANCZOS)).astype(int)
    assert np.abs(_decoded(found.data) - expected)[..., :2].mean() < 3


def test_a_truncated_jpeg_is_found_while_it_shrinks() -> None:
    data = encoded("JPEG", Image.effect_noise((400, 400), 90))
    with pytest.raises(ImageError):
        normalise_image(data[: len(data) * 3 // 4], name="x", rule=ImageRule(max_side=20))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_grayscale(kind: str, mode: str) -> None:
    data = encoded(kind, in_mode(mode))
    found = normalise_image(data, name="x", rule=ImageRule(grayscale=True))
    with Image.open(io.BytesIO(found.data)) as image:
        assert image.mode == "L"
    assert (found.data is data) == (mode == "L" and kind != "TIFF")
    assert np.abs(_decoded(found.data).astype(int) - _decoded(encoded("PNG", in_mode("L")))).mean() < 3


def test_fingerprint_is_that_of_the_upright_pixels() -> None:
    rule = ImageRule(perceptual_hash=True)
    expected = difference_hash(Image.fromarray(np.rot90(UPRIGHT, -1)))
    assert normalise_image(encoded("PNG"), name="x", rule=rule).perceptual_hash == difference_hash(
        Image.fromarray(UPRIGHT)
    )
    assert normalise_image(EXIF_PNG, name="x", rule=rule).perceptual_hash == expected
    assert normalise_image(encoded("PNG"), name="x").perceptual_hash is None


@pytest.mark.parametrize("values", [{"verify": "none"}, {"max_side": 0}], ids=["no such way", "no pixel"])
def test_rule_refuses(values: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        ImageRule(**values)

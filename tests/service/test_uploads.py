"""Photos of strangers: kinds, decoding in processes, storing."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from kembar.errors import PhotoError
from kembar.service.decoders import Decoders
from kembar.service.media import media_type, media_type_of
from kembar.service.uploads import Uploads
from services import bomb, many_scans, photo, polyglot


@pytest.fixture(scope="module")
def decoders() -> Iterator[Decoders]:
    decoders = Decoders(1, seconds=20, pixels=1_000_000)
    yield decoders
    decoders.close()


@pytest.fixture
def uploads(decoders: Decoders, tmp_path: Path) -> Uploads:
    return Uploads(tmp_path, decoders)


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "AVIF", "BMP", "TIFF", "JPEG2000", "PPM"])
def test_a_kind_is_that_of_the_decoder(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "photo.html"
    path.write_bytes(photo(kind=kind))
    with Image.open(path) as image:
        named = {"image/x-portable-anymap": "image/x-portable-pixmap"}.get(
            str(media_type_of(path)), media_type_of(path)
        )
        assert image.format == kind
        assert image.get_format_mimetype() == named


@pytest.mark.parametrize(
    "data", [b"", b"<svg xmlns=", b"%PDF-1.4", b"GIF", b"RIFF1234WAVE", b"P9 1", b"\x00" * 32, b"%!PS"]
)
def test_what_is_no_photo_has_no_kind(data: bytes) -> None:
    assert media_type(data) is None


def test_a_photo_is_stored_once_under_its_content(uploads: Uploads, tmp_path: Path) -> None:
    with uploads.stored(photo(), "../../etc/passwd.php") as first, uploads.stored(photo(kind="PNG"), "") as other:
        pass
    with uploads.stored(photo(), "another name") as again:
        assert again == first
    assert files(tmp_path) == sorted([first, other])
    assert (tmp_path / first).read_bytes() == photo()
    assert first.endswith(".jpg")
    assert other.endswith(".png")
    assert len(first) == len("ab/.jpg") + 64


def test_a_photo_goes_again_where_its_post_was_refused(uploads: Uploads, tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), uploads.stored(photo(), ""):
        raise ZeroDivisionError
    assert files(tmp_path) == []
    with uploads.stored(photo(), "") as name:
        pass
    with pytest.raises(ZeroDivisionError), uploads.stored(photo(), ""):
        raise ZeroDivisionError
    assert files(tmp_path) == [name]  # another post has it


def test_what_an_earlier_process_left_half_goes(decoders: Decoders, tmp_path: Path) -> None:
    (tmp_path / ".coming-1.jpg").touch()
    (tmp_path / "kept.jpg").touch()
    Uploads(tmp_path, decoders)
    assert files(tmp_path) == ["kept.jpg"]


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "is no image"),
        (b"<html>", "is no image"),
        (photo()[:100], "not an image that can be read|cannot be decoded"),
        (photo()[:4] + b"<script>", "not an image that can be read|cannot be decoded"),
        (bomb(30_000), "at most 1,000,000 pixels"),
        (bomb(1_001), "1001 x 1001 pixels"),
        (many_scans(900, 4000), "scans to decode"),
    ],
)
def test_what_cannot_be_decoded_is_refused(uploads: Uploads, tmp_path: Path, data: bytes, told: str) -> None:
    with pytest.raises(PhotoError, match=told) as error, uploads.stored(data, "their name.jpg"):
        raise AssertionError
    assert "their name.jpg" in error.value.given
    assert str(tmp_path) not in str(error.value)
    assert files(tmp_path) == []


def test_a_polyglot_is_a_photo_and_kept_as_it_is(uploads: Uploads, tmp_path: Path) -> None:
    with uploads.stored(polyglot(), "page.html") as name:
        pass
    assert name.endswith(".jpg")
    assert (tmp_path / name).read_bytes() == polyglot()


def test_a_photo_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    decoders = Decoders(1, seconds=0.3, pixels=4_000_000)
    uploads = Uploads(tmp_path, decoders)
    try:
        with uploads.stored(photo(), "good.jpg"):  # the process is there
            pass
        began = time.monotonic()
        told = r"'slow.jpg', which was not decoded after 0.3 seconds"
        with pytest.raises(PhotoError, match=told), uploads.stored(many_scans(2000, 440), "slow.jpg"):
            raise AssertionError
        assert time.monotonic() - began < 5
        with uploads.stored(photo(1), "good.jpg") as name:  # another process is
            pass
        assert (tmp_path / name).is_file()
    finally:
        decoders.close()


def test_a_process_that_ends_is_replaced(tmp_path: Path) -> None:
    decoders = Decoders(1, seconds=20, pixels=1_000_000)
    (tmp_path / "a.jpg").write_bytes(photo())
    try:
        assert decoders.check(tmp_path / "a.jpg") == (48, 48)
        decoder = decoders._idle.queue[0]
        os.kill(decoder._process.pid, 9)
        decoder._process.join()
        assert decoders.check(tmp_path / "a.jpg") == (48, 48)
        with pytest.raises(PhotoError, match="does not exist"):
            decoders.check(tmp_path / "missing.jpg")
        assert decoders.check(tmp_path / "a.jpg") == (48, 48)
    finally:
        decoders.close()

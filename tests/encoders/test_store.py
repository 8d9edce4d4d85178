import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kembar.encoders.encoding import default_store
from kembar.encoders.registry import open_encoder
from kembar.encoders.store import VectorStore, content_keys, encode
from kembar.errors import EvidenceError
from pictures import bad_photos, scene
from properties import examples
from tiny import save_photo_onnx, save_title_onnx

TITLES = [f"sepatu {i % 37} {'merah' * (i % 3)}" for i in range(300)] + ["", "tas", ""]


class Counted:
    """An encoder that remembers what it was given."""

    def __init__(self, folder: Path) -> None:
        self.inner = open_encoder(folder, threads=1)
        self.name, self.modality = self.inner.name, self.inner.modality
        self.dimension, self.fingerprint = self.inner.dimension, self.inner.fingerprint
        self.items: list[object] = []

    def encode(self, items: Sequence[object], **options: object) -> np.ndarray:
        self.items += items
        return self.inner.encode(items, **options)


@pytest.fixture(scope="module")
def grams(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("onnx") / "grams"
    return save_title_onnx(folder, ("ids", "weights"), 97, {"kind": "ngrams", "buckets": 97})


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_photo_onnx(tmp_path_factory.mktemp("onnx") / "photo")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("photos")
    for i in range(8):
        scene(i % 5).save(folder / f"{i}.png")
    return sorted(folder.iterdir())


# --- each distinct item once


def test_equal_titles_are_encoded_once(grams: Path) -> None:
    encoder = Counted(grams)
    np.testing.assert_allclose(encode(encoder, TITLES), encoder.inner.encode(TITLES), atol=1e-6)
    assert sorted(filter(None, map(str, encoder.items))) == sorted(set(TITLES) - {""})


def test_equal_photos_are_encoded_once_whatever_their_names(photo: Path, photos: list[Path]) -> None:
    encoder = Counted(photo)
    np.testing.assert_allclose(encode(encoder, photos), encoder.inner.encode(photos), atol=1e-6)
    assert encoder.items == photos[:5]


@examples(40)
@given(st.lists(st.sampled_from(["a", "b", "tas kulit", "", "c1", "\0", "\0\0"]), max_size=20), st.integers(0, 6))
def test_a_store_changes_no_vector(
    grams: Path, tmp_path_factory: pytest.TempPathFactory, titles: list[str], half: int
) -> None:
    encoder, store = open_encoder(grams, threads=1), VectorStore(tmp_path_factory.mktemp("store"))
    expected = encoder.encode(titles)
    np.testing.assert_allclose(encode(encoder, titles[:half], store), expected[:half], atol=1e-5)
    np.testing.assert_allclose(encode(encoder, titles, store), expected, atol=1e-5)
    np.testing.assert_allclose(encode(encoder, titles[::-1], store), expected[::-1], atol=1e-5)


def test_keys_are_of_the_content(photos: list[Path], tmp_path: Path) -> None:
    keys, known = content_keys(["a", "", "b", "a"])
    assert known.tolist() == [True, False, True, True]
    assert keys[0] == keys[3] != keys[2]
    keys, known = content_keys([*photos, tmp_path / "none", tmp_path, Path("nul\0")])
    assert known.tolist() == [True] * 8 + [False] * 3
    assert len(np.unique(keys[:8])) == 5
    with pytest.raises(EvidenceError, match=r"pathlib\.Path"):
        content_keys([photos[0], "a.jpg"])
    with pytest.raises(EvidenceError, match="list of titles"):
        content_keys(["a", None])


def test_nothing_to_encode(grams: Path, photo: Path, tmp_path: Path) -> None:
    assert encode(open_encoder(grams), [], VectorStore(tmp_path)).shape == (0, 6)
    assert encode(open_encoder(photo), []).shape == (0, 5)
    assert encode(open_encoder(grams), ["", ""], VectorStore(tmp_path)).tolist() == [[0] * 6] * 2
    assert list(tmp_path.rglob("*.npy")) == []


# --- what is kept


def test_what_is_known_is_not_encoded_again(grams: Path, tmp_path: Path) -> None:
    first = encode(open_encoder(grams), TITLES, VectorStore(tmp_path))
    encoder = Counted(grams)
    assert (encode(encoder, TITLES, VectorStore(tmp_path)) == first).all()
    assert not any(encoder.items), "empty titles at most"
    encode(encoder, [*TITLES, "baru", "baru"], VectorStore(tmp_path))
    assert [title for title in encoder.items if title] == ["baru"]


def test_a_renamed_photo_is_known_and_a_changed_one_is_not(photo: Path, photos: list[Path], tmp_path: Path) -> None:
    store, encoder = VectorStore(tmp_path / "store"), Counted(photo)
    encode(encoder, photos, store)
    encoder.items.clear()
    (tmp_path / "renamed.png").write_bytes(photos[0].read_bytes())
    scene(99).save(tmp_path / "new.png")
    encode(encoder, [tmp_path / "renamed.png", tmp_path / "new.png"], store)
    assert encoder.items == [tmp_path / "new.png"]


def test_another_encoder_has_its_own_vectors(photo: Path, photos: list[Path], tmp_path: Path) -> None:
    store = VectorStore(tmp_path / "store")
    encode(open_encoder(photo), photos, store)
    other = Counted(save_photo_onnx(tmp_path / "other", dimension=7))
    np.testing.assert_allclose(encode(other, photos, store), other.inner.encode(photos), atol=1e-6)
    assert len(other.items) == 5
    assert len(list((tmp_path / "store").iterdir())) == 2


def test_bad_photos_are_reported_by_every_run_and_not_stored(photo: Path, photos: list[Path], tmp_path: Path) -> None:
    (tmp_path / "bad").mkdir()
    bad = list(bad_photos(tmp_path / "bad").values())
    (tmp_path / "copy.jpg").write_bytes((tmp_path / "bad" / "text.jpg").read_bytes())
    items = [photos[0], *bad, tmp_path / "copy.jpg", photos[1]]
    for _ in range(2):
        told: dict[int, str] = {}
        vectors = encode(open_encoder(photo), items, VectorStore(tmp_path / "store"), problem=told.__setitem__)
        assert sorted(told) == list(range(1, len(items) - 1)), "the copy of a bad photo is bad too"
        assert (vectors[1:-1] == 0).all()
        assert (vectors[[0, -1]] != 0).any(axis=1).all()
        encode(open_encoder(photo), items, VectorStore(tmp_path / "store"))  # nobody asks


def test_progress_counts_what_is_known_as_done(grams: Path, tmp_path: Path) -> None:
    store = VectorStore(tmp_path)
    encode(open_encoder(grams), TITLES[:100], store)
    seen: list[tuple[str, int, int]] = []
    encode(open_encoder(grams), TITLES, store, progress=lambda *call: seen.append(call))
    assert {(stage, total) for stage, _, total in seen} == {("encode titles", len(TITLES))}
    done = [done for _, done, _ in seen]
    assert done == sorted(done)
    assert done[0] > 100
    assert done[-1] == len(TITLES)


# --- damage


def shards(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.npy"))


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "text"])
def test_a_damaged_shard_is_removed_and_made_again(
    damage: str, grams: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = encode(open_encoder(grams), TITLES, VectorStore(tmp_path))
    (shard,) = shards(tmp_path)
    content = bytearray(shard.read_bytes())
    content[-5] ^= 1
    shard.write_bytes(
        {"cut": content[:-9], "flipped": content, "empty": b"", "text": b"<html>disk error</html>"}[damage]
    )
    encoder = Counted(grams)
    with caplog.at_level(logging.WARNING):
        assert (encode(encoder, TITLES, VectorStore(tmp_path)) == first).all()
    assert len(set(filter(None, encoder.items))) == len(set(TITLES) - {""})
    assert [record.getMessage().split(" are ", 1)[1] for record in caplog.records] == [
        "damaged: the file is removed, and their items are encoded again"
    ]
    caplog.clear()
    assert (encode(Counted(grams), TITLES, VectorStore(tmp_path)) == first).all()
    assert not caplog.records


def test_files_of_others_are_left_alone(grams: Path, tmp_path: Path) -> None:
    folder = tmp_path / open_encoder(grams).fingerprint
    folder.mkdir()
    for name in ("notes.npy", ".x.npy.12.partial", "readme.txt"):
        (folder / name).write_text("mine")
    encode(open_encoder(grams), TITLES, VectorStore(tmp_path))
    assert {path.name for path in folder.iterdir()} >= {"notes.npy", ".x.npy.12.partial", "readme.txt"}


def test_a_store_that_cannot_be_written_warns_once_and_the_run_goes_on(
    grams: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    titles = [f"tas {number}" for number in range(600)]  # of several pieces
    found = encode(open_encoder(grams), titles, VectorStore(tmp_path / "file" / "store"))
    assert (found == encode(open_encoder(grams), titles)).all()
    (told,) = caplog.messages
    assert "not kept" in told
    assert "cannot be made" in told
    assert encode(open_encoder(grams), [""], VectorStore(tmp_path / "file" / "store")).shape == (1, 6)


def test_the_place_of_the_store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def places(**variables: str) -> Path | None:
        for name in ("KEMBAR_CACHE", "XDG_CACHE_HOME", "HOME"):
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        store = default_store()
        return store and store.folder

    assert places(KEMBAR_CACHE="a", XDG_CACHE_HOME="b", HOME="c") == Path("a")
    assert places(XDG_CACHE_HOME="b", HOME="c") == Path("b/kembar")
    assert places(HOME="c") == Path("c/.cache/kembar")
    monkeypatch.setattr("os.getuid", lambda: 54321)  # a user whom no list names
    assert places() is None


def test_what_a_killed_run_left_in_the_store_is_removed(grams: Path, tmp_path: Path) -> None:
    left = tmp_path / open_encoder(grams).fingerprint / f".{'0' * 64}.npy.0123abcd.partial"
    left.parent.mkdir()
    left.write_text("half")
    encode(open_encoder(grams), TITLES, VectorStore(tmp_path))
    assert not left.exists()


def test_a_full_disk(grams: Path) -> None:
    if not Path("/dev/full").exists() or os.geteuid() != 0:
        pytest.skip("needs a small file system, which only root can mount")
    code = (
        "import subprocess, sys, pathlib, tempfile\n"
        "from kembar.encoders.registry import open_encoder\n"
        "from kembar.encoders.store import VectorStore, encode\n"
        "folder = pathlib.Path(tempfile.mkdtemp())\n"
        "if subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=16k', 'x', folder], capture_output=True).returncode:\n"
        "    sys.exit(77)\n"
        "try:\n"
        f"    found = encode(open_encoder({str(grams)!r}), [f'tas {{i}}' for i in range(5000)], VectorStore(folder))\n"
        "    assert found.any(axis=1).all()\n"
        "finally:\n"
        "    left = [path.name for path in folder.rglob('*') if path.is_file()]\n"
        "    subprocess.run(['umount', folder])\n"
        "    folder.rmdir()\n"
        "    sys.stderr.write(f'left {left}\\n')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    if done.returncode == 77:
        pytest.skip("mounting is not allowed here")
    assert done.returncode == 0
    assert done.stderr.count("vectors are not kept") == 1
    assert "No space left on device" in done.stderr
    assert "partial" not in done.stderr.split("left ")[1].splitlines()[0]


# --- several at once, and killed


SLOW = """
import sys, time
from pathlib import Path
from kembar.encoders import store
from kembar.encoders.registry import open_encoder

folder, model, start, stop, pause = sys.argv[1:]
encoder = open_encoder(model, threads=1)

class Slow:
    name, modality, dimension, fingerprint = encoder.name, encoder.modality, encoder.dimension, encoder.fingerprint

    def encode(self, items, **options):
        time.sleep(float(pause) * len(items))
        return encoder.encode(items, **options)

store._SECONDS = 0.2
items = [f"judul {i}" for i in range(int(start), int(stop))]
store.encode(Slow(), items, store.VectorStore(folder))
"""


def start(folder: Path, model: Path, first: int, last: int, pause: float) -> subprocess.Popen[bytes]:
    words = [str(folder), str(model), str(first), str(last), str(pause)]
    return subprocess.Popen([sys.executable, "-c", SLOW, *words])


def test_a_killed_run_goes_on_where_it_was(grams: Path, tmp_path: Path) -> None:
    process = start(tmp_path, grams, 0, 20_000, 0.002)
    deadline = time.monotonic() + 300
    while len(shards(tmp_path)) < 3 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    kept = sum(len(np.load(path)) for path in shards(tmp_path))
    assert 256 < kept < 20_000
    encoder, items = Counted(grams), [f"judul {i}" for i in range(20_000)]
    vectors = encode(encoder, items, VectorStore(tmp_path))
    assert len(encoder.items) == 20_000 - kept, "what the killed run had written was not made again"
    some = np.random.default_rng(0).integers(0, 20_000, 200)
    np.testing.assert_allclose(vectors[some], encoder.inner.encode([items[i] for i in some]), atol=1e-5)


def test_two_processes_write_at_once(grams: Path, tmp_path: Path) -> None:
    processes = [start(tmp_path, grams, first, first + 2000, 0.0002) for first in (0, 1000)]
    assert [process.wait() for process in processes] == [0, 0]
    encoder, items = Counted(grams), [f"judul {i}" for i in range(3000)]
    vectors = encode(encoder, items, VectorStore(tmp_path))
    assert encoder.items == []
    np.testing.assert_allclose(vectors, encoder.inner.encode(items), atol=1e-5)


def test_an_open_store_sees_what_others_wrote(grams: Path, tmp_path: Path) -> None:
    mine, theirs = VectorStore(tmp_path), VectorStore(tmp_path)
    encode(open_encoder(grams), ["a", "b"], mine)
    encode(open_encoder(grams), ["c"], theirs)
    encoder = Counted(grams)
    encode(encoder, ["c", "b", "a"], mine)
    assert encoder.items == []

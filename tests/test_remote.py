"""Posts, photos and runs elsewhere: in a store that speaks S3, over HTTP, and in fsspec's own memory."""

import functools
import http.server
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import fsspec
import polars as pl
import pytest
from upath import UPath

from conftest import Cli
from kembar import Catalog, CatalogError, Drawing, FolderError, Matcher, MissingExtraError, Result, write_shop
from kembar.folders import new_folder, reserved
from kembar.linking import both
from kembar.posts.photos import open_photo
from kembar.remote import fetched, is_remote, place
from kembar.store.photos import taken_in


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 posts with photos, of which one is damaged and one missing."""
    folder = tmp_path_factory.mktemp("remote") / "shop"
    write_shop(folder, 40, photos=Drawing(48))
    photos = sorted((folder / "photos").iterdir())
    photos[3].write_bytes(b"no photo")
    photos[7].unlink()
    return folder


@pytest.fixture(scope="module")
def bucket(shop: Path) -> Iterator[str]:
    """The shop in a bucket of a server that speaks S3, on this machine; the address of the bucket."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    own = {"AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    before = {name: os.environ.get(name) for name in own}
    os.environ.update(own)
    try:
        store = fsspec.filesystem("s3", skip_instance_cache=True)
        store.mkdir("market")
        store.put(str(shop), "market/shop", recursive=True)
        yield "s3://market"
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        server.stop()


@pytest.fixture(scope="module")
def at_once(shop: Path) -> Result:
    return Matcher().match(Catalog.read(shop / "posts.csv", images=shop / "photos"))


def check_same(one: Result, other: Result) -> None:
    assert one.matches.frame(one.catalog.ids).equals(other.matches.frame(other.catalog.ids))
    assert one.groups_frame().equals(other.groups_frame())
    assert one.catalog.problems["posting_id"].equals(other.catalog.problems["posting_id"])
    assert len(one.catalog.problems) == 2


def test_a_run_from_a_store_into_a_store(cli: Cli, bucket: str, at_once: Result, tmp_path: Path) -> None:
    run = f"{bucket}/runs/one"
    shop = f"{bucket}/shop"
    ended = cli("match", f"{shop}/posts.csv", "--images", f"{shop}/photos", "-o", run, "-q")
    assert ended.exit_code == 0, ended.output
    check_same(Result.load(run), at_once)
    assert str(Result.load(run).catalog.folder) == f"{shop}/photos"
    assert cli("match", f"{shop}/posts.csv", "-o", run).exit_code == 2
    again = cli("match", f"{shop}/posts.csv", "-o", run, "--overwrite", "--set", "photo=false", "-q")
    assert again.exit_code == 0, again.output
    a, b = at_once.catalog.ids[:2]
    assert a in cli("explain", run, a, b).output
    assert cli("evaluate", run, "--json").exit_code == 0
    assert cli("regroup", run, "-o", f"{bucket}/runs/two", "--set", "cut=.6").exit_code == 0
    two = Result.load(f"{bucket}/runs/two")
    assert two.cut() == 0.6
    assert list(two.pairs.evidence) == list(Result.load(run).pairs.evidence)
    new = (
        pl.read_csv(shop_posts(bucket))
        .head(2)
        .with_columns(pl.concat_str(pl.lit("new "), "posting_id").alias("posting_id"))
    )
    new.write_csv(tmp_path / "new.csv")
    joined = cli("match", tmp_path / "new.csv", "--against", f"{bucket}/runs/two", "-o", tmp_path / "joined", "-q")
    assert joined.exit_code == 0, joined.output


def shop_posts(bucket: str) -> bytes:
    return bytes(fsspec.filesystem("s3").cat_file(f"{bucket}/shop/posts.csv"))


@pytest.mark.parametrize("on", [("--memory", "2GiB"), ("--on", "ray", "--workers", "1")])
def test_a_run_in_parts(
    cli: Cli, bucket: str, at_once: Result, on: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where the work is done
    run, shop = f"{bucket}/runs/{on[1]}", f"{bucket}/shop"
    ended = cli("match", f"{shop}/posts.csv", "--images", f"{shop}/photos", "-o", run, *on, "-q")
    assert ended.exit_code == 0, ended.output
    check_same(Result.load(run), at_once)
    assert not list(tmp_path.iterdir())


def test_link(cli: Cli, bucket: str) -> None:
    shop = f"{bucket}/shop"
    ended = cli("link", f"{shop}/posts.csv", f"{shop}/posts.csv", "--images", f"{shop}/photos", "-o", f"{bucket}/links")
    assert ended.exit_code == 0, ended.output
    assert str(Result.load(f"{bucket}/links").catalog.folder) == f"{shop}/photos"


def test_what_is_not_there(cli: Cli, bucket: str) -> None:
    for given, told in [
        ((f"{bucket}/shop/post.csv", "-o", f"{bucket}/x"), "does not exist; expected a file of posts"),
        (("s3://nowhere/posts.csv", "-o", f"{bucket}/x"), "s3://nowhere/posts.csv"),
        ((f"{bucket}/shop/posts.csv", "--images", f"{bucket}/photo", "-o", f"{bucket}/x"), "is not a folder"),
        ((f"{bucket}/shop/posts.csv", "-o", "s3://nowhere/run"), "s3://nowhere/run', which cannot be reached"),
        (("gibberish://a/b.csv", "-o", f"{bucket}/x"), "Unsupported filesystem"),
        (("gs://a/b.csv", "-o", f"{bucket}/x"), "whose package is not installed"),
    ]:
        ended = cli("match", *given)
        assert ended.exit_code == 2, ended.output
        assert told in ended.output.replace("\n", " ")
    with pytest.raises(FolderError, match="s3://market/nothing', which does not exist"):
        Result.load(f"{bucket}/nothing")
    with pytest.raises(FolderError, match=r"s3://market/shop', with no readable manifest.json"):
        Result.load(f"{bucket}/shop")


def test_a_store_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FolderError, match="which cannot be reached"):
        Catalog.read("http://127.0.0.1:9/posts.csv")


def test_posts_over_http(shop: Path) -> None:
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(shop))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        found = Catalog.read(f"http://127.0.0.1:{server.server_port}/posts.csv?token=1")
        server.shutdown()
    assert found.ids.equals(Catalog.read(shop / "posts.csv").ids)


@pytest.fixture
def memory(shop: Path) -> Iterator[str]:
    store = fsspec.filesystem("memory")
    store.put(str(shop), "/market/shop", recursive=True)
    yield "memory://market"
    store.rm("/market", recursive=True)


def test_a_folder_of_photos_and_parts_of_a_table(memory: str, shop: Path) -> None:
    found = Catalog.read(f"{memory}/shop/photos")
    assert found.ids.to_list() == Catalog.read(shop / "photos").ids.to_list()
    posts = pl.read_csv(shop / "posts.csv", schema_overrides={"posting_id": pl.String})
    parts = UPath(f"{memory}/posts.parquet")
    for at in (0, 1):
        with (parts / f"part-{at}.parquet").open("wb") as file:
            posts[20 * at : 20 * at + 20].write_parquet(file)
    read = Catalog.read(parts)
    assert read.ids.equals(Catalog.read(shop / "posts.csv").ids)


def test_photos_that_are_written_otherwise(memory: str, shop: Path) -> None:
    posts = (
        pl.read_csv(shop / "posts.csv")
        .head(5)
        .with_columns(
            image=pl.concat_str(pl.lit("https://cdn.example/x/"), pl.col("image").str.to_uppercase(), pl.lit("?w=2"))
        )
    )
    here, there = (Catalog.read(posts, images=folder) for folder in (shop / "photos", f"{memory}/shop/photos"))
    assert there.images.equals(here.images)
    assert there.images.str.ends_with(".jpg").all()


def test_catalogues_of_several_folders(memory: str, shop: Path) -> None:
    local = shop
    shop = Catalog.read(f"{memory}/shop/posts.csv", images=f"{memory}/shop/photos")
    whole = Catalog.read(f"{memory}/shop/photos")
    joined = both(shop, whole)
    assert str(joined.folder) == f"{memory}/shop/photos"
    above = both(shop, Catalog.read(f"{memory}/shop"))
    assert str(above.folder) == f"{memory}/shop"
    assert above.images[0].startswith("photos/")
    with pytest.raises(CatalogError, match="in different places"):
        both(shop, Catalog.read(local / "posts.csv", images=local / "photos"))


def test_a_folder_is_whole_or_known_as_half_written(memory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    target = f"{memory}/made"
    store, order = type(fsspec.filesystem("memory")), list[str]()
    put = store.put

    def noted(self: object, here: list[str], there: list[str]) -> None:
        order.extend(there)
        put(self, here, there)

    monkeypatch.setattr(store, "put", noted)
    for names in (["a.txt", "manifest.json", "pairs.parquet", "z.txt"], ["manifest.json", "pairs.parquet", "new.txt"]):
        with reserved(target, overwrite=True), new_folder(target, overwrite=True) as folder:
            for name in names:
                (folder / name).write_text(name)
        assert sorted(path.name for path in UPath(target).iterdir()) == sorted(names)
    assert [Path(path).name for path in order[:4]] == ["pairs.parquet", "a.txt", "z.txt", "manifest.json"]
    with suppress(ZeroDivisionError), new_folder(target, overwrite=True) as folder:
        (folder / "pairs.parquet").write_text("half")
        raise ZeroDivisionError
    assert UPath(f"{target}/pairs.parquet").read_text() == "pairs.parquet"
    assert not folder.parent.exists()


def test_what_cannot_be_sent_is_kept(memory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object) -> None:
        raise ConnectionResetError("the line is dead")

    monkeypatch.setattr(type(fsspec.filesystem("memory")), "put", gone)
    folders = list[Path]()
    with pytest.raises(FolderError, match=r"the line is dead.*copy it yourself"):
        write(f"{memory}/run", folders)
    assert (folders[0] / "pairs.parquet").read_text() == "kept"


def write(target: str, folders: list[Path]) -> None:
    with new_folder(target) as folder:
        (folder / "pairs.parquet").write_text("kept")
        folders.append(folder)


def test_photos_that_cannot_be_read(memory: str) -> None:
    from kembar import PhotoError

    UPath(f"{memory}/empty.jpg").write_bytes(b"")
    for name, told in (("none.jpg", "does not exist"), ("empty.jpg", "0 bytes")):
        with pytest.raises(PhotoError, match=told):
            open_photo(place(f"{memory}/{name}"))


def test_photos_that_fsspec_keeps_are_read_once(memory: str) -> None:
    kept = place(f"simplecache::{memory}/shop/photos/0000001.jpg")
    assert open_photo(kept).size == (48, 48)
    UPath(f"{memory}/shop/photos/0000001.jpg").unlink()
    assert open_photo(kept).size == (48, 48)
    assert place(str(kept)) == kept


def test_paths_of_this_machine_stay_what_they_are(tmp_path: Path) -> None:
    assert type(place("a/b")) is type(Path("a/b"))
    assert place(tmp_path) == tmp_path
    assert place(f"file://{tmp_path}/a%20b") == tmp_path / "a b"
    assert not is_remote("a:/b")
    with fetched(tmp_path) as here:
        assert here == tmp_path


def test_a_store_takes_photos_in(memory: str, shop: Path, tmp_path: Path) -> None:
    posts = Catalog.read(f"{memory}/shop/posts.csv", images=f"{memory}/shop/photos")
    taken = taken_in(posts, tmp_path)
    assert taken.folder == tmp_path
    assert taken.images.equals(posts.images)
    for name in [each.name for each in (shop / "photos").iterdir()]:
        assert (tmp_path / name).read_bytes() == (shop / "photos" / name).read_bytes()
    assert taken_in(posts, tmp_path).images.equals(posts.images)  # they are there already


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "upath", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'kembar\[remote\]'"):
        Catalog.read("s3://market/posts.csv")

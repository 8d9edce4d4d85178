import csv
import io
import json
import logging
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kembar.errors import CatalogError, FolderError
from kembar.posts.catalog import PROBLEMS, Catalog, Columns
from kembar.posts.layout import Layout
from kembar.posts.notes import Note
from kembar.posts.problems import problems
from places import DATA
from properties import examples

SHOPEE = DATA / "shopee" / "posts.csv"
GOOD = "94974f937d4c2433"
POSTS = {
    "posting_id": ["p1", "p2", "p3", "p4"],
    "image": ["a.jpg", "b.jpg", None, "sub/d.jpg"],
    "image_phash": [GOOD, None, "FFFFFFFFFFFFFFFF", "0000000000000001"],
    "title": ["Tas, besar", 'Kabel 12"\nmerah', None, "Émoji 🔥 שלום"],
    "label_group": [249114794, 17, None, 249114794],
}
Write = Callable[[bytes | str, str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def put(content: bytes | str, name: str = "posts.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return put


def refused(source: object, *parts: str, **options: object) -> CatalogError:
    """Read what must be refused; the message has all of its parts and each of these."""
    with pytest.raises(CatalogError) as caught:
        Catalog.read(source, **options)  # type: ignore[arg-type]
    error = caught.value
    assert error.given
    assert error.expected
    assert error.fix.rstrip().endswith((".", "'", ")")), error.fix
    for part in parts:
        assert part in str(error)
    return error


def same(left: Catalog, right: Catalog) -> None:
    assert left.frame().equals(right.frame())
    assert np.array_equal(left.hashes, right.hashes)
    assert np.array_equal(left.hashed, right.hashed)
    assert (left.labels is None) == (right.labels is None)
    assert left.folder == right.folder
    assert left.problems.equals(right.problems)
    assert left.fingerprint() == right.fingerprint()


def as_text(separator: str = ",", encoding: str = "utf-8", end: str = "\n") -> bytes:
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=separator, lineterminator=end)
    writer.writerow(POSTS)
    writer.writerows(zip(*POSTS.values(), strict=True))
    return out.getvalue().encode(encoding)


# one catalogue, however it arrives


def test_the_parts_of_a_catalogue() -> None:
    catalog = Catalog.read(pl.DataFrame(POSTS))
    assert len(catalog) == 4
    assert catalog.ids.to_list() == POSTS["posting_id"]
    assert catalog.titles.to_list() == ["Tas, besar", 'Kabel 12"\nmerah', "", "Émoji 🔥 שלום"]
    assert catalog.images.to_list() == ["a.jpg", "b.jpg", "", "sub/d.jpg"]
    assert catalog.hashes.tolist() == [0x94974F937D4C2433, 0, 2**64 - 1, 1]
    assert catalog.hashed.tolist() == [True, False, True, True]
    assert catalog.labels is not None
    assert catalog.labels.tolist() == [1, 0, -1, 1]
    assert catalog.has_titles.tolist() == [True, True, False, True]
    assert catalog.has_images.tolist() == [True, True, False, True]
    assert catalog.folder is None
    assert catalog.problems.schema == PROBLEMS
    assert len(catalog.problems) == 0
    assert catalog.photo_paths() == [None] * 4
    assert repr(catalog) == "Catalog(4 posts, 3 with a title, 3 hashed, 0 problems)"


@pytest.mark.parametrize("separator", [",", "\t", ";", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_text_files(write: Write, separator: str, end: str) -> None:
    name = "posts.tsv" if separator == "\t" else "posts.csv"
    expected = Catalog.read(pl.DataFrame(POSTS))
    same(Catalog.read(write(as_text(separator, end=end), name)), expected)
    same(Catalog.read(str(write(as_text(separator, end=end).rstrip(), name))), expected)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_unicode_encodings(write: Write, encoding: str) -> None:
    same(Catalog.read(write(as_text(encoding=encoding))), Catalog.read(pl.DataFrame(POSTS)))


def test_utf_16_big_endian(write: Write) -> None:
    content = b"\xfe\xff" + as_text().decode().encode("utf-16-be")
    same(Catalog.read(write(content)), Catalog.read(pl.DataFrame(POSTS)))


@pytest.mark.parametrize(
    ("encoding", "title", "name"),
    [("latin-1", "Crème brûlée et pâte à crêpes", "cp1252"), ("cp1252", "Crème “brûlée” €5", "cp1252")],
)
def test_western_encodings(
    write: Write, caplog: pytest.LogCaptureFixture, encoding: str, title: str, name: str
) -> None:
    path = write(f"posting_id,title\n1,{title}\n".encode(encoding))
    with caplog.at_level(logging.INFO, "kembar"):
        assert Catalog.read(path).titles.to_list() == [title]
    assert [record.levelname for record in caplog.records if name in record.message] == ["INFO"]


def test_bytes_that_no_language_explains_need_their_encoding(write: Write) -> None:
    path = write(b"posting_id,title\n1,\xe9\x81\n")
    refused(path, "no text in any encoding", "encoding=...")
    assert Catalog.read(path, layout=Layout("latin-1")).titles.to_list() == ["é\x81"]


def test_one_broken_byte_does_not_change_the_encoding_of_the_rest(write: Write) -> None:
    content = "posting_id,title\n1,Crème brûlée\n2,café".encode() + b" \xe2\x80\n3,plain\n"
    catalog = Catalog.read(write(content))
    assert catalog.titles.to_list() == ["Crème brûlée", "café \ufffd", "plain"]
    assert catalog.problems.rows() == [("2", "title", "bytes that are not text, each now U+FFFD")]


@pytest.mark.parametrize("suffix", ["parquet", "pq", "feather", "arrow", "ipc", "arrows", "anything"])
def test_columnar_files(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"posts.{suffix}"
    frame = pl.DataFrame(POSTS)
    if suffix in ("feather", "arrow", "ipc"):
        frame.write_ipc(path)
    elif suffix == "arrows":
        frame.write_ipc_stream(path)
    else:
        frame.write_parquet(path)
    same(Catalog.read(path), Catalog.read(frame))


def test_frames() -> None:
    expected = Catalog.read(pl.DataFrame(POSTS))
    same(Catalog.read(pl.LazyFrame(POSTS)), expected)
    same(Catalog.read(pa.table(POSTS)), expected)
    same(Catalog.read(pa.table(POSTS).to_batches()[0]), expected)
    for kind in ("object", "string", "category"):
        frame = pd.DataFrame(POSTS).astype({"title": kind, "image": kind, "posting_id": kind})
        same(Catalog.read(frame), expected)
    assert pd.DataFrame(POSTS)["label_group"].dtype == np.float64  # whole floats beside NaN
    categorical = pl.DataFrame(POSTS).cast({"title": pl.Categorical, "label_group": pl.Float64})
    same(Catalog.read(categorical), expected)


def test_reading_a_file_does_not_import_pandas(write: Write) -> None:
    program = "import sys, kembar; kembar.Catalog.read(sys.argv[1]); print('pandas' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program, str(write(as_text()))], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


def test_nan_titles_of_pandas_are_missing() -> None:
    frame = pd.DataFrame({"posting_id": [1, 2, 3], "title": ["a", float("nan"), 12]})
    catalog = Catalog.read(frame)
    assert catalog.titles.to_list() == ["a", "", "12"]
    assert catalog.ids.to_list() == ["1", "2", "3"]
    assert len(catalog.problems) == 0
    numbers = pd.DataFrame({"posting_id": [1, 2, 3], "title": [7.0, float("nan"), 2.5]})
    assert Catalog.read(numbers).titles.to_list() == ["7", "", "2.5"]


def test_ids_of_a_text_file_keep_their_zeros(write: Write) -> None:
    assert Catalog.read(write("posting_id,title\n007,a\n7,b\n")).ids.to_list() == ["007", "7"]


def test_a_single_post_is_a_catalogue(write: Write) -> None:
    assert len(Catalog.read(write("posting_id,title\n1,a"))) == 1


def test_quotes_blank_lines_and_stray_quotes(write: Write) -> None:
    text = 'posting_id,title\r\n1,"say ""hi"""\r\n\r\n2,Monitor 24" hitam\r\n3,"two\r\nlines"\r\n4,\r\n   \r\n\r\n'
    catalog = Catalog.read(write(text))
    assert catalog.ids.to_list() == ["1", "2", "3", "4"]
    assert catalog.titles.to_list() == ['say "hi"', 'Monitor 24" hitam', "two\r\nlines", ""]


def test_other_names(write: Write) -> None:
    path = write("sku;nama;foto;grup;extra\n1;Tas;a.jpg;x;9\n2;Topi;b.jpg;w;9\n")
    columns = Columns(id="sku", title="nama", image="foto", label="grup")
    catalog = Catalog.read(path, columns=columns)
    assert catalog.titles.to_list() == ["Tas", "Topi"]
    assert catalog.labels is not None
    assert catalog.labels.tolist() == [1, 0]
    without = Catalog.read(path, columns=Columns(id="sku", title="nama", image=None, label=None))
    assert without.labels is None
    assert without.images.to_list() == ["", ""]


# refused


def test_missing_file_and_folder(write: Write, tmp_path: Path) -> None:
    write(as_text(), "posts.csv")
    refused(tmp_path / "post.csv", "post.csv", "does not exist", "Nearest: 'posts.csv'")
    refused(tmp_path, "a folder")
    refused(tmp_path / "no" / "posts.csv", "does not exist")


def test_empty_sources(write: Write) -> None:
    refused(write(""), "an empty file")
    refused(write("posting_id,title\n"), "a header and no rows")
    refused(write("posting_id,title\n\n\n"), "a header and no rows")
    refused(pl.DataFrame({"posting_id": [], "title": []}), "no rows")
    refused(pl.DataFrame(), "no columns")


def test_missing_columns(write: Write) -> None:
    refused(write("Posting_Nr,title\n1,a\n"), "without a column 'posting_id'", "Nearest: 'Posting_Nr'", "'title'")
    refused(write(as_text()), "'titel'", "Nearest: 'title'", "'label_group'", columns=Columns(title="titel"))
    refused(write("posting_id,price\n1,2\n"), "nothing to match posts by", "'price'")
    refused(pd.DataFrame({"posting_id": [1]}), "nothing to match posts by")
    wide = pl.DataFrame({f"c{i}": [1] for i in range(30)})
    assert "and 10 more" in str(refused(wide, "'c0'"))


@pytest.mark.parametrize("name", ["", 3, None])
def test_names_of_columns_are_text(name: object) -> None:
    with pytest.raises(CatalogError, match="name of the id column"):
        Columns(id=name)  # type: ignore[arg-type]


def test_empty_ids() -> None:
    ids = ["a", "", None, " ", "b", "", "", ""]
    refused(pl.DataFrame({"posting_id": ids, "title": ids}), "6 empty ids", "rows 2, 3, 4, 6, 7, ...")
    floats = pl.DataFrame({"posting_id": [1.0, float("nan")], "title": ["a", "b"]})
    refused(floats, "1 empty ids, in rows 2 ")


def test_duplicate_ids() -> None:
    ids = ["a", "b", "a", "c", "b", "a"]
    error = refused(pl.DataFrame({"posting_id": ids, "title": ids}), "2 ids that several posts share")
    assert "'a' in rows 1, 3, 6; 'b' in rows 2, 5" in error.given
    many = [f"p{i % 9}" for i in range(90)]
    shown = refused(pl.DataFrame({"posting_id": many, "title": many}), "9 ids").given
    assert shown.count("in rows") == 5
    assert "'p0' in rows 1, 10, 19, 28, 37, ...;" in shown


@pytest.mark.parametrize(
    ("text", "line", "found"),
    [
        ("posting_id,title,image\n1,a,b\n2,c\n3,d,e\n", 3, "2 cells"),
        ("posting_id,title,image\n1,a,b\n2,c,d,e\n", 3, "4 cells"),
        ('posting_id,title,image\n1,"two\nlines",b\n2,c,d,e\n', 4, "4 cells"),
        ("posting_id,title,price\n1,a,2\n3,d,e,f", 3, "4 cells"),
        ('posting_id,title\n1,a\n2,"c" d\n', 3, "does not parse"),
        ('posting_id,title\n1,a\n2,"never closed\n3,b\n', 4, "does not parse"),
    ],
)
def test_ragged_rows(write: Write, text: str, line: int, found: str) -> None:
    refused(write(text), f"line {line}", found)
    refused(write(text.replace("\n", "\r\n")), f"line {line}", found)


@pytest.mark.parametrize(
    ("content", "looks"),
    [
        (b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(200), "a JPEG photo"),
        (bytes(range(256)) * 4 + bytes(2000), "not text"),
        (b"\xff\xfe" + b"\x00\xd8" * 50, "utf-16-le, by its byte order mark, but"),
    ],
)
def test_undecodable_text(write: Write, content: bytes, looks: str) -> None:
    refused(write(content), looks, "as CSV")


def test_unknown_and_damaged_files(write: Write) -> None:
    refused(write(as_text(), "posts.jpg"), "unknown suffix '.jpg'", ".parquet")
    refused(write(as_text(), "posts.json"), "which is no JSON")
    refused(write(b"PAR1 cut short", "posts.parquet"), "cannot be read")
    refused(write(as_text(), "posts.parquet"), "cannot be read")
    refused(write(b"FEA1....", "posts.feather"), "version 1")
    refused(b"bytes", "posts as bytes")
    refused(3, "posts as int")
    refused(write('"' + "x" * 200_000), "without a column 'posting_id'; it has no columns")
    refused(write("\n\n\n"), "without a column 'posting_id'")


def test_a_cell_may_be_very_long(write: Write) -> None:
    titles = ['"' + "x" * 300_000 + '"', 'one " quote', '"line\nend"']
    text = "posting_id,title\n" + "".join(f"{row},{title}\n" for row, title in enumerate(titles))
    limit = csv.field_size_limit()
    assert Catalog.read(write(text)).titles.str.len_chars().to_list() == [300_000, 11, 8]
    assert csv.field_size_limit() == limit


def test_two_columns_of_one_name(write: Write) -> None:
    refused(write("posting_id,title,title\n1,a,b\n"), "two columns named 'title'")
    frame = pd.DataFrame([[1, "a", "b"]], columns=["posting_id", "title", "title"])
    refused(frame, "two columns named 'title'")
    assert len(Catalog.read(write("posting_id,title,x,x\n1,a,b,c\n"))) == 1


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        ([0.5, 1.0], "'0.5'"),
        (["0.37", "2.0"], "'0.37'"),
        ([[1], [2]], "List"),
        ([True, False], "Boolean"),
        ([b"a", b"b"], "Binary"),
    ],
)
def test_labels_of_the_wrong_type(labels: list[object], found: str) -> None:
    refused(pl.DataFrame({"posting_id": [1, 2], "title": ["a", "b"], "label_group": labels}), found)


@pytest.mark.parametrize("name", ["posting_id", "title", "image", "image_phash"])
def test_cells_of_the_wrong_type(name: str) -> None:
    frame = pl.DataFrame({**POSTS, name: [[1], [2], [3], [4]]})
    refused(frame, f"'{name}'", "List")
    assert Catalog.read(pl.DataFrame({**POSTS, "unused": [[1], [2], [3], [4]]})).frame().width == 5


def test_every_hash_malformed() -> None:
    short = {"posting_id": [1, 2, 3], "image_phash": [GOOD[1:], None, GOOD[2:]]}
    refused(pl.DataFrame(short), "2 perceptual hashes", "15 characters", "leading zero")
    error = refused(pl.DataFrame({"posting_id": [1, 2], "image_phash": ["x" * 16, "cat"]}), "none well formed")
    assert "leading zero" not in error.fix


def test_missing_photo_folder(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    refused(pl.DataFrame(POSTS), "'photos'", "not a folder", images=tmp_path / "photo")


# counted, never stopping


def test_null_bytes_in_a_title(write: Write) -> None:
    catalog = Catalog.read(write("posting_id,title\n1,a\x00b\n2,c\n"))
    assert catalog.titles.to_list() == ["ab", "c"]
    assert catalog.problems.rows() == [("1", "title", "null bytes, removed")]


@pytest.mark.parametrize("bad", [GOOD[1:], GOOD + "0", "+" + GOOD[1:], "0x" + GOOD[2:], "g" * 16, "nan"])
def test_one_malformed_hash(bad: str) -> None:
    catalog = Catalog.read(
        pl.DataFrame({"posting_id": ["a", "b", "c", "d"], "image_phash": [GOOD, bad, "", GOOD.upper()]})
    )
    assert catalog.hashed.tolist() == [True, False, False, True]
    assert catalog.hashes.tolist() == [int(GOOD, 16), 0, 0, int(GOOD, 16)]
    assert catalog.problems.rows() == [("b", "hash", f"'{bad}' is not 16 hex digits")]


def test_hashes_given_as_numbers() -> None:
    hashes = pl.Series([2**64 - 1, None, 7], dtype=pl.UInt64)
    catalog = Catalog.read(pl.DataFrame({"posting_id": [1, 2, 3], "image_phash": hashes}))
    assert catalog.hashes.tolist() == [2**64 - 1, 0, 7]
    assert catalog.hashed.tolist() == [True, False, True]


@pytest.mark.parametrize(
    "name", ["../x.jpg", "a/../../x.jpg", "/etc/passwd", "C:\\x.jpg", "..\\x.jpg", "\\\\host\\x.jpg", ".."]
)
def test_image_names_that_leave_the_photo_folder(name: str) -> None:
    catalog = Catalog.read(pl.DataFrame({"posting_id": [1, 2], "image": [name, "..x.jpg"]}))
    assert catalog.images.to_list() == ["", "..x.jpg"]
    assert catalog.problems.rows() == [("1", "image", f"'{name}' leads out of the photo folder")]


def test_image_names_with_a_null_byte(tmp_path: Path) -> None:
    catalog = Catalog.read(pl.DataFrame({"posting_id": [1], "image": ["a\x00.jpg"]}), images=tmp_path)
    assert catalog.images.to_list() == [""]
    assert catalog.problems.rows() == [("1", "image", "a name with a null byte")]


def test_links_that_leave_the_photo_folder(tmp_path: Path) -> None:
    outside, photos = tmp_path / "outside", tmp_path / "photos"
    (photos / "sub").mkdir(parents=True)
    outside.mkdir()
    (outside / "secret.jpg").write_bytes(b"x")
    (photos / "real.jpg").write_bytes(b"x")
    (photos / "inner.jpg").symlink_to("real.jpg")
    (photos / "sub" / "out.jpg").symlink_to(outside / "secret.jpg")
    (photos / "out.jpg").symlink_to(outside / "secret.jpg")
    (photos / "away").symlink_to(outside, target_is_directory=True)
    (tmp_path / "alias").symlink_to(photos, target_is_directory=True)
    names = ["real.jpg", "inner.jpg", "out.jpg", "sub/out.jpg", "away/secret.jpg", "gone.jpg", "no/gone.jpg"]
    frame = pl.DataFrame({"posting_id": names, "image": names})
    for folder in (photos, tmp_path / "alias"):
        catalog = Catalog.read(frame, images=folder)
        kept = ["real.jpg", "inner.jpg", "", "", "", "gone.jpg", "no/gone.jpg"]
        assert catalog.images.to_list() == kept
        assert catalog.problems["posting_id"].to_list() == names[2:5]
        assert catalog.photo_paths() == [folder / name if name else None for name in kept]
    assert Catalog.read(frame).images.to_list() == names


def test_a_photo_folder_without_a_column_of_names_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    catalog = Catalog.read(pl.DataFrame({"posting_id": [1], "title": ["a"]}), images=tmp_path)
    assert catalog.photo_paths() == [None]
    assert "no column of image names" in caplog.text


def test_problems_follow_the_order_of_posts() -> None:
    frame = pl.DataFrame(
        {
            "posting_id": ["z", "a", "m"],
            "title": ["ok", "a\x00", "b\x00"],
            "image": ["/x", "ok", "/y"],
            "image_phash": [GOOD, GOOD, "bad"],
        }
    )
    found = Catalog.read(frame).problems
    assert found.select("posting_id", "part").rows() == [
        ("z", "image"),
        ("a", "title"),
        ("m", "title"),
        ("m", "image"),
        ("m", "hash"),
    ]


# labels


def codes(labels: object) -> list[int]:
    frame = pl.DataFrame({"label_group": labels}).with_row_index("posting_id")
    found = Catalog.read(frame.with_columns(title=pl.lit("t"))).labels
    assert found is not None
    return found.tolist()


def test_labels_are_numbered_by_their_sorted_values() -> None:
    assert codes([10, 9, None, 10]) == [1, 0, -1, 1]
    assert codes(["10", "9", "", None]) == [1, 0, -1, -1]
    assert codes(["10.0", "9.0", "", "-1.0"]) == [1, 0, -1, -1]
    assert codes([10.0, 9.0, float("nan"), None]) == [1, 0, -1, -1]
    assert codes([10, 9, -1, None]) == [1, 0, -1, -1]
    assert codes(["pear", "apple", "10", "9"]) == [3, 2, 0, 1]
    assert codes(["007", "7", "07", "7"]) == [0, 2, 1, 2]
    assert codes(pl.Series([2**64 - 1, 0, 2**64 - 2], dtype=pl.UInt64)) == [2, 0, 1]
    assert codes(pl.Series([None, None], dtype=pl.Null)) == [-1, -1]


# methods


def test_take() -> None:
    catalog = Catalog.read(pl.DataFrame({**POSTS, "title": ["a\x00", "b", "c\x00", "d"]}))
    taken = catalog.take(np.array([2, 0]))
    assert taken.ids.to_list() == ["p3", "p1"]
    assert taken.titles.to_list() == ["c", "a"]
    assert taken.hashes.tolist() == [2**64 - 1, int(GOOD, 16)]
    assert taken.labels is not None
    assert taken.labels.tolist() == [-1, 1]
    assert taken.problems["posting_id"].to_list() == ["p3", "p1"]
    assert catalog.take([1]).problems.is_empty()
    assert len(catalog.take([])) == 0
    same(catalog.take(range(4)), catalog)
    mistakes = [([4], "row 4"), ([-1], "row -1"), ([0, 0], "'p1' in rows 1, 2"), ([True, False], "type bool")]
    for rows, found in mistakes:
        with pytest.raises(CatalogError, match=found):
            catalog.take(rows)


def test_with_hashes() -> None:
    catalog = Catalog.read(pl.DataFrame({**POSTS, "title": ["a", "b\x00", "c", "d"]}))
    damaged = pl.Series([False, False, False, True])
    found = problems(catalog.ids, damaged, "image", "not a photo")
    hashes, hashed = np.array([5, 6, 7, 0], np.uint64), np.array([True, True, True, False])
    changed = catalog.with_hashes(hashes, hashed, found)
    assert changed.hashes.tolist() == [5, 6, 7, 0]
    assert changed.problems.rows() == [("p2", "title", "null bytes, removed"), ("p4", "image", "not a photo")]
    assert catalog.hashes[0] == int(GOOD, 16)
    assert len(catalog.problems) == 1
    assert changed.fingerprint() != catalog.fingerprint()
    with pytest.raises(CatalogError, match="hashes"):
        catalog.with_hashes(hashes[:2], hashed, found)
    with pytest.raises(CatalogError, match="'p9'"):
        catalog.with_hashes(hashes, hashed, found.with_columns(posting_id=pl.lit("p9")))
    with pytest.raises(CatalogError, match="'colour'"):
        catalog.with_hashes(hashes, hashed, found.with_columns(part=pl.lit("colour")))
    with pytest.raises(CatalogError, match="columns"):
        catalog.with_hashes(hashes, hashed, found.drop("part"))


def test_frame_reads_back() -> None:
    catalog = Catalog.read(pl.DataFrame(POSTS))
    frame = catalog.frame()
    assert frame.columns == ["posting_id", "image", "image_phash", "title", "label_group"]
    assert frame["image_phash"].to_list() == [GOOD, None, "f" * 16, "0" * 15 + "1"]
    assert frame["label_group"].to_list() == [1, 0, None, 1]
    same(Catalog.read(frame), catalog)


@pytest.mark.parametrize("dropped", ["title", "image", "image_phash", "label_group"])
def test_a_catalogue_without_a_column(tmp_path: Path, dropped: str) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("a.jpg", "b.jpg", "sub/d.jpg"):
        (tmp_path / name).touch()
    catalog = Catalog.read(pl.DataFrame(POSTS).drop(dropped), images=tmp_path)
    assert len(catalog) == 4
    assert (catalog.labels is None) == (dropped == "label_group")
    assert ("label_group" in catalog.frame().columns) == (dropped != "label_group")
    assert catalog.has_titles.any() == (dropped != "title")
    assert any(catalog.photo_paths()) == (dropped != "image")
    assert catalog.hashed.any() == (dropped != "image_phash")
    assert len(catalog.take([3, 1])) == 2
    catalog.save(tmp_path / "saved")
    same(Catalog.load(tmp_path / "saved"), catalog)
    same(Catalog.read(catalog.frame(), images=tmp_path), catalog)


def test_save_and_load(tmp_path: Path) -> None:
    frame = pl.DataFrame({**POSTS, "title": ["a\x00", "b", None, "d"], "image": ["/x", "b", "../c", "d"]})
    (tmp_path / "b").touch()
    catalog = Catalog.read(frame, images=tmp_path)
    assert catalog.notes == (Note("photos", "photos of 2 that are missing, such as 'd'", 1),)
    catalog.save(tmp_path / "new" / "saved")
    assert Catalog.load(tmp_path / "new" / "saved").notes == catalog.notes
    assert sorted(path.name for path in (tmp_path / "new" / "saved").iterdir()) == [
        "catalog.json",
        "catalog.parquet",
    ]
    same(Catalog.load(tmp_path / "new" / "saved"), catalog)
    moved = tmp_path / "moved"
    moved.mkdir()
    assert Catalog.load(tmp_path / "new" / "saved", images=moved).folder == moved
    smaller = catalog.take([0])
    smaller.save(tmp_path / "new" / "saved")
    same(Catalog.load(tmp_path / "new" / "saved"), smaller)


def test_load_refuses_what_is_not_whole(tmp_path: Path) -> None:
    catalog = Catalog.read(pl.DataFrame(POSTS))
    with pytest.raises(FolderError, match=r"no readable catalog\.json"):
        Catalog.load(tmp_path)
    catalog.save(tmp_path)
    manifest = json.loads((tmp_path / "catalog.json").read_text())
    for change, found in (({"version": 99}, "version 99"), ({"format": "x"}, "another kind")):
        (tmp_path / "catalog.json").write_text(json.dumps(manifest | change))
        with pytest.raises(FolderError, match=found):
            Catalog.load(tmp_path)
    (tmp_path / "catalog.json").write_text(json.dumps(manifest | {"fingerprint": "0" * 64}))
    with pytest.raises(FolderError, match="is not the one"):
        Catalog.load(tmp_path)
    (tmp_path / "catalog.json").write_text(json.dumps(manifest))
    (tmp_path / "catalog.parquet").write_bytes(b"PAR1")
    with pytest.raises(FolderError, match="cannot be read"):
        Catalog.load(tmp_path)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(FolderError, match="cannot be written"):
        catalog.save(tmp_path / "file")


def test_the_fingerprint_sees_every_cell() -> None:
    seen = {Catalog.read(pl.DataFrame(POSTS)).fingerprint()}
    for name in ("posting_id", "image", "image_phash", "title", "label_group"):
        cells = list(POSTS[name])
        cells[1] = {"label_group": 249114794, "image_phash": "0" * 16}.get(name, "changed")
        seen.add(Catalog.read(pl.DataFrame({**POSTS, name: cells})).fingerprint())
    seen.add(Catalog.read(pl.DataFrame(POSTS).drop("label_group")).fingerprint())
    assert len(seen) == 7
    shifted = [pl.DataFrame({"posting_id": ["a", "b"], "title": titles}) for titles in (["xy", "z"], ["x", "yz"])]
    assert Catalog.read(shifted[0]).fingerprint() != Catalog.read(shifted[1]).fingerprint()


def test_the_constructor_checks() -> None:
    good = Catalog.read(pl.DataFrame(POSTS))
    parts = {name: getattr(good, name) for name in Catalog.__dataclass_fields__}
    for change, found in (
        ({"titles": good.titles[:2]}, "titles"),
        ({"titles": pl.Series([None] * 4, dtype=pl.String)}, "nulls"),
        ({"images": pl.Series([1, 2, 3, 4])}, "images"),
        ({"hashes": good.hashes.astype(np.int64)}, "hashes"),
        ({"hashed": [True] * 4}, "hashed"),
        ({"labels": np.array([0, 1])}, "labels"),
        ({"labels": np.array([0, 1, -2, 3])}, "label of -2"),
        ({"ids": pl.Series(["a", "b", "a", "c"])}, "'a' in rows 1, 3"),
    ):
        with pytest.raises(CatalogError, match=found):
            Catalog(**{**parts, **change})


# the slow twin: csv, int and sorted of Python's own


BLANKS = "".join(sign for sign in map(chr, range(0x3001)) if sign.isspace() and sign not in "\x1c\x1d\x1e\x1f")
NOTHING = (
    *("null", "nan", "na", "n/a", "n.a", "na.", "n.a.", "n/a.", "#na", "#n/a", "#ref!", "#value!", "none", "nil"),
    *("undefined", "unknown", "untitled", "no title", "no name", "missing", "empty", "blank", "inf", "-inf"),
)


def slow_read(text: str) -> dict[str, tuple[str, str, int | None, int]]:
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    names = sorted({int(row["label_group"]) for row in rows if row["label_group"]})
    codes = {name: code for code, name in enumerate(names)}
    return {
        row["posting_id"]: (
            row["title"] if says_something(row["title"]) else "",
            row["image"],
            int(row["image_phash"], 16) if row["image_phash"] else None,
            codes[int(row["label_group"])] if row["label_group"] else -1,
        )
        for row in rows
    }


def says_something(title: str) -> bool:
    bare = title.strip("'\"()[]<>" + BLANKS).lower()
    return any(unicodedata.category(sign)[0] in "LN" for sign in title) and bare not in NOTHING


def by_id(catalog: Catalog) -> dict[str, tuple[str, str, int | None, int]]:
    assert catalog.labels is not None
    hashes = [int(value) if known else None for value, known in zip(catalog.hashes, catalog.hashed, strict=True)]
    return dict(
        zip(
            catalog.ids,
            zip(catalog.titles, catalog.images, hashes, catalog.labels.tolist(), strict=True),
            strict=True,
        )
    )


CELL = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00\ufffd\ufeff"), max_size=8)
# What Python's tables do not know yet may be a letter to those of polars, which are newer (such as U+31350).
KNOWN = st.text(st.characters(exclude_categories=["Cs", "Cn"], exclude_characters="\x00\ufffd\ufeff"), max_size=8)
ROWS = st.lists(
    st.tuples(
        CELL.filter(str.strip),
        st.sampled_from(["", "a.jpg", "sub/b c.jpg"]),
        st.sampled_from([""]) | st.integers(0, 2**64 - 1).map("{:016x}".format),
        KNOWN | st.sampled_from(['12" x', "NULL", " (n/a) ", "a,b", "line\nbreak", '"quoted"', "cr\r\nlf"]),
        st.sampled_from(["", "7", "12", "100", "249114794"]),
    ),
    min_size=1,
    max_size=8,
    unique_by=lambda row: row[0].strip(),  # ids that differ in blanks alone are refused
)


@given(rows=ROWS, data=st.data(), separator=st.sampled_from(",\t;"), end=st.sampled_from(["\n", "\r\n"]))
@examples(25)
def test_reading_is_independent_of_row_order(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[str, ...]],
    data: st.DataObject,
    separator: str,
    end: str,
) -> None:
    folder = tmp_path_factory.mktemp("posts")
    catalogs = []
    for name, order in (("given.csv", rows), ("permuted.csv", data.draw(st.permutations(rows)))):
        out = io.StringIO(newline="")
        writer = csv.writer(out, delimiter=separator, lineterminator=end, quoting=csv.QUOTE_ALL)
        writer.writerow(POSTS)
        writer.writerows(order)
        (folder / name).write_bytes(out.getvalue().encode())
        catalogs.append(Catalog.read(folder / name))
        assert catalogs[-1].ids.to_list() == [row[0] for row in order]
    given_order, permuted = catalogs
    assert by_id(given_order) == by_id(permuted)
    assert given_order.fingerprint() == permuted.fingerprint()
    plain = io.StringIO(newline="")
    csv.writer(plain, quoting=csv.QUOTE_ALL).writerows([list(POSTS), *rows])
    assert by_id(given_order) == slow_read(plain.getvalue())


@given(
    st.lists(
        st.lists(st.sampled_from(["", "a", '"x"', '"a,b"', '"l\nm"', '5" tv', '""']), min_size=1, max_size=4),
        max_size=6,
    ),
    st.booleans(),
)
@example(rows=[["", '5" tv', '5" tv']], ended=False)  # two quotes within cells hid the separator between them
@examples(80)
def test_ragged_rows_are_found_wherever_they_are(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]], ended: bool
) -> None:
    path = tmp_path_factory.mktemp("ragged") / "posts.csv"
    lines = [f"{number},{','.join(cells)}" for number, cells in enumerate(rows)]
    text = "\n".join(["posting_id,title,image", *lines]) + "\n" * ended
    path.write_bytes(text.encode())
    records = list(csv.reader(io.StringIO(text, newline="")))[1:]
    records = [record[:3] if not any(record[3:]) else record for record in records]  # empty cells beyond the header
    if records and all(len(record) == 3 for record in records):
        catalog = Catalog.read(path)
        assert catalog.titles.to_list() == [record[1] for record in records]
    else:
        with pytest.raises(CatalogError, match="no rows" if not records else "cells, the first"):
            Catalog.read(path)


@pytest.mark.skipif(not SHOPEE.exists(), reason="the Shopee posts are not here; set KEMBAR_DATA")
def test_the_real_posts(tmp_path: Path) -> None:
    catalog = Catalog.read(SHOPEE)
    assert len(catalog) == 27_399
    assert catalog.labels is not None
    assert len(np.unique(catalog.labels)) == 8_811
    assert catalog.labels.min() == 0
    assert catalog.labels.max() == 8_810
    assert catalog.hashed.all()
    assert catalog.has_titles.all()
    assert catalog.problems.is_empty()
    assert by_id(catalog) == slow_read(SHOPEE.read_text(encoding="utf-8"))
    catalog.save(tmp_path)
    same(Catalog.load(tmp_path), catalog)
    frame = pl.read_csv(SHOPEE)
    same(Catalog.read(frame), catalog)
    shuffled = Catalog.read(frame.sample(fraction=1, shuffle=True, seed=0))
    assert shuffled.fingerprint() == catalog.fingerprint()


@pytest.mark.skipif(not (DATA / "grocery").exists(), reason="the groceries are not here; set KEMBAR_DATA")
def test_real_posts_without_titles() -> None:
    catalog = Catalog.read(DATA / "grocery" / "posts.csv", images=DATA / "grocery" / "images")
    assert len(catalog) == 2_936
    assert not catalog.has_titles.any()
    assert all(path is not None and path.is_file() for path in catalog.photo_paths())


def test_a_header_of_thousands_of_columns_is_read(tmp_path: Path) -> None:
    """Read with another separator its first line is one cell, longer than the csv module allows."""
    names = ["posting_id", "title", *(f"c{at}" for at in range(30_000))]
    rows = [",".join([*row, *[""] * 30_000]) for row in (("a", "kopi hitam"), ("b", "kopi"))]
    (tmp_path / "wide.csv").write_text("\n".join([",".join(names), *rows]) + "\n", encoding="utf-8")
    assert Catalog.read(tmp_path / "wide.csv").ids.to_list() == ["a", "b"]

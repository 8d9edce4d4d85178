"""Cells of image columns as shops export them, and the files that they mean."""

from pathlib import Path
from urllib.parse import quote

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kembar.errors import CatalogError
from kembar.posts.catalog import Catalog
from kembar.posts.columns import Columns
from kembar.posts.photo_cells import several

FILES = (
    "a.jpg",
    "b.jpg",
    "red, large.jpg",
    "my photo.jpg",
    "50%.jpg",
    "é.jpg",
    "Up.JPG",
    "x.png",
    "X.png",
    "sub/c.jpg",
)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "data" / "photos"
    (folder / "sub").mkdir(parents=True)
    for name in FILES:
        (folder / name).touch()
    return folder


def read(photos: Path | None, *cells: object, **columns: list[str | None]) -> Catalog:
    ids = [f"p{row}" for row in range(len(cells) + 1)]
    sure = {"image": [*cells, "a.jpg"], **{name: [*given, None] for name, given in columns.items()}}
    frame = pl.DataFrame({"posting_id": ids, "title": "t", **sure}, strict=False)
    return Catalog.read(frame, images=photos, columns=Columns(further_images=tuple(columns)))


def names(catalog: Catalog, row: int = 0) -> list[str]:
    return catalog.take([row]).photos().images.to_list()


@pytest.mark.parametrize(
    ("cell", "file"),
    [
        ("a.jpg", "a.jpg"),
        ("red, large.jpg", "red, large.jpg"),
        ("https://cdn.shop.com/files/a.jpg", "a.jpg"),
        ("https://cdn.shop.com/files/a.jpg?v=17&width=800", "a.jpg"),
        ("//cdn.shop.com/a.jpg#zoom", "a.jpg"),
        ("https://shop.com/w_300,h_200/a.jpg", "a.jpg"),
        ("https://shop.com/media/sub/c.jpg", "sub/c.jpg"),
        ("https://shop.com/my%20photo.jpg", "my photo.jpg"),
        ("my%20photo.jpg", "my photo.jpg"),
        ("50%.jpg", "50%.jpg"),
        ("a.jpg?v=3", "a.jpg"),
        ("A.JPG", "a.jpg"),
        ("up.jpg", "Up.JPG"),
        ("e\u0301.jpg", "é.jpg"),
        ("sub\\c.jpg", "sub/c.jpg"),
        ("photos/a.jpg", "a.jpg"),
        ("data/Photos/sub/c.jpg", "sub/c.jpg"),
        ("data\\photos\\a.jpg", "a.jpg"),
        (" a.jpg ", "a.jpg"),
        ("x.png", "x.png"),
    ],
)
def test_what_a_cell_means(photos: Path, cell: str, file: str) -> None:
    catalog = read(photos, cell)
    assert names(catalog) == [file]
    assert catalog.problems.is_empty()
    told = [(note.kind, note.count) for note in catalog.notes]
    assert told == ([] if cell == file else [("photos", 1)])


@pytest.mark.parametrize("cell", ["elsewhere/a.jpg", "x.PNG", "b", "https://shop.com/d.jpg", "subc.jpg"])
def test_what_no_file_fits_surely_is_missing(photos: Path, cell: str, caplog: pytest.LogCaptureFixture) -> None:
    catalog = read(photos, cell)
    assert f"1 of 2 photos are not in {str(photos)!r}, such as {cell!r}" in caplog.text
    assert names(catalog) == [cell]
    assert [note.detail.partition(" that ")[2] for note in catalog.notes] == [f"are missing, such as {cell!r}"]


@pytest.mark.parametrize(
    "cell",
    [
        "../photos/a.jpg",
        "/etc/passwd",
        "C:\\photos\\a.jpg",
        "%2e%2e/photos/a.jpg/../../x",
        "//etc/passwd",
        "sub/../../x",
    ],
)
def test_what_leads_out_stays_refused(photos: Path, cell: str) -> None:
    catalog = read(photos, cell)
    assert names(catalog) == [""]
    assert catalog.problems["problem"].to_list() == [f"'{cell}' leads out of the photo folder"]


@pytest.mark.parametrize(
    "cell",
    [
        *("a.jpg,b.jpg", "a.jpg, b.jpg,", "a.jpg|b.jpg", "a.jpg ; b.jpg", "a.jpg\r\nb.jpg\n", "a.jpg,a.jpg,b.jpg"),
        *('["a.jpg", "b.jpg"]', "['a.jpg', 'b.jpg']", '[{"url": "a.jpg", "n": 1}, {"url": "b.jpg"}]'),
        *("https://s.com/w_1,h_2/a.jpg|https://s.com/w_1,h_2/b.jpg", "https://s.com/a.jpg?x=1,https://s.com/b.jpg"),
    ],
)
def test_several_photos_in_a_cell(photos: Path, cell: str) -> None:
    assert names(read(photos, cell)) == ["a.jpg", "b.jpg"]


def test_several_columns_lists_and_gaps(photos: Path) -> None:
    catalog = read(photos, "a.jpg", None, "b.jpg,x.png", second=["b.jpg", "b.jpg", ""], third=[None, "a.jpg", "a.jpg"])
    assert [names(catalog, row) for row in range(4)] == [
        ["a.jpg", "b.jpg"],
        ["b.jpg", "a.jpg"],
        ["b.jpg", "x.png", "a.jpg"],
        ["a.jpg"],
    ]
    frame = pl.DataFrame({"posting_id": ["p"], "image": [["a.jpg", None, "red, large.jpg"]]})
    assert names(Catalog.read(frame, images=photos)) == ["a.jpg", "red, large.jpg"]


def test_photos_beyond_the_first_twelve_are_counted(photos: Path) -> None:
    many = ",".join(f"{number}.jpg" for number in range(15))
    catalog = read(photos, many)
    assert names(catalog) == [f"{number}.jpg" for number in range(12)]
    assert catalog.problems.rows() == [("p0", "image", "more than 12 photos, of which the first 12 are used")]


def test_a_file_name_that_ends_the_addresses_of_several_posts_is_the_photo_of_none(photos: Path) -> None:
    catalog = read(photos, "https://s.com/1/b.jpg", "https://s.com/2/b.jpg", "https://t.com/3/sub/c.jpg?x", "b.jpg")
    assert [names(catalog, row) for row in range(4)] == [[""], [""], ["sub/c.jpg"], ["b.jpg"]]
    assert catalog.problems["problem"][0] == "'https://s.com/1/b.jpg' and other addresses end in one file name"
    same = read(
        photos, "https://s.com/big/b.jpg,https://s.com/small/b.jpg", "https://cdn.com/x/a.jpg", "http://s.com/x/a.jpg"
    )
    assert [names(same, row) for row in range(3)] == [["b.jpg"], ["a.jpg"], ["a.jpg"]]


def test_a_folder_that_has_none_of_the_photos_is_refused(tmp_path: Path) -> None:
    frame = pl.DataFrame({"posting_id": ["p", "q"], "title": "t", "image": ["a.jpg", "https://s.com/b.jpg"]})
    with pytest.raises(CatalogError, match=r"holds none of the 2 photos that the posts name, such as 'a.jpg'"):
        Catalog.read(frame, images=tmp_path)
    assert names(Catalog.read(frame)) == ["a.jpg"]  # without a folder, no photo is looked for


def test_photos_are_taken_saved_and_loaded(photos: Path, tmp_path: Path) -> None:
    catalog = read(photos, "a.jpg,b.jpg,x.png", "b.jpg", "a.jpg,X.png")
    catalog.save(tmp_path / "saved")
    loaded = Catalog.load(tmp_path / "saved")
    assert (
        loaded.fingerprint()
        == catalog.fingerprint()
        != read(photos, "a.jpg,x.png,b.jpg", "b.jpg", "a.jpg,X.png").fingerprint()
    )
    assert loaded.notes == catalog.notes
    taken = loaded.take([2, 0])
    assert [names(taken, row) for row in range(2)] == [["a.jpg", "X.png"], ["a.jpg", "b.jpg", "x.png"]]
    assert taken.photos().offsets.tolist() == [0, 2, 5]


PARTS = st.text(
    st.characters(exclude_categories=("Cs",), exclude_characters="/\\?#:%,;|\r\n\0.[\"' "), min_size=1, max_size=6
).filter(lambda part: part == part.strip())  # blanks around a name in a list are not of the name


@given(parts=st.lists(PARTS, min_size=1, max_size=3), photos=st.integers(1, 3), mark=st.sampled_from(",;|\n"))
@example(parts=["a"], photos=2, mark=",")
def test_any_list_of_addresses_or_names_is_taken_apart(parts: list[str], photos: int, mark: str) -> None:
    for start, write in (("", str), ("https://s.com/", quote)):
        listed = [start + write("/".join([*parts[:-1], f"{parts[-1]}{number}.jpg"])) for number in range(photos)]
        assert several(mark.join(listed), {}.__contains__) == listed


@given(cell=st.text(max_size=30))
def test_a_cell_never_loses_what_it_says(cell: str) -> None:
    assert several(cell, lambda name: name == cell) == [cell]
    assert "".join(several(cell, {}.__contains__)) or not cell.strip(" [],;|\r\n\t\"'")

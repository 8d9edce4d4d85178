"""A folder of photos is a catalogue."""

from pathlib import Path

import pytest

from kembar.errors import CatalogError
from kembar.posts.catalog import Catalog


def filled(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def test_ids_are_the_names_of_the_photos(tmp_path: Path) -> None:
    names = ("b.JPG", "a.jpg", "sub/deeper/c, d.png", "notes.txt", ".DS_Store", ".hidden/e.jpg", "sub/readme", "f.heic")
    catalog = Catalog.read(filled(tmp_path, *names))
    assert catalog.ids.to_list() == catalog.images.to_list() == ["a.jpg", "b.JPG", "f.heic", "sub/deeper/c, d.png"]
    assert not catalog.has_titles.any()
    assert catalog.folder == tmp_path
    assert [(note.kind, note.count) for note in catalog.notes] == [("files", 2)]
    assert catalog.problems.is_empty()


@pytest.mark.parametrize("table", ["posts.csv", "exports/posts.xlsx", None])
def test_a_table_beside_photos_is_told(tmp_path: Path, table: str | None, caplog: pytest.LogCaptureFixture) -> None:
    Catalog.read(filled(tmp_path, "a.jpg", "notes.txt", *([table] if table else [])))
    assert [record.getMessage() for record in caplog.records] == (
        [f"'{tmp_path}' holds '{table}' beside photos; the photos are matched alone. To match its posts, name that "
         "file, and the folder as that of its photos"] if table else []
    )  # fmt: skip


@pytest.mark.parametrize(
    ("names", "told"),
    [
        ((), r"which is empty"),
        (
            ("x/posts.csv", "notes.md"),
            r"without photos; it holds 'x/posts.csv'.*Name the file of posts: '.*/x/posts.csv'",
        ),
        (("notes.md",), r"without photos; it holds 'notes.md'"),
    ],
)
def test_a_folder_without_photos_is_refused(tmp_path: Path, names: tuple[str, ...], told: str) -> None:
    with pytest.raises(CatalogError, match=told):
        Catalog.read(filled(tmp_path, *names))

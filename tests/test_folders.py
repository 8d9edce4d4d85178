import os
from pathlib import Path

import pytest

from kembar.errors import FolderError
from kembar.folders import check_free, new_file, new_folder

MARK = "pairs.parquet"


class UnluckyError(Exception):
    """Something that has nothing to do with files."""


def older(folder: Path) -> Path:
    folder.mkdir()
    (folder / MARK).write_text("old")
    return folder


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


# folders


@pytest.mark.parametrize("target", ["run", "a/b/run"])
def test_a_new_folder_appears_when_it_is_whole(tmp_path, target):
    with new_folder(str(tmp_path / target)) as folder:
        (folder / MARK).write_text("new")
        assert not (tmp_path / target).exists()
    assert names(tmp_path / target) == [MARK]
    assert not [name for name in names(tmp_path) if "partial" in name]


def test_an_empty_folder_is_no_obstacle(tmp_path):
    (tmp_path / "run").mkdir()
    with new_folder(tmp_path / "run") as folder:
        (folder / MARK).write_text("new")
    assert names(tmp_path) == ["run", f"run/{MARK}"]


def test_an_older_folder_is_replaced_as_a_whole(tmp_path):
    (older(tmp_path / "run") / "more").write_text("old")
    with new_folder(tmp_path / "run", overwrite=True) as folder:
        (folder / MARK).write_text("new")
        assert (tmp_path / "run" / MARK).read_text() == "old"
    assert names(tmp_path) == ["run", f"run/{MARK}"]
    assert (tmp_path / "run" / MARK).read_text() == "new"


@pytest.mark.parametrize("error", [UnluckyError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("target", ["run", "a/b/run"])
def test_a_failure_leaves_nothing(tmp_path, error, target):
    with pytest.raises(error), new_folder(tmp_path / target) as folder:  # noqa: PT012
        (folder / "half").write_text("written")
        raise error
    assert names(tmp_path) == []


@pytest.mark.parametrize("error", [UnluckyError, KeyboardInterrupt])
def test_a_failure_keeps_the_older_folder(tmp_path, error):
    older(tmp_path / "run")
    with pytest.raises(error), new_folder(tmp_path / "run", overwrite=True) as folder:  # noqa: PT012
        (folder / MARK).write_text("new")
        raise error
    assert names(tmp_path) == ["run", f"run/{MARK}"]
    assert (tmp_path / "run" / MARK).read_text() == "old"


@pytest.mark.parametrize(("error", "raised"), [(OSError(28, "No space left"), FolderError), (KeyboardInterrupt(),) * 2])
def test_a_failure_between_the_two_renames_keeps_the_older_folder(tmp_path, monkeypatch, error, raised):
    older(tmp_path / "run")
    rename = Path.rename

    def fail(self: Path, target: Path) -> Path:
        if self.name.endswith(".partial"):
            raise error
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail)
    kind = raised if isinstance(raised, type) else type(raised)
    with pytest.raises(kind), new_folder(tmp_path / "run", overwrite=True) as folder:
        (folder / MARK).write_text("new")
    assert names(tmp_path) == ["run", f"run/{MARK}"]
    assert (tmp_path / "run" / MARK).read_text() == "old"


def test_a_full_disk_is_a_folder_error(tmp_path):
    with pytest.raises(FolderError, match="No space left") as error, new_folder(tmp_path / "run"):
        raise OSError(28, "No space left on device")
    assert repr(str(tmp_path / "run")) in str(error.value)
    assert names(tmp_path) == []


def test_what_a_killed_process_of_our_number_left_is_no_obstacle(tmp_path):
    (tmp_path / f".run.{os.getpid()}.partial").mkdir()
    (tmp_path / f".run.{os.getpid()}.partial" / "half").write_text("written")
    with new_folder(tmp_path / "run") as folder:
        (folder / MARK).write_text("new")
    assert names(tmp_path) == ["run", f"run/{MARK}"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_of_something_else_is_never_replaced(tmp_path, overwrite):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("dear")
    (tmp_path / "file").write_text("dear")
    for name in ("run", "file"):
        with pytest.raises(FolderError) as error, new_folder(tmp_path / name, overwrite=overwrite):
            pytest.fail("must not come here")
        assert repr(str(tmp_path / name)) in str(error.value)
    assert names(tmp_path) == ["file", "run", "run/thesis.tex"]


def test_an_older_folder_needs_leave_to_be_replaced(tmp_path):
    older(tmp_path / "run")
    with pytest.raises(FolderError, match=r"which exists.*--overwrite"):
        check_free(tmp_path / "run", overwrite=False)
    check_free(tmp_path / "run", overwrite=True)
    with pytest.raises(FolderError, match=r"holds no curve\.csv"):
        check_free(tmp_path / "run", overwrite=True, mark="curve.csv")


def test_places_where_nothing_can_be_made(tmp_path):
    (tmp_path / "file").write_text("dear")
    with pytest.raises(FolderError, match=r"file/run'.*cannot be written"):
        check_free(tmp_path / "file" / "run", overwrite=False)
    with pytest.raises(FolderError, match=r"'/', (which exists|inside '/' which cannot be written)"):  # root, others
        check_free("/", overwrite=False)
    with pytest.raises(FolderError, match=r"'/', (which holds no|inside '/' which cannot be written)"):
        check_free("/", overwrite=True)


def test_asking_makes_nothing(tmp_path):
    check_free(tmp_path / "a" / "run", overwrite=False)
    assert names(tmp_path) == []


# files


def test_a_file_appears_when_it_is_whole(tmp_path):
    (tmp_path / "tuned.toml").write_text("old")
    with new_file(str(tmp_path / "tuned.toml")) as path:
        path.write_text("new")
        assert (tmp_path / "tuned.toml").read_text() == "old"
    assert names(tmp_path) == ["tuned.toml"]
    assert (tmp_path / "tuned.toml").read_text() == "new"


@pytest.mark.parametrize("error", [UnluckyError, KeyboardInterrupt])
def test_a_failure_keeps_the_older_file(tmp_path, error):
    (tmp_path / "tuned.toml").write_text("old")
    with pytest.raises(error), new_file(tmp_path / "tuned.toml") as path:  # noqa: PT012
        path.write_text("half")
        raise error
    assert names(tmp_path) == ["tuned.toml"]
    assert (tmp_path / "tuned.toml").read_text() == "old"


@pytest.mark.parametrize("target", ["folder", "gone/x.toml", "file/x.toml"])
def test_files_that_cannot_be_written(tmp_path, target):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("dear")
    with pytest.raises(FolderError, match="cannot be written") as error, new_file(tmp_path / target) as path:
        path.write_text("new")
    assert repr(str(tmp_path / target)) in str(error.value)
    assert names(tmp_path) == ["file", "folder"]

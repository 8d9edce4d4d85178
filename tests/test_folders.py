import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from kembar import folders
from kembar.errors import FolderError
from kembar.folders import check_free, new_file, new_folder, remove_litter, reserved

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


@pytest.mark.parametrize("overwrite", [False, True])
def test_an_interrupt_while_cleaning_up_waits_until_all_is_clean(tmp_path, monkeypatch, overwrite):
    remove = shutil.rmtree

    def interrupted(path: Path, **options: bool) -> None:
        signal.raise_signal(signal.SIGINT)
        remove(path, **options)

    if overwrite:
        older(tmp_path / "run")
    with pytest.raises(KeyboardInterrupt), reserved(tmp_path / "run", overwrite=overwrite):  # noqa: PT012, SIM117
        with new_folder(tmp_path / "run", overwrite=overwrite) as folder:
            monkeypatch.setattr(shutil, "rmtree", interrupted)
            (folder / MARK).write_text("new")
    assert names(tmp_path) == ["run", f"run/{MARK}"]
    assert (tmp_path / "run" / MARK).read_text() == "new"


def test_an_interrupt_while_a_name_is_taken_leaves_nothing(tmp_path, monkeypatch):
    empty = folders._empty

    def interrupted(path: Path) -> None:
        signal.raise_signal(signal.SIGINT)
        empty(path)

    monkeypatch.setattr(folders, "_empty", interrupted)
    with pytest.raises(KeyboardInterrupt), new_folder(tmp_path / "a" / "run"):
        pytest.fail("it was interrupted before")
    assert names(tmp_path) == []


def killed(code: str, folder: Path) -> None:
    """Run a program that ends as if it were killed: no `finally`, no exit handler."""
    code = f"import os\nfrom kembar.folders import *\n{code}\n    os._exit(9)"
    ended = subprocess.run([sys.executable, "-c", code], cwd=folder, check=False)
    assert ended.returncode == 9


def test_what_a_killed_run_left_is_removed_by_the_next(tmp_path):
    killed("with new_folder('a/run') as folder:\n    (folder / 'half').mkdir(); (folder / 'h').touch()", tmp_path)
    assert names(tmp_path) == ["a", "a/.run.partial", "a/.run.partial/h", "a/.run.partial/half"]
    with new_folder(tmp_path / "a" / "run") as folder:
        assert names(folder) == []
        (folder / MARK).write_text("new")
    assert names(tmp_path) == ["a", "a/run", f"a/run/{MARK}"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_a_killed_run_had_set_aside_is_restored_by_the_next(tmp_path, overwrite):
    older(tmp_path / ".run.old")  # killed between the two renames
    (tmp_path / ".run.partial").mkdir()
    with suppress(FolderError), new_folder(tmp_path / "run", overwrite=overwrite) as folder:
        assert (tmp_path / "run" / MARK).read_text() == "old"
        (folder / MARK).write_text("new")
    assert names(tmp_path) == ["run", f"run/{MARK}"]
    assert (tmp_path / "run" / MARK).read_text() == ("new" if overwrite else "old")


def test_what_was_replaced_by_a_killed_run_is_removed_by_the_next(tmp_path):
    older(tmp_path / "run")
    older(tmp_path / ".run.old")  # killed after the two renames
    with pytest.raises(FolderError, match="which exists"):
        check_free(tmp_path / "run", overwrite=False)
    with new_folder(tmp_path / "run", overwrite=True) as folder:
        (folder / MARK).write_text("new")
    assert names(tmp_path) == ["run", f"run/{MARK}"]


@pytest.mark.parametrize("first", [new_folder, reserved])
@pytest.mark.parametrize("overwrite", [False, True])
def test_the_second_of_two_runs_into_one_folder_is_refused(tmp_path, first, overwrite):
    code = "from kembar.folders import *\nwith new_folder('run', overwrite=True): pass"
    with first(tmp_path / "run", overwrite=overwrite):
        second = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert "run', which another process is writing" in second.stderr.splitlines()[-1]
        if first is reserved:
            with new_folder(tmp_path / "run", overwrite=overwrite) as folder:
                (folder / MARK).write_text("new")
            assert (tmp_path / "run" / MARK).read_text() == "new"
    assert not [name for name in names(tmp_path) if name.startswith(".")]


def test_a_name_that_was_kept_and_not_used_is_free_again(tmp_path):
    with pytest.raises(UnluckyError), reserved(tmp_path / "a" / "run"):
        raise UnluckyError
    assert names(tmp_path) == []
    with reserved(tmp_path / "run"), pytest.raises(FolderError, match="another process"):  # noqa: SIM117
        with new_folder(tmp_path / "run"), new_folder(tmp_path / "run"):
            pytest.fail("must not come here")
    assert names(tmp_path) == []


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_made_meanwhile_is_kept(tmp_path, overwrite):
    with pytest.raises(FolderError, match=r"which (exists|holds no)"):  # noqa: PT012, SIM117
        with new_folder(tmp_path / "run", overwrite=overwrite) as folder:
            (folder / MARK).write_text("new")
            (tmp_path / "run").mkdir()
            (tmp_path / "run" / "thesis.tex").write_text("dear")
    assert names(tmp_path) == ["run", "run/thesis.tex"]


@pytest.mark.parametrize("make", [new_folder, reserved, new_file])
def test_links_and_long_names_are_refused_in_one_line(tmp_path, make):
    older(tmp_path / "older")
    (tmp_path / "link").symlink_to("older" if make is not new_file else f"older/{MARK}")
    (tmp_path / "loose").symlink_to("nowhere")
    before = names(tmp_path)
    for name, told in ("link", "symbolic link"), ("loose", "symbolic link"), ("x" * 250, "at most 237"):
        with pytest.raises(FolderError, match=told) as error, make(tmp_path / name):
            pytest.fail("must not come here")
        assert "\n" not in str(error.value)
    assert names(tmp_path) == before
    with make(tmp_path / ("x" * 237)) as path:
        if path is not None and make is new_folder:
            (path / MARK).write_text("new")
    assert len(names(tmp_path)) == len(before) + {new_folder: 2, reserved: 0, new_file: 1}[make]


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
    with pytest.raises(FolderError, match=r"which exists.*overwrite=True"):
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


@pytest.mark.parametrize("kind", ["device", "pipe"])
def test_what_is_no_regular_file_is_never_replaced(tmp_path, kind):
    target = Path("/dev/null")
    if kind == "pipe":
        target = tmp_path / "pipe"
        os.mkfifo(target)
    with pytest.raises(FolderError, match="a folder or a device"), new_file(target):
        pytest.fail("must not come here")
    assert target.exists()
    assert not target.is_file()


def test_partial_files_of_killed_processes_are_removed_by_the_next_and_those_of_others_are_kept(tmp_path):
    killed("with new_file('x.csv') as path:\n    path.write_text('half')", tmp_path)
    (left,) = names(tmp_path)
    (tmp_path / ".y.csv.12345678.partial").touch()  # of another file
    (tmp_path / ".x.csv.partial").touch()  # of somebody else
    with new_file(tmp_path / "x.csv") as one:
        one.write_text("one")
        with new_file(tmp_path / "x.csv") as two:
            two.write_text("two")
        assert one.exists()
    assert (tmp_path / "x.csv").read_text() == "one"
    assert names(tmp_path) == [".x.csv.partial", ".y.csv.12345678.partial", "x.csv"]
    assert left not in names(tmp_path)
    remove_litter(tmp_path)
    assert names(tmp_path) == [".x.csv.partial", "x.csv"]

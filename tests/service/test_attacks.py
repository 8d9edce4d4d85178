"""The attacks of bench/attacks.py, on one real process, each with its right answer."""

import importlib.util
import sys
from collections.abc import Iterator

import pytest

from kembar.store import Live
from places import ROOT
from services import Served

spec = importlib.util.spec_from_file_location("attacks", ROOT / "bench" / "attacks.py")
attacks = sys.modules["attacks"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(attacks)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("attacked") / "store"
    Live.create(folder).close()
    with Served(folder, *attacks.OPTIONS) as served:
        yield served


@pytest.mark.parametrize("attack", attacks.ATTACKS, ids=lambda attack: attack.what.encode("ascii", "replace").decode())
def test_the_answer_is_right(served: Served, attack: "attacks.Attack") -> None:
    got = attacks.run(attack, served)
    assert got.startswith(attack.right), got
    assert not got.startswith("5")


def test_nothing_failed(served: Served) -> None:
    assert "Traceback" not in served.log.read_text()

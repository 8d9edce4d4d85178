"""Paths with brackets, stars and question marks mean themselves in every reader: of posts, vectors and runs."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from kembar import Catalog, Config, Embeddings, Result, match
from kembar.encoders.store import VectorStore
from kembar.evidence.copies import Copies
from kembar.evidence.fitted import Fitted, count_terms

WRITERS = {
    "csv": pl.DataFrame.write_csv,
    "parquet": pl.DataFrame.write_parquet,
    "arrow": pl.DataFrame.write_ipc,
    "arrows": pl.DataFrame.write_ipc_stream,
}
FOLDERS = {"run[z]1": "runz1", "run*": "runs", "run?": "run_", "run{a,b}": "runa"}
"""Names that look like patterns, and names that those would match."""


def posts(word: str) -> pl.DataFrame:
    return pl.DataFrame({"posting_id": [f"{word}1", f"{word}2"], "title": [f"{word} soap 50 g", f"{word} soap 50 g"]})


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("name", FOLDERS)
def test_posts_of_any_format(tmp_path: Path, kind: str, name: str) -> None:
    for word, folder in ("mine", name), ("other", FOLDERS[name]):
        (tmp_path / folder).mkdir()
        WRITERS[kind](posts(word), tmp_path / folder / f"posts.{kind}")
    assert Catalog.read(tmp_path / name / f"posts.{kind}").ids.to_list() == ["mine1", "mine2"]
    WRITERS[kind](posts("mine"), tmp_path / f"{name}.{kind}")
    WRITERS[kind](posts("other"), tmp_path / f"{FOLDERS[name]}.{kind}")
    assert Catalog.read(tmp_path / f"{name}.{kind}").ids.to_list() == ["mine1", "mine2"]


@pytest.mark.parametrize("name", FOLDERS)
def test_runs_catalogues_vectors_and_what_is_fitted(tmp_path: Path, name: str) -> None:
    config = Config(model="rules", title=False)
    for word, folder in ("other", FOLDERS[name]), ("mine", name):
        result = match(posts(word), config=config)
        result.save(tmp_path / folder)
        result.catalog.save(tmp_path / folder / "posts")
        titles = result.catalog.titles
        Fitted.fit(titles, Copies.find(result.catalog, titles, ()), [count_terms(titles, config)], config).save(
            tmp_path / folder / "fitted"
        )
        vectors = pl.DataFrame({"posting_id": result.catalog.ids, "vector": [[1.0, 0.0], [0.0, 1.0]]})
        vectors.write_parquet(tmp_path / folder / "v.parquet")
        np.save(tmp_path / folder / "v.npy", np.eye(2))
        store = VectorStore(tmp_path / folder / "store")
        store.put("f", np.array([word.encode().ljust(16, b"x")], "S16"), np.ones((1, 2), np.float32))
    loaded = Result.load(tmp_path / name)
    assert loaded.pairs.frame(loaded.catalog.ids)["left"].to_list() == ["mine1"]
    assert loaded.groups_frame()["group_id"].to_list() == ["mine1", "mine1"]
    assert Catalog.load(tmp_path / name / "posts").ids.to_list() == ["mine1", "mine2"]
    assert "mine" in Fitted.load(tmp_path / name / "fitted").terms["word"].terms
    for file in ("v.parquet", "v.npy"):
        assert Embeddings.read(tmp_path / name / file, loaded.catalog.ids).vectors.tolist() == [[1, 0], [0, 1]]
    keys = np.array([b"minexxxxxxxxxxxx", b"otherxxxxxxxxxxx"], "S16")
    assert VectorStore(tmp_path / name / "store").get("f", keys)[0].tolist() == [True, False]

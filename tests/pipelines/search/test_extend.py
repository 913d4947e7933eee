"""An index takes new vectors in: they are found, and so are the old ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from search_formula import by_formula

from towermill.errors import BundleError
from towermill.pipelines.recipe.index import IndexConfig
from towermill.pipelines.search import extend
from towermill.pipelines.search.extend import extend_index
from towermill.pipelines.search.store import open_index, write_index

KINDS: dict[str, dict[str, Any]] = {
    "exact": {"kind": "exact"},
    "usearch": {"kind": "hnsw", "expansion_search": 300},
    "faiss-hnsw": {"kind": "hnsw", "library": "faiss", "expansion_search": 300},
    "faiss-ivf": {"kind": "ivf", "library": "faiss", "lists": 40, "probes": 30},
}
OLD, NEW = 1500, 300


@pytest.mark.parametrize("metric", ["inner_product", "cosine"])
@pytest.mark.parametrize("name", KINDS)
def test_new_vectors_are_found_like_old_ones(
    name: str, metric: str, world: tuple[NDArray, NDArray], tmp_path: Path
) -> None:
    vectors, queries = world[0][: OLD + NEW], world[1]
    config = IndexConfig.model_validate(KINDS[name] | {"recall_k": 20})
    told = write_index(vectors[:OLD], tmp_path / "old", config, metric, queries)
    before = {file.name: file.read_bytes() for file in (tmp_path / "old").iterdir()}
    out = tmp_path / "new"
    out.mkdir()
    found = extend_index(tmp_path / "old", told, vectors[OLD:], out, queries)
    assert found.items == OLD + NEW
    assert {file.name: file.read_bytes() for file in (tmp_path / "old").iterdir()} == before
    index = open_index(out, found)
    rows, _ = index.search(queries, 20)
    true, _ = by_formula(index.vectors, queries, 20)
    assert np.mean([len(set(a) & set(b)) / 20 for a, b in zip(rows, true, strict=True)]) > 0.95
    new = true >= OLD
    assert new.any()
    hits = [row in set(line) for line, wanted in zip(rows, true, strict=True) for row in wanted]
    assert np.mean(np.array(hits).reshape(true.shape)[new]) > 0.95


@pytest.mark.parametrize("name", ["usearch", "faiss-hnsw"])
def test_graphs_are_not_built_again(
    name: str, world: tuple[NDArray, NDArray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors, queries = world[0][:600], world[1]
    config = IndexConfig.model_validate(KINDS[name])
    told = write_index(vectors[:-1], tmp_path / "old", config, "inner_product", queries)
    monkeypatch.setattr(extend, "write_graph", None)
    (tmp_path / "new").mkdir()
    longer = 3 * vectors[-1:] * told.longest
    found = extend_index(tmp_path / "old", told, longer, tmp_path / "new", queries)
    index = open_index(tmp_path / "new", found)
    assert index.search(longer, 1)[0].tolist() == [[599]]


def test_refuses_what_is_not_finite(world: tuple[NDArray, NDArray], tmp_path: Path) -> None:
    config = IndexConfig.model_validate(KINDS["exact"])
    told = write_index(world[0][:50], tmp_path, config, "inner_product", world[1])
    with pytest.raises(BundleError, match="Expected finite vectors of the new items"):
        extend_index(tmp_path, told, np.full((1, 16), np.nan, np.float32), tmp_path, world[1])


def test_refuses_a_recall_below_the_floor(
    world: tuple[NDArray, NDArray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = IndexConfig.model_validate(KINDS["usearch"])
    told = write_index(world[0][:500], tmp_path / "old", config, "inner_product", world[1])
    monkeypatch.setattr(extend, "recall", lambda *_: 0.5)
    (tmp_path / "new").mkdir()
    with pytest.raises(BundleError, match=r"finds 0\.5000 of the 100 nearest items with the new"):
        extend_index(tmp_path / "old", told, world[0][500:510], tmp_path / "new", world[1])

"""An index is written, measured and opened; no other's file and no damaged one is believed."""

from __future__ import annotations

import builtins
import json
import threading
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from search_formula import by_formula, same

from towermill.errors import BundleError
from towermill.pipelines.bundle.records import from_json
from towermill.pipelines.recipe.index import IndexConfig
from towermill.pipelines.search.description import IndexFile, PublishedIndex, Recall
from towermill.pipelines.search.index import Index
from towermill.pipelines.search.store import open_index, write_index

KINDS: dict[str, Any] = {
    "exact": "exact",
    "usearch": {"kind": "hnsw", "expansion_search": 500},
    "faiss-hnsw": {"kind": "hnsw", "library": "faiss", "expansion_search": 500},
    "faiss-ivf": {"kind": "ivf", "library": "faiss", "probes": 90},
}
GRAPHS = [name for name in KINDS if name != "exact"]

Written = tuple[Path, dict[str, Any]]


def config_of(name: str, **changes: Any) -> IndexConfig:
    content = KINDS[name]
    return IndexConfig.model_validate(
        ({"kind": content} if isinstance(content, str) else content) | changes
    )


@pytest.fixture(scope="module")
def written(
    world: tuple[NDArray, NDArray], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Written]:
    """Return an index of a kind and metric, as a bundle's manifest would give it back."""
    done: dict[tuple[str, str], Written] = {}

    def of(name: str, metric: str = "inner_product") -> Written:
        if (name, metric) not in done:
            folder = tmp_path_factory.mktemp(name)
            told = write_index(world[0], folder, config_of(name), metric, world[1])
            plain = json.loads(json.dumps(asdict(told)))
            done[name, metric] = folder, from_json(PublishedIndex, plain)
        return done[name, metric]

    return of


@pytest.fixture
def copied(written: Callable[..., Written], tmp_path: Path) -> Callable[[str], Written]:
    """Return a copy of an index that may be damaged."""

    def of(name: str) -> Written:
        folder, told = written(name)
        for file in folder.iterdir():
            (tmp_path / file.name).write_bytes(file.read_bytes())
        return tmp_path, told

    return of


class TestWriteIndex:
    @pytest.mark.parametrize("metric", ["inner_product", "cosine"])
    @pytest.mark.parametrize("name", KINDS)
    def test_recall_is_the_share_of_the_truth_that_is_found(
        self, name: str, metric: str, written: Callable[..., Written], world: tuple
    ) -> None:
        folder, told = written(name, metric)
        vectors, queries = world
        if metric == "cosine":
            vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        products = queries.astype(np.float64) @ vectors.T.astype(np.float64)
        truth = np.argsort(-products, axis=1)[:, :100]
        rows, _ = open_index(folder, told).search(queries, 100)
        found = np.mean([np.isin(t, r).mean() for t, r in zip(truth, rows, strict=True)])
        assert told.recall.value == pytest.approx(found, abs=1e-3)
        assert replace(told.recall, value=1) == Recall(100, 1, 100, 0.95)
        assert found >= (1 if name == "exact" else 0.95)

    def test_below_the_floor(self, world: tuple, tmp_path: Path) -> None:
        config = config_of("usearch", expansion_search=1, expansion_build=1, min_recall=0.999)
        with pytest.raises(BundleError, match=r"Raise `export\.index\.expansion_search`.*Nothing"):
            write_index(world[0], tmp_path, config, "inner_product", world[1])

    def test_nothing_to_measure_on(self, world: tuple, tmp_path: Path) -> None:
        with pytest.raises(BundleError, match="held-out queries"):
            write_index(world[0], tmp_path, config_of("usearch"), "inner_product", world[1][:0])
        told = write_index(world[0], tmp_path, config_of("exact"), "inner_product", world[1][:0])
        assert told.recall.queries == 0

    @pytest.mark.parametrize("bad", [np.nan, np.inf, 1e30])
    def test_vectors_that_cannot_be_scored(self, bad: float, world: tuple, tmp_path: Path) -> None:
        vectors = world[0][:100].copy()
        vectors[5, 3] = bad
        with pytest.raises(BundleError, match="Expected finite item embeddings"):
            write_index(vectors, tmp_path, config_of("exact"), "inner_product", world[1])
        assert not list(tmp_path.iterdir())

    def test_unknown_metric(self, world: tuple, tmp_path: Path) -> None:
        with pytest.raises(BundleError, match="inner_product, cosine"):
            write_index(world[0], tmp_path, config_of("exact"), "euclid", world[1])

    @pytest.mark.parametrize(("name", "module"), [("usearch", "usearch"), ("faiss-ivf", "faiss")])
    def test_library_is_not_installed(
        self,
        name: str,
        module: str,
        world: tuple,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        real = builtins.__import__

        def without(asked: str, *rest: Any) -> Any:
            if asked.partition(".")[0] == module:
                raise ImportError(asked)
            return real(asked, *rest)

        monkeypatch.setattr(builtins, "__import__", without)
        with pytest.raises(BundleError, match=rf"Install it: (pip|towermill) install {module}"):
            write_index(world[0], tmp_path, config_of(name), "inner_product", world[1])

    @pytest.mark.parametrize("name", KINDS)
    @pytest.mark.parametrize("items", [0, 1, 3])
    def test_hardly_any_items(self, items: int, name: str, tmp_path: Path) -> None:
        vectors, queries = np.eye(3, 2, dtype=np.float32)[:items], np.ones((2, 2), np.float32)
        told = write_index(vectors, tmp_path, config_of(name), "inner_product", queries)
        assert told.recall.value == 1
        assert told.kind == ("exact" if items == 0 else told.kind)
        same(open_index(tmp_path, told).search(queries, 2), by_formula(vectors, queries, 2))


class TestOpenIndex:
    @pytest.mark.parametrize("verify", [True, False])
    @pytest.mark.parametrize("damage", ["missing", "truncated", "longer", "empty"])
    @pytest.mark.parametrize(
        ("name", "file"),
        [
            ("exact", "vectors.npy"),
            ("usearch", "graph.usearch"),
            ("faiss-hnsw", "graph.faiss"),
        ],
    )
    def test_not_whole(
        self, name: str, file: str, damage: str, verify: bool, copied: Callable[[str], Written]
    ) -> None:
        folder, told = copied(name)
        content = (folder / file).read_bytes()
        if damage == "missing":
            (folder / file).unlink()
        else:
            changed = {"truncated": content[:-7], "longer": content + b"x", "empty": b""}[damage]
            (folder / file).write_bytes(changed)
        with pytest.raises(BundleError, match=f"{file}: it (is missing|has)"):
            open_index(folder, told, verify)

    @pytest.mark.parametrize(
        ("name", "file"), [("exact", "vectors.npy"), ("usearch", "graph.usearch")]
    )
    def test_a_changed_byte(self, name: str, file: str, copied: Callable[[str], Written]) -> None:
        folder, told = copied(name)
        content = bytearray((folder / file).read_bytes())
        content[len(content) // 2] ^= 1
        (folder / file).write_bytes(content)
        with pytest.raises(BundleError, match=f"{file}: it is not the file that was published"):
            open_index(folder, told)

    @pytest.mark.parametrize("name", KINDS)
    @pytest.mark.parametrize("key", ["items", "dim"])
    def test_of_another_number(self, key: str, name: str, written: Callable[..., Written]) -> None:
        folder, told = written(name)
        with pytest.raises(BundleError, match=r"vectors\.npy should hold float32 vectors"):
            open_index(folder, replace(told, **{key: getattr(told, key) - 1}))

    @pytest.mark.parametrize("name", GRAPHS)
    def test_of_other_vectors(
        self, name: str, copied: Callable[[str], Written], world: tuple
    ) -> None:
        # All that a description could say is right, and the graph is of the catalogue before.
        folder, told = copied(name)
        np.save(folder / "vectors.npy", np.roll(world[0], 1, axis=0))
        with pytest.raises(BundleError, match=r"graph\.\w+ is of other vectors"):
            open_index(folder, told, verify=False)
        with pytest.raises(BundleError, match=r"vectors\.npy: it is not the file"):
            open_index(folder, told)

    @pytest.mark.parametrize("name", GRAPHS)
    def test_a_graph_of_fewer_items(
        self, name: str, copied: Callable[[str], Written], world: tuple, tmp_path: Path
    ) -> None:
        folder, told = copied(name)
        few = tmp_path / "few"
        other = write_index(world[0][:7000], few, config_of(name), "inner_product", world[1])
        (graph,) = few.glob("graph.*")
        graph.replace(folder / graph.name)
        files = told.files | {graph.name: other.files[graph.name]}
        with pytest.raises(BundleError, match=r"should be of 8000 items of 17 numbers"):
            open_index(folder, replace(told, files=files))

    @pytest.mark.parametrize("name", GRAPHS)
    def test_no_graph_at_all(self, name: str, copied: Callable[[str], Written]) -> None:
        folder, told = copied(name)
        (graph,) = folder.glob("graph.*")
        graph.write_bytes(b"no graph" * (graph.stat().st_size // 8 + 1))
        files = told.files | {graph.name: IndexFile(graph.stat().st_size, "")}
        with pytest.raises(BundleError, match="is damaged"):
            open_index(folder, replace(told, files=files), verify=False)

    def test_imports_little(
        self, written: Callable[..., Written], python: Callable[..., Any]
    ) -> None:
        folder, told = written("usearch")
        code = f"""
import importlib.util, json, sys, types
import numpy as np
for name in ("towermill", "towermill.pipelines"):  # their own imports are theirs
    package = types.ModuleType(name)
    package.__path__ = importlib.util.find_spec(name).submodule_search_locations
    sys.modules[name] = package
from towermill.pipelines.bundle.records import from_json
from towermill.pipelines.search.description import PublishedIndex
from towermill.pipelines.search.store import open_index
new = {{m.partition(".")[0] for m in sys.modules}} - sys.stdlib_module_names
print(json.dumps(sorted(n for n in new if n in ("usearch", "faiss", "polars", "pydantic"))))
told = from_json(PublishedIndex, json.loads({json.dumps(asdict(told))!r}))
index = open_index(__import__("pathlib").Path({str(folder)!r}), told)
print(index.search(np.ones((1, 16), np.float32), 3)[0].tolist())
"""
        first, second = python(code).stdout.splitlines()
        assert first == "[]"
        found = open_index(folder, told).search(np.ones((1, 16), np.float32), 3)
        assert json.loads(second) == found[0].tolist()


@pytest.mark.parametrize("name", KINDS)
class TestSearch:
    @pytest.fixture
    def index(self, name: str, written: Callable[..., Written]) -> Index:
        return open_index(*written(name))

    def test_scores_are_those_of_exact_search(self, index: Index, world: tuple) -> None:
        vectors, queries = world
        rows, scores = index.search(queries, 10)
        for i in range(100):
            best = by_formula(vectors[rows[i]], queries[i : i + 1], 10)
            np.testing.assert_array_equal(scores[i], best[1][0])

    def test_an_answer_does_not_depend_on_what_else_is_asked(
        self, index: Index, world: tuple
    ) -> None:
        rng = np.random.default_rng(0)
        queries = world[1][:64]
        exclude = [rng.integers(0, 8000, n) for n in rng.integers(0, 150, 64)]
        together = index.search(queries, 100, exclude)
        for i in range(0, 64, 9):
            alone = index.search(queries[i : i + 1], 100, exclude[i : i + 1])
            same(alone, tuple(part[i : i + 1] for part in together))

    def test_what_is_excluded_makes_room(self, index: Index, world: tuple) -> None:
        vectors, queries = world
        rows, _ = index.search(queries[:20], 150)
        found = index.search(queries[:20], 30, [row[:120] for row in rows])
        for i in range(20):
            assert not np.isin(found[0][i], rows[i, :120]).any()
        expected = by_formula(vectors, queries[:20], 30, [row[:120] for row in rows])
        shared = [np.isin(f, e).mean() for f, e in zip(found[0], expected[0], strict=True)]
        assert np.mean(shared) > 0.8

    def test_only_what_is_allowed(self, index: Index, world: tuple) -> None:
        vectors, queries = world
        allowed = [np.array([5, 900, 5, 17]), None, np.array([], np.int64), np.arange(4000)]
        exclude = [np.array([17]), np.array([], np.int64), np.array([1]), np.array([2, 3])]
        found = index.search(queries[:4], 6, exclude, allowed)
        everything = set(range(8000))
        for i in (0, 2, 3):
            without = (everything - set(allowed[i].tolist())) | set(exclude[i].tolist())
            same(
                tuple(part[i : i + 1] for part in found),
                by_formula(vectors, queries[i : i + 1], 6, [without]),
            )
        same(tuple(part[1:2] for part in found), index.search(queries[1:2], 6))

    def test_all_but_a_few_are_excluded(self, index: Index, world: tuple) -> None:
        vectors, queries = world
        exclude = [np.arange(0, 7990), np.arange(8000), np.arange(8000).repeat(2)]
        found = index.search(queries[:3], 20, exclude)
        same(found, by_formula(vectors, queries[:3], 20, exclude))

    def test_more_than_there_are(self, index: Index, world: tuple) -> None:
        vectors, queries = world
        found = index.search(queries[:2], 9000)
        same(found, by_formula(vectors, queries[:2], 9000))

    def test_nobody_asks(self, index: Index) -> None:
        rows, scores = index.search(np.zeros((0, 16), np.float32), 5)
        assert rows.shape == scores.shape == (0, 5)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ((np.full((1, 16), np.nan, np.float32), 5), "finite"),
            ((np.ones((1, 15), np.float32), 5), "queries of 16 numbers"),
            ((np.ones(16, np.float32), 5), "queries of 16 numbers"),
            ((np.ones((1, 16), np.float32), 0), "`k` should be a positive integer"),
            ((np.ones((1, 16), np.float32), 5, [[8000]]), "rows from 0 to 7999"),
            ((np.ones((1, 16), np.float32), 5, None, [[-1]]), "rows from 0 to 7999"),
            ((np.ones((2, 16), np.float32), 5, [[1]]), "`exclude` should have an entry a query"),
            ((np.ones((2, 16), np.float32), 5, None, [None]), "`allowed` should have an entry"),
        ],
    )
    def test_refuses(self, index: Index, arguments: tuple, message: str) -> None:
        with pytest.raises(BundleError, match=message):
            index.search(*arguments)

    def test_many_threads(self, index: Index, world: tuple) -> None:
        queries = world[1]
        expected, wrong = index.search(queries, 20), []

        def ask(start: int) -> None:
            for i in range(start, 100, 2):
                rows, _ = index.search(queries[i : i + 1], 20)
                if (rows[0] != expected[0][i]).any():
                    wrong.append(i)

        threads = [threading.Thread(target=ask, args=(n % 2,)) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong

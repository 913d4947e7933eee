"""A tiny world of news through all stages, and other models on the same impressions."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from towermill.columns import FIRST_ID
from towermill.errors import BundleError, DataError
from towermill.models.contracts import retriever as retrievers
from towermill.pipelines import Bundle, plan, run
from towermill.pipelines.bundle.tables import to_batch
from towermill.pipelines.gates.saved_models import run_saved
from towermill.pipelines.stages.encode_on_cluster import spread_over_cluster
from towermill.pipelines.stages.evaluate import evaluate
from towermill.runtime.cluster import cluster_client
from towermill.runtime.device import Runtime
from towermill.workflows.tables import ImpressionTables

WITHIN = {"auc", "mrr", "ndcg@5", "ndcg@10", "hit_rate@5", "hit_rate@10"}
BEYOND = {f"{name}@{k}" for name in ("coverage", "novelty", "diversity") for k in (5, 10)}


def metrics_of(made: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((made.stages["evaluate"] / "metrics.json").read_text())
    return found


@pytest.fixture(scope="module")
def bundle(news: Any) -> Bundle:
    return Bundle.open(news.bundle)


@pytest.fixture(scope="module")
def catalogue(news: Any) -> pl.DataFrame:
    return pl.read_parquet(news.bundle / "item_features.parquet")


class TestMetrics:
    def test_protocol(self, news: Any) -> None:
        metrics = metrics_of(news)
        assert metrics["protocol"] == "impression"
        assert metrics["split"] == "test"
        assert metrics["queries"] == metrics["queries_in_all"] == 200
        assert metrics["left_out"] == {"without_click": 0, "all_clicked": 0}

    def test_names(self, news: Any) -> None:
        metrics = metrics_of(news)
        assert set(metrics["metrics"]) == WITHIN | BEYOND
        assert set(metrics["baselines"]) == {"popularity", "recency", "random"}
        for values in metrics["baselines"].values():
            assert set(values) == WITHIN | BEYOND
        slices = {name.partition(":")[0] for name in metrics["slices"]}
        features = {"click category", "click topics", "click sentiment_label"}
        assert slices == {"user", "click", "history", "age", *features}

    def test_means_lie_in_their_intervals(self, news: Any) -> None:
        metrics = metrics_of(news)
        assert set(metrics["intervals"]) == WITHIN
        for name, (low, high) in metrics["intervals"].items():
            assert low <= metrics["metrics"][name] <= high

    def test_slices_of_each_kind_have_every_impression_once(self, news: Any) -> None:
        sizes: dict[str, int] = {}
        for name, found in metrics_of(news)["slices"].items():
            kind = name.partition(":")[0]
            if " " not in kind:  # values of a feature may be several, or rare
                sizes[kind] = sizes.get(kind, 0) + found["impressions"]
        assert sizes == {"user": 200, "click": 200, "history": 200, "age": 200}

    def test_the_same_from_the_manifest(self, news: Any, bundle: Bundle) -> None:
        assert bundle.manifest.metrics == metrics_of(news)

    def test_history_of_the_training(self, news: Any) -> None:
        told = json.loads((news.stages["train"] / "history.json").read_text())
        assert [record["epoch"] for record in told["history"]] == [1, 2]
        assert "auc" in told["history"][0]["metrics"]


class TestBundle:
    def test_embeddings_stand_in_encoded_order(self, news: Any, catalogue: pl.DataFrame) -> None:
        data, retriever = news.live()
        table = pl.read_parquet(news.bundle / "item_embeddings.parquet")
        ids = list(range(FIRST_ID, FIRST_ID + 200))
        assert table["item_id"].to_list() == catalogue["item_id"].to_list() == ids
        np.testing.assert_allclose(
            table.drop("item_id").to_numpy(), retriever.embed_items(data.items), atol=1e-5
        )

    def test_query_tower_from_histories_equals_the_live_one(self, news: Any) -> None:
        """Empty, short, with an unknown article, and longer than what is read: the last six."""

        _, retriever = news.live()
        lists = [[], [5], [7, 2, 9], [*range(10, 30)], [*range(24, 30)]]
        frame = pl.DataFrame({"history": pl.Series(lists, dtype=pl.List(pl.Int32))})
        features = Bundle.open(news.bundle).manifest.query_features
        assert list(features) == ["history"]
        batch = to_batch(frame.to_arrow(), features, None)
        served = run_saved(news.bundle / "query_tower", batch)
        np.testing.assert_allclose(served, retriever.embed_queries(frame), atol=1e-5)
        np.testing.assert_allclose(served[3], served[4], atol=1e-5)
        assert not served[0].any()

    def test_whole(self, news: Any, bundle: Bundle) -> None:
        assert set(bundle.manifest.item_features) == {"tokens", "category", "age"}
        assert bundle.manifest.rows.items == 200
        assert bundle.manifest.dim == 8
        assert (news.bundle / "text" / "tokenizer.json").is_file()


class TestRecommend:
    def test_for_a_history(self, news: Any, bundle: Bundle, catalogue: pl.DataFrame) -> None:
        data, retriever = news.live()
        rows, raw = [4, 90, 17], catalogue["raw_item_id"].to_list()
        ids = pl.Series([[r + FIRST_ID for r in rows]], dtype=pl.List(pl.Int32))
        frame = pl.DataFrame({"history": ids})
        scores = retriever.embed_items(data.items) @ retriever.embed_queries(frame)[0]
        scores[rows] = -np.inf
        best = np.argsort(-scores)[:5]
        found = bundle.recommend(history=[raw[r] for r in rows], k=5)
        assert found.known
        assert [item["item_id"] for item in found.items] == [raw[i] for i in best]
        assert [item["score"] for item in found.items] == pytest.approx(scores[best], abs=1e-4)
        assert {"title", "category", "sentiment_label"} <= set(found.items[0])

    def test_ids_as_numbers_and_as_text(self, bundle: Bundle, catalogue: pl.DataFrame) -> None:
        ids = catalogue["raw_item_id"].to_list()[:4]
        expected = bundle.recommend(history=ids, k=5)
        assert bundle.recommend(history=[str(i) for i in ids], k=5) == expected
        assert bundle.recommend(history=np.array(ids), k=5) == expected
        assert bundle.recommend(history=[ids[0], "x", None, 10**30, *ids[1:]], k=5) == expected

    def test_order_does_not_matter_but_the_last_do(
        self, bundle: Bundle, catalogue: pl.DataFrame
    ) -> None:
        """Six are kept, and attention over them knows no places."""
        ids = catalogue["raw_item_id"].to_list()[:12]
        whole = bundle.recommend(history=ids, k=3, filter_seen=False)
        last = bundle.recommend(history=ids[6:], k=3, filter_seen=False)
        turned = bundle.recommend(history=ids[:5:-1], k=3, filter_seen=False)
        for other in (last, turned):
            assert [i["item_id"] for i in other.items] == [i["item_id"] for i in whole.items]
            scores = [[i["score"] for i in found.items] for found in (whole, other)]
            assert scores[0] == pytest.approx(scores[1], abs=1e-4)

    def test_what_was_read_is_left_out(self, bundle: Bundle, catalogue: pl.DataFrame) -> None:
        ids = catalogue["raw_item_id"].to_list()[:3]
        found = {item["item_id"] for item in bundle.recommend(history=ids, k=1000).items}
        assert found == set(catalogue["raw_item_id"]) - set(ids)
        kept = bundle.recommend(history=ids, k=1000, filter_seen=False).items
        assert len(kept) == 200

    @pytest.mark.parametrize("history", [[], ["x"], [None], [-1, 10**9]])
    def test_nothing_known(self, bundle: Bundle, history: list[Any]) -> None:
        found = bundle.recommend(history=history, k=3)
        assert not found.known
        assert len(found.items) == 3
        assert found.items == bundle.recommend("nobody", 3).items

    def test_for_a_user(self, news: Any, bundle: Bundle) -> None:
        users = pl.read_parquet(news.bundle / "user_features.parquet")
        seen = pl.read_parquet(news.bundle / "seen_items.parquet")
        raw = dict(
            pl.read_parquet(news.bundle / "item_features.parquet")
            .select("item_id", "raw_item_id")
            .iter_rows()
        )
        row = users.row(0, named=True)
        met = {raw[i] for i in seen.filter(pl.col("user_id") == row["user_id"])["item_id"].item()}
        found = bundle.recommend(row["raw_user_id"], 1000)
        assert found.known
        assert {i["item_id"] for i in found.items} == set(raw.values()) - met
        read = [raw[i] for i in row["history"]]
        by_history = bundle.recommend(history=read, k=1000, filter_seen=False).items
        by_user = bundle.recommend(row["raw_user_id"], 1000, filter_seen=False).items
        # Beside other users' rows, the last bits of an embedding may differ.
        scores = [{i["item_id"]: i["score"] for i in found} for found in (by_user, by_history)]
        assert scores[0] == pytest.approx(scores[1], abs=1e-5)

    @pytest.mark.parametrize("history", ["1,2", 5])
    def test_no_list(self, bundle: Bundle, history: Any) -> None:
        with pytest.raises(BundleError, match="`history` should be a list of ids"):
            bundle.recommend(history=history)

    def test_a_model_without_histories(self, trained: Any) -> None:
        with pytest.raises(BundleError, match="takes no `history`"):
            Bundle.open(trained.bundle).recommend(history=[1])

    def test_command_line(self, cli: Any, news: Any, catalogue: pl.DataFrame) -> None:
        ids = ",".join(map(str, catalogue["raw_item_id"].to_list()[:3]))
        said = cli("recommend", news.bundle, "--history", f" {ids} ", "-k", "2", "--json")
        assert said.code == 0
        assert said.err == ""
        assert len(json.loads(said.out)) == 2
        said = cli("recommend", news.bundle, "--history", "x,y", "-k", "2")
        assert "Nothing of the history is known to this bundle" in said.err
        for wrong in ((), ("--user", "1", "--history", "2")):
            said = cli("recommend", news.bundle, *wrong)
            assert said.code == 2
            assert "Give one of --user, --history, --all, --users and --split" in said.err


class TestAgain:
    def test_nothing_runs(self, news: Any) -> None:
        assert not any(step.runs for step in plan(news.recipe, news.out))
        steps = run(news.recipe, news.out)
        assert not any(step.runs for step in steps)

    def test_text_is_of_process(self, news: Any) -> None:
        changed = news.recipe.model_copy(
            update={"text": news.recipe.text.model_copy(update={"title_size": 5})}
        )
        reasons = {step.stage.name: step.reason for step in plan(changed, news.out)}
        assert reasons["prepare"] == "done"
        assert reasons["process"] == "text.title_size: 6 → 5"


class TestContent:
    def test_from_a_sentence_model(
        self, news: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nothing to learn: the mean cosine of what was read, here of counts of letters."""
        from towermill.workflows.text import items

        monkeypatch.setattr(items, "sentence_vectors", letters)
        made = news.changed(tmp_path, model={"kind": "content"}, text={"vectors": "some/model"})
        metrics = metrics_of(made)
        assert set(metrics["metrics"]) == WITHIN | BEYOND
        data, retriever = made.live()
        vectors = retriever.embed_items(data.items)
        raw = letters(data.items["raw_title"], "")
        expected = raw / np.linalg.norm(raw, axis=1, keepdims=True)
        np.testing.assert_allclose(vectors, expected, atol=1e-5)
        found = Bundle.open(made.bundle).recommend(history=[5], k=1)
        row = data.items["raw_item_id"].to_list().index(5)
        scores = expected @ expected[row]
        scores[row] = -1
        assert found.items[0]["score"] == pytest.approx(scores.max(), abs=1e-5)

    def test_from_the_source(
        self, news: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        source = type(news.recipe.source)
        read = source.read

        def with_vectors(self: Any, scratch: Path) -> ImpressionTables:
            tables: ImpressionTables = read(self, scratch)
            rows = pl.DataFrame(
                {"item_id": range(1, 151), "vector": [[float(i % 7), 1.0] for i in range(150)]},
                schema_overrides={"vector": pl.List(pl.Float32)},
            )
            object.__setattr__(tables, "vectors", rows.lazy())
            return tables

        monkeypatch.setattr(source, "read", with_vectors)
        made = news.changed(tmp_path, source={"seed": 1}, model={"kind": "content"})
        assert metrics_of(made)["queries"] == 200
        embeddings = pl.read_parquet(made.bundle / "item_embeddings.parquet").drop("item_id")
        norms = np.linalg.norm(embeddings.to_numpy(), axis=1)
        assert sorted(set(norms.round(4).tolist())) == [0, 1]
        assert (norms == 0).sum() == 50
        from towermill.pipelines.recommend.embed_items import embed_items

        pl.DataFrame({"item_id": [1], "title": ["a"]}).write_parquet(tmp_path / "items.parquet")
        with pytest.raises(DataError, match="came from the source"):
            embed_items(made.bundle, tmp_path / "items.parquet", tmp_path / "out.parquet")

    def test_without_vectors(self, news: Any, tmp_path: Path) -> None:
        from towermill.errors import SchemaError

        with pytest.raises(SchemaError, match=r"Set `text\.vectors` to a sentence model"):
            news.changed(tmp_path, model={"kind": "content"})


def letters(texts: pl.Series, source: str) -> Any:
    """Return how often each letter stands in a text."""
    alphabet = "abcdefghijklmnopqrstuvwxyz"
    return np.array([[text.lower().count(c) for c in alphabet] for text in texts], np.float32)


class TestClicks:
    def test_two_towers_on_the_same_source(self, news: Any, tmp_path: Path) -> None:
        made = news.changed(
            tmp_path,
            source={"rows": "clicks"},
            split={"kind": "given", "cold": "keep"},
            model={"kind": "two_tower", "tower": [8]},
            train={"epochs": 1},
        )
        metrics = metrics_of(made)
        assert metrics["protocol"] == "catalogue"
        assert metrics["queries"] > 0
        assert len(Bundle.open(made.bundle).recommend(1, 3).items) == 3


class TestEdges:
    """Worlds that have almost nothing of something."""

    @pytest.fixture
    def small(self, news: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
        def call(change: Callable[[ImpressionTables], dict[str, pl.LazyFrame]]) -> Any:
            source = type(news.recipe.source)
            read = source.read

            def other(self: Any, scratch: Path) -> ImpressionTables:
                tables: ImpressionTables = read(self, scratch)
                for name, frame in change(tables).items():
                    object.__setattr__(tables, name, frame)
                return tables

            monkeypatch.setattr(source, "read", other)
            # Another seed: another key, as the change itself is none of the recipe's.
            return news.changed(tmp_path, source={"seed": 2, "hidden": 0}, train={"epochs": 1})

        return call

    def test_one_user(self, small: Any) -> None:
        made = small(
            lambda t: {"impressions": t.impressions.with_columns(user_id=pl.lit(1, pl.Int64))}
        )
        metrics = metrics_of(made)
        assert metrics["intervals"] == {}
        assert metrics["metrics"]["auc"] > 0

    def test_slates_of_one_and_none(self, small: Any) -> None:
        """They cannot be ranked, and are counted."""
        row = pl.col("impression_id")
        shown = (
            pl.when(row % 4 == 0)
            .then(pl.col("clicked").list.head(1))
            .when(row % 4 == 1)
            .then(pl.col("inview").list.head(0))
            .otherwise(pl.col("inview"))
        )
        metrics = metrics_of(
            small(lambda t: {"impressions": t.impressions.with_columns(inview=shown)})
        )
        assert metrics["queries_in_all"] == 200
        assert metrics["queries"] == 100
        assert metrics["left_out"] == {"without_click": 50, "all_clicked": 50}

    def test_all_at_one_moment(self, small: Any) -> None:
        made = small(
            lambda t: {
                "impressions": t.impressions.with_columns(timestamp=pl.col("timestamp").max()),
                "items": t.items.with_columns(published=pl.col("published").min()),  # type: ignore[union-attr]
            }
        )
        assert metrics_of(made)["baselines"]["recency"]["auc"] == pytest.approx(0.5)

    def test_titles_missing(self, small: Any) -> None:
        title = pl.when(pl.col("item_id") % 2 == 0).then("title")
        made = small(lambda t: {"items": t.items.with_columns(title=title)})  # type: ignore[union-attr]
        embeddings = pl.read_parquet(made.bundle / "item_embeddings.parquet")
        assert np.isfinite(embeddings.to_numpy()).all()

    def test_all_titles_empty(self, small: Any) -> None:
        with pytest.raises(DataError, match="should have text in title; none has"):
            small(lambda t: {"items": t.items.with_columns(title=pl.lit(""))})  # type: ignore[union-attr]

    def test_nobody_has_read_anything(self, small: Any) -> None:
        made = small(
            lambda t: {
                "impressions": t.impressions.with_columns(history_id=pl.lit(None, pl.Int64)),
                "histories": t.histories.limit(0),
            }
        )
        metrics = metrics_of(made)
        assert set(metrics["slices"]) >= {"history:none"}
        assert metrics["metrics"]["auc"] == pytest.approx(0.5)


class TestOnCluster:
    @pytest.mark.slow
    def test_equals_this_process(
        self, news: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setattr(retrievers, "ENCODE_ROWS", 30)
        with cluster_client(Runtime(cluster="local"), workers=1) as client:
            runtime = Runtime(cluster=client.scheduler.address)
            spread = spread_over_cluster(news.stages, news.recipe.model, runtime)
            evaluate(news.recipe, news.stages, tmp_path, runtime)
            found = json.loads((tmp_path / "metrics.json").read_text())
            from towermill.pipelines.export.export import export_bundle

            export_bundle(news.stages, news.recipe, tmp_path / "bundle", spread)
        alone = metrics_of(news)
        for name, value in alone["metrics"].items():
            assert found["metrics"][name] == pytest.approx(value, abs=1e-6), name
        assert found["left_out"] == alone["left_out"]
        table = "item_embeddings.parquet"
        one, other = (pl.read_parquet(p / table) for p in (tmp_path / "bundle", news.bundle))
        np.testing.assert_allclose(one.to_numpy(), other.to_numpy(), atol=1e-6)

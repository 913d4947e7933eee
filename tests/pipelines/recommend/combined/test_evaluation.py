"""What each step of a funnel gains on held-out rows."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml

from towermill.errors import DataError, RecipeError
from towermill.models.data.lists import Lists, TopK
from towermill.pipelines import load_recipe
from towermill.pipelines.recommend.combined.evaluation import WEIGHTS, Evaluation, _ideal
from towermill.pipelines.recommend.combined.funnel import Funnel, FunnelConfig
from towermill.pipelines.recommend.for_split import recommend_split


@pytest.fixture(scope="module")
def report(funnel: Funnel) -> dict[str, Any]:
    return Evaluation(funnel).report()


class TestReport:
    def test_of_the_retriever_is_the_runs_own(self, report: dict[str, Any], trained: Any) -> None:
        own = json.loads((trained.stages["evaluate"] / "metrics.json").read_text())
        assert report["queries"] == own["queries"]
        for name in ("ndcg@10", "recall@5", "mrr@10"):
            assert report["steps"]["retriever"][name] == pytest.approx(own["metrics"][name])

    def test_of_the_funnel_follows_from_its_lists(
        self, report: dict[str, Any], funnel_file: Path, tmp_path: Path
    ) -> None:
        recommend_split(funnel_file, tmp_path / "lists.parquet", "test", 10)
        lists = pl.read_parquet(tmp_path / "lists.parquet")
        assert lists.columns == ["user_id", "item_id", "rank", "score", "query"]
        evaluation = Evaluation.of(funnel_file)
        relevant = evaluation.run.rank("test", 1).queries.relevant
        raw = evaluation.run.data.catalogue["raw_item_id"]
        hits = []
        for query, shown in lists.group_by("query", maintain_order=True):
            wanted = relevant.values[relevant.offsets[query[0]] : relevant.offsets[query[0] + 1]]
            answers = set(raw.gather(wanted).to_list())
            hits.append(len(answers & set(shown["item_id"].to_list())) / len(answers))
        assert report["steps"]["funnel"]["recall@10"] == pytest.approx(np.mean(hits))

    def test_bound(self, report: dict[str, Any]) -> None:
        steps = report["steps"]
        assert report["candidates"] == 20
        assert steps["bound"]["recall@20"] == pytest.approx(steps["retriever"]["recall@20"])
        assert steps["bound"]["recall@20"] == pytest.approx(steps["funnel"]["recall@20"])
        for step in ("retriever", "funnel"):
            assert steps["bound"]["ndcg@5"] >= steps[step]["ndcg@5"]

    def test_compares_the_steps(self, report: dict[str, Any]) -> None:
        steps, compared = report["steps"], report["compared"]
        gain = steps["funnel"]["ndcg@5"] - steps["retriever"]["ndcg@5"]
        assert compared["metric"] == "ndcg@5"
        assert compared["retriever"]["difference"] == pytest.approx(gain)
        low, high = compared["retriever"]["interval"]
        assert low <= gain <= high

    def test_weights_from_the_retriever_alone_to_the_ranker_alone(
        self, report: dict[str, Any], funnel: Funnel
    ) -> None:
        tried = report["validation"]
        assert tuple(tried["weights"]) == WEIGHTS
        assert tried["weights"][tried["best"]] == max(tried["weights"].values())
        held = Evaluation(funnel)
        alone = held._scored("validation").held.top.positions
        assert (held._scored("validation").by(0.0).positions == alone).all()

    def test_unknown_users_keep_the_retrievers_order(self, funnel: Funnel) -> None:
        scored = Evaluation(funnel)._scored("test")
        assert not scored.known.all()
        assert scored.known.any()
        found = scored.by(1.0).positions[~scored.known]
        assert (found == scored.held.top.positions[~scored.known]).all()

    def test_of_histories(self, ease: Any, ranker: Any) -> None:
        funnel = Funnel(FunnelConfig(retrieve=ease.bundle, rank=ranker.bundle, candidates=30))
        own = json.loads((ease.stages["evaluate"] / "metrics.json").read_text())
        found = Evaluation(funnel).report()["steps"]["retriever"]
        assert found["ndcg@10"] == pytest.approx(own["metrics"]["ndcg@10"])


class TestCommandLine:
    def test_shows_the_steps(self, cli: Callable[..., Any], funnel_file: Path) -> None:
        said = cli("evaluate", funnel_file)
        assert said.code == 0, said.err
        assert "retriever" in said.out
        assert "ndcg@5 of the funnel less that of the retriever alone: " in said.out
        assert "ndcg@5 on validation by weight: 0 " in said.out

    def test_of_what_is_no_funnel(
        self, cli: Callable[..., Any], slates_blend: Path, trained: Any
    ) -> None:
        said = cli("evaluate", slates_blend)
        assert (said.code, "is a blend" in said.err) == (2, True)
        with pytest.raises(RecipeError, match="is a retriever"):
            Evaluation.of(trained.bundle)

    def test_lists_need_a_split(self, cli: Callable[..., Any], funnel_file: Path) -> None:
        said = cli("recommend", funnel_file, "--split", "train", "--out", "lists.parquet")
        assert said.code == 2
        assert "`split` should be validation or test" in said.err


class TestRuns:
    def test_without_one(self, trained: Any, ranker: Any, tmp_path: Path) -> None:
        (tmp_path / "moved").symlink_to(trained.bundle)
        config = FunnelConfig(retrieve=tmp_path / "moved", rank=ranker.bundle)
        with pytest.raises(DataError, match="Expected `retrieve` to be runs/<recipe>/latest/bund"):
            Evaluation(Funnel(config))

    def test_a_ranker_that_knows_the_answers(
        self, trained: Any, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
    ) -> None:
        out = tmp_path_factory.mktemp("leaking")
        model = {"kind": "ncf", "embedding_dim": 4, "mlp": [4]}
        leaking = trained.changed(out, model=model, split={"kind": "random", "seed": 3})
        path = tmp_path / "funnel.yaml"
        section = {"retrieve": str(trained.bundle), "rank": str(leaking.bundle)}
        path.write_text(yaml.safe_dump({"funnel": section}))
        with pytest.raises(
            DataError, match=r"should be new to the ranker; .* were in its training"
        ):
            Evaluation.of(path).report()


class TestShippedPair:
    def test_holds_out_the_same_rows(self) -> None:
        one, other = (load_recipe(name) for name in ("funnel-demo", "funnel-demo-rank"))
        assert (one.source, one.filters, one.split) == (other.source, other.filters, other.split)


class TestIdeal:
    def test_answers_come_first(self) -> None:
        top = TopK(np.array([[4, 2, 7], [1, 0, -1]], np.int32), np.zeros((2, 3), np.float32))
        relevant = Lists.from_pairs([0, 0, 1], [7, 9, 0], 2)
        assert _ideal(top, relevant).positions.tolist() == [[7, 4, 2], [0, 1, -1]]

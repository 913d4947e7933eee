"""Blends: of live recommenders, from a YAML file, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from towermill.errors import BundleError, RecipeError
from towermill.pipelines import Bundle
from towermill.pipelines.bundle.query import Recommendations
from towermill.pipelines.recommend.combined.blend import Blend
from towermill.pipelines.recommend.open import open_recommender


class Shelf:
    """Recommends the letters of a word, to whom it knows."""

    title = None

    def __init__(self, letters: str, known: bool = True) -> None:
        self.letters, self.known = letters, known

    def recommend(
        self, user_id: Any = None, k: int = 10, filter_seen: bool = True, *, history: Any = None
    ) -> Recommendations:
        letters = self.letters.replace("s", "") if filter_seen else self.letters
        rows = [{"item_id": x, "score": -float(i)} for i, x in enumerate(letters[:k])]
        return Recommendations(rows, self.known)


def ids(found: Recommendations) -> str:
    return "".join(item["item_id"] for item in found.items)


class TestBlend:
    def test_shares_places(self) -> None:
        found = Blend([(Shelf("abcdef"), 2), (Shelf("avwxyz"), 3)]).recommend("ann", 5)
        assert ids(found) == "abvwx"
        assert [item["source"] for item in found.items] == [0, 0, 1, 1, 1]
        assert [item["score"] for item in found.items] == [0, -1, -1, -2, -3]

    def test_topped_up_where_a_source_runs_short(self) -> None:
        assert ids(Blend([(Shelf("abcdef"), 2), (Shelf(""), 3)]).recommend("ann", 5)) == "abcde"

    def test_seen_items_are_left_out_by_the_sources(self) -> None:
        blend = Blend([(Shelf("sab"), 1), (Shelf("sxy"), 1)])
        assert ids(blend.recommend("ann", 4)) == "axby"
        assert ids(blend.recommend("ann", 4, filter_seen=False)) == "sxay"

    def test_known_where_one_knows_the_user(self) -> None:
        strangers = [(Shelf("a", known=False), 1), (Shelf("b", known=False), 1)]
        assert not Blend(strangers).recommend("ann", 2).known
        assert Blend([*strangers, (Shelf("c"), 1)]).recommend("ann", 2).known

    def test_a_blend_is_a_source(self) -> None:
        inner = Blend([(Shelf("ab"), 1), (Shelf("xy"), 1)])
        assert ids(Blend([(inner, 2), (Shelf("mn"), 1)]).recommend("ann", 4)) == "axmb"

    @pytest.mark.parametrize("quotas", [[], [0], [1, -1], [1.5]])
    def test_quotas(self, quotas: Any) -> None:
        with pytest.raises(RecipeError, match="quotas of at least 1"):
            Blend([(Shelf("a"), quota) for quota in quotas])

    @pytest.mark.parametrize("k", [0, -1, True, 2.0])
    def test_k(self, k: Any) -> None:
        with pytest.raises(BundleError, match="positive integer"):
            Blend([(Shelf("a"), 1)]).recommend("ann", k)

    def test_history(self) -> None:
        with pytest.raises(BundleError, match="no `history`"):
            Blend([(Shelf("a"), 1)]).recommend(k=1, history=["x"])


def write(path: Path, content: Any) -> Path:
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return path


class TestFile:
    def test_command_line(
        self, cli: Callable[..., Any], slates_run: Any, slates_blend: Path
    ) -> None:
        found = cli("recommend", slates_blend, "--user", "3", "-k", "5", "--json")
        items = json.loads(found.out)
        assert [item["source"] for item in items] == [0, 0, 1, 1, 1]
        assert len({item["item_id"] for item in items}) == 5
        best = Bundle.open(slates_run.bundle).recommend(3, 2)
        assert [i["item_id"] for i in items[:2]] == [i["item_id"] for i in best.items]
        table = cli("recommend", slates_blend, "--user", "3", "-k", "2")
        assert items[0]["headline"] in table.out

    def test_nearest_share_the_words_and_were_not_read(
        self, slates_run: Any, slates_blend: Path
    ) -> None:
        blend = open_recommender(slates_blend)
        near = blend.blend.sources[1]
        seen = near.catalogue.seen[near.catalogue.user_rows[3]]
        read = {near.catalogue.item_ids[row] for row in seen}
        found = near.recommend("3", 50)
        assert not read & {item["item_id"] for item in found.items}
        assert read & {item["item_id"] for item in near.recommend(3, 50, filter_seen=False).items}
        scores = [item["score"] for item in found.items]
        assert scores == sorted(scores, reverse=True)
        assert scores[0] > 0.3

    def test_unknown_user_is_served_by_who_can(
        self, cli: Callable[..., Any], slates_blend: Path
    ) -> None:
        found = cli("recommend", slates_blend, "--user", "nobody", "-k", "3", "--json")
        assert "not known" in found.err
        assert [item["source"] for item in json.loads(found.out)] == [0, 0, 0]

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("x: [", "Cannot read .* as YAML"),
            ("- 1", "one key `blend:`.*no keys"),
            ({"source": {}, "blend": {}}, "It has: blend, source|It has: source, blend"),
            ({"blend": {}}, r"`blend\.sources`: Field required"),
            ({"blend": {"sources": []}}, r"`blend\.sources`"),
            ({"blend": {"sources": [{"bundle": "x", "quota": 0}]}}, r"`blend\.sources\.0\.quota`"),
            ({"blend": {"sources": [{"bundle": "x"}], "rule": "best"}}, r"`blend\.rule`"),
            ({"blend": {"sources": [{"bundle": "x"}], "k": 3}}, r"`blend\.k`"),
        ],
    )
    def test_files_that_are_wrong(self, content: Any, message: str, tmp_path: Path) -> None:
        with pytest.raises(RecipeError, match=message):
            open_recommender(write(tmp_path / "blend.yaml", content))

    def test_no_file(self, tmp_path: Path) -> None:
        with pytest.raises(RecipeError, match="Cannot read"):
            open_recommender(tmp_path / "blend.yaml")

    def test_no_bundle(self, tmp_path: Path) -> None:
        path = write(tmp_path / "blend.yaml", {"blend": {"sources": [{"bundle": "x"}]}})
        with pytest.raises(BundleError, match=r"No bundle at .*/x"):
            open_recommender(path)

    def test_no_vectors(self, trained: Any, tmp_path: Path) -> None:
        source = {"bundle": str(trained.bundle), "by": "content"}
        path = write(tmp_path / "blend.yaml", {"blend": {"sources": [source]}})
        with pytest.raises(BundleError, match=r"no vectors.*`text\.vectors`"):
            open_recommender(path)

"""Recipes: where they are found, what `--set` changes, and how a mistake is explained."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any, ClassVar

import pytest

from towermill.errors import RecipeError
from towermill.pipelines import load_recipe, shipped_recipes, validate_recipe

#: Shipped recipes for data that everybody keeps somewhere else.
NEED_A_PATH = {"ali-ccp", "ali-ccp-rank"}
SYNTHETIC: dict[str, Any] = {"name": "x", "source": {"kind": "synthetic"}}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "films.yaml"
    path.write_text("source: {kind: synthetic}\ntrain: {epochs: 7}\n")
    return path


class TestFound:
    @pytest.mark.parametrize("name", list(shipped_recipes()))
    def test_shipped_ones_are_valid_and_described(self, name: str) -> None:
        recipe = load_recipe(name, ["source.path=/data"] if name in NEED_A_PATH else [])
        assert recipe.name == name
        assert recipe.description
        assert shipped_recipes()[name] == recipe.description

    def test_name_is_the_files(self, file: Path) -> None:
        assert load_recipe(str(file)).name == "films"

    def test_name_in_the_file_counts(self, file: Path) -> None:
        file.write_text("name: other\nsource: {kind: synthetic}\n")
        assert load_recipe(str(file)).name == "other"

    def test_only_source_must_be_given(self) -> None:
        recipe = validate_recipe(SYNTHETIC)
        assert recipe.train.epochs == 30
        assert recipe.split.kind == "time"
        assert recipe.runtime.device == "auto"

    @pytest.mark.parametrize(
        ("name", "match"),
        [
            ("demmo", "Did you mean 'demo'"),
            ("nowhere/films.yaml", r"No recipe at nowhere/films\.yaml"),
            ("", "No recipe ''"),
        ],
    )
    def test_not_found(self, name: str, match: str) -> None:
        with pytest.raises(RecipeError, match=match):
            load_recipe(name)

    def test_a_folder_is_none(self, tmp_path: Path) -> None:
        (tmp_path / "folder.yaml").mkdir()
        for path in (tmp_path, tmp_path / "folder.yaml"):
            with pytest.raises(RecipeError, match="No recipe"):
                load_recipe(str(path))


class TestYaml:
    @pytest.mark.parametrize(
        ("text", "match"),
        [
            ("", "should be a YAML mapping"),
            ("- a\n", "should be a YAML mapping"),
            ("a: [\n", "not valid YAML"),
            ("source: {kind: synthetic}\nx: !!python/object:os.system {}\n", "not valid YAML"),
            ("train: {epochs: 1}\ntrain: {epochs: 2}\n", "duplicate key 'train'"),
            ("train: {epochs: 1, epochs: 2}\n", "duplicate key 'epochs'"),
            ("a:\n- b: 1\n  b: 2\n", "duplicate key 'b'"),
            ("? [a]\n: 1\n", "not valid YAML"),
            ("1: 2\nsource: {kind: synthetic}\n", "`1`: Keys should be strings"),
        ],
    )
    def test_refused(self, file: Path, text: str, match: str) -> None:
        file.write_text(text)
        with pytest.raises(RecipeError, match=match):
            load_recipe(str(file))

    def test_not_text(self, file: Path) -> None:
        file.write_bytes(b"\xff\xfe\x00\x80")
        with pytest.raises(RecipeError, match="as the text of a recipe"):
            load_recipe(str(file))

    def test_merged_sections_may_be_overridden(self, file: Path) -> None:
        file.write_text(
            "source: {kind: synthetic}\n"
            "train: &base {epochs: 1, batch_size: 8}\n"
            "model: {tower: [4]}\n"
        )
        assert load_recipe(str(file)).train.batch_size == 8
        file.write_text("a: &a {x: 1}\nb: {<<: *a, x: 2}\nc: {<<: *a}\nd: {x: 1, <<: *a}\n")
        with pytest.raises(RecipeError, match="`a` is not a key"):
            load_recipe(str(file))


class TestSet:
    @pytest.mark.parametrize(
        ("change", "key", "value"),
        [
            ("train.epochs=3", "train.epochs", 3),
            ("train.epochs= 3", "train.epochs", 3),
            ("train.learning_rate=1e-3", "train.learning_rate", 0.001),
            ("train.schedule={kind: cosine, floor: 0.1}", "train.schedule.kind", "cosine"),
            ("train.schedule.floor=0.5", "train.schedule.floor", 0.5),
            ("evaluate.k=[1, 2]", "evaluate.k", (1, 2)),
            ("evaluate.filter_seen=false", "evaluate.filter_seen", False),
            ("filters.min_rating=null", "filters.min_rating", None),
            ("filters.min_signal={click: 1}", "filters.min_signal", {"click": 1.0}),
            ("features.positive={e: [a, 1]}", "features.positive", {"e": ["a", 1]}),
            ("description=a = b", "description", "a = b"),
            ("source.users=12", "source.users", 12),
            ("name=other", "name", "other"),
        ],
    )
    def test_forms(self, file: Path, change: str, key: str, value: Any) -> None:
        found: Any = load_recipe(str(file), [change])
        for part in key.split("."):
            found = getattr(found, part)
        assert found == value

    def test_dates(self, file: Path) -> None:
        split = load_recipe(str(file), ["split.test=2024-02-01", "split.validation=0"]).split
        assert split.test == date(2024, 2, 1)

    def test_a_new_feature(self, file: Path) -> None:
        recipe = load_recipe(str(file), ["features.item.genre.kind=list"])
        assert recipe.features.item is not None
        assert recipe.features.item["genre"].kind == "list"

    def test_later_ones_count(self, file: Path) -> None:
        assert load_recipe(str(file), ["train.epochs=3", "train.epochs=4"]).train.epochs == 4

    def test_the_rest_stays(self, file: Path) -> None:
        assert load_recipe(str(file), ["train.batch_size=3"]).train.epochs == 7

    @pytest.mark.parametrize(
        ("change", "match"),
        [
            ("train.epochs", "should read section.key=value"),
            ("=3", "should read section.key=value"),
            ("train..x=3", "should read section.key=value"),
            ("source.kind.x=3", "source.kind is not a section"),
            ("train.epochs=[", "not valid YAML"),
            ("train.epochs={a: 1, a: 2}", "duplicate"),
            ("train.epocs=3", "Did you mean 'epochs'"),
            ("trian.epochs=3", "Did you mean 'train'"),
            ("train.epochs=", r"`train\.epochs`.*Received: None"),
        ],
    )
    def test_refused(self, file: Path, change: str, match: str) -> None:
        with pytest.raises(RecipeError, match=match):
            load_recipe(str(file), [change])


TABLE = {"kind": "table", "interactions": {"path": "x"}}


class TestUnknownKeys:
    @pytest.mark.parametrize(
        ("content", "key", "near"),
        [
            ({"trian": {}}, "trian", "train"),
            ({"train": {"epocks": 1}}, "train.epocks", "epochs"),
            ({"train": {"schedule": {"flor": 1}}}, "train.schedule.flor", "floor"),
            ({"model": {"towr": [3]}}, "model.towr", "tower"),
            ({"split": {"knd": "time"}}, "split.knd", "kind"),
            ({"filters": {"min_usr": 1}}, "filters.min_usr", "min_user"),
            ({"features": {"itm": {}}}, "features.itm", "item"),
            (
                {"features": {"item": {"genre": {"freq_treshold": 1}}}},
                "features.item.genre.freq_treshold",
                "freq_threshold",
            ),
            (
                {"features": {"ids": {"item_id": {"max_sise": 1}}}},
                "features.ids.item_id.max_sise",
                "max_size",
            ),
            ({"source": {"kind": "synthetic", "usrs": 3}}, "source.usrs", "users"),
            ({"source": {**TABLE, "itms": {}}}, "source.itms", "items"),
            (
                {"source": {"kind": "table", "interactions": {"path": "x", "useridd": "y"}}},
                "source.interactions.useridd",
                "user_id",
            ),
            (
                {"source": {**TABLE, "items": {"path": "x", "features": {"a": {"knd": "list"}}}}},
                "source.items.features.a.knd",
                "kind",
            ),
            ({"runtime": {"sed": 1}}, "runtime.sed", "seed"),
        ],
    )
    def test_at_every_depth(self, content: dict[str, Any], key: str, near: str) -> None:
        with pytest.raises(RecipeError) as caught:
            validate_recipe({**SYNTHETIC, **content})
        assert f"`{key}` is not a key. Did you mean {near!r}?" in str(caught.value)

    def test_all_are_named_at_once(self) -> None:
        with pytest.raises(RecipeError) as caught:
            validate_recipe({**SYNTHETIC, "trian": {}, "train": {"epochs": "x"}})
        assert "`trian`" in str(caught.value)
        assert "`train.epochs`" in str(caught.value)


class TestWrongValues:
    @pytest.mark.parametrize(
        ("content", "match"),
        [
            (
                {"train": {"epochs": 0}},
                r"`train\.epochs`: Expected a number above 0\. Received: 0\.",
            ),
            ({"train": {"epochs": 2.5}}, r"`train\.epochs`: Expected a whole number\. .*: 2\.5\."),
            ({"evaluate": {"k": "ten"}}, r"`evaluate\.k`: Expected a list, such as \[1, 2\]\."),
            ({"evaluate": {"k": []}}, r"`evaluate\.k`: Expected at least 1 in the list\."),
            (
                {"model": {"kind": "history", "loss": "sofmax"}},
                r"\n  `model\.loss`: No .*'sofmax'[^\n]*$",
            ),
            (
                {"model": {"kind": "history", "l2": "x"}},
                r"`model\.l2`: Expected a number\. .*'x'\.",
            ),
            ({"split": {"validation": 2}}, r"below 1\. Received: validation=2\.0, test=0\.1\.$"),
            ({"train": 3}, "`train`: Expected a section"),
            ({"train": None}, "`train`: Expected a section"),
            ({"evaluate": {"k": []}}, r"`evaluate\.k`"),
            ({"evaluate": {"k": [0]}}, r"`evaluate\.k\.0`"),
            ({"split": {"validation": "soon"}}, "`split.validation`: .*number.*Received: 'soon'"),
            ({"runtime": {"device": "cpuu"}}, "Did you mean 'cpu'"),
            ({"runtime": {"cluster": "somewhere"}}, r"`runtime\.cluster`"),
            ({"runtime": {"rmm_pool": 2}}, r"`runtime\.rmm_pool`: Expected a share .*8GB.*: 2\."),
            ({"runtime": {"device_memory_limit": "half"}}, "Expected a share .*'half'"),
            ({"runtime": {"workers": -1}}, r"`runtime\.workers`"),
            ({"features": {"item": {"genre": "categry"}}}, "Did you mean 'category'"),
            ({"features": {"ids": {"film": {}}}}, r"`features\.ids\.film`: .*'user_id' or"),
            ({"model": {"kind": "two_towr"}}, "two_tower"),
            ({"model": {"tower": [3], "item_tower": [4]}}, "`model`: `tower` and `item_tower`"),
            ({"name": "../x"}, "`name`"),
            ({"name": "a/b"}, "`name`"),
        ],
    )
    def test_named_with_what_was_expected(self, content: dict[str, Any], match: str) -> None:
        with pytest.raises(RecipeError, match=match):
            validate_recipe({**SYNTHETIC, **content})

    @pytest.mark.parametrize("size", [0.0, 0.25, 1.0, "8GB", "512 MiB", "1.5TB"])
    def test_memory_of_a_gpu(self, size: float | str) -> None:
        recipe = validate_recipe({**SYNTHETIC, "runtime": {"rmm_pool": size}})
        assert recipe.runtime.cluster_options()["rmm_pool"] == size

    def test_shares_that_leave_no_training(self) -> None:
        with pytest.raises(RecipeError, match="both together below 1"):
            validate_recipe({**SYNTHETIC, "split": {"validation": 0.5, "test": 0.5}})

    @pytest.mark.parametrize(
        ("source", "match"),
        [
            ({"kind": "tabel"}, r"`source\.kind`: No source 'tabel'\. Did you mean 'table'\?"),
            ({"path": "x"}, r"`source\.kind` is missing\. Known: .*movielens.*table"),
            ("movielens", "`source`: Expected a section"),
            (None, "`source`: Expected a section"),
            ({"kind": "table"}, r"`source\.interactions` is missing"),
            ({"kind": ["table"]}, r"`source\.kind`"),
        ],
    )
    def test_source(self, source: Any, match: str) -> None:
        with pytest.raises(RecipeError, match=match):
            validate_recipe({"name": "x", "source": source})

    def test_no_source(self) -> None:
        with pytest.raises(RecipeError, match="`source` is missing"):
            validate_recipe({"name": "x"})


NEWS: dict[str, Any] = {"name": "x", "source": {"kind": "news"}}


class TestOneProtocol:
    """Impressions and interactions each have their own models; told before any work."""

    @pytest.mark.parametrize(
        ("content", "match"),
        [
            (
                {"source": {"kind": "movielens", "path": "ml"}, "model": {"kind": "nrms"}},
                "`model.kind: nrms` learns from impressions, and `source.kind: movielens` gives",
            ),
            (
                {"source": {"kind": "news", "rows": "clicks"}, "model": {"kind": "news_mf"}},
                "`model.kind: news_mf` learns from impressions",
            ),
            ({"model": {"kind": "two_tower"}}, "`model.kind: two_tower` learns from interactions"),
            ({}, "`model.kind: two_tower` learns from interactions"),
            ({"model": {"tower": [4]}}, "Set `source.rows: clicks`, or `model.kind: nrms`"),
            ({"model": {"kind": "nrms"}, "filters": {"min_user": 2}}, "`filters` are for inter"),
            (
                {"model": {"kind": "nrms"}, "train": {"monitor": "recall@5"}},
                "validated by: auc, mrr, ndcg@k",
            ),
            (
                {"model": {"kind": "nrms"}, "train": {"monitor": "mrr@5"}},
                "validated by: auc, mrr, ndcg@k",
            ),
            ({**SYNTHETIC, "train": {"monitor": "auc"}}, "ndcg@k, mrr@k, map@k. Received: 'auc'"),
            ({**SYNTHETIC, "train": {"monitor": "mrr"}}, "ndcg@k, mrr@k, map@k. Received: 'mrr'"),
            (
                {"model": {"kind": "nrms"}, "split": {"kind": "leave_one_out"}},
                "`split` of impressions should be of kind given, time, or random by row",
            ),
            (
                {"model": {"kind": "nrms"}, "split": {"kind": "random", "by": "user"}},
                "`split` of impressions should be of kind given, time, or random by row",
            ),
            (
                {"model": {"kind": "nrms"}, "features": {"user": {"age": "number"}}},
                "`features.user` should be empty for a source of impressions",
            ),
            (
                {"model": {"kind": "nrms"}, "features": {"positive": {"click": 1}}},
                "`features.positive` should be empty for a source of impressions",
            ),
            ({"model": {"kind": "nrms", "heads": 2, "head_dim": 3, "dense": [5]}}, "`dense`"),
            ({"source": {"kind": "news", "articles": 3}}, "`source.articles`"),
            (
                {
                    "source": {"kind": "mind", "path": "x", "vectors": "entities"},
                    "model": {"kind": "content"},
                    "text": {"vectors": "some/model"},
                },
                "`source.vectors` and `text.vectors` should not both be set",
            ),
        ],
    )
    def test_refused(self, content: dict[str, Any], match: str) -> None:
        with pytest.raises(RecipeError) as caught:
            validate_recipe({**NEWS, **content})
        message = str(caught.value)
        assert match in message
        # Of sections that contradict one another, the whole recipe is no help.
        assert "``" not in message
        assert "Received: {'name'" not in message

    @pytest.mark.parametrize("monitor", ["auc", "mrr", "ndcg@3", "hit_rate@7", None])
    def test_monitors_within_impressions(self, monitor: str | None) -> None:
        recipe = validate_recipe({**NEWS, "model": {"kind": "nrms"}, "train": {"monitor": monitor}})
        assert recipe.train.monitor == monitor

    def test_clicks_of_the_same_source(self) -> None:
        recipe = validate_recipe({"name": "x", "source": {"kind": "news", "rows": "clicks"}})
        assert recipe.model.kind == "two_tower"

    def test_model_without_kind(self) -> None:
        recipe = validate_recipe({**SYNTHETIC, "model": {"tower": [4]}})
        assert recipe.model.kind == "two_tower"

    def test_read_back_from_what_it_dumps(self) -> None:
        recipe = validate_recipe({**NEWS, "model": {"kind": "nrms"}, "text": {"word_dim": 9}})
        assert validate_recipe(recipe.model_dump(mode="json")) == recipe


class TestText:
    @pytest.mark.parametrize(
        ("text", "match"),
        [
            ({"words": "vectors.txt", "word_dim": 50}, "`text.word_dim` is the width"),
            ({"words": "some/model"}, "Set both to the same name"),
            ({"words": "some/model", "tokenizer": "other/model"}, "Set both to the same name"),
            ({"tokenizer": "some/model", "vocabulary": 5}, "`text.vocabulary` is of a tokenizer"),
            ({"columns": ["title", "title"]}, "should name a column once"),
            ({"columns": []}, "`text.columns`"),
            ({"title_size": 0}, "`text.title_size`"),
            ({"titel_size": 3}, "Did you mean 'title_size'"),
        ],
    )
    def test_refused(self, text: dict[str, Any], match: str) -> None:
        with pytest.raises(RecipeError) as caught:
            validate_recipe({**NEWS, "model": {"kind": "nrms"}, "text": text})
        assert match in str(caught.value)
        assert ".." not in str(caught.value)


class TestTextSignals:
    """A signal of which the recipe lists text is read as text, whichever key lists it."""

    @pytest.mark.parametrize(
        ("section", "texts"),
        [
            ({"features": {"positive": {"event": ["cart", "buy"]}}}, ("event",)),
            ({"split": {"min_signal": {"event": ["buy"]}}}, ("event",)),
            ({"filters": {"min_signal": {"event": ["buy"]}}}, ("event",)),
            ({"filters": {"min_signal": {"event": [1, 2]}}}, ()),
            ({"filters": {"min_signal": {"event": 1}}}, ()),
            ({}, ()),
        ],
    )
    def test_text_signals_of_the_source(self, section: Any, texts: tuple[str, ...]) -> None:
        log = {"path": "log.csv", "signals": {"event": "what"}}
        source: Any = validate_recipe(
            {"name": "x", "source": {"kind": "table", "interactions": log}, **section}
        ).source
        assert source.interactions.text_signals == texts

    def test_of_other_sources_nothing_changes(self) -> None:
        recipe = validate_recipe({**SYNTHETIC, "features": {"positive": {"event": ["buy"]}}})
        assert recipe.source == validate_recipe(SYNTHETIC).source


class TestSessions:
    """A split by session is for models that read histories of all items."""

    @pytest.mark.parametrize(
        ("content", "match"),
        [
            ({}, "`split.kind: session` is for models that read histories"),
            ({"model": {"kind": "history"}, "features": {"positive": {"click": 1}}}, "min_signal"),
            ({"model": {"kind": "history"}, "features": {"graph": "a.b:C"}}, "features.graph"),
        ],
    )
    def test_refused(self, content: dict[str, Any], match: str) -> None:
        with pytest.raises(RecipeError, match=match):
            validate_recipe({**SYNTHETIC, "split": {"kind": "session"}, **content})

    def test_histories_are_written(self) -> None:
        recipe = {
            **SYNTHETIC,
            "split": {"kind": "session"},
            "model": {"kind": "history"},
            "evaluate": {"filter_seen": False},
        }
        assert validate_recipe(recipe).features.history


class TestWeightsOfEvents:
    RECIPE: ClassVar[dict[str, Any]] = {
        "name": "x",
        "source": {
            "kind": "table",
            "interactions": {"path": "log.csv", "signals": ["event"], "timestamp": "at"},
        },
        "features": {"weights": {"event": {"view": 1, "buy": 4}}},
    }

    def test_their_signals_are_text(self) -> None:
        recipe: Any = validate_recipe({**self.RECIPE, "model": {"kind": "history"}})
        assert recipe.source.interactions.text_signals == ("event",)

    @pytest.mark.parametrize(
        "model", [{"kind": "ease"}, {"kind": "blend", "parts": [{"kind": "ease"}, {"kind": "als"}]}]
    )
    def test_refused_by_kinds_that_do_not_use_them(self, model: Any) -> None:
        with pytest.raises(RecipeError, match=r"are not used by `model\.kind: ease`"):
            validate_recipe({**self.RECIPE, "model": model})

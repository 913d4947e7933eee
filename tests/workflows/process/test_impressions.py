"""Impressions processed: tiny tables whose right answer is worked out by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, ClassVar

import polars as pl
import pytest
from merlin.schema import Tags

from towermill.columns import HIDDEN
from towermill.errors import DataError, RecipeError
from towermill.models.data.interactions import read_schema
from towermill.workflows.config import FeatureConfig
from towermill.workflows.graph.workflow import Workflow
from towermill.workflows.process.impressions import Impressions
from towermill.workflows.process.process import process
from towermill.workflows.selecting.split import Split
from towermill.workflows.tables import ImpressionTables
from towermill.workflows.text.config import TextConfig
from towermill.workflows.text.tokenizer import TextTokenizer

START = datetime(2024, 1, 1)

#: id, user, history, shown, clicked, split, device; one a minute.
ROWS: list[tuple[Any, ...]] = [
    (100, 1, 0, [10, 20, 30], [20], "train", "phone"),
    (101, 2, None, [20, 10], [99, 20], "train", "phone"),  # 99 was not shown
    (102, 1, 0, [10], [10], "train", "tablet"),
    (105, 2, None, [10, 30], [30], "train", None),
    (103, 1, 1, [60, 10], [60], "validation", "phone"),  # 60 occurs here first
    (0, 3, None, [50, 10], [50], "test", "watch"),  # so does user 3; 50 is in the items table
    (0, 2, 2, [], [], "test", "phone"),
    (106, 1, 1, [20, 10, 60], [20], "test", "phone"),
    (104, 1, 1, [30, 50, 10], None, HIDDEN, "phone"),
]


def impressions(rows: list[tuple[Any, ...]] | None = None) -> pl.DataFrame:
    names = ["impression_id", "user_id", "history_id", "inview", "clicked", "split", "device"]
    types = {
        **dict.fromkeys(names[:3], pl.Int64),
        **dict.fromkeys(names[3:5], pl.List(pl.Int64)),
        **dict.fromkeys(names[5:], pl.String),
    }
    frame = pl.DataFrame(ROWS if rows is None else rows, schema=types, orient="row")
    times = [START + timedelta(minutes=i) for i in range(frame.height)]
    return frame.with_columns(pl.Series("timestamp", times, dtype=pl.Datetime("us")))


HISTORIES = pl.DataFrame(
    {
        "history_id": [0, 1, 2],
        "user_id": [1, 1, 2],
        # With three kept, nobody has read 40 in training; 70 is read after it only.
        "history": [[40, 10, 30, 20], [10, 30, 20, 70], [30]],
    }
)
ITEMS = pl.DataFrame(
    {
        "item_id": [50, 10, 30, 20],
        "title": ["the dog and the cat", "the cat", None, "a dog and a dog"],
        "body": ["new words", "old", "the cat sat", ""],
        "section": ["sport", "sport", None, "politics"],
        "length": [4.0, 2.0, None, 6.0],
        "published": [START, None, START - timedelta(days=1), START],
    }
)
VECTORS = pl.DataFrame(
    {"item_id": [20, 777, 10], "vector": [[2.0, 0.5], [7.0, 7.0], [1.0, -1.0]]},
    schema_overrides={"vector": pl.List(pl.Float32)},
)
TABLES = ImpressionTables(
    impressions().lazy(),
    HISTORIES.lazy(),
    ITEMS.lazy(),
    VECTORS.lazy(),
    {"item": {"title": "title", "section": "category", "length": "number"}},  # type: ignore[dict-item]
)


@dataclass(frozen=True)
class Mill:
    """What was written, read back."""

    path: Path

    def __getattr__(self, name: str) -> pl.DataFrame:
        return pl.read_parquet(self.path / f"{name}.parquet")

    def split(self, name: str) -> pl.DataFrame:
        return pl.read_parquet(self.path / name / "*.parquet")

    @property
    def stats(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.path / "stats.json").read_text())
        return found

    @property
    def ids(self) -> dict[Any, int]:
        """Raw to encoded ids of articles."""
        items = pl.read_parquet(self.path / "items.parquet")
        return dict(zip(items["raw_item_id"], items["item_id"], strict=True))


def mill(
    out: Path,
    tables: ImpressionTables = TABLES,
    *,
    split: dict[str, Any] | None = None,
    text: dict[str, Any] | None = None,
    **features: Any,
) -> Mill:
    features = {"history_size": 3, "context": {"device": "category"}, **features}
    proposed = {
        entity: FeatureConfig.model_validate({entity: named}).over({})[entity]  # type: ignore[index]
        for entity, named in tables.features.items()
    }
    out.mkdir(parents=True)
    events = Impressions(
        replace(tables, features=proposed),
        Split(**(split or {"kind": "given"})),
        FeatureConfig.model_validate(features),
        TextConfig(**{"min_frequency": 1, "title_size": 4, **(text or {})}),
    )
    process(events, out)
    return Mill(out)


def with_rows(rows: list[tuple[Any, ...]], **changes: Any) -> ImpressionTables:
    return replace(TABLES, impressions=impressions(rows).lazy(), **changes)


@pytest.fixture(scope="module")
def milled(tmp_path_factory: pytest.TempPathFactory) -> Mill:
    """The tables as they stand. Not to be written to."""
    return mill(tmp_path_factory.mktemp("milled") / "out")


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Mill]:
    def call(*args: Any, out: str = "out", **options: Any) -> Mill:
        return mill(tmp_path / out, *args, **options)

    return call


class TestVocabulary:
    """One for items, shown, clicked and read: 10 seven times, 20 six, 30 five, 50 once."""

    def test_falls_by_frequency_in_training(self, milled: Mill) -> None:
        assert milled.ids == {10: 3, 20: 4, 30: 5, 50: 6}
        assert milled.items["item_id"].to_list() == [3, 4, 5, 6]

    def test_lists_of_training(self, milled: Mill) -> None:
        train = milled.split("train")
        assert train["inview"].to_list() == [[3, 4, 5], [4, 3], [3], [3, 5]]
        assert train["clicked"].to_list() == [[4], [4], [3], [5]]

    def test_what_training_lacks_is_unknown(self, milled: Mill) -> None:
        assert milled.split("validation")["inview"].to_list() == [[2, 3]]
        assert milled.split("validation")["clicked"].to_list() == [[2]]
        assert milled.split("test")["inview"].to_list() == [[6, 3], [], [4, 3, 2]]

    def test_users(self, milled: Mill) -> None:
        """Users 1 and 2 are met twice each; user 3 in test alone."""
        assert sorted(milled.users["raw_user_id"]) == [1, 2]
        assert milled.users["user_id"].to_list() == [3, 4]
        assert milled.users["train_count"].to_list() == [2, 2]
        coded = dict(zip(milled.users["raw_user_id"], milled.users["user_id"], strict=True))
        assert milled.split("train")["user_id"].to_list() == [coded[u] for u in (1, 2, 1, 2)]
        assert milled.split("test")["user_id"].to_list() == [2, coded[2], coded[1]]

    def test_clicks_of_test_do_not_count(self, run: Callable[..., Mill]) -> None:
        often = [(200 + n, 3, None, [30, 20], [30], "test", "phone") for n in range(20)]
        made = run(with_rows([*ROWS, *often]))
        assert made.ids == {10: 3, 20: 4, 30: 5, 50: 6}
        assert made.items["train_count"].to_list() == [1, 2, 1, 0]

    def test_options_of_ids(self, run: Callable[..., Mill]) -> None:
        made = run(ids={"item_id": {"freq_threshold": 6}, "user_id": {"max_size": 1}})
        assert made.ids == {10: 3, 20: 4}
        assert made.split("train")["inview"].to_list() == [[3, 4, 2], [4, 3], [3], [3, 2]]
        assert made.users.height == 1

    def test_nobody_is_left(self, run: Callable[..., Mill]) -> None:
        with pytest.raises(DataError, match=r"`features\.ids\.item_id\.freq_threshold`"):
            run(ids={"item_id": {"freq_threshold": 100}})


class TestHistories:
    def test_the_last_ones_in_order_after_the_empty_one(self, milled: Mill) -> None:
        assert milled.histories["history"].to_list() == [[], [3, 5, 4], [5, 4, 2], [5]]

    def test_looked_up(self, milled: Mill) -> None:
        assert milled.split("train")["history_id"].to_list() == [1, 0, 1, 0]
        assert milled.split("test")["history_id"].to_list() == [0, 3, 2]

    def test_latest_of_users(self, milled: Mill) -> None:
        read = dict(zip(milled.users["raw_user_id"], milled.users["history"], strict=True))
        assert read[1].to_list() == [5, 4, 2]
        assert read[2].to_list() == [5]

    def test_rows_in_any_order(self, run: Callable[..., Mill], milled: Mill) -> None:
        made = run(replace(TABLES, histories=HISTORIES[[2, 0, 1]].lazy()))
        assert made.histories.equals(milled.histories)
        assert made.users.sort("raw_user_id").equals(milled.users.sort("raw_user_id"))

    def test_null_and_empty_ones(self, run: Callable[..., Mill]) -> None:
        lists = pl.Series("history", [[None, 10, None], None, []], dtype=pl.List(pl.Int64))
        made = run(replace(TABLES, histories=HISTORIES.with_columns(lists).lazy()))
        assert made.histories["history"].to_list() == [[], [3], [], []]

    def test_nobody_has_one(self, run: Callable[..., Mill]) -> None:
        rows = [(*row[:2], None, *row[3:]) for row in ROWS]
        made = run(with_rows(rows, histories=HISTORIES.clear().lazy()))
        assert made.histories["history"].to_list() == [[]]
        assert made.users["history"].to_list() == [[], []]

    def test_one_article_alone(self, run: Callable[..., Mill]) -> None:
        made = run(history_size=1)
        assert made.histories["history"].to_list() == [[], [made.ids[20]], [2], [made.ids[30]]]


class TestImpressions:
    def test_order_ids_and_moments_stay(self, milled: Mill) -> None:
        assert milled.split("train")["impression_id"].to_list() == [100, 101, 102, 105]
        assert milled.split("test")["impression_id"].to_list() == [0, 0, 106]
        assert milled.split("train")["timestamp"][1] == START + timedelta(minutes=1)

    def test_hidden_ones_keep_their_order(self, milled: Mill) -> None:
        hidden = milled.split(HIDDEN)
        assert hidden["inview"].to_list() == [[5, 6, 3]]
        assert hidden["clicked"].to_list() == [[]]
        assert hidden["impression_id"].to_list() == [104]

    def test_none_hidden(self, run: Callable[..., Mill]) -> None:
        assert not (run(with_rows(ROWS[:-1])).path / HIDDEN).exists()

    def test_nulls_among_what_was_shown(self, run: Callable[..., Mill]) -> None:
        rows = [*ROWS, (107, 1, None, [None, 10, None, 20], [20, None], "train", None)]
        made = run(with_rows(rows))
        last = made.split("train").row(-1, named=True)
        assert [len(last["inview"]), len(last["clicked"])] == [2, 1]
        assert last["clicked"] == [made.ids[20]]
        assert last["labels"] == [0, 1]

    def test_labels_stand_beside_what_was_shown(self, run: Callable[..., Mill]) -> None:
        """Articles 60 to 62 are all unknown, and so one id: what was clicked is told by place."""
        rows = [*ROWS, (107, 1, None, [61, 60, 10, 62], [62, 61], "test", None)]
        last = run(with_rows(rows)).split("test").row(-1, named=True)
        assert last["inview"] == [2, 2, 3, 2]
        assert last["labels"] == [1, 0, 0, 1]

    def test_labels_of_all(self, milled: Mill) -> None:
        assert milled.split("train")["labels"].to_list() == [[0, 1, 0], [1, 0], [1], [0, 1]]
        assert milled.split("test")["labels"].to_list() == [[1, 0], [], [1, 0, 0]]
        assert milled.split(HIDDEN)["labels"].to_list() == [[0, 0, 0]]

    def test_all_dtypes(self, milled: Mill) -> None:
        types = milled.split("train").schema
        assert types["user_id"] == types["history_id"] == types["device"] == pl.Int32
        assert types["inview"] == types["clicked"] == pl.List(pl.Int32)
        assert types["timestamp"] == pl.Datetime("us")


class TestFeatures:
    def test_context(self, milled: Mill) -> None:
        """Phone twice, tablet once; one null; the watch of the test split is unknown."""
        assert milled.split("train")["device"].to_list() == [3, 3, 4, 1]
        assert milled.split("test")["device"].to_list() == [2, 3, 3]

    def test_categories_and_numbers_of_articles(self, milled: Mill) -> None:
        """Training has 10, 20 and 30: one of politics, one of sport, lengths 2 and 6."""
        items = milled.items
        assert items["section"].to_list() == [4, 3, 1, 4]
        # Mean 4, deviation of the sample the root of 8; what is missing is the mean.
        expected = [-2 / 8**0.5, 2 / 8**0.5, 0.0, 0.0]
        assert items["length"].to_list() == pytest.approx(expected)

    def test_raw_columns_stand_beside(self, milled: Mill) -> None:
        assert milled.items["raw_section"].to_list() == ["sport", "politics", None, "sport"]
        assert milled.items["raw_body"].to_list() == ["old", "", "the cat sat", "new words"]
        assert milled.items["raw_title"][1] == "a dog and a dog"

    def test_published(self, milled: Mill) -> None:
        assert milled.items["published"].to_list() == [
            *(None, START, START - timedelta(days=1), START)
        ]

    def test_clicks_in_training(self, milled: Mill) -> None:
        assert milled.items["train_count"].to_list() == [1, 2, 1, 0]

    def test_frequency_threshold_of_a_category(self, run: Callable[..., Mill]) -> None:
        sections = ITEMS.with_columns(section=pl.Series(["sport", "sport", "sport", "politics"]))
        made = run(replace(TABLES, items=sections.lazy()), item={"section": {"freq_threshold": 2}})
        assert made.items["section"].to_list() == [3, 2, 3, 3]

    def test_lists_of_articles(self, run: Callable[..., Mill]) -> None:
        tagged = ITEMS.with_columns(tags=pl.Series(["x|y", "x", None, ""]))
        made = run(replace(TABLES, items=tagged.lazy()), item={"tags": "list"})
        assert made.items["tags"].to_list() == [[3], [], [], [3, 2]]  # y is not in training
        assert made.stats["title"] is None

    def test_vocabulary_of_articles_joined(self, run: Callable[..., Mill]) -> None:
        """What an article links to is an article."""
        links = ITEMS.with_columns(links=pl.Series([[10], [20, 999], [], None]))
        made = run(
            replace(TABLES, items=links.lazy()),
            item={"links": {"kind": "list", "shared_with": "item_id"}},
        )
        ids = made.ids
        assert made.items["links"].to_list()[ids[50] - 3] == [ids[10]]
        assert made.items["links"].to_list()[ids[10] - 3] == [ids[20], ids[999]]

    @pytest.mark.parametrize(
        ("features", "match"),
        [
            ({"item": {"sektion": "category"}}, "Did you mean 'section'"),
            ({"context": {"devise": "category"}}, "Did you mean 'device'"),
            ({"item": {"published": "category"}}, "'published', a column that every source"),
            ({"context": {"inview": "list"}}, "'inview', a column that every source"),
            ({"item": {"published": "age"}}, r"set `model\.age: true`"),
            ({"context": {"hour": "hour"}}, "of kind hour: impressions do not have it"),
            ({"context": {"device": "weekday"}}, "of kind weekday: impressions do not have it"),
            ({"user": {"gender": "category"}}, r"`features\.user` should be empty"),
            ({"positive": {"clicked": 1}}, r"`features\.positive` should be empty"),
            ({"item": {"raw_x": "category"}}, "Rename the column"),
        ],
    )
    def test_refused(self, run: Callable[..., Mill], features: Any, match: str) -> None:
        with pytest.raises((DataError, RecipeError), match=match):
            run(**features)

    @pytest.mark.parametrize(
        ("features", "match"),
        [
            ({"item": {"section": "number"}}, "should hold numbers"),
            ({"item": {"length": "list"}}, "should hold a list column"),
            ({"context": {"device": "number"}}, "should hold numbers"),
        ],
    )
    def test_of_a_wrong_type(self, run: Callable[..., Mill], features: Any, match: str) -> None:
        with pytest.raises(DataError, match=match):
            run(**features)


class TestFittedOnTrainingAlone:
    """Articles 10, 20 and 30 are shown in training and 40 is read there; 90 to 94 are of tests."""

    LENGTHS: ClassVar[dict[int, float]] = {10: 2.0, 20: 6.0, 30: 7.0, 40: 11.0}

    @pytest.fixture(scope="class")
    @classmethod
    def made(cls, tmp_path_factory: pytest.TempPathFactory) -> Mill:
        rare, often, new = ["sport"], ["politics"], ["breaking"]
        late = list(range(90, 95))
        items = pl.DataFrame(
            {
                "item_id": [*cls.LENGTHS, *late],
                "title": "some words",
                # In training, politics occurs once and sport three times: so sport comes first.
                "section": rare * 3 + often + often * 4 + new,
                "tags": [["x"], ["x", "y"], [], ["x"], *([["y", "z"]] * 5)],
                "length": [*cls.LENGTHS.values(), *([1e9] * 5)],
            }
        )
        rows = [*ROWS, (107, 1, 1, [*late, 10], [94], "test", "phone")]
        return mill(
            tmp_path_factory.mktemp("fitted") / "out",
            with_rows(rows, items=items.lazy(), vectors=None),
            history_size=4,
            item={"section": "category", "tags": "list", "length": "number"},
        )

    def of(self, made: Mill, column: str) -> dict[int, Any]:
        return dict(made.items.select("raw_item_id", column).iter_rows())

    def test_ids_cover_every_article(self, made: Mill) -> None:
        assert set(made.ids) == {*self.LENGTHS, *range(90, 95)}
        last = made.split("test").row(-1, named=True)
        assert last["inview"] == [made.ids[i] for i in (*range(90, 95), 10)]

    def test_mean_and_deviation(self, made: Mill) -> None:
        mean, deviation = fmean(self.LENGTHS.values()), stdev(self.LENGTHS.values())
        for item, found in self.of(made, "length").items():
            value = self.LENGTHS.get(item, 1e9)
            assert found == pytest.approx((value - mean) / deviation, rel=1e-5)

    def test_categories(self, made: Mill) -> None:
        """Sport 3, politics 4; breaking news are out of vocabulary."""
        found = self.of(made, "section")
        assert [found[i] for i in (10, 20, 30, 40)] == [3, 3, 3, 4]
        assert [found[i] for i in range(90, 95)] == [4, 4, 4, 4, 2]
        assert made.stats["vocabularies"]["section"] == 5

    def test_lists(self, made: Mill) -> None:
        found = self.of(made, "tags")
        assert [found[i] for i in (10, 20, 30, 40, 90)] == [[3], [3, 4], [], [3], [4, 2]]

    def test_no_value_in_training(self, run: Callable[..., Mill]) -> None:
        late = pl.when(pl.col("item_id") == 50).then(pl.col("section"))
        tables = replace(TABLES, items=ITEMS.with_columns(section=late).lazy())
        with pytest.raises(DataError, match="'section' should have values; in the training split"):
            run(tables)


class TestText:
    def test_tokens_are_the_tokenizers_own(self, milled: Mill) -> None:
        tokenizer = TextTokenizer.load(milled.path / "text")
        titles = milled.items["raw_title"]
        assert milled.items["tokens"].to_list() == tokenizer.encode(titles, 4).to_list()
        assert milled.items["tokens"].list.len().to_list() == [2, 4, 0, 4]

    def test_only_articles_met_in_training_teach(self, run: Callable[..., Mill]) -> None:
        made = run(text={"columns": ["title", "body"], "tokenizer": "word"})
        words = set(TextTokenizer.load(made.path / "text").tokenizer.get_vocab())
        assert {"cat", "old", "sat", "dog"} <= words
        assert not {"new", "words"} & words

    def test_several_columns(self, run: Callable[..., Mill]) -> None:
        made = run(text={"columns": ["title", "body"]})
        tokenizer = TextTokenizer.load(made.path / "text")
        texts = pl.Series(
            ["the cat old", "a dog and a dog", "the cat sat", "the dog and the cat new words"]
        )
        assert made.items["tokens"].to_list() == tokenizer.encode(texts, 4).to_list()

    def test_vectors_of_the_source(self, milled: Mill) -> None:
        assert milled.items["vector"].to_list() == [[1, -1], [2, 0.5], [0, 0], [0, 0]]

    def test_column_that_is_not_there(self, run: Callable[..., Mill]) -> None:
        with pytest.raises(
            DataError, match=r"'titel', which the items lack\. Did you mean 'title'"
        ):
            run(text={"columns": ["titel"]})

    def test_no_text_at_all(self, run: Callable[..., Mill]) -> None:
        bare = ITEMS.with_columns(title=pl.lit(None, pl.String))
        with pytest.raises(DataError, match="should have text in title; none has"):
            run(replace(TABLES, items=bare.lazy()))

    def test_no_items_table(self, run: Callable[..., Mill]) -> None:
        made = run(replace(TABLES, items=None, vectors=None, features={}))
        assert made.items.columns == ["item_id", "raw_item_id", "train_count"]
        assert sorted(made.items["raw_item_id"]) == [10, 20, 30]
        assert made.stats["text"] is None

    def test_vectors_without_an_items_table(self, run: Callable[..., Mill]) -> None:
        made = run(replace(TABLES, items=None, features={}))
        vectors = dict(zip(made.items["raw_item_id"], made.items["vector"], strict=True))
        assert [vectors[i].to_list() for i in (10, 20, 30)] == [[1, -1], [2, 0.5], [0, 0]]


class TestFiles:
    def test_seen(self, milled: Mill) -> None:
        """All that a user had read or clicked, in any split; of known articles."""
        raw = dict(zip(milled.users["user_id"], milled.users["raw_user_id"], strict=True))
        seen = {raw[row["user_id"]]: row["item_id"] for row in milled.seen.to_dicts()}
        assert seen == {1: [3, 4, 5], 2: [4, 5]}

    def test_schema(self, milled: Mill) -> None:
        schema = read_schema(milled.path)
        tokens = schema["tokens"]
        size = milled.stats["text"]["tokens"]
        assert tokens.int_domain.max == size - 1
        assert (tokens.value_count.min, tokens.value_count.max) == (0, 4)
        assert {Tags.ITEM, Tags.TEXT, Tags.TOKENIZED} <= set(tokens.tags)
        assert schema["history"].value_count.max == 3
        assert (schema["vector"].value_count.min, schema["vector"].value_count.max) == (2, 2)
        for name in ("item_id", "inview", "clicked", "history"):
            assert schema[name].int_domain.max == 6
        assert schema["section"].int_domain.max == 4
        assert Tags.ITEM in schema["section"].tags
        assert Tags.CONTEXT in schema["device"].tags
        assert {Tags.ITEM, Tags.ID} <= set(schema["item_id"].tags)

    def test_stats(self, milled: Mill) -> None:
        stats = milled.stats
        assert stats["rows"] == {"train": 4, "validation": 1, "test": 3, HIDDEN: 1}
        assert stats["title"] == "title"
        assert (stats["users"], stats["items"]) == (2, 4)
        assert stats["as_of"] == "2024-01-01T00:08:00"
        assert stats["text"]["without_text"] == 1
        assert stats["text"]["mean_length"] == (2 + 4 + 0 + 4) / 4

    def test_no_scratch_is_left(self, milled: Mill) -> None:
        assert sorted(path.name for path in milled.path.iterdir()) == sorted(
            [
                *("train", "validation", "test", HIDDEN, "text", "workflow", "stats.json"),
                *("histories.parquet", "items.parquet", "users.parquet", "seen.parquet"),
                "schema.pbtxt",
            ]
        )

    def test_workflow_encodes_alone(self, milled: Mill, tmp_path: Path) -> None:
        from towermill.workflows.dataset import open_dataset
        from towermill.workflows.graph.write import to_table

        part = Workflow.load(milled.path / "workflow").get_subworkflow("history")
        columns = [pl.col("history")]
        for name in part.input_schema.column_names:
            is_list = part.input_schema[name].is_list
            empty = pl.lit([] if is_list else None, pl.List(pl.Int64) if is_list else pl.Int64)
            columns += [] if name == "history" else [empty.alias(name)]
        HISTORIES.select(columns).write_parquet(tmp_path / "raw.parquet")
        made = to_table(part.transform(open_dataset(tmp_path / "raw.parquet")))
        assert made["history"].to_list() == [[2, 3, 5, 4], [3, 5, 4, 2], [5]]

    def test_the_same_again(self, run: Callable[..., Mill], milled: Mill) -> None:
        made = run()
        for name in ("items", "users", "histories", "seen"):
            assert getattr(made, name).equals(getattr(milled, name)), name


class TestSplits:
    LABELLED = ROWS[:-1]

    def test_by_time(self, run: Callable[..., Mill]) -> None:
        made = run(
            with_rows(self.LABELLED), split={"kind": "time", "validation": 0.125, "test": 0.25}
        )
        assert made.split("train")["impression_id"].to_list() == [100, 101, 102, 105, 103]
        assert made.split("validation")["impression_id"].to_list() == [0]
        assert made.split("test")["impression_id"].to_list() == [0, 106]
        assert 60 in made.ids

    def test_hidden_ones_take_no_part(self, run: Callable[..., Mill]) -> None:
        made = run(split={"kind": "time", "validation": 0.125, "test": 0.25})
        assert made.stats["rows"] == {"train": 5, "validation": 1, "test": 2, HIDDEN: 1}

    def test_at_random_by_row(self, run: Callable[..., Mill]) -> None:
        made = run(split={"kind": "random", "validation": 0.125, "test": 0.25, "seed": 3})
        assert made.stats["rows"] == {"train": 5, "validation": 1, "test": 2, HIDDEN: 1}

    def test_without_validation(self, run: Callable[..., Mill]) -> None:
        made = run(split={"kind": "time", "validation": 0, "test": 0.25})
        assert made.stats["rows"] == {"train": 6, "test": 2, HIDDEN: 1}

    def test_without_parts(self, run: Callable[..., Mill]) -> None:
        bare = replace(TABLES, impressions=impressions(self.LABELLED).drop("split").lazy())
        with pytest.raises(DataError, match=r"Use `split\.kind: time`"):
            run(bare, out="given")
        made = run(bare, split={"kind": "time", "validation": 0, "test": 0.25})
        assert made.stats["rows"] == {"train": 6, "test": 2}

    def test_all_at_one_moment(self, run: Callable[..., Mill]) -> None:
        at_once = impressions(self.LABELLED).with_columns(timestamp=pl.lit(START))
        tables = replace(TABLES, impressions=at_once.lazy())
        with pytest.raises(DataError, match="but train is empty"):
            run(tables, split={"kind": "time", "validation": 0.2, "test": 0.2})

    @pytest.mark.parametrize("split", [{"kind": "leave_one_out"}, {"kind": "random", "by": "user"}])
    def test_refused(self, run: Callable[..., Mill], split: dict[str, Any]) -> None:
        with pytest.raises(RecipeError, match="should be of kind given, time, or random by row"):
            run(split=split)


class TestStringIds:
    """MIND's ids are text; everything else is as before."""

    def tables(self) -> ImpressionTables:
        def named(frame: pl.DataFrame) -> pl.LazyFrame:
            name = pl.format("N{}", pl.element())
            columns: list[pl.Expr] = []
            for column, kind in frame.schema.items():
                if column == "item_id":
                    columns.append(pl.format("N{}", column).alias(column))
                elif column in ("user_id", "impression_id"):
                    columns.append(pl.format("U{}", column).alias(column))
                elif kind == pl.List(pl.Int64):
                    columns.append(pl.col(column).list.eval(name))
            return frame.with_columns(columns).lazy()

        return replace(
            TABLES,
            impressions=named(impressions()),
            histories=named(HISTORIES),
            items=named(ITEMS),
            vectors=named(VECTORS),
        )

    def test_are_encoded_alike(self, run: Callable[..., Mill], milled: Mill) -> None:
        made = run(self.tables())
        assert made.ids == {"N10": 3, "N20": 4, "N30": 5, "N50": 6}
        assert made.split("test")["impression_id"].to_list() == ["U0", "U0", "U106"]
        for name in ("train", "validation", "test", HIDDEN):
            columns = ["inview", "clicked", "history_id"]
            assert made.split(name).select(columns).equals(milled.split(name).select(columns))
        assert made.histories.equals(milled.histories)
        columns = ["item_id", "section", "tokens", "vector", "train_count"]
        assert made.items.select(columns).equals(milled.items.select(columns))


class TestInputsStay:
    def test_frames_are_not_changed(self, run: Callable[..., Mill]) -> None:
        before = impressions(), HISTORIES.clone(), ITEMS.clone(), VECTORS.clone()
        run()
        after = (TABLES.impressions, TABLES.histories, TABLES.items, TABLES.vectors)
        for one, other in zip(before, after, strict=True):
            assert other is not None
            assert one.equals(other.collect())

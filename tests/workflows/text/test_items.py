"""The text of articles as columns: what is joined, tokenised, given, refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from merlin.schema import Tags

from towermill.errors import DataError
from towermill.processed import TextStats
from towermill.workflows.text import items as items_module
from towermill.workflows.text.config import TextConfig
from towermill.workflows.text.items import EncodedText, encode_articles, joined
from towermill.workflows.text.tokenizer import TextTokenizer

ARTICLES = pl.DataFrame(
    {
        "item_id": [3, 4, 5, 6],
        "raw_item_id": [10, 20, 30, 40],
        "raw_title": ["  the cat ", None, "the dog", "unseen words"],
        "raw_body": ["sat", "the log", None, ""],
        "raw_words": [1, 2, None, 4],
    }
)
ALL = pl.Series([True] * 4)


def config(**options: Any) -> TextConfig:
    return TextConfig(**{"tokenizer": "word", "min_frequency": 1, **options})


def encode(
    out: Path,
    articles: pl.DataFrame = ARTICLES,
    trained_on: pl.Series = ALL,
    given: pl.DataFrame | None = None,
    **options: Any,
) -> EncodedText:
    return encode_articles(articles, trained_on, given, config(**options), out / "text")


def vectors(ids: list[Any], rows: list[Any]) -> pl.DataFrame:
    lists = pl.Series(rows, dtype=pl.List(pl.Float32))
    return pl.DataFrame({"item_id": ids, "vector": lists}, schema_overrides={"item_id": pl.Int64})


def column(made: EncodedText, name: str) -> pl.Series:
    return next(series for series in made.columns if series.name == name)


class TestJoined:
    def test_one_column(self) -> None:
        texts = joined(ARTICLES, config())
        assert texts.to_list() == ["the cat", "", "the dog", "unseen words"]

    def test_several_by_blanks_in_the_order_named(self) -> None:
        texts = joined(ARTICLES, config(columns=["body", "title"])).to_list()
        assert texts[1:] == ["the log", "the dog", "unseen words"]
        assert texts[0].split() == ["sat", "the", "cat"]

    def test_numbers_as_text(self) -> None:
        assert joined(ARTICLES, config(columns=["words"])).to_list() == ["1", "2", "", "4"]

    def test_missing_column(self) -> None:
        with pytest.raises(DataError) as caught:
            joined(ARTICLES, config(columns=["title", "bodi"]))
        assert "'bodi', which the items lack. Did you mean 'body'?" in str(caught.value)
        assert "item_id, title, body, words" in str(caught.value)

    def test_lists_are_refused(self) -> None:
        listed = ARTICLES.with_columns(raw_body=pl.Series([["a"], [], None, ["b"]]))
        with pytest.raises(DataError, match=r"`text\.columns`.*'body'.*single values"):
            joined(listed, config(columns=["body"]))


class TestTokens:
    def test_are_the_tokenizers_own(self, tmp_path: Path) -> None:
        made = encode(tmp_path, title_size=1)
        tokenizer = TextTokenizer.load(tmp_path / "text")
        tokens = column(made, "tokens")
        assert tokens.dtype == pl.List(pl.Int32)
        assert tokens.to_list() == tokenizer.encode(ARTICLES["raw_title"], 1).to_list()
        assert tokens.list.len().to_list() == [1, 0, 1, 1]

    def test_words_of_articles_not_met_are_unknown(self, tmp_path: Path) -> None:
        made = encode(tmp_path, trained_on=pl.Series([True, True, True, False]))
        vocabulary = TextTokenizer.load(tmp_path / "text").tokenizer.get_vocab()
        assert {"the", "cat", "dog"} <= set(vocabulary)
        assert not {"unseen", "words"} & set(vocabulary)
        *_, unseen = column(made, "tokens").to_list()
        assert len(set(unseen)) == 1

    def test_schema(self, tmp_path: Path) -> None:
        made = encode(tmp_path, title_size=7)
        (tokens,) = made.schema
        assert tokens.name == "tokens"
        assert Tags.ITEM in tokens.tags
        assert tokens.int_domain.max == made.stats.tokens - 1
        assert tokens.value_count.max == 7

    def test_counts(self, tmp_path: Path) -> None:
        made = encode(tmp_path, word_dim=12)
        # <unk>, the, cat, dog, unseen, words, and the padding
        assert made.stats == TextStats(tokens=7, word_dim=12, without_text=1, mean_length=6 / 4)

    def test_config_is_kept(self, tmp_path: Path) -> None:
        encode(tmp_path, title_size=7)
        kept = json.loads((tmp_path / "text" / "text.json").read_text())
        assert TextConfig.model_validate(kept) == config(title_size=7)

    def test_words_given(self, tmp_path: Path) -> None:
        file = tmp_path / "words.txt"
        file.write_text("the 1 2 3\ncat 4 5 6\n")
        made = encode(tmp_path, words=str(file))
        matrix = np.load(tmp_path / "text" / "words.npy")
        assert matrix.shape == (made.stats.tokens, 3)
        assert made.stats.word_dim == 3
        the, cat = column(made, "tokens")[0]
        assert matrix[[the, cat]].tolist() == [[1, 2, 3], [4, 5, 6]]

    @pytest.mark.parametrize(
        "trained_on", [pl.Series([False] * 4), pl.Series([False, True, False, False])]
    )
    def test_nothing_to_learn_from(self, tmp_path: Path, trained_on: pl.Series) -> None:
        with pytest.raises(DataError, match="training articles should have text in title"):
            encode(tmp_path, trained_on=trained_on)

    def test_no_items_table(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        made = encode(tmp_path, ARTICLES.select("item_id", "raw_item_id"))
        assert made == EncodedText()
        assert "no text: only ids can be trained on" in caplog.text
        assert not (tmp_path / "text" / "tokenizer.json").exists()


class TestVectors:
    def test_of_the_source(self, tmp_path: Path) -> None:
        """In the order of encoded ids; zeros where there is none; others are left out."""
        made = encode(tmp_path, given=vectors([30, 99, 10], [[3, 4], [9, 9], [1, 2]]))
        found = column(made, "vector")
        assert found.dtype == pl.Array(pl.Float32, 2)
        assert found.to_list() == [[1, 2], [0, 0], [3, 4], [0, 0]]
        schema = made.schema[-1]
        assert (schema.value_count.min, schema.value_count.max) == (2, 2)
        assert Tags.EMBEDDING in schema.tags

    def test_none_is_of_a_known_article(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="none of the 2 vectors"):
            encode(tmp_path, given=vectors([98, 99], [[1, 2], [3, 4]]))

    @pytest.mark.parametrize(
        ("ids", "rows", "match"),
        [
            ([10, 20], [[1, 2], [3]], "2 lengths"),
            ([10, 10], [[1, 2], [3, 4]], "for 1 articles"),
            ([], [], "Found 0"),
            ([10], [[]], "Found"),
            ([10, 20], [[1, 2], None], "2 lengths"),
            ([10, 20], [[1, float("nan")], [3, 4]], "finite"),
            ([10, 20], [[1, float("inf")], [3, 4]], "finite"),
            ([10, 20], [[1, None], [3, 4]], "finite"),
        ],
    )
    def test_refused(self, tmp_path: Path, ids: Any, rows: Any, match: str) -> None:
        with pytest.raises(DataError, match=match):
            encode(tmp_path, given=vectors(ids, rows))

    def test_of_source_and_model(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"from the source or from `text\.vectors`, not both"):
            encode(tmp_path, given=vectors([10], [[1, 2]]), vectors="some/model")

    def test_of_a_model(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        asked = []

        def vectors_of(texts: pl.Series, source: str) -> Any:
            asked.append((texts.to_list(), source))
            return np.arange(len(texts) * 2, dtype=np.float32).reshape(-1, 2)

        monkeypatch.setattr(items_module, "sentence_vectors", vectors_of)
        made = encode(tmp_path, vectors="some/model")
        assert asked == [(["the cat", "", "the dog", "unseen words"], "some/model")]
        assert column(made, "vector").to_list() == [[0, 1], [2, 3], [4, 5], [6, 7]]

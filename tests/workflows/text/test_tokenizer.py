"""Token ids are the tokenizer's own plus one, and training has one outcome."""

from __future__ import annotations

import hashlib
import random
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tokenizers import Tokenizer, decoders, models

from towermill.errors import DataError
from towermill.workflows.text import TextConfig
from towermill.workflows.text import tokenizer as tokens
from towermill.workflows.text.tokenizer import TextTokenizer


def trained(texts: list[str], **config: Any) -> TextTokenizer:
    return TextTokenizer.train(texts, TextConfig.model_validate({"tokenizer": "word", **config}))


class TestWord:
    def test_ids_fall_with_frequency_from_unknown_on(self) -> None:
        tokenizer = trained(["b B a, b", "c a"], min_frequency=2)
        assert tokenizer.words() == ["", "[UNK]", "b", "a"]
        assert tokenizer.size == 4
        ids = tokenizer.encode(pl.Series("text", ["a B zebra", None, "", "b"]), limit=2)
        assert ids.dtype == pl.List(pl.Int32)
        assert ids.name == "text"
        assert ids.to_list() == [[3, 2], [], [], [2]]

    def test_vocabulary_and_case(self) -> None:
        assert trained(["B b b a"], min_frequency=1, lowercase=False, vocabulary=3).words() == [
            "",
            "[UNK]",
            "b",
            "B",
        ]

    def test_accents_stay_and_are_composed(self) -> None:
        tokenizer = trained(["på på pa\u030a"])
        assert tokenizer.words()[2:] == ["på"]
        assert tokenizer.encode(pl.Series(["PA\u030a på"]), 9).to_list() == [[2, 2]]

    def test_batches_are_one(self, texts: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
        tokenizer = trained(texts)
        whole = tokenizer.encode(pl.Series(texts), 5)
        monkeypatch.setattr(tokens, "_BATCH", 5)
        assert tokenizer.encode(pl.Series(texts), 5).equals(whole)

    def test_long_texts_keep_their_first_tokens(self, texts: list[str]) -> None:
        tokenizer, series = trained(texts), pl.Series([" ".join(texts * 50)])
        whole = tokenizer.encode(series, 10_000).list.head(40)
        assert tokenizer.encode(series, 40).equals(whole)

    def test_nothing_gives_nothing(self, texts: list[str]) -> None:
        ids = trained(texts).encode(pl.Series("t", [], dtype=pl.String), 5)
        assert ids.dtype == pl.List(pl.Int32)
        assert ids.len() == 0

    def test_no_words(self) -> None:
        with pytest.raises(DataError, match="Name other columns"):
            trained(["", " "])


class TestWordPiece:
    def test_unknown_words_are_cut(self, texts: list[str]) -> None:
        tokenizer = trained(texts, tokenizer="wordpiece")
        ids = tokenizer.encode(pl.Series(["the catdog", "Ж"]), 30).to_list()
        pieces = [[tokenizer.tokenizer.id_to_token(i - 1) for i in row] for row in ids]
        assert pieces[0][:2] == ["the", "cat"]
        assert len(pieces[0]) > 2
        assert all(piece.startswith("##") for piece in pieces[0][2:])
        assert pieces[1] == ["[UNK]"]

    def test_pieces_are_no_words(self, texts: list[str]) -> None:
        words = trained(texts, tokenizer="wordpiece").words()
        assert {"the", "cat", "sat"} <= set(words)
        assert not any(word.startswith("##") for word in words)

    @pytest.mark.parametrize("vocabulary", [3, 20, 45])
    def test_vocabulary_is_kept(self, texts: list[str], vocabulary: int) -> None:
        tokenizer = trained(texts, tokenizer="wordpiece", vocabulary=vocabulary)
        assert tokenizer.size <= vocabulary + 1


TRAIN = """
import sys
from pathlib import Path
from towermill.workflows.text import TextConfig
from towermill.workflows.text.tokenizer import TextTokenizer
texts = Path("texts").read_text().splitlines()
config = TextConfig(tokenizer="wordpiece", vocabulary=900, min_frequency=1)
TextTokenizer.train(texts, config).save(Path("."))
"""


class TestWords:
    def test_of_byte_level_pieces(self) -> None:
        pieces = ["Ġthe", "ing", "ĠpÃ¥", "Ã¥"]  # å is two bytes
        tokenizer = Tokenizer(models.BPE({piece: i for i, piece in enumerate(pieces)}, []))
        tokenizer.decoder = decoders.ByteLevel()
        assert TextTokenizer(tokenizer).words() == ["", "the", "", "på", ""]

    def test_of_sentencepiece(self) -> None:
        tokenizer = Tokenizer(models.Unigram([("▁the", -1.0), ("ing", -2.0), ("▁på", -2.0)], 0))
        assert TextTokenizer(tokenizer).words() == ["", "the", "", "på"]

    def test_a_letter_is_no_mark(self) -> None:
        vocabulary = {word: i for i, word in enumerate(["[UNK]", "Ġermanja", "Ġunju", "the"])}
        tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
        assert TextTokenizer(tokenizer).words() == ["", "[UNK]", "Ġermanja", "Ġunju", "the"]


class TestTraining:
    @pytest.mark.parametrize("kind", ["word", "wordpiece"])
    def test_order_does_not_matter(self, texts: list[str], kind: str, tmp_path: Path) -> None:
        saved = []
        for _ in range(2):
            random.Random(1).shuffle(texts)
            trained(texts, tokenizer=kind).save(tmp_path)
            saved.append((tmp_path / "tokenizer.json").read_bytes())
        assert saved[0] == saved[1]

    def test_another_process_gives_the_same_bytes(
        self, python: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
    ) -> None:
        # Random words have many pairs that are equally frequent.
        rng = random.Random(0)
        words = ["".join(rng.choices("abcdefghijklmnøåæ", k=rng.randint(2, 8))) for _ in range(600)]
        texts = [" ".join(rng.choices(words, k=7)) for _ in range(400)]
        (tmp_path / "texts").write_text("\n".join(texts))
        found = set()
        for threads in ("1", "2"):
            python(TRAIN, RAYON_NUM_THREADS=threads)
            content = (tmp_path / "tokenizer.json").read_bytes()
            found.add(hashlib.sha256(content).hexdigest())
        tokenizer = trained(texts, tokenizer="wordpiece", vocabulary=900, min_frequency=1)
        tokenizer.save(tmp_path)
        found.add(hashlib.sha256((tmp_path / "tokenizer.json").read_bytes()).hexdigest())
        assert len(found) == 1
        assert tokenizer.size == 901


class TestFiles:
    @pytest.mark.parametrize("kind", ["word", "wordpiece"])
    def test_saved_is_loaded(self, texts: list[str], kind: str, tmp_path: Path) -> None:
        tokenizer = trained(texts, tokenizer=kind)
        tokenizer.save(tmp_path)
        series = pl.Series(texts)
        for again in (
            TextTokenizer.load(tmp_path),
            TextTokenizer.open(str(tmp_path)),
            TextTokenizer.open(str(tmp_path / "tokenizer.json")),
        ):
            assert again.encode(series, 9).equals(tokenizer.encode(series, 9))
            assert again.size == tokenizer.size

    def test_there_must_be_one(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="no such file"):
            TextTokenizer.open(str(tmp_path))
        (tmp_path / "tokenizer.json").write_text("{}")
        with pytest.raises(DataError, match="should hold a tokenizer"):
            TextTokenizer.open(str(tmp_path))

    def test_a_model_s_own(self, minilm: Path) -> None:
        tokenizer = TextTokenizer.open(str(minilm))
        # BERT's uncased vocabulary has hello at 7592, world at 2088; the file says to pad to 128.
        assert tokenizer.encode(pl.Series(["Hello world"]), 30).to_list() == [[7593, 2089]]
        assert tokenizer.size == 30_523
        assert tokenizer.words()[7593] == "hello"

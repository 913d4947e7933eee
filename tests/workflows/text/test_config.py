"""The text section says what contradicts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from towermill.workflows.text import TextConfig


class TestTextConfig:
    def test_round_trips(self) -> None:
        config = TextConfig(columns=("title", "abstract"), tokenizer="word", words="glove.txt.gz")
        assert TextConfig.model_validate(config.model_dump(exclude_unset=True)) == config

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            ({"words": "org/model"}, "Set both to the same name"),
            ({"words": "org/model", "tokenizer": "word"}, "Set both to the same name"),
            ({"words": "org/model", "tokenizer": "org/other"}, "Set both to the same name"),
            ({"tokenizer": "org/model", "vocabulary": 99}, "`text.vocabulary` is of a tokenizer"),
            ({"words": "glove.txt", "word_dim": 50}, "`text.word_dim` is the width"),
            ({"columns": ["title", "title"]}, "name a column once"),
            ({"columns": []}, "columns"),
            ({"title_size": 0}, "title_size"),
            ({"unknown": 1}, "unknown"),
        ],
    )
    def test_refuses(self, content: dict[str, Any], said: str) -> None:
        with pytest.raises(ValidationError, match=said):
            TextConfig.model_validate(content)

    @pytest.mark.parametrize("tokenizer", ["org/model", "copy/tokenizer.json"])
    def test_a_transformer_s_words_go_with_its_tokenizer(self, tokenizer: str) -> None:
        assert not TextConfig(words="org/model", tokenizer=tokenizer).is_trained

    def test_files_are_those_here(self, tmp_path: Path) -> None:
        model, words = tmp_path / "model", tmp_path / "glove.txt"
        (model / "1_Pooling").mkdir(parents=True)
        names = ("1_Pooling/config.json", "config.json", "model.safetensors")
        for name in (*names, "README.md"):
            (model / name).write_text("")
        inner = [model / name for name in names]
        assert TextConfig(vectors=str(model)).files() == inner
        assert TextConfig(tokenizer=str(model), words=str(model)).files() == inner
        # Not there, and named all the same: a run is refused before any work.
        assert TextConfig(tokenizer="word", words=str(words)).files() == [words]
        assert TextConfig(tokenizer="org/model", words="org/model").files() == []
        assert TextConfig().files() == []

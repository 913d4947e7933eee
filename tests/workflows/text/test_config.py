"""The text section says what contradicts."""

from __future__ import annotations

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

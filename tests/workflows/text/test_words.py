"""Vectors are taken for what is known, and drawn like them for the rest."""

from __future__ import annotations

import gzip
import json
import logging
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from towermill.errors import DataError, SetupError
from towermill.workflows.text import TextConfig
from towermill.workflows.text.tokenizer import TextTokenizer
from towermill.workflows.text.words import word_matrix

LINES = "the 1 2 3\nCat -1 0.5 1e-1\n. . 9 9 9\nDOG 7 7 7\ndog 3 2 1 \nnobody 5 5 5\n"


@pytest.fixture
def tokenizer() -> TextTokenizer:
    """Ids: 1 unknown, 2 the, 3 cat, 4 dog, 5 zebra."""
    config = TextConfig(tokenizer="word", min_frequency=1)
    return TextTokenizer.train(["the the the the cat cat cat dog dog zebra"], config)


class TestFile:
    @pytest.mark.parametrize("header", ["", "6 3\n"])
    @pytest.mark.parametrize("packed", [False, True])
    def test_known_words_take_theirs(
        self,
        tokenizer: TextTokenizer,
        tmp_path: Path,
        caplog: pytest.LogCaptureFixture,
        header: str,
        packed: bool,
    ) -> None:
        content = (header + LINES).encode()
        path = tmp_path / ("v.txt.gz" if packed else "v.vec")
        path.write_bytes(gzip.compress(content) if packed else content)
        with caplog.at_level(logging.INFO, "towermill"):
            matrix = word_matrix(str(path), tokenizer)
        assert matrix.shape == (6, 3)
        assert matrix.dtype == np.float32
        known = np.array([[1, 2, 3], [-1, 0.5, 0.1], [3, 2, 1]], np.float32)
        np.testing.assert_array_equal(matrix[[2, 3, 4]], known)
        np.testing.assert_array_equal(matrix[0], 0)
        assert "50.0 %" in caplog.text
        drawn = np.random.default_rng(0).standard_normal((6, 3), dtype=np.float32)
        like = drawn * known.std(axis=0) + known.mean(axis=0)
        np.testing.assert_allclose(matrix[[1, 5]], like[[1, 5]], rtol=1e-5)

    def test_pieces_within_words_are_drawn(self, tmp_path: Path) -> None:
        config = TextConfig(min_frequency=1, vocabulary=60)
        tokenizer = TextTokenizer.train(["cat cat catalogue"], config)
        path = tmp_path / "v.txt"
        path.write_text("cat 1 1\n##a 8 8\nAT 9 9\n")
        matrix = word_matrix(str(path), tokenizer)
        ids = {t: i + 1 for t, i in tokenizer.tokenizer.get_vocab().items()}
        np.testing.assert_array_equal(matrix[ids["cat"]], [1, 1])
        # One vector was found, so what is drawn has its mean and no deviation.
        np.testing.assert_array_equal(matrix[ids["##a"]], [1, 1])

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            ("the 1 2 3\ncat 1 2\n", "line 2, should have 3 numbers"),
            ("the 1 2 3\ncat 1 2 3 4\n", "line 2, should have 3 numbers"),
            ("2 3\nthe 1 2 3\ncat 1 2\n", "line 3"),
            ("the 1 x 3\n", "a word and its numbers"),
            ("the 1 2 3\ncat 1 x 3\n", "line 2, should have a word"),
            ("the 1 2 nan\n", "finite"),
            ("katze 1 2 3\n", "it knows none"),
            ("", "it knows none"),
        ],
    )
    def test_refuses(
        self, tokenizer: TextTokenizer, tmp_path: Path, content: str, said: str
    ) -> None:
        path = tmp_path / "v.txt"
        path.write_text(content)
        with pytest.raises(DataError, match=said):
            word_matrix(str(path), tokenizer)

    def test_no_file_and_a_cut_one(self, tokenizer: TextTokenizer, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="a file that exists"):
            word_matrix("nowhere.txt", tokenizer)
        (tmp_path / "v.gz").write_bytes(gzip.compress(LINES.encode())[:-12])
        with pytest.raises(DataError, match="cannot be unpacked"):
            word_matrix(str(tmp_path / "v.gz"), tokenizer)


class TestTransformer:
    rows = np.arange(24, dtype=np.float32).reshape(8, 3) / 4

    @pytest.mark.parametrize("dtype", ["F16", "F32", "F64", "BF16"])
    def test_rows_stand_at_ids_plus_one(
        self, tokenizer: TextTokenizer, tmp_path: Path, dtype: str
    ) -> None:
        name = "bert.embeddings.word_embeddings.weight"
        if dtype == "BF16":
            halves = (self.rows.view(np.uint32) >> 16).astype("<u2").tobytes()
            entry = {"dtype": dtype, "shape": [8, 3], "data_offsets": [4, 4 + len(halves)]}
            first = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
            header = json.dumps({"other": first, name: entry}).encode()
            length = len(header).to_bytes(8, "little")
            (tmp_path / "model.safetensors").write_bytes(length + header + bytes(4) + halves)
        else:
            rows = self.rows.astype(dtype.replace("F", "f").replace("f", "float"))
            save_file({"other": np.ones(1), name: rows}, tmp_path / "model.safetensors")
        matrix = word_matrix(str(tmp_path), tokenizer)
        assert matrix.dtype == np.float32
        np.testing.assert_array_equal(matrix, np.vstack([np.zeros((1, 3)), self.rows[:5]]))

    def test_of_several_files(self, tokenizer: TextTokenizer, tmp_path: Path) -> None:
        save_file({"layer.weight": np.ones((2, 2))}, tmp_path / "a.safetensors")
        save_file({"model.embed_tokens.weight": self.rows}, tmp_path / "b.safetensors")
        places = {"layer.weight": "a.safetensors", "model.embed_tokens.weight": "b.safetensors"}
        index = tmp_path / "model.safetensors.index.json"
        index.write_text(json.dumps({"weight_map": places}))
        np.testing.assert_array_equal(word_matrix(str(tmp_path), tokenizer)[1:], self.rows[:5])
        (tmp_path / "a.safetensors").unlink()
        with pytest.raises(DataError, match=r"should hold a\.safetensors"):
            word_matrix(str(tmp_path), tokenizer)

    def test_refuses(self, tokenizer: TextTokenizer, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="Found: nothing"):
            word_matrix(str(tmp_path), tokenizer)
        (tmp_path / "pytorch_model.bin").touch()
        with pytest.raises(DataError, match="takes PyTorch to read"):
            word_matrix(str(tmp_path), tokenizer)
        weights = tmp_path / "model.safetensors"
        weights.write_bytes(b"x" * 99)
        with pytest.raises(DataError, match="is damaged"):
            word_matrix(str(tmp_path), tokenizer)
        save_file({"dense.weight": self.rows}, weights)
        with pytest.raises(DataError, match=r"Found: dense\.weight"):
            word_matrix(str(tmp_path), tokenizer)
        save_file({"wte.weight": self.rows[:4]}, weights)
        with pytest.raises(DataError, match="each of the tokenizer's 5 ids"):
            word_matrix(str(tmp_path), tokenizer)
        save_file({"wte.weight": self.rows.astype(np.int8)}, weights)
        with pytest.raises(DataError, match="quantised"):
            word_matrix(str(tmp_path), tokenizer)


class TestNames:
    def test_are_fetched(
        self, tokenizer: TextTokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        save_file({"shared.weight": TestTransformer.rows}, tmp_path / "model.safetensors")
        asked = {}

        def fetch(name: str, allow_patterns: list[str]) -> str:
            asked[name] = allow_patterns
            return str(tmp_path)

        monkeypatch.setattr("huggingface_hub.snapshot_download", fetch)
        assert word_matrix("org/model", tokenizer).shape == (6, 3)
        assert "pytorch_model.bin" not in asked["org/model"]
        assert "model*.safetensors" in asked["org/model"]

    def test_without_a_network(
        self, tokenizer: TextTokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
        with pytest.raises(SetupError, match="Without a network, give a folder"):
            word_matrix("org/there-is-none", tokenizer)

    @pytest.mark.parametrize("source", ["/no/such/folder", "./none", "a/b/c", "org/bad name!"])
    def test_that_are_none(self, tokenizer: TextTokenizer, source: str) -> None:
        with pytest.raises(DataError, match=r"Correct the (name or )?path"):
            word_matrix(source, tokenizer)

"""A sentence's vector is what the model's formulas say, and is computed once."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer

from towermill.errors import DataError, SetupError
from towermill.workflows.text import encoder, sentences
from towermill.workflows.text.encoder import SentenceModel
from towermill.workflows.text.sentences import sentence_vectors

SENTENCES = [
    "hello world",
    "A storm closed the harbour on Monday; ferries are expected back by noon.",
    "",
    "hello world",
]

#: Of "hello world", the first numbers by sentence-transformers 6.2 on PyTorch.
GIVEN = [-0.0344773, 0.0310232, 0.006735, 0.026109, -0.039362]


def erf(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Abramowitz and Stegun 7.1.26 is too coarse here: integrate instead, by Simpson's rule."""
    steps = 400
    nodes = np.linspace(0, 1, steps + 1)
    weights = np.where(np.arange(steps + 1) % 2, 4.0, 2.0)
    weights[[0, -1]] = 1
    t = x[..., None] * nodes
    area = (np.exp(-(t**2)) * weights).sum(-1) * x / (3 * steps)
    return 2 / np.sqrt(np.pi) * area


def slow_bert(folder: Path, ids: list[int]) -> NDArray[np.float64]:
    """BERT as Devlin et al. (2019) have it, mean of tokens, length 1, from the weights alone."""
    w = {k: v.astype(np.float64) for k, v in load_file(folder / "model.safetensors").items()
         if v.dtype.kind == "f"}  # fmt: skip
    config = json.loads((folder / "config.json").read_text())
    heads = config["num_attention_heads"]

    def norm(x: NDArray[np.float64], name: str) -> NDArray[np.float64]:
        x = x - x.mean(-1, keepdims=True)
        x = x / np.sqrt((x**2).mean(-1, keepdims=True) + config["layer_norm_eps"])
        return x * w[f"{name}.weight"] + w[f"{name}.bias"]

    def dense(x: NDArray[np.float64], name: str) -> NDArray[np.float64]:
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    e = "embeddings."
    x = w[f"{e}word_embeddings.weight"][ids] + w[f"{e}token_type_embeddings.weight"][0]
    x = norm(x + w[f"{e}position_embeddings.weight"][: len(ids)], f"{e}LayerNorm")
    for layer in range(config["num_hidden_layers"]):
        at = f"encoder.layer.{layer}."
        q, k, v = (
            dense(x, f"{at}attention.self.{part}").reshape(len(ids), heads, -1).swapaxes(0, 1)
            for part in ("query", "key", "value")
        )
        scores = np.exp(q @ k.swapaxes(1, 2) / np.sqrt(q.shape[-1]))
        mixed = (scores / scores.sum(-1, keepdims=True)) @ v
        mixed = mixed.swapaxes(0, 1).reshape(len(ids), -1)
        x = norm(x + dense(mixed, f"{at}attention.output.dense"), f"{at}attention.output.LayerNorm")
        h = dense(x, f"{at}intermediate.dense")
        h = h * (1 + erf(h / np.sqrt(2))) / 2
        x = norm(x + dense(h, f"{at}output.dense"), f"{at}output.LayerNorm")
    mean = x.mean(0)
    return mean / np.linalg.norm(mean)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def vectors(minilm: Path, cache: Path) -> NDArray[np.float32]:
    """What the model in `minilm` makes of `SENTENCES`."""
    return sentence_vectors(pl.Series(SENTENCES), str(minilm), cache=cache, batch_size=2)


@pytest.mark.slow
class TestMiniLM:
    def test_is_what_sentence_transformers_gives(self, vectors: NDArray[np.float32]) -> None:
        assert vectors.shape == (4, 384)
        assert vectors.dtype == np.float32
        np.testing.assert_allclose(vectors[0, :5], GIVEN, atol=1e-6)
        np.testing.assert_array_equal(vectors[0], vectors[3])

    def test_is_what_the_formulas_say(self, minilm: Path, vectors: NDArray[np.float32]) -> None:
        tokenizer = Tokenizer.from_file(str(minilm / "tokenizer.json"))
        tokenizer.no_padding()
        for sentence, vector in zip(SENTENCES[:3], vectors[:3], strict=True):
            slow = slow_bert(minilm, tokenizer.encode(sentence).ids)
            np.testing.assert_allclose(vector, slow, atol=1e-6)

    def test_what_is_known_is_not_computed(
        self,
        minilm: Path,
        cache: Path,
        vectors: NDArray[np.float32],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        def refuse(self: SentenceModel) -> None:
            raise AssertionError("loaded the model")

        monkeypatch.setattr(SentenceModel, "encoder", refuse)
        order = [2, 1, 0, 1]
        again = sentence_vectors(pl.Series(SENTENCES)[order], str(minilm), cache=cache)
        np.testing.assert_array_equal(again, vectors[order])


class TestCache:
    """With an encoder that counts: a sentence's vector is the number of its tokens, and ids."""

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        folder = tmp_path / "model"
        folder.mkdir()
        made(folder, hidden_size=2)
        return folder

    @pytest.fixture
    def computed(self, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        rows: list[int] = []

        def encoded(self: SentenceModel) -> Callable[..., Any]:
            def encode(ids: Any, mask: Any) -> NDArray[np.float32]:
                rows.append(len(ids))
                return np.stack([mask.sum(1), (ids * mask).sum(1)], axis=1).astype(np.float32)

            return encode

        monkeypatch.setattr(SentenceModel, "encoder", encoded)
        return rows

    def test_rows_stand_where_their_texts_do(
        self, folder: Path, tmp_path: Path, computed: list[int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sentences, "_CHUNK", 3)
        texts = pl.Series(["b a a", None, "a", " b a a ", "b", "", "a b"])
        found = sentence_vectors(texts, str(folder), cache=tmp_path, batch_size=2)
        a, b = 1, 2
        expected = [[3, b + a + a], [0, 0], [1, a], [3, b + a + a], [1, b], [0, 0], [2, a + b]]
        np.testing.assert_array_equal(found, expected)
        assert sum(computed) == 5
        again = sentence_vectors(texts.reverse(), str(folder), cache=tmp_path)
        np.testing.assert_array_equal(again, expected[::-1])
        assert sum(computed) == 5
        sentence_vectors(pl.Series(["a", "b b"]), str(folder), cache=tmp_path)
        assert sum(computed) == 6
        assert not list(tmp_path.rglob("*.partial"))

    def test_another_model_is_another_cache(
        self, folder: Path, tmp_path: Path, computed: list[int]
    ) -> None:
        for _ in range(2):
            sentence_vectors(pl.Series(["a"]), str(folder), cache=tmp_path)
        save_file({"x": np.full(1, 2.0)}, folder / "model.safetensors")
        sentence_vectors(pl.Series(["a"]), str(folder), cache=tmp_path)
        assert sum(computed) == 2

    def test_no_texts(self, folder: Path, tmp_path: Path, computed: list[int]) -> None:
        none = pl.Series("t", [], dtype=pl.String)
        assert sentence_vectors(none, str(folder), cache=tmp_path).shape == (0, 2)

    def test_stands_where_the_environment_says(
        self, folder: Path, tmp_path: Path, computed: list[int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TOWERMILL_CACHE", str(tmp_path / "kept"))
        sentence_vectors(pl.Series(["a"]), str(folder))
        assert len(list((tmp_path / "kept").rglob("*.parquet"))) == 1


def made(folder: Path, **config: Any) -> None:
    """Write a folder that looks like a model's, whose tokenizer has a: 1 and b: 2."""
    from tokenizers import models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({"?": 0, "a": 1, "b": 2}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    whole = {"model_type": "bert", "max_position_embeddings": 66, **config}
    (folder / "config.json").write_text(json.dumps(whole))
    save_file({"x": np.ones(1)}, folder / "model.safetensors")


class TestFiles:
    def write(self, folder: Path, name: str, content: Any) -> None:
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(content))

    def modules(self, folder: Path, *kinds: str) -> None:
        paths = {"Transformer": "", "Pooling": "1_Pooling"}
        listed = [{"type": f"st.models.{kind}", "path": paths.get(kind, "2")} for kind in kinds]
        self.write(folder, "modules.json", listed)

    def test_without_any_the_mean(self, tmp_path: Path) -> None:
        made(tmp_path)
        model = SentenceModel.open(str(tmp_path))
        assert (model.pooling, model.normalize, model.max_length) == ("mean", False, 66)

    def test_say_what_is_done(self, tmp_path: Path) -> None:
        made(tmp_path, model_type="roberta")
        self.modules(tmp_path, "Transformer", "Pooling", "Normalize")
        modes = {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}
        self.write(tmp_path, "1_Pooling/config.json", modes)
        own = {"max_seq_length": 512, "do_lower_case": True}
        self.write(tmp_path, "sentence_bert_config.json", own)
        prompts = {"prompts": {"q": "query: "}, "default_prompt_name": "q"}
        self.write(tmp_path, "config_sentence_transformers.json", prompts)
        model = SentenceModel.open(str(tmp_path))
        # Two of RoBERTa's positions are of no token.
        assert (model.pooling, model.normalize, model.max_length) == ("cls", True, 64)
        assert (model.lowercase, model.prompt) == (True, "query: ")

    @pytest.mark.parametrize(
        ("config", "said"),
        [
            ({"model_type": "mpnet"}, "albert, bert, distilbert, roberta, xlm-roberta"),
            ({"hidden_act": "relu"}, "activation"),
            ({"position_embedding_type": "relative_key"}, "absolute"),
        ],
    )
    def test_refuses(self, tmp_path: Path, config: dict[str, Any], said: str) -> None:
        made(tmp_path, **config)
        with pytest.raises(DataError, match=said):
            SentenceModel.open(str(tmp_path))

    def test_refuses_other_modules_and_poolings(self, tmp_path: Path) -> None:
        made(tmp_path)
        self.modules(tmp_path, "Transformer", "Pooling")
        modes = {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True}
        self.write(tmp_path, "1_Pooling/config.json", modes)
        with pytest.raises(DataError, match="one of mean, cls and max"):
            SentenceModel.open(str(tmp_path))
        self.modules(tmp_path, "Transformer", "Pooling", "Dense")
        with pytest.raises(DataError, match="Dense as well"):
            SentenceModel.open(str(tmp_path))

    def test_needs_a_tokenizer(self, tmp_path: Path) -> None:
        made(tmp_path)
        (tmp_path / "tokenizer.json").unlink()
        with pytest.raises(DataError, match=r"should hold tokenizer\.json"):
            SentenceModel.open(str(tmp_path))

    def test_weights_of_another_type(self, tmp_path: Path, minilm: Path) -> None:
        for name in ("config.json", "tokenizer.json"):
            shutil.copy(minilm / name, tmp_path)
        save_file({"x": np.ones(1)}, tmp_path / "model.safetensors")
        with pytest.raises(DataError, match="should be those of a model of type bert"):
            SentenceModel.open(str(tmp_path)).encoder()

    def test_without_the_extra(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        made(tmp_path)
        monkeypatch.setitem(encoder.sys.modules, "keras_hub", None)
        with pytest.raises(SetupError, match="towermill install text"):
            SentenceModel.open(str(tmp_path)).encoder()

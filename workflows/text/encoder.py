"""BERT-like sentence encoders, run by KerasHub in TensorFlow."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from towermill.errors import DataError, SetupError
from towermill.extras import install_command
from towermill.runtime.code import code_of
from towermill.workflows.text.checkpoints import (
    PATTERNS,
    TOKENIZER,
    model_folder,
    read_json,
    read_tensor,
    tensor_places,
    weight_files,
)

_CONFIGS: Final = (
    "config.json",
    "modules.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
)
#: By `model_type`: what KerasHub wants before the names of weights, and how many of the rows of
#: position embeddings are of no token.
_KINDS: Final = {
    "albert": ("albert.", 0),
    "bert": ("", 0),
    "distilbert": ("distilbert.", 0),
    "roberta": ("roberta.", 2),
    "xlm-roberta": ("", 2),
}
#: Approximate, or exact, by the name that a config gives to the activation.
_GELUS: Final = {"gelu": False, "gelu_new": True, "gelu_pytorch_tanh": True, "gelu_fast": True}
_MAX_LENGTH: Final = 256
_POSITIONS: Final = "embeddings.position_embeddings.weight"
_TYPES: Final = "embeddings.token_type_embeddings.weight"
#: What classifies whole texts, by type; often left out of sentence models, and of no use here.
_POOLERS: Final = {"bert": "pooler.dense.", "albert": "pooler."}

#: Token ids and their mask, (n, length) int32 each, to vectors, (n, width) float32.
Encoder = Callable[[NDArray[np.int32], NDArray[np.int32]], NDArray[np.float32]]


@dataclass(frozen=True)
class SentenceModel:
    """A sentence model's folder, and what its files say of how sentences become vectors.

    Attributes
    ----------
    pooling
        Of the tokens' vectors: their mean, the first, or the greatest number of each column.
    normalize
        Whether vectors are brought to length 1.
    max_length
        Most tokens of a sentence, special ones among them.
    lowercase, prompt
        What is done to a sentence first, and what is put before it.
    """

    folder: Path
    config: dict[str, Any]
    pooling: Literal["mean", "cls", "max"]
    normalize: bool
    max_length: int
    lowercase: bool
    prompt: str

    @classmethod
    def open(cls, source: str) -> SentenceModel:
        """Read the files of a model, by name on Hugging Face or folder; not yet its weights.

        Raises
        ------
        DataError
            If a file is missing, or asks for what cannot be done here.
        SetupError
            If the model cannot be fetched.
        """
        fetched = (*PATTERNS, TOKENIZER, *_CONFIGS, "*_Pooling/config.json")
        folder = model_folder(source, fetched)
        config = read_json(folder, "config.json") or {}
        kind, activation = config.get("model_type"), _activation(config)
        if kind not in _KINDS:
            raise DataError(
                f"`text.vectors` should name a model of type {', '.join(_KINDS)}. {source} is of "
                f"type {kind!r}. Take another, or give the items vectors made elsewhere."
            )
        if activation not in _GELUS:
            raise DataError(
                f"{source} should have one of the activations {', '.join(_GELUS)}; it has "
                f"{activation!r}. Take another model."
            )
        if config.get("position_embedding_type") not in (None, "absolute"):
            raise DataError(
                f"{source} should have absolute position embeddings; it has "
                f"{config['position_embedding_type']!r} ones. Take another model."
            )
        if not (folder / TOKENIZER).is_file():
            raise DataError(
                f"{folder} should hold {TOKENIZER}; it does not. Save the model's tokenizer there "
                "with transformers' AutoTokenizer."
            )
        weight_files(folder)
        own = read_json(folder, "sentence_bert_config.json") or {}
        prompts = read_json(folder, "config_sentence_transformers.json") or {}
        pooling, normalize = _modules(folder, source)
        positions = int(config["max_position_embeddings"]) - _KINDS[kind][1]
        return cls(
            folder=folder,
            config=config,
            pooling=pooling,
            normalize=normalize,
            max_length=min(int(own.get("max_seq_length") or _MAX_LENGTH), positions),
            lowercase=bool(own.get("do_lower_case")),
            prompt=(prompts.get("prompts") or {}).get(prompts.get("default_prompt_name")) or "",
        )

    def fingerprint(self) -> str:
        """Return a hash of all that a sentence's vector depends on: weights, options and code."""
        code = code_of(__name__)
        digest = hashlib.sha256(repr((code.version, code.packages)).encode())
        digest.update(repr((self.pooling, self.normalize, self.max_length)).encode())
        digest.update(repr((self.lowercase, self.prompt)).encode())
        names = ("config.json", TOKENIZER)
        for path in [*(self.folder / name for name in names), *weight_files(self.folder)]:
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()

    def encoder(self) -> Encoder:
        """Load the weights.

        Raises
        ------
        SetupError
            If a package is missing, or Keras already runs on another back end than TensorFlow.
        DataError
            If the weights are not those that the model's type has.
        """
        keras_hub = _keras_hub()
        import tensorflow as tf
        from safetensors import SafetensorError

        with tempfile.TemporaryDirectory() as scratch:
            self._rewrite(Path(scratch))
            try:
                backbone = keras_hub.models.Backbone.from_preset(scratch, dtype="float32")
            except (SafetensorError, KeyError, ValueError) as error:
                raise DataError(
                    f"The weights in {self.folder} should be those of a model of type "
                    f"{self.config['model_type']}: {error}. Fetch the model again, or take another."
                ) from error
        self._adjust(backbone)
        inputs = {tensor.name for tensor in backbone.inputs}

        def vectors(ids: Any, mask: Any) -> Any:
            given = {"token_ids": ids, "padding_mask": mask, "segment_ids": tf.zeros_like(ids)}
            outputs = backbone({name: given[name] for name in inputs}, training=False)
            states = outputs["sequence_output"] if isinstance(outputs, dict) else outputs
            pooled = self._pool(tf, states, tf.cast(mask, states.dtype)[:, :, None])
            return tf.math.l2_normalize(pooled, axis=1) if self.normalize else pooled

        # One trace for all shapes: a text's length should not cost a compilation.
        signature = [tf.TensorSpec([None, None], tf.int32)] * 2
        compiled = tf.function(vectors, input_signature=signature)
        return lambda ids, mask: compiled(tf.constant(ids), tf.constant(mask)).numpy()

    def _pool(self, tf: Any, states: Any, mask: Any) -> Any:
        if self.pooling == "cls":
            return states[:, 0]
        if self.pooling == "max":
            return tf.reduce_max(tf.where(mask > 0, states, states.dtype.min), axis=1)
        return tf.reduce_sum(states * mask, axis=1) / tf.reduce_sum(mask, axis=1)

    def _rewrite(self, scratch: Path) -> None:
        """Write the weights as KerasHub reads them: float32, under the names that it looks for."""
        from safetensors.numpy import save_file

        prefix, _ = _KINDS[self.config["model_type"]]
        places = tensor_places(self.folder)
        anchor = next((name for name in places if name.endswith(_POSITIONS)), _POSITIONS)
        old = anchor.removesuffix(_POSITIONS)
        weights = {
            name.removeprefix(old): read_tensor(path, name)
            for name, path in places.items()
            # (Older checkpoints hold the numbers 0, 1, 2, … of positions as well.)
            if name.startswith(old) and not name.endswith("position_ids")
        }
        if self.config["model_type"] == "roberta" and _TYPES in weights:
            # KerasHub's has no segments; all tokens here are of the first.
            weights[_POSITIONS] = weights[_POSITIONS] + weights[_TYPES][0]
        pooler = _POOLERS.get(self.config["model_type"])
        if pooler and f"{pooler}weight" not in weights:
            width = int(self.config["hidden_size"])
            weights[f"{pooler}weight"] = np.zeros((width, width), np.float32)
            weights[f"{pooler}bias"] = np.zeros(width, np.float32)
        save_file({prefix + n: w for n, w in weights.items()}, scratch / "model.safetensors")
        (scratch / "config.json").write_text(json.dumps(self.config))

    def _adjust(self, backbone: Any) -> None:
        """Set the activations and the epsilons that the config says; KerasHub's are constants."""
        import keras

        approximate = _GELUS[_activation(self.config)]

        def gelu(x: Any) -> Any:
            return keras.activations.gelu(x, approximate=approximate)

        for layer in backbone._flatten_layers(include_self=False):  # inner layers, too
            if isinstance(layer, keras.layers.LayerNormalization):
                layer.epsilon = float(self.config.get("layer_norm_eps", 1e-12))
            elif isinstance(layer, keras.layers.Dense) and "gelu" in layer.activation.__name__:
                layer.activation = gelu


def _activation(config: dict[str, Any]) -> str:
    # (DistilBERT's config has another name for it.)
    return str(config.get("hidden_act") or config.get("activation") or "gelu")


def _modules(folder: Path, source: str) -> tuple[Literal["mean", "cls", "max"], bool]:
    """Return the pooling that a model's files say, and whether vectors are normalised."""
    modules = read_json(folder, "modules.json") or []
    kinds = [module["type"].rsplit(".", 1)[-1] for module in modules]
    if unknown := set(kinds) - {"Transformer", "Pooling", "Normalize"}:
        raise DataError(
            f"{source} should be made of the modules Transformer, Pooling and Normalize; it has "
            f"{', '.join(sorted(unknown))} as well. Take another model."
        )
    paths = [m["path"] for m, kind in zip(modules, kinds, strict=True) if kind == "Pooling"]
    said = read_json(folder / paths[0], "config.json") if paths else None
    found = {
        key.removeprefix("pooling_mode_").removesuffix("_token").removesuffix("_tokens")
        for key, value in (said or {}).items()
        if key.startswith("pooling_mode_") and value is True
    }
    if isinstance(mode := (said or {}).get("pooling_mode"), str):
        found.add(mode)
    match sorted(found) or ["mean"]:
        case [("mean" | "cls" | "max") as pooling]:
            return pooling, "Normalize" in kinds
    raise DataError(
        f"{source} should pool its tokens by one of mean, cls and max; it says "
        f"{', '.join(sorted(found))}. Take another model."
    )


def _keras_hub() -> Any:
    keras = sys.modules.get("keras")
    if keras is not None and keras.backend.backend() != "tensorflow":
        raise SetupError(
            "Keras should run on TensorFlow; it was imported on "
            f"{keras.backend.backend()}. Set KERAS_BACKEND=tensorflow before Python starts."
        )
    os.environ["KERAS_BACKEND"] = "tensorflow"
    try:
        import keras_hub
    except ImportError as error:
        raise SetupError(
            f"Sentence vectors need packages that are not installed ({error}). "
            f"Install them: {install_command('text')}"
        ) from error
    return keras_hub

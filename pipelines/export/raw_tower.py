"""Export the query tower for raw features, with the id lookup inside the graph."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from towermill.columns import FIRST_ID, ITEM_ID, OOV_ID, USER_ID
from towermill.features.inputs import ModelInput, RawEncoding, RawInput
from towermill.pipelines.bundle.manifest import ITEMS, USERS
from towermill.pipelines.bundle.raw_features import kinds_of, read_vocabulary
from towermill.pipelines.bundle.tables import IdTable


def raw_inputs(features: Mapping[str, ModelInput]) -> dict[str, RawInput]:
    """Return the raw tower's inputs, by name.

    Text and whole numbers as they come; a number is float64; ``timestamp`` and a date are seconds
    since 1970, int64. What cannot be made of a raw value is taken encoded.
    """
    inputs: dict[str, RawInput] = {}
    for name, kind in kinds_of(features).items():
        inputs |= kind.raw_inputs(name, features[name])
    return inputs


class RawTower(tf.Module):  # type: ignore[misc]
    """A query tower preceded by the encoding of its raw features.

    Parameters
    ----------
    tower
        Encoded features to embeddings.
    features
        What it takes, by name.
    bundle
        The folder with the vocabularies and the tables of ids.
    """

    def __init__(self, tower: Any, features: Mapping[str, ModelInput], bundle: Path) -> None:
        super().__init__()
        self.weights = tower.variables
        self._tower, self._features = _Hidden(tower), _Hidden(dict(features))
        # Kept, so that the SavedModel holds them.
        self.tables: dict[str, Any] = {}
        for name, feature in features.items():
            if feature.raw.vocabulary or feature.raw.ids_of:
                self.tables[name] = _table(feature.raw, bundle)

    def save(self, path: Path) -> None:
        """Write it as a SavedModel with the one signature ``serving_default``."""
        specs: dict[str, tf.TensorSpec] = {}
        for name, told in raw_inputs(self._features.value).items():
            if told.list:
                values, offsets = f"{name}__values", f"{name}__offsets"
                specs[values] = tf.TensorSpec([None], told.dtype, name=values)
                specs[offsets] = tf.TensorSpec([None], tf.int32, name=offsets)
            else:
                specs[name] = tf.TensorSpec([None], told.dtype, name=name)

        @tf.function  # type: ignore[untyped-decorator]
        def serve(**raw: tf.Tensor) -> dict[str, tf.Tensor]:
            embedding = self._tower.value(self.encode(raw), training=False)
            return {"embedding": tf.cast(embedding, tf.float32)}

        tf.saved_model.save(self, str(path), signatures=serve.get_concrete_function(**specs))

    def encode(self, raw: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Return the encoded features of raw ones."""
        features: dict[str, ModelInput] = self._features.value
        encoded: dict[str, tf.Tensor] = {}
        for name, kind in kinds_of(features).items():
            found = kind.encode_tensors(name, features[name], raw, partial(self._look_up, name))
            if features[name].list:
                # Unknown items are left out of a history, as in training.
                found = _known(*found) if features[name].raw.ids_of else found
                encoded[f"{name}__values"], encoded[f"{name}__offsets"] = found
            else:
                encoded[name] = tf.cast(found, features[name].dtype)
        return encoded

    def _look_up(self, name: str, values: tf.Tensor) -> tf.Tensor:
        return self.tables[name].lookup(values)


def _known(values: tf.Tensor, offsets: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return lists of ids without the unknown ones."""
    known = values >= FIRST_ID
    ends = tf.concat([[0], tf.cumsum(tf.cast(known, offsets.dtype))], 0)
    return tf.boolean_mask(values, known), tf.gather(ends, offsets)


class _Hidden:
    """Keeps a value out of what TensorFlow tracks.

    It would change dicts, and could load what is saved only with Keras' and Merlin's objects.
    """

    def __init__(self, value: Any) -> None:
        self.value = value


def _table(told: RawEncoding, bundle: Path) -> Any:
    values = _values(told, bundle)
    if told.type == "int64":
        values = [int(value) for value in values]
    dtype = tf.string if told.type == "string" else tf.int64
    ids = np.arange(FIRST_ID, FIRST_ID + len(values), dtype=np.int32)
    return tf.lookup.StaticHashTable(
        tf.lookup.KeyValueTensorInitializer(tf.constant(values, dtype), tf.constant(ids)), OOV_ID
    )


def _values(told: RawEncoding, bundle: Path) -> list[Any]:
    if told.ids_of is None:
        return read_vocabulary(bundle / str(told.vocabulary))
    table = {USER_ID: USERS, ITEM_ID: ITEMS}[told.ids_of]
    values: list[Any] = IdTable(bundle / table, told.ids_of).raw(told.ids_of).to_pylist()
    return values

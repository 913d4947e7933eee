"""An earlier model's weights in a model with more users, items and categories."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
from merlin.models.tf.inputs.embedding import EmbeddingTable
from numpy.typing import NDArray

from towermill.columns import FIRST_ID, ITEM_ID, OOV_ID, VECTOR
from towermill.errors import DataError
from towermill.models.contracts.ranker import Ranker
from towermill.models.contracts.retriever import Retriever
from towermill.models.data.interactions import Processed

#: Known items whose rows make that of a new one.
NEIGHBOURS = 10
#: New items that are compared with all known ones at a time.
_BLOCK = 1024


def grow(
    model: Retriever | Ranker, data: Processed, earlier: Retriever | Ranker, known: int
) -> None:
    """Copy the weights of an earlier model, whose ids are the first ids of `model`.

    An embedding row that the earlier model lacks is a copy of its out-of-vocabulary row: a new id
    begins with the vector that it was served with while unknown. Where items have vectors, a
    new item's row is the mean of the rows of the `NEIGHBOURS` known items nearest by cosine, as
    content replaces the missing interactions (Schein et al., SIGIR 2002).

    Parameters
    ----------
    model
        Built on `data`; its weights are changed.
    data
        The processed data, with the earlier ids first.
    earlier
        A model of the same architecture, its weights restored.
    known
        Items that the earlier model knows.

    Raises
    ------
    DataError
        A weight is of another shape, by more than its number of rows.
    """
    for mine, theirs in zip(model.parts, earlier.parts, strict=True):
        of_items = _item_tables(mine)
        if len(mine.weights) != len(theirs.weights):
            raise _unlike(f"{len(theirs.weights)} weights", f"{len(mine.weights)}")
        for weight, before in zip(mine.weights, theirs.weights, strict=True):
            old = before.numpy()
            if weight.shape == old.shape:
                weight.assign(old)
                continue
            rows = int(weight.shape[0]) - len(old)
            if weight.shape[1:] != old.shape[1:] or rows < 0:
                raise _unlike(f"{weight.name} of {old.shape}", f"{tuple(weight.shape)}")
            by_content = weight.ref() in of_items and VECTOR in data.items.columns
            new = _from_nearest(old, data, known) if by_content else None
            if new is None:
                new = np.repeat(old[OOV_ID : OOV_ID + 1], rows, axis=0)
            weight.assign(np.concatenate([old, new]))


def _unlike(before: str, now: str) -> DataError:
    return DataError(
        "The model must match the continued run, except for rows of embedding tables. It had "
        f"{before}; this one has {now}. Keep `model` and `features`, or retrain from scratch."
    )


def _item_tables(tower: Any) -> set[Any]:
    """Return references to the weights with a row an item id."""
    found = set()
    for layer in tower.submodules:
        merlins = isinstance(layer, EmbeddingTable) and ITEM_ID in layer.schema.column_names
        keras = isinstance(layer, tf.keras.layers.Embedding) and layer.name == ITEM_ID
        if merlins or keras:
            found |= {weight.ref() for weight in layer.weights}
    return found


def _from_nearest(
    old: NDArray[np.float32], data: Processed, known: int
) -> NDArray[np.float32] | None:
    """Return the rows of new items, by their vectors; out of vocabulary's where one is all 0."""
    vectors = _unit(data.items[VECTOR].to_numpy())
    held = np.flatnonzero(vectors[:known].any(axis=1))
    if not len(held):
        return None
    new = vectors[known:]
    rows = np.repeat(old[OOV_ID : OOV_ID + 1], len(new), axis=0)
    count = min(NEIGHBOURS, len(held))
    for start in range(0, len(new), _BLOCK):
        part = new[start : start + _BLOCK]
        near = np.argpartition(-(part @ vectors[held].T), count - 1, axis=1)[:, :count]
        means = old[held[near] + FIRST_ID].mean(axis=1)
        some = part.any(axis=1)
        rows[start : start + _BLOCK][some] = means[some]
    return rows


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: NDArray[np.float32] = vectors / np.maximum(lengths, np.float32(1e-12))
    return unit

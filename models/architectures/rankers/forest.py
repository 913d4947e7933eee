"""Trees as tables in a TensorFlow graph: what trained them is not needed to score or to serve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import tensorflow as tf
from merlin.schema import ColumnSchema, Schema, Tags
from numpy.typing import NDArray

from towermill.columns import FIRST_ID
from towermill.errors import SchemaError
from towermill.models.data.tensors import padded

#: Trees that are walked at a time: memory is that of so many numbers a row.
_TREES: Final = 16


class Trees(NamedTuple):
    """Trees of one depth, each with every node: the children of node i are 2i + 1 and 2i + 2.

    Attributes
    ----------
    feature, threshold
        Of the inner nodes, ``(trees, 2^depth - 1)``: a row whose feature is below goes left.
    leaves
        Values, left to right, ``(trees, 2^depth)``.
    """

    feature: NDArray[np.int32]
    threshold: NDArray[np.float32]
    leaves: NDArray[np.float32]


class TreeFeatures(tf.keras.layers.Layer):  # type: ignore[misc]
    """Turn prepared features into the numbers that trees split, ``(rows, features)``.

    A category is its encoded id, which is its rank by training frequency, so that a few splits
    isolate a frequent value, and rare ones share a side. A list is its length, and for each of its
    most frequent values whether it holds it. A number that is missing is 0.

    Parameters
    ----------
    schema
        The inputs.
    list_values
        Values of a list that get a number each, at most.

    Raises
    ------
    SchemaError
        A list holds numbers, not categories.
    """

    def __init__(self, schema: Schema, list_values: int) -> None:
        super().__init__(dtype="float32")
        self.names = [column.name for column in schema if not column.is_list]
        self.lists = {c.name: _values_of(c, list_values) for c in schema if c.is_list}

    def call(self, inputs: Mapping[str, Any]) -> tf.Tensor:
        """Return float32 ``(rows, features)`` for prepared features."""
        parts = [tf.cast(tf.reshape(inputs[name], [-1, 1]), tf.float32) for name in self.names]
        for name, count in self.lists.items():
            found = inputs[name]
            ids = padded(tf.reshape(found.values, [-1]), found.row_splits)
            wanted = tf.range(FIRST_ID, FIRST_ID + count, dtype=ids.dtype)
            held = tf.reduce_any(ids[:, :, None] == wanted[None, None, :], axis=1)
            parts += [tf.cast(part, tf.float32) for part in (found.row_lengths()[:, None], held)]
        joined = tf.concat(parts, axis=1)
        return tf.where(tf.math.is_nan(joined), tf.zeros_like(joined), joined)


def _values_of(column: ColumnSchema, most: int) -> int:
    if Tags.CATEGORICAL not in column.tags:
        raise SchemaError(
            f"`model.kind: xgboost` should be given lists of categories. {column.name!r} is a list "
            "of numbers: leave it out, or give its numbers as features of their own."
        )
    return min(most, max(int(column.int_domain.max) + 1 - FIRST_ID, 0))


class Forest(tf.keras.layers.Layer):  # type: ignore[misc]
    """The sum of trees, and a bias: zeros until `assign`.

    Rows descend a level a step, by gathers alone, which every runtime that an export goes to has.

    Parameters
    ----------
    depth
        Of every tree.

    Examples
    --------
    >>> forest = Forest(depth=1)
    >>> forest.assign(Trees(np.zeros((1, 1)), np.full((1, 1), 5), np.array([[-1, 1]])), bias=0.5)
    >>> forest(tf.constant([[3.0], [7.0]])).numpy()
    array([-0.5,  1.5], dtype=float32)
    """

    def __init__(self, depth: int) -> None:
        super().__init__(dtype="float32")
        self.depth, inner = depth, 2**depth - 1
        self.feature = _table(inner, tf.int32)
        self.threshold = _table(inner, tf.float32)
        self.leaves = _table(inner + 1, tf.float32)
        self.bias = self.add_weight(name="bias", shape=(), initializer="zeros", trainable=False)

    def assign(self, trees: Trees, bias: float) -> None:
        """Set the trees, any number of them, and the bias."""
        self.feature.assign(trees.feature)
        self.threshold.assign(trees.threshold)
        self.leaves.assign(trees.leaves)
        self.bias.assign(bias)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Return the sums for rows of features: ``(rows,)``."""
        rows, width = tf.shape(inputs)[0], tf.shape(inputs)[1]
        numbers, first = tf.reshape(inputs, [-1]), (tf.range(rows) * width)[:, None]
        tables = [tf.convert_to_tensor(t) for t in (self.feature, self.threshold, self.leaves)]
        count = tf.shape(tables[0])[0]

        def add(start: tf.Tensor, total: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            part = [table[start : start + _TREES] for table in tables]
            feature, threshold, leaves = (tf.reshape(table, [-1]) for table in part)
            trees, inner = tf.range(tf.shape(part[0])[0])[None, :], 2**self.depth - 1
            node = tf.zeros_like(first) + tf.zeros_like(trees)
            for _ in range(self.depth):
                at = trees * inner + node
                value = tf.gather(numbers, first + tf.gather(feature, at))
                right = tf.cast(value >= tf.gather(threshold, at), tf.int32)
                node = 2 * node + 1 + right
            values = tf.gather(leaves, trees * (inner + 1) + node - inner)
            return start + _TREES, total + tf.reduce_sum(values, axis=1)

        nothing = tf.zeros([rows]) + self.bias
        shapes = [tf.TensorShape([]), tf.TensorShape([None])]
        start = tf.constant(0)
        return tf.while_loop(lambda at, _: at < count, add, [start, nothing], shapes)[1]


class Forests(tf.keras.layers.Layer):  # type: ignore[misc]
    """A forest for each target, on the same features.

    Parameters
    ----------
    schema, list_values
        See `TreeFeatures`.
    depth
        Of every tree.
    targets
        How many.
    """

    def __init__(self, schema: Schema, list_values: int, depth: int, targets: int) -> None:
        super().__init__(dtype="float32")
        self.features = TreeFeatures(schema, list_values)
        self.forests = [Forest(depth) for _ in range(targets)]

    def call(self, inputs: Mapping[str, Any], training: Any = None) -> tf.Tensor:
        """Return logits ``(rows, targets)`` for prepared features."""
        numbers = self.features(inputs)
        return tf.stack([forest(numbers) for forest in self.forests], axis=1)


def _table(width: int, dtype: Any) -> tf.Variable:
    """Return a variable of rows of this width, as many as are assigned; one of zeros at first."""
    start = tf.zeros([1, width], dtype)
    return tf.Variable(start, trainable=False, shape=tf.TensorShape([None, width]))


def perfect_trees(trees: Sequence[Mapping[str, Any]], depth: int) -> Trees:
    """Return trees of XGBoost's JSON with every node down to `depth`.

    A leaf above that depth is repeated below: all rows that come there go left, to its value.

    Examples
    --------
    >>> stump = {"left_children": [1, -1, -1], "right_children": [2, -1, -1]}
    >>> stump |= {"split_indices": [4, 0, 0], "split_conditions": [0.5, -1.0, 1.0]}
    >>> found = perfect_trees([stump], depth=2)
    >>> found.feature.tolist(), found.leaves.tolist()
    ([[4, 0, 0]], [[-1.0, -1.0, 1.0, 1.0]])
    """
    shape = len(trees), 2**depth - 1
    feature, threshold = np.zeros(shape, np.int32), np.full(shape, np.inf, np.float32)
    leaves = np.zeros((len(trees), 2**depth), np.float32)
    for row, tree in enumerate(trees):
        left, right = (np.asarray(tree[f"{side}_children"]) for side in ("left", "right"))
        split, number = np.asarray(tree["split_indices"]), np.asarray(tree["split_conditions"])
        at = np.zeros(1, np.int64)
        for level in range(depth):
            inner = left[at] >= 0
            nodes = np.flatnonzero(inner) + 2**level - 1
            feature[row, nodes], threshold[row, nodes] = split[at][inner], number[at][inner]
            at = np.where(inner, (left[at], right[at]), at).T.ravel()
        leaves[row] = number[at]
    return Trees(feature, threshold, leaves)

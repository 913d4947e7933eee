"""Run a tower or a ranker of a bundle with ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from towermill.columns import NULL_ID, OOV_ID, USER_ID
from towermill.errors import BundleError
from towermill.features.inputs import ModelInput
from towermill.pipelines.bundle.tables import Batch, IdTable
from towermill.pipelines.bundle.time_limit import TIME_LIMIT

#: A matrix product of a batch of one is computed differently, with other last bits.
_LEAST_ROWS: Final = 2


class Tower:
    """Map features to a model's output.

    Parameters
    ----------
    path
        An ONNX file whose inputs are `features`.
    features
        Its inputs, by name.

    Raises
    ------
    BundleError
        ONNX Runtime cannot read the file, or it takes other features.
    """

    def __init__(self, path: Path, features: Mapping[str, ModelInput]) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = 1, 3
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its exceptions have no common base but this
            raise BundleError(
                f"ONNX Runtime cannot read {path}: {error}. Export the bundle again."
            ) from error
        self.features = dict(features)
        wanted, found = set(self._inputs()), {i.name for i in self._session.get_inputs()}
        # Unused features are not inputs of the graph.
        if found - wanted:
            raise BundleError(
                f"{path} should take {', '.join(sorted(wanted))}; it takes "
                f"{', '.join(sorted(found))}. Export the bundle again."
            )
        self._taken = found

    def __call__(self, batch: Batch) -> NDArray[np.float32]:
        """Return the model's output for each row, float32 ``(rows, dim)`` or ``(rows,)``.

        Raises
        ------
        BundleError
            The model takes too long: see `TimeLimit`.
        """
        rows = self._rows(batch)
        if 0 < rows < _LEAST_ROWS:
            batch = join([batch] * _LEAST_ROWS, self.features)
        inputs = {n: v for n, v in batch.items() if n in self._taken}
        found = TIME_LIMIT.run(self._session, inputs)[0]
        result: NDArray[np.float32] = found[:rows]
        return result

    def _inputs(self) -> list[str]:
        names: list[str] = []
        for name, feature in self.features.items():
            names += [f"{name}__values", f"{name}__offsets"] if feature.list else [name]
        return names

    def _rows(self, batch: Batch) -> int:
        name, feature = next(iter(self.features.items()))
        return len(batch[f"{name}__offsets"]) - 1 if feature.list else len(batch[name])


def join(batches: list[Batch], features: Mapping[str, ModelInput]) -> Batch:
    """Return several batches as one."""
    if len(batches) == 1:
        return batches[0]
    joined: Batch = {}
    for name, feature in features.items():
        if not feature.list:
            joined[name] = np.concatenate([batch[name] for batch in batches])
            continue
        values, offsets = f"{name}__values", f"{name}__offsets"
        joined[values] = np.concatenate([batch[values] for batch in batches])
        lengths = np.concatenate([np.diff(batch[offsets]) for batch in batches])
        joined[offsets] = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return joined


def take(batch: Batch, rows: NDArray[np.int64]) -> Batch:
    """Return some rows of a batch, in any order and any number of times.

    Examples
    --------
    >>> ages = {"age": np.array([30, 40])}
    >>> lists = {"tags__values": np.array([7, 8, 9]), "tags__offsets": np.array([0, 1, 3])}
    >>> taken = take(ages | lists, np.array([1, 0, 1]))
    >>> taken["age"].tolist(), taken["tags__values"].tolist(), taken["tags__offsets"].tolist()
    ([40, 30, 40], [8, 9, 7, 8, 9], [0, 2, 3, 5])
    """
    taken: Batch = {}
    for name, values in batch.items():
        if name.endswith("__offsets"):
            lengths = np.diff(values)[rows]
            offsets = np.concatenate([[0], np.cumsum(lengths)])
            # From the start of each list on, as many as it has.
            places = np.repeat(values[rows] - offsets[:-1], lengths) + np.arange(offsets[-1])
            of_lists = name.removesuffix("offsets") + "values"
            taken[of_lists], taken[name] = batch[of_lists][places], offsets.astype(values.dtype)
        elif not name.endswith("__values"):
            taken[name] = values[rows]
    return taken


def blank(features: Mapping[str, ModelInput]) -> Batch:
    """Return one row without any values: categories null, numbers the mean."""
    batch: Batch = {}
    for name, feature in features.items():
        if feature.list:
            batch[f"{name}__values"] = np.zeros(0, feature.dtype)
            batch[f"{name}__offsets"] = np.zeros(2, np.int32)
        else:
            batch[name] = np.full(1, NULL_ID if feature.ids else 0, feature.dtype)
    return batch


def unknown_user(features: Mapping[str, ModelInput]) -> Batch:
    """Return the encoded features of an unknown user, one row: the id out of vocabulary."""
    batch = blank(features)
    if USER_ID in batch:
        batch[USER_ID][:] = OOV_ID
    return batch


def users_batch(
    users: IdTable, features: Mapping[str, ModelInput], rows: NDArray[np.int64]
) -> Batch:
    """Return the encoded features of the users of some rows.

    Context features are missing.
    """
    held = users.batch(features, rows)
    others = {
        name: feature
        for name, feature in features.items()
        if name not in held and f"{name}__values" not in held
    }
    return held | (join([blank(others)] * len(rows), others) if others else {})

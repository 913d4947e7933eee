"""Read and check the tensors of Triton's requests, and write those of its responses.

Imported only inside of Triton, which brings `triton_python_backend_utils`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as triton  # type: ignore[import-not-found]
from numpy.typing import NDArray

from towermill.errors import BundleError, TowermillError
from towermill.pipelines.bundle.manifest import parse_manifest

logger = logging.getLogger(__name__)


class Folder:
    """The folder of a model of the repository, and its ``config.pbtxt``.

    Parameters
    ----------
    args
        As Triton hands them to a Python model's `initialize`.
    """

    def __init__(self, args: Mapping[str, str]) -> None:
        self.path = Path(args["model_repository"]) / args["model_version"]
        self.config: dict[str, Any] = json.loads(args["model_config"])
        self.manifest = parse_manifest(self.path)

    def number(self, parameter: str) -> int:
        """Return a whole number of the configuration's `parameters`."""
        return int(self.config["parameters"][parameter]["string_value"])


def answer(requests: list[Any], respond: Callable[[Any], Mapping[str, NDArray[Any]]]) -> list[Any]:
    """Return a response to each request, in their order; one that fails does not fail the others.

    Parameters
    ----------
    respond
        Returns output name to values. What it raises is sent to the client: a `TowermillError` as
        an error of the client, anything else as an error of the server.
    """
    return [_answer(request, respond) for request in requests]


def _answer(request: Any, respond: Callable[[Any], Mapping[str, NDArray[Any]]]) -> Any:
    try:
        outputs = [triton.Tensor(name, values) for name, values in respond(request).items()]
        return triton.InferenceResponse(output_tensors=outputs)
    except TowermillError as mistake:
        error = triton.TritonError(str(mistake), triton.TritonError.INVALID_ARG)
    except Exception as fault:
        logger.exception("A request failed")
        error = triton.TritonError(f"{type(fault).__name__}: {fault}", triton.TritonError.INTERNAL)
    return triton.InferenceResponse(output_tensors=[], error=error)


def given(request: Any, name: str, columns: int | None, rows: int | None = None) -> Any:
    """Return an input's values, ``(rows, columns)``; None if it was left out.

    Parameters
    ----------
    columns, rows
        How many it should have; None takes any number.

    Raises
    ------
    BundleError
        It has another shape.
    """
    tensor = triton.get_input_tensor_by_name(request, name)
    if tensor is None:
        return None
    values = tensor.as_numpy()
    wanted = [rows, columns]
    fits = [n in (None, size) for n, size in zip(wanted, values.shape, strict=False)]
    if values.ndim != 2 or not all(fits):
        shape = ", ".join("any" if n is None else str(n) for n in wanted)
        raise BundleError(f"{name} should be of shape ({shape}). Received: {values.shape}")
    return values


def needed(request: Any, name: str, columns: int | None, rows: int | None = None) -> NDArray[Any]:
    """Return what `given` does, of an input that may not be left out."""
    values = given(request, name, columns, rows)
    if values is None or not len(values):
        raise BundleError(f"{name} should be given, with at least one row.")
    found: NDArray[Any] = values
    return found


def texts(name: str, values: NDArray[np.object_]) -> list[list[str]]:
    """Return rows of strings, which Triton hands over as UTF-8."""
    try:
        return [[one if isinstance(one, str) else one.decode() for one in row] for row in values]
    except UnicodeDecodeError as error:
        raise BundleError(f"{name} should be UTF-8. Received: {error.object!r}") from None


def lengths(request: Any, rows: int, default: int, largest: int) -> NDArray[np.int64]:
    """Return how many items each row asks for: input ``K``, or the default.

    Raises
    ------
    BundleError
        One is not between 1 and `largest`.
    """
    values = given(request, "K", 1, rows)
    if values is None:
        return np.full(rows, default, np.int64)
    found: NDArray[np.int64] = values[:, 0].astype(np.int64)
    if not ((found >= 1) & (found <= largest)).all():
        raise BundleError(f"K should be between 1 and {largest}. Received: {found.tolist()}")
    return found

"""Weights of transformers, in safetensors."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from towermill.errors import DataError, SetupError
from towermill.extras import install_command

WEIGHTS: Final = "model.safetensors"
INDEX: Final = "model.safetensors.index.json"
#: Files fetched to read weights. A model's folder often holds them in other forms as well.
PATTERNS: Final = ("config.json", "model*.safetensors", INDEX)
_FLOATS: Final = ("BF16", "F16", "F32", "F64")


def weight_files(folder: Path) -> list[Path]:
    """Return the safetensors files that hold a model's weights, in a fixed order.

    Raises
    ------
    DataError
        If there are none, or one is missing.
    """
    index = read_json(folder, INDEX)
    names = sorted(set(index["weight_map"].values())) if index else [WEIGHTS]
    missing = [name for name in names if not (folder / name).is_file()]
    if not missing:
        return [folder / name for name in names]
    if (folder / "pytorch_model.bin").is_file():
        raise DataError(
            f"{folder} should hold {WEIGHTS}; it has pytorch_model.bin alone, which takes PyTorch "
            "to read. Take a model that has safetensors, or save it again with transformers' "
            "`save_pretrained`."
        )
    there = ", ".join(sorted(path.name for path in folder.iterdir())) or "nothing"
    raise DataError(
        f"{folder} should hold {' and '.join(missing)}. Found: {there}. Fetch the model again."
    )


def tensor_places(folder: Path) -> dict[str, Path]:
    """Return the names of a model's tensors, in alphabetical order, and the file of each.

    Raises
    ------
    DataError
        As `weight_files`; or if a file is not in safetensors' form.
    SetupError
        If the package safetensors is missing.
    """
    places: dict[str, Path] = {}
    for path in weight_files(folder):
        with _opened(path) as tensors:
            places.update(dict.fromkeys(tensors.keys(), path))
    return dict(sorted(places.items()))


def read_tensor(path: Path, name: str, least: int = 0) -> NDArray[np.float32]:
    """Return one tensor, and read no other.

    Parameters
    ----------
    least
        Rows that a matrix must have; no others are returned. 0 takes a tensor of any shape, whole.

    Raises
    ------
    DataError
        If it is not a float matrix with the expected number of rows.
    """
    with _opened(path) as tensors:
        part = tensors.get_slice(name)
        shape, dtype = part.get_shape(), part.get_dtype()
        if dtype not in _FLOATS:
            raise DataError(
                f"{name} in {path} should be of floats; it is of {dtype}. Take the model as it was "
                "before it was quantised."
            )
        if least and (len(shape) != 2 or shape[0] < least):
            raise DataError(
                f"{name} in {path} should have a row for each of the tokenizer's {least:,} ids; "
                f"its shape is {shape}. Set `text.tokenizer` to the tokenizer of this model."
            )
        if dtype == "BF16":
            whole = _bfloat16(path, name)
        else:
            whole = (part[:least] if least else tensors.get_tensor(name)).astype(np.float32)
    return whole[:least] if least else whole


def _opened(path: Path) -> Any:
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError as error:
        raise SetupError(
            "Reading a transformer needs the package safetensors, which is not installed. "
            f"Install it: {install_command('text')}"
        ) from error
    try:
        return safe_open(path, framework="numpy")
    except SafetensorError as error:
        raise DataError(f"{path} is damaged: {error}. Fetch the model again.") from error


def _bfloat16(path: Path, name: str) -> NDArray[np.float32]:
    """Return a tensor of bfloat16, which NumPy lacks: it is the upper half of a float32."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        entry = json.loads(file.read(length))[name]
    begin, end = entry["data_offsets"]
    halves = np.fromfile(path, "<u2", count=(end - begin) // 2, offset=8 + length + begin)
    wide: NDArray[np.float32] = (halves.astype(np.uint32) << 16).view(np.float32)
    return wide.reshape(entry["shape"])


TOKENIZER: Final = "tokenizer.json"


def model_folder(source: str, patterns: Sequence[str]) -> Path:
    """Return the folder of a model, fetched from Hugging Face unless it is one here.

    Parameters
    ----------
    source
        A folder, or a name such as ``intfloat/multilingual-e5-small``.
    patterns
        Files to fetch.

    Raises
    ------
    DataError
        If `source` is no folder and no name, or there is no such model.
    SetupError
        If it cannot be fetched.
    """
    folder = Path(source).expanduser()
    if folder.is_dir():
        return folder
    if source.startswith(("/", ".", "~")) or source.count("/") > 1 or folder.exists():
        raise DataError(
            f"A model should be a folder that exists or a name on Hugging Face, such as "
            f"bert-base-uncased. Received: {source!r}. Correct the path."
        )
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError

    wanted = list(patterns)
    try:
        fetched = snapshot_download(source, allow_patterns=wanted)  # nosec B615
    except (HFValidationError, RepositoryNotFoundError) as error:
        raise DataError(
            f"{source!r} is no folder here and no model that Hugging Face shows: {_first(error)} "
            "Correct the name or path; for a private model log in with `hf auth login`."
        ) from error
    except (OSError, ValueError) as error:
        # Whatever the network does comes as one of many classes; most are OSError's.
        raise SetupError(
            f"{source!r} is no folder here, and it could not be fetched from Hugging Face: "
            f"{_first(error)} Without a network, give a folder, or fetch it with "
            f"`hf download {source}` where there is one and take along the cache, HF_HOME."
        ) from error
    return Path(fetched)


def _first(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].rstrip(".") + "."


def read_json(folder: Path, name: str) -> Any:
    """Return the content of the JSON file `name`, or None if there is none.

    Raises
    ------
    DataError
        If it is not JSON.
    """
    path = folder / name
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path} should be JSON: {error}. Fetch the model again.") from error

"""Models by folder, or by name on Hugging Face."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from towermill.errors import DataError, SetupError

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

    try:
        return Path(snapshot_download(source, allow_patterns=list(patterns)))
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


def _first(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].rstrip(".") + "."


def read_json(folder: Path, name: str) -> Any:
    """Return what the JSON file `name` holds, or None where there is no such file.

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

"""Write a Triton model repository from a bundle; it runs without the bundle and this package."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal, get_args

import numpy as np

from towermill.errors import BundleError, DataError
from towermill.files import replacing_folder
from towermill.pipelines.bundle.manifest import (
    INDEX,
    ITEMS,
    MANIFEST,
    SEEN,
    USERS,
    check_digests,
    load_manifest,
    onnx_file,
)
from towermill.pipelines.triton.configs import (
    CANDIDATES,
    QUERY_TOWER,
    RECOMMEND,
    SIMILAR,
    USER_FEATURES,
    WARM_OFFSETS,
    Backend,
    Serving,
    configs,
)
from towermill.pipelines.triton.pbtxt import to_pbtxt
from towermill.pipelines.triton.shipping import ship

_VERSION: Final = "1"
#: What each Python model reads of the bundle, beside the manifest: files and folders.
_READS: Final[dict[str, tuple[str, ...]]] = {
    USER_FEATURES: (USERS,),
    CANDIDATES: (ITEMS, SEEN, INDEX),
    SIMILAR: (ITEMS, INDEX),
}
_MODEL: Final = '''"""Written by `towermill export --triton`: the model is in the folder beside."""

import sys
from pathlib import Path

# Before whatever else may be installed: each version runs on the code that it came with.
sys.path.insert(0, str(Path(__file__).resolve().parent))

from towermill.pipelines.triton.{name} import TritonPythonModel

__all__ = ["TritonPythonModel"]
'''


def write_model_repository(
    bundle: Path,
    out: Path,
    *,
    backend: Backend = "onnxruntime",
    device: Literal["cpu", "gpu"] = "cpu",
    instances: int = 1,
    max_batch_size: int = 64,
    k: int = 10,
    max_k: int = 1000,
) -> Path:
    """Write a Triton model repository of a retriever's bundle.

    Its models are the ensemble ``recommend`` (raw user ids to raw item ids and scores), the three
    that it is made of, and ``similar``. What they need of the bundle, and of this package, lies in
    their folders: files are hard links where the file system allows, else copies.

    Parameters
    ----------
    bundle
        A bundle's folder. Its checksums are not verified.
    out
        The folder to write, whole or not at all: new, or empty.
    backend, device, instances, max_batch_size, k, max_k
        See `towermill.pipelines.triton.configs.Serving`.

    Returns
    -------
    Path
        `out`.

    Raises
    ------
    BundleError
        There is no bundle, it is damaged, it is that of a ranker, or an argument is not one of
        those that are taken.
    DataError
        `out` is there and not empty, or it cannot be written.
    """
    serving = Serving(backend, device, instances, max_batch_size, k, max_k)
    _check(serving)
    manifest = load_manifest(bundle)
    if manifest.ranks:
        raise BundleError(
            f"Expected a retriever's bundle: a ranker scores pairs, and has no index to search. "
            f"{bundle} is that of a {manifest.kind}."
        )
    check_digests(bundle, manifest)
    files = _files(backend)
    taken = _graph_inputs(bundle / onnx_file(QUERY_TOWER)) if backend == "onnxruntime" else None
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise DataError(f"{out} should be a new or an empty folder: it holds something already.")
    try:
        with replacing_folder(out) as partial:
            for name, config in configs(manifest, serving, taken).items():
                _write_model(partial / name, config, bundle, files.get(name, {}))
    except OSError as error:
        raise DataError(f"Cannot write {out}: {error}. Choose another folder.") from error
    return out


def _check(serving: Serving) -> None:
    for name in ("instances", "max_batch_size", "k", "max_k"):
        value = getattr(serving, name)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise BundleError(f"`{name}` should be a positive integer. Received: {value!r}")
    if serving.k > serving.max_k:
        raise BundleError(
            f"`k` should be at most `max_k`, {serving.max_k}. Received: k={serving.k}"
        )
    if serving.backend not in get_args(Backend):
        raise BundleError(
            f"`backend` should be one of {', '.join(get_args(Backend))}. "
            f"Received: {serving.backend!r}"
        )
    if serving.device not in ("cpu", "gpu"):
        raise BundleError(f"`device` should be cpu or gpu. Received: {serving.device!r}")


def _graph_inputs(path: Path) -> set[str]:
    """Return the inputs of a graph, which omits unused features."""
    import onnx

    return {tensor.name for tensor in onnx.load(path, load_external_data=False).graph.input}


def _files(backend: Backend) -> dict[str, dict[str, str]]:
    """Return for each model the path in its version's folder to that in the bundle."""
    tower = (
        {"model.onnx": onnx_file(QUERY_TOWER)}
        if backend == "onnxruntime"
        else {"model.savedmodel": QUERY_TOWER}
    )
    python = {name: {path: path for path in (MANIFEST, *paths)} for name, paths in _READS.items()}
    return {**python, QUERY_TOWER: tower}


def _write_model(
    folder: Path, config: Mapping[str, Any], bundle: Path, files: Mapping[str, str]
) -> None:
    version = folder / _VERSION
    version.mkdir(parents=True)
    for target, source in files.items():
        _link(bundle / source, version / target)
    if folder.name in _READS:
        ship(f"towermill.pipelines.triton.{folder.name}", version)
        (version / "model.py").write_text(_MODEL.format(name=folder.name), encoding="utf-8")
    if folder.name == QUERY_TOWER:
        (folder / "warmup").mkdir()
        (folder / "warmup" / WARM_OFFSETS).write_bytes(np.array([0, 1], "<i4").tobytes())
    if folder.name == RECOMMEND:
        # Not every store keeps an empty folder, and Triton wants one of each version.
        (version / ".keep").touch()
    (folder / "config.pbtxt").write_text(to_pbtxt(config), encoding="utf-8")


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, copy_function=_link_file)
    else:
        _link_file(source, target)


def _link_file(source: str | Path, target: str | Path) -> None:
    try:
        os.link(Path(source).resolve(), target)
    except OSError:  # another file system, or one without links
        shutil.copy2(source, target)

"""Run the gates that a bundle has to pass at publishing and in `towermill verify`.

Each gate measures a bundle without the data it was trained on, and raises if it is wrong.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

from towermill.errors import BundleError
from towermill.pipelines.bundle.bundle import Bundle
from towermill.pipelines.bundle.manifest import (
    MANIFEST,
    bundle_folder,
    check_digests,
    load_manifest,
)
from towermill.pipelines.gates.embeddings import (
    check_collapse,
    check_embeddings,
    check_index,
    check_item_tower,
)
from towermill.pipelines.gates.ids import (
    check_encoding,
    check_files,
    check_ids,
    check_same_tables,
    check_vocabularies,
)

Gate = Callable[[Bundle], dict[str, Any]]


def check_bundle(bundle: Bundle) -> dict[str, Any]:
    """Return what each gate measured, by name.

    Raises
    ------
    BundleError
        The first gate that fails: what was expected, and what was found.
    """
    return {name: gate(bundle) for name, gate in gates_of(bundle).items()}


def examine(path: Path) -> list[dict[str, Any]]:
    """Return what every gate says of a bundle.

    Returns
    -------
    list of dict
        Of each ``gate``: whether it is ``passed``, what it ``measured``, and the ``problem``. Of
        a bundle with damaged files, the gate ``files`` alone.

    Raises
    ------
    BundleError
        There is no bundle.
    """
    path = bundle_folder(path)
    try:
        manifest = load_manifest(path)
        check_digests(path, manifest)
    except BundleError as error:
        if not (path / MANIFEST).is_file():
            raise
        # Do not open damaged files: reading a damaged mapped file can crash the process.
        return [_said("files", {}, str(error))]
    bundle = Bundle.open(path)
    gates = gates_of(bundle)
    del gates["files"]  # which these were: they are not read a second time
    found = [_said("files", {"files": len(manifest.files)})]
    for name, gate in gates.items():
        measured: dict[str, Any] = {}
        problem = None
        try:
            measured = gate(bundle)
        except BundleError as error:
            problem = str(error)
        except Exception as error:  # of a damaged file a gate may fail in any way
            problem = f"The gate broke off: {error!r}. Export the bundle again."
        found.append(_said(name, measured, problem))
    return found


def _said(gate: str, measured: dict[str, Any], problem: str | None = None) -> dict[str, Any]:
    return {"gate": gate, "passed": problem is None, "measured": measured, "problem": problem}


def gates_of(bundle: Bundle) -> dict[str, Gate]:
    """Return the gates for a bundle, in their order: those of its kind."""
    both: dict[str, Gate] = {
        "files": check_files,
        "ids": check_ids,
        "tables": check_same_tables,
        "vocabularies": check_vocabularies,
        "encoding": check_encoding,
    }
    if not bundle.ranks:
        both |= {
            "index": check_index,
            "embeddings": check_embeddings,
            "collapse": check_collapse,
            "item_tower": check_item_tower,
        }
    if importlib.util.find_spec("tensorflow") is not None:
        from towermill.pipelines.gates import saved_models as tensorflow_gates

        both |= tensorflow_gates.gates_of(bundle)
    return both

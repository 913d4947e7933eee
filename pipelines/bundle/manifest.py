"""The files of a bundle: which there are, and whether they are those that were published."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Final

from towermill.errors import BundleError
from towermill.files import file_digest

FORMAT: Final = 3
MANIFEST: Final = "manifest.json"
#: What the manifest has of its own content.
_SEAL: Final = "sha256"
#: Where a bundle has its tables, by raw id and by row.
USERS: Final = "tables/users.arrow"
ITEMS: Final = "tables/items.arrow"
SEEN: Final = "tables/seen.arrow"
INDEX: Final = "index"


def onnx_file(name: str) -> str:
    """Return where a bundle has a tower, or a ranker, in ONNX."""
    return f"onnx/{name}.onnx"


def content_id(digests: dict[str, str]) -> str:
    """Return what tells one bundle from another: a digest of its files' digests."""
    text = "\n".join(f"{name} {digests[name]}" for name in sorted(digests))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def files_of(bundle: Path) -> dict[str, dict[str, Any]]:
    """Return the size and the digest of each file but the manifest, by relative path."""
    return {
        str(path.relative_to(bundle)): {"size": path.stat().st_size, "sha256": file_digest(path)}
        for path in sorted(bundle.rglob("*"))
        if path.is_file() and path != bundle / MANIFEST
    }


def write_manifest(bundle: Path, manifest: dict[str, Any]) -> None:
    """Write a manifest with a digest of its own content, whole or not at all."""
    plain = json.loads(json.dumps(manifest, default=str))
    partial = bundle / f"{MANIFEST}.partial"
    partial.write_text(json.dumps({**plain, _SEAL: _digest_of(plain)}, indent=2))
    partial.replace(bundle / MANIFEST)


def _digest_of(manifest: dict[str, Any]) -> str:
    content = {name: value for name, value in manifest.items() if name != _SEAL}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def read_manifest(bundle: Path) -> dict[str, Any]:
    """Return the manifest of a bundle, each of whose files is there and of its size.

    Raises
    ------
    BundleError
        There is no bundle, it is not whole, or it is of another format.
    """
    if not (bundle / MANIFEST).is_file():
        raise BundleError(
            f"No bundle at {bundle}: expected {MANIFEST} there. A finished run has one in "
            "runs/<recipe>/latest/bundle."
        )
    try:
        manifest: dict[str, Any] = json.loads((bundle / MANIFEST).read_text())
        found = int(manifest["format"])
        if found == FORMAT:
            whole = manifest[_SEAL] == _digest_of(manifest)
            sizes = {name: int(told["size"]) for name, told in manifest["files"].items()}
    # RecursionError: of a text that nests too deeply
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError) as e:
        raise BundleError(
            f"{bundle / MANIFEST} is not a bundle's manifest ({e!r}). Export again."
        ) from e
    if found != FORMAT:
        advice = "Update it." if found > FORMAT else "Export again."
        raise BundleError(
            f"The bundle is of format {found}; this Towermill reads format {FORMAT}. {advice}"
        )
    if not whole:
        raise _damaged(bundle, MANIFEST)
    missing = [name for name in sizes if not (bundle / name).is_file()]
    if missing:
        raise BundleError(
            f"The bundle at {bundle} is not whole: {missing[0]} is missing"
            f"{f' and {len(missing) - 1} more' if missing[1:] else ''}. Export it again."
        )
    for name, size in sizes.items():
        if (bundle / name).stat().st_size != size:
            raise _damaged(bundle, name)
    return manifest


def check_digests(bundle: Path, manifest: dict[str, Any]) -> None:
    """Hold every file against its checksum.

    Raises
    ------
    BundleError
        One is not the file that was published, or was not published at all.
    """
    strange = {str(p.relative_to(bundle)) for p in bundle.rglob("*") if p.is_file()}
    strange -= {MANIFEST, *manifest["files"]}
    if strange:
        raise BundleError(
            f"The bundle at {bundle} should hold the files of its manifest alone; it also holds "
            f"{min(strange)}. Take away what does not belong to it."
        )
    for name, told in manifest["files"].items():
        if file_digest(bundle / name) != told["sha256"]:
            raise _damaged(bundle, name)


def _damaged(bundle: Path, name: str) -> BundleError:
    return BundleError(
        f"The bundle at {bundle} is damaged: {name} is not the file that was published. Export it "
        "again."
    )

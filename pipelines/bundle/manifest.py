"""Define, read, write and check the manifest of a bundle."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Final

from towermill.columns import (
    FIRST_ID,
    ID_OF,
    NULL_ID,
    OOV_ID,
    PADDING_ID,
    TIMESTAMP,
    Entity,
)
from towermill.errors import BundleError
from towermill.features.inputs import ModelInput, RawInput
from towermill.files import file_digest, replacing
from towermill.pipelines.bundle.records import from_json
from towermill.pipelines.search.description import PublishedIndex

FORMAT: Final = 4
MANIFEST: Final = "manifest.json"
#: Bytes: it lists some dozens of files.
_MAX_SIZE: Final = 16 << 20
#: The key of the digest of the manifest's content.
_SEAL: Final = "sha256"
#: Where a bundle has its tables, by raw id and by row.
USERS: Final = "tables/users.arrow"
ITEMS: Final = "tables/items.arrow"
SEEN: Final = "tables/seen.arrow"
INDEX: Final = "index"


@dataclass(frozen=True)
class File:
    """A file of the bundle."""

    size: int
    sha256: str


@dataclass(frozen=True)
class ReservedIds:
    """Encoded ids with a special meaning, and the first id of a value."""

    padding: int = PADDING_ID
    null: int = NULL_ID
    unknown: int = OOV_ID
    first: int = FIRST_ID


@dataclass(frozen=True)
class Rows:
    """Row counts of the tables."""

    users: int
    items: int


@dataclass(frozen=True)
class OnnxModel:
    """A model in ONNX: its file, and the name of its output."""

    file: str
    output: str


@dataclass(frozen=True)
class Parity:
    """Largest difference between reloaded and trained models, on a number of rows."""

    max_abs_difference: dict[str, float]
    tolerance: float
    rows: int


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The description of a bundle.

    Attributes
    ----------
    format
        Version of the manifest's format.
    id
        Identifies the bundle: see `content_id`.
    towermill, packages
        Versions of what wrote it.
    recipe
        As plain JSON.
    ids
        Encoded ids with a special meaning.
    kind
        ``retriever`` or ``ranker``.
    query_features, item_features
        The models' inputs, by name.
    raw_inputs
        What ``query_tower_raw`` takes, by name; a ranker has none.
    dim
        Dimension of the embeddings; 0 for a ranker.
    index
        None for a ranker.
    onnx
        The models in ONNX, by name.
    parity
        How closely reloaded models match the trained ones.
    item_columns
        The recipe's features of the items' columns, as plain JSON.
    as_of
        The moment at which the training ended, in ISO 8601; None without timestamps.
    title
        The item feature that people read, if there is one.
    rows
        Sizes of the tables.
    metrics
        The contents of ``metrics.json``.
    files
        Every file but the manifest, by relative path.
    gates
        What each gate measured, by name.
    """

    format: int = FORMAT
    id: str
    towermill: str
    packages: dict[str, str]
    recipe: dict[str, Any]
    ids: ReservedIds = field(default_factory=ReservedIds)
    kind: str
    query_features: dict[str, ModelInput]
    item_features: dict[str, ModelInput]
    raw_inputs: dict[str, RawInput] = field(default_factory=dict)
    dim: int = 0
    index: PublishedIndex | None = None
    onnx: dict[str, OnnxModel]
    parity: Parity
    item_columns: dict[str, dict[str, Any]] = field(default_factory=dict)
    as_of: str | None = None
    title: str | None = None
    rows: Rows
    metrics: dict[str, Any] = field(default_factory=dict)
    files: dict[str, File]
    gates: dict[str, Any] = field(default_factory=dict)

    @property
    def ranks(self) -> bool:
        """Whether it is a ranker's, which scores pairs; else it is a retriever's."""
        return self.kind == "ranker"

    def raw_columns(self, entity: Entity) -> dict[str, str]:
        """Return the columns of the recipe's own table of users or items that have other names.

        Name, ``user_id`` or ``item_id`` among them, to the column. Only the source ``table`` names
        columns.
        """
        source: dict[str, Any] = self.recipe["source"]
        if source["kind"] != "table":
            return {}
        table, key = source.get(f"{entity}s") or {}, ID_OF[entity]
        # Recipes of older bundles name no columns.
        features = table.get("features", {})
        found = {name: feature.get("column") for name, feature in features.items()}
        found[key] = table.get(key) or source["interactions"][key]
        return {name: column for name, column in found.items() if column not in (None, name)}

    @property
    def recipe_name(self) -> str:
        """Name of the recipe."""
        return str(self.recipe["name"])

    def floor(self, gate: str) -> float:
        """Return a floor of the recipe's ``export.gates``."""
        return float(self.recipe["export"]["gates"][gate])

    def require_index(self) -> PublishedIndex:
        """Return the description of the index; raise `BundleError` if there is none."""
        if self.index is None:
            raise BundleError(
                "A ranker's bundle has no embeddings to compare; ask that of a retriever."
            )
        return self.index


def onnx_file(name: str) -> str:
    """Return where a bundle has a tower, or a ranker, in ONNX."""
    return f"onnx/{name}.onnx"


def content_id(files: dict[str, File]) -> str:
    """Return an id of a bundle: a digest of the digests of its files."""
    text = "\n".join(f"{name} {files[name].sha256}" for name in sorted(files))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def files_of(bundle: Path) -> dict[str, File]:
    """Return the files of a folder but the manifest, by relative path."""
    return {
        str(path.relative_to(bundle)): File(path.stat().st_size, file_digest(path))
        for path in sorted(bundle.rglob("*"))
        if path.is_file() and path != bundle / MANIFEST
    }


def save_manifest(bundle: Path, manifest: Manifest) -> None:
    """Write a manifest with a digest of its content, atomically."""
    plain = json.loads(json.dumps(asdict(manifest), default=str))
    with replacing(bundle / MANIFEST) as file:
        file.write_text(json.dumps({**plain, _SEAL: _digest_of(plain)}, indent=2))


def _digest_of(manifest: dict[str, Any]) -> str:
    content = {name: value for name, value in manifest.items() if name != _SEAL}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def bundle_folder(path: str | Path) -> Path:
    """Return the folder of a bundle, given as itself or as its run, links resolved.

    A link to the newest bundle may come to lead elsewhere. A path without a bundle is returned
    unchanged.
    """
    for folder in (Path(path), Path(path) / "bundle"):
        if (folder / MANIFEST).is_file():
            return folder.resolve()
    return Path(path).resolve() if Path(path).exists() else Path(path)


def load_manifest(bundle: Path) -> Manifest:
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
    manifest = parse_manifest(bundle)
    check_paths(bundle, manifest)
    missing = [name for name in manifest.files if not (bundle / name).is_file()]
    if missing:
        raise BundleError(
            f"The bundle at {bundle} is not whole: {missing[0]} is missing"
            f"{f' and {len(missing) - 1} more' if missing[1:] else ''}. Export it again."
        )
    for name, file in manifest.files.items():
        if (bundle / name).stat().st_size != file.size:
            raise _damaged(bundle, name)
    return manifest


def check_paths(bundle: Path, manifest: Manifest) -> None:
    """Check that the bundle and its manifest refer to nothing outside the bundle's folder.

    Raises
    ------
    BundleError
        A path or a link leads out of the bundle, or a vocabulary is not a file of it.
    """
    root = bundle.resolve()
    outside = [n for n in manifest.files if PurePosixPath(n).is_absolute() or ".." in Path(n).parts]
    outside += [
        str(path.relative_to(root))
        for path in root.rglob("*")
        if path.is_symlink() and not path.resolve().is_relative_to(root)
    ]
    if manifest.id in ("", ".", "..") or PurePosixPath(manifest.id).name != manifest.id:
        outside.append(manifest.id)  # it names folders
    if outside:
        raise BundleError(
            f"The bundle at {bundle} should refer to files in it alone; {outside[0]!r} leads out "
            "of it. Do not use this bundle: get it again from where it was exported."
        )
    for feature in (*manifest.query_features.values(), *manifest.item_features.values()):
        if feature.raw.vocabulary is not None and feature.raw.vocabulary not in manifest.files:
            raise BundleError(
                f"The manifest of {bundle} should name vocabularies among its files. Received: "
                f"{feature.raw.vocabulary!r}. Export the bundle again."
            )


def parse_manifest(bundle: Path) -> Manifest:
    """Return the manifest in a folder without checking the other files.

    Raises
    ------
    BundleError
        It is damaged, or of another format.
    """
    size = (bundle / MANIFEST).stat().st_size
    if size > _MAX_SIZE:
        raise BundleError(
            f"{bundle / MANIFEST} should be at most {_MAX_SIZE >> 20} MiB. Its size is "
            f"{size >> 20} MiB, so it is not a bundle's manifest. Export again."
        )
    try:
        told = json.loads((bundle / MANIFEST).read_text())
        found = int(told["format"])
        whole = found not in _UPGRADES or told[_SEAL] == _digest_of(told)
        manifest = None
        if whole and found in _UPGRADES:
            manifest = from_json(Manifest, _UPGRADES[found](told), MANIFEST)
    # RecursionError: of a text that nests too deeply
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError) as e:
        raise BundleError(
            f"{bundle / MANIFEST} is not a bundle's manifest ({e!r}). Export again."
        ) from e
    if not whole:
        raise _damaged(bundle, MANIFEST)
    if manifest is None:
        advice = "Update it." if found > FORMAT else "Export again."
        raise BundleError(
            f"The bundle is of format {found}; this Towermill reads formats {min(_UPGRADES)} to "
            f"{FORMAT}. {advice}"
        )
    result: Manifest = manifest
    return result


def _from_3(told: dict[str, Any]) -> dict[str, Any]:
    """Return a manifest of format 3 in format 4.

    Format 3 names lists ``category``, and does not mark the times among ``raw_inputs``.
    """
    for features in (told["query_features"], told["item_features"]):
        for feature in features.values():
            if feature["list"] and feature["raw"]["kind"] == "category":
                feature["raw"]["kind"] = "list"
    ages = {n for n, f in told["query_features"].items() if f["raw"]["kind"] == "age"}
    for name, raw in told.get("raw_inputs", {}).items():
        raw["time"] = name in {TIMESTAMP, *ages}
    return told | {"format": FORMAT}


#: Formats that can be read, with the function that upgrades each to the newest.
_UPGRADES: Final[dict[int, Callable[[dict[str, Any]], dict[str, Any]]]] = {3: _from_3, FORMAT: dict}


def check_digests(bundle: Path, manifest: Manifest) -> None:
    """Verify every file's checksum.

    Raises
    ------
    BundleError
        One is not the file that was published, or was not published at all.
    """
    strange = {str(p.relative_to(bundle)) for p in bundle.rglob("*") if p.is_file()}
    strange -= {MANIFEST, *manifest.files}
    if strange:
        raise BundleError(
            f"The bundle at {bundle} should hold only the files of its manifest; it also holds "
            f"{min(strange)}. Remove files that do not belong to it."
        )
    for name, file in manifest.files.items():
        if file_digest(bundle / name) != file.sha256:
            raise _damaged(bundle, name)


def _damaged(bundle: Path, name: str) -> BundleError:
    return BundleError(
        f"The bundle at {bundle} is damaged: {name} is not the file that was published. Export it "
        "again."
    )

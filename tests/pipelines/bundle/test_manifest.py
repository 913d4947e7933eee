"""The manifest of a bundle: formats, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from towermill.errors import BundleError
from towermill.pipelines import Bundle
from towermill.pipelines.bundle import manifest as writing
from towermill.pipelines.bundle.manifest import load_manifest, parse_manifest, save_manifest


@pytest.fixture
def copy(trained: Any, tmp_path: Path) -> Path:
    shutil.copytree(trained.bundle, tmp_path / "bundle")
    return tmp_path / "bundle"


def rewritten(bundle: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change a manifest's JSON and seal it again."""
    path = bundle / "manifest.json"
    plain = json.loads(path.read_text())
    change(plain)
    plain["sha256"] = writing._digest_of(plain)
    path.write_text(json.dumps(plain))


def as_format_3(plain: dict[str, Any]) -> None:
    """Take away what format 3 did not have."""
    plain["format"] = 3
    for feature in (*plain["query_features"].values(), *plain["item_features"].values()):
        raw = {name: value for name, value in feature["raw"].items() if value not in (None, {})}
        feature["raw"] = raw | ({"kind": "category"} if raw["kind"] == "list" else {})
    for raw in plain["raw_inputs"].values():
        del raw["time"]
    del plain["index"]["library"], plain["index"]["parameters"]


class TestRawColumns:
    TABLE: ClassVar[dict[str, Any]] = {
        "kind": "table",
        "interactions": {"user_id": "reader", "item_id": "film"},
        "items": {
            "item_id": "id",
            "features": {
                "price": {"kind": "number", "column": "Price EUR"},
                "year": {"kind": "number", "column": None},
                "old": {"kind": "number"},  # as recipes were before they could name columns
            },
        },
        "users": None,
    }

    def test_names_that_differ(self, copy: Path) -> None:
        manifest = load_manifest(copy)
        table = replace(manifest, recipe={**manifest.recipe, "source": self.TABLE})
        assert table.raw_columns("item") == {"item_id": "id", "price": "Price EUR"}
        assert table.raw_columns("user") == {"user_id": "reader"}

    def test_other_sources_name_none(self, copy: Path) -> None:
        assert load_manifest(copy).raw_columns("item") == {}


class TestFormats:
    def test_written_and_read(self, copy: Path) -> None:
        manifest = load_manifest(copy)
        before = (copy / "manifest.json").read_bytes()
        save_manifest(copy, manifest)
        assert (copy / "manifest.json").read_bytes() == before
        assert manifest.format == 4

    def test_records_are_typed(self, copy: Path) -> None:
        manifest = load_manifest(copy)
        assert manifest.item_features["tags"].raw.kind == "list"
        records = {f.name for f in fields(manifest) if is_dataclass(getattr(manifest, f.name))}
        assert records == {"ids", "index", "parity", "rows"}

    def test_the_one_before(self, trained: Any, copy: Path) -> None:
        rewritten(copy, as_format_3)
        assert parse_manifest(copy) == parse_manifest(trained.bundle)
        here, there = Bundle.open(copy, verify=True), Bundle.open(trained.bundle)
        features = {"user_id": here.user(0)["user_id"], "age": 30}
        assert here.recommend(features=features) == there.recommend(features=features)

    def test_times_of_the_one_before(self) -> None:
        raw: dict[str, Any] = {"dtype": "int64", "list": False, "missing": 0}
        feature = {"dtype": "float32", "list": False, "ids": None}
        found = writing._from_3(
            {
                "query_features": {
                    "joined": {**feature, "raw": {"kind": "age"}},
                    "visits": {**feature, "raw": {"kind": "number"}},
                },
                "item_features": {},
                "raw_inputs": {name: dict(raw) for name in ("timestamp", "joined", "visits")},
            }
        )
        times = {name: told["time"] for name, told in found["raw_inputs"].items()}
        assert times == {"timestamp": True, "joined": True, "visits": False}

    @pytest.mark.parametrize(("found", "advice"), [(5, "Update it"), (2, "Export again")])
    def test_another(self, copy: Path, found: int, advice: str) -> None:
        (copy / "manifest.json").write_text(f'{{"format": {found}, "files": {{}}}}')
        with pytest.raises(
            BundleError, match=rf"is of format {found}; .* formats 3 to 4\. {advice}"
        ):
            Bundle.open(copy)


class TestDamage:
    @pytest.mark.parametrize(
        "text", ["", "{", "[]", "{}", '{"format": 3}', '{"format": 4}', '{"format": "x"}', "1"]
    )
    def test_no_manifest(self, copy: Path, text: str) -> None:
        (copy / "manifest.json").write_text(text)
        with pytest.raises(BundleError, match="is not a bundle's manifest"):
            Bundle.open(copy)

    @pytest.mark.parametrize(
        ("change", "place"),
        [
            (lambda plain: plain["rows"].update(users="many"), r"manifest\.json\.rows\.users"),
            (lambda plain: plain["rows"].update(users=True), r"manifest\.json\.rows\.users"),
            (lambda plain: plain["files"].update(x=[]), r"manifest\.json\.files\.x"),
            (lambda plain: plain["index"].pop("recall"), "recall"),
            (lambda plain: plain.pop("rows"), "rows"),
            (lambda plain: plain["item_features"]["tags"].pop("dtype"), "dtype"),
        ],
    )
    def test_a_record_of_another_type(self, copy: Path, change: Any, place: str) -> None:
        rewritten(copy, change)
        with pytest.raises(BundleError, match=rf"is not a bundle's manifest .*{place}"):
            Bundle.open(copy)

    def test_a_kind_that_is_not_installed(self, copy: Path) -> None:
        rewritten(
            copy,
            lambda plain: plain["query_features"]["age"]["raw"].update(kind="no_such_shop:Age"),
        )
        bundle = Bundle.open(copy)
        assert bundle.recommend(bundle.user(0)["user_id"]).known
        with pytest.raises(BundleError, match=r"no_such_shop:Age should be importable.*Install"):
            bundle.recommend(features={"age": 30})

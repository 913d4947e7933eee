"""Feast's local provider, on a bundle's definitions: what it serves is the Parquet."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from towermill.errors import BundleError
from towermill.pipelines.export.feast import EVENT_TIMESTAMP, write_feast

#: Feast alone is imported for many seconds, twice.
pytestmark = pytest.mark.slow

ALL_TIME = dt.datetime(1970, 1, 1, tzinfo=dt.UTC), dt.datetime(2100, 1, 1, tzinfo=dt.UTC)
AS_OF = dt.datetime(1998, 4, 22, 23, 10, 38, 250_000, dt.UTC)
USERS = pl.DataFrame(
    {
        "user_id": pl.Series([3, 4, 5], dtype=pl.Int32),
        "age": pl.Series([0.5, -1.25, 0.0], dtype=pl.Float32),
        "likes: most, of all": pl.Series([3, 1, 4], dtype=pl.Int32),
        "likes  most  of all": pl.Series([30, 10, 40], dtype=pl.Int32),
        "history": pl.Series([[3, 4], [], [5]], dtype=pl.List(pl.Int32)),
        "raw_user_id": pl.Series([101, 7, 55], dtype=pl.Int64),
        "raw_age": pl.Series([24, None, 53], dtype=pl.Int8),
        "raw_name": ["Ada", None, "Größe"],
        "raw_member": [True, False, None],
        "raw_since": [dt.datetime(1997, 1, day) for day in (1, 2, 3)],
        "raw_parts": [[[1], [2]], [], [[3]]],
        "train_count": pl.Series([9, 3, 1], dtype=pl.UInt32),
    }
)
ITEMS = pl.DataFrame(
    {
        "item_id": pl.Series([3, 4], dtype=pl.Int32),
        "vector": pl.Series([[0.5, 1.5], [2.5, -3.5]], dtype=pl.Array(pl.Float32, 2)),
        "raw_item_id": ["film:a", "film b"],
        "raw_genres": [["drama", "war"], []],
        "raw_year": pl.Series([1994.5, None], dtype=pl.Float64),
    }
)


def write_tables(bundle: Path) -> Path:
    bundle.mkdir()
    for name, table in (("user", USERS), ("item", ITEMS)):
        stamped = table.with_columns(pl.lit(AS_OF, pl.Datetime("us", "UTC")).alias(EVENT_TIMESTAMP))
        stamped.write_parquet(bundle / f"{name}_features.parquet")
    return bundle


@pytest.fixture(scope="module")
def applied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that was moved after it was written, and then applied and materialized."""
    written = write_tables(tmp_path_factory.mktemp("feast") / "bundle")
    write_feast(written, "news-demo (2nd)")
    bundle = written.rename(written.with_name("moved elsewhere"))
    done = subprocess.run(
        [sys.executable, "-m", "feast.cli.cli", "apply"],
        cwd=bundle / "feast",
        env={**os.environ, "FEAST_USAGE": "False"},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return bundle


@pytest.fixture(scope="module")
def store(applied: Path) -> Any:
    from feast import FeatureStore

    opened = FeatureStore(repo_path=str(applied / "feast"))
    opened.materialize(*ALL_TIME)
    return opened


USER_FIELDS = {
    **{name: name for name in USERS.columns if name not in ("raw_user_id", "raw_parts")},
    "likes: most, of all": "likes__most__of_all",
    "likes  most  of all": "likes__most__of_all_",
}
ITEM_FIELDS = {name: name for name in ITEMS.columns if name != "raw_item_id"}


class TestOnline:
    def test_users_are_those_of_the_table(self, store: Any) -> None:
        found = store.get_online_features(
            features=[f"user_features:{name}" for name in USER_FIELDS.values()],
            entity_rows=[{"raw_user_id": user} for user in (55, 101, 7)],
        ).to_dict()
        for column, name in USER_FIELDS.items():
            wanted = [USERS[column][row] for row in (2, 0, 1)]
            assert plain(found[name]) == plain(wanted), column

    def test_items_are_those_of_the_table(self, store: Any) -> None:
        found = store.get_online_features(
            features=[f"item_features:{name}" for name in ITEM_FIELDS.values()],
            entity_rows=[{"raw_item_id": item} for item in ("film b", "film:a")],
        ).to_dict()
        for column, name in ITEM_FIELDS.items():
            assert plain(found[name]) == plain([ITEMS[column][1], ITEMS[column][0]]), column

    def test_nobody_has_no_features(self, store: Any) -> None:
        found = store.get_online_features(
            features=["user_features:age"], entity_rows=[{"raw_user_id": 8}]
        ).to_dict()
        assert found["age"] == [None]


class TestHistorical:
    @pytest.mark.parametrize(
        ("at", "known"),
        [(AS_OF + dt.timedelta(days=9000), True), (AS_OF - dt.timedelta(seconds=1), False)],
        ids=["long after", "before the end of the training data"],
    )
    def test_users_have_features_from_the_event_on(
        self, store: Any, at: dt.datetime, known: bool
    ) -> None:
        import pandas as pd

        asked = pd.DataFrame({"raw_user_id": [7, 101], "event_timestamp": [at, at]})
        found = store.get_historical_features(
            entity_df=asked, features=[f"user_features:{name}" for name in USER_FIELDS.values()]
        ).to_df()
        found = found.set_index("raw_user_id").sort_index()
        for column, name in USER_FIELDS.items():
            # Whoever has none yet has no row in the answer.
            wanted = [USERS[column][row] for row in (1, 0)] if known else []
            assert plain(found[name].tolist()) == plain(wanted), column


class TestDefinitions:
    def test_types_and_keys(self, store: Any) -> None:
        view = store.get_feature_view("user_features")
        types = {field.name: str(field.dtype) for field in view.features}
        assert types["age"] == "Float32"
        assert types["history"] == "Array(Int32)"
        assert types["raw_since"] == "UnixTimestamp"
        assert "raw_parts" not in types
        assert view.ttl == dt.timedelta(0)
        assert view.join_keys == ["raw_user_id"]
        assert store.get_entity("item").value_type.name == "STRING"
        assert store.project == "news_demo__2nd"

    def test_paths_are_relative(self, applied: Path) -> None:
        written = (applied / "feast" / "features.py").read_text()
        assert 'path="../user_features.parquet"' in written
        assert str(applied.parent) not in written

    def test_a_bundle_that_is_moved_once_more_reads_its_own_table(
        self, applied: Path, tmp_path: Path
    ) -> None:
        from feast import FeatureStore

        copy = shutil.copytree(applied, tmp_path / "copy")
        table = pl.read_parquet(copy / "user_features.parquet")
        table.with_columns(age=pl.lit(7.5, pl.Float32)).write_parquet(
            copy / "user_features.parquet"
        )
        store = FeatureStore(repo_path=str(copy / "feast"))
        store.materialize(*ALL_TIME)
        found = store.get_online_features(
            features=["user_features:age"], entity_rows=[{"raw_user_id": 7}]
        )
        assert found.to_dict()["age"] == [7.5]

    def test_writing_needs_no_feast(
        self, tmp_path: Path, python: Callable[..., subprocess.CompletedProcess[str]]
    ) -> None:
        bundle = write_tables(tmp_path / "bundle")
        python(
            "import sys; sys.modules['feast'] = None\n"
            "from pathlib import Path\n"
            "from towermill.pipelines.export.feast import write_feast\n"
            f"write_feast(Path({str(bundle)!r}), 'films')"
        )
        compile((bundle / "feast" / "features.py").read_text(), "features.py", "exec")


class TestRefused:
    @pytest.mark.parametrize("column", [EVENT_TIMESTAMP, "raw_user_id"])
    def test_a_table_that_lacks_a_column(self, tmp_path: Path, column: str) -> None:
        bundle = write_tables(tmp_path / "bundle")
        path = bundle / "user_features.parquet"
        pl.read_parquet(path).drop(column).write_parquet(path)
        with pytest.raises(BundleError, match=column):
            write_feast(bundle, "films")
        assert not (bundle / "feast").exists()

    def test_ids_that_are_no_ids(self, tmp_path: Path) -> None:
        bundle = write_tables(tmp_path / "bundle")
        path = bundle / "user_features.parquet"
        table = pl.read_parquet(path).with_columns(pl.col("raw_user_id").cast(pl.Float64))
        table.write_parquet(path)
        with pytest.raises(BundleError, match="integers or text"):
            write_feast(bundle, "films")

    def test_no_table_or_half_of_one(self, tmp_path: Path) -> None:
        bundle = write_tables(tmp_path / "bundle")
        path = bundle / "item_features.parquet"
        path.write_bytes(path.read_bytes()[:100])
        with pytest.raises(BundleError, match="item_features"):
            write_feast(bundle, "films")
        path.unlink()
        with pytest.raises(BundleError, match="item_features"):
            write_feast(bundle, "films")


def plain(values: list[Any]) -> list[Any]:
    """Return values as Python's own, moments in UTC, and what is missing as None."""
    return [_plain(value) for value in values]


def _plain(value: Any) -> Any:
    if isinstance(value, pl.Series) or (hasattr(value, "tolist") and not hasattr(value, "tzinfo")):
        value = value.to_list() if isinstance(value, pl.Series) else value.tolist()
    if isinstance(value, list):
        return plain(value)
    if isinstance(value, dt.datetime):
        missing = value != value
        moment = value if value.tzinfo else value.replace(tzinfo=dt.UTC)
        return None if missing else moment.timestamp()
    return None if value is None or value != value else value

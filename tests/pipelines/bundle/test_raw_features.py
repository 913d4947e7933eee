"""Raw features of a request are encoded as NVTabular's workflow encoded those of the training."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from towermill.errors import BundleError
from towermill.features.config import Feature
from towermill.models.data.interactions import Processed
from towermill.pipelines.bundle.raw_features import RawFeatures
from towermill.pipelines.bundle.tables import IdTable
from towermill.pipelines.export.input_specs import describe_inputs
from towermill.pipelines.export.tables import write_tables
from towermill.workflows.config import FeatureConfig
from towermill.workflows.process.interactions import Interactions
from towermill.workflows.process.process import process
from towermill.workflows.selecting.split import Split
from towermill.workflows.tables import Tables

FEATURES: dict[str, Any] = {
    "user": {
        "city": "category",
        "rare": {"kind": "category", "freq_threshold": 40},
        "score": "number",
        "income": {"kind": "number", "log": True},
        "plain": {"kind": "number", "normalize": False},
        "band": {"kind": "number", "boundaries": [10, 20, 30]},
        "joined": "age",
        "likes": {"kind": "list", "max_length": 2},
        "hashed": {"kind": "category", "max_size": 2, "num_buckets": 4},
        "member": "category",
        "surname": "shop_kinds:FirstLetter",
        "spent": {"kind": "shop_kinds:PriceClass", "options": {"base": 10}},
    },
    "context": {"hour": "hour", "day": "weekday"},
    "item": {},
}
START = datetime(2024, 2, 26, 3, 30)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pl.DataFrame, pl.DataFrame]:
    """A processed data set as a bundle holds it; its users, and its raw interactions."""
    folder = tmp_path_factory.mktemp("raw")
    rng = np.random.default_rng(0)
    count = 60
    users = pl.DataFrame(
        {
            "user_id": [f"u{i}" for i in range(count)],
            "city": [["Oslo", "Århus", None, ""][i % 4] for i in range(count)],
            "rare": [f"r{min(i, 3)}" for i in range(count)],
            "score": [None if i % 9 == 0 else float(i) ** 1.5 for i in range(count)],
            "income": [float(i * 1000) for i in range(count)],
            "plain": [i % 7 for i in range(count)],
            "band": [None if i % 11 == 0 else i % 40 for i in range(count)],
            "joined": [START - timedelta(days=i, hours=5) for i in range(count)],
            "likes": [["a", "b", "c"][: i % 4] for i in range(count)],
            "hashed": [f"h{i % 9}" for i in range(count)],
            "member": [i % 3 == 0 for i in range(count)],
            "surname": [["Åse", "", None, "Berg", "Aune"][i % 5] for i in range(count)],
            "spent": [None if i % 13 == 0 else 2.5 * i**2 for i in range(count)],
        }
    )
    rows = pl.DataFrame(
        {
            "user_id": [f"u{i}" for i in rng.integers(0, count, 3000)],
            "item_id": rng.integers(0, 300, 3000),
            "timestamp": [START + timedelta(minutes=7 * i) for i in range(3000)],
        }
    ).with_columns(pl.col("timestamp").cast(pl.Datetime("us")))
    tables = Tables(rows.lazy(), None, users.lazy(), {})
    out = folder / "processed"
    out.mkdir()
    features = FeatureConfig.model_validate(FEATURES)
    process(Interactions(tables, Split(kind="random"), features), out)
    write_tables(
        pl.read_parquet(out / "users.parquet"),
        pl.read_parquet(out / "items.parquet"),
        pl.read_parquet(out / "seen.parquet"),
        out,
    )
    return out, users, rows


@pytest.fixture(scope="module")
def described(made: Any) -> dict[str, Any]:
    columns = {
        name: Feature.model_validate(told if isinstance(told, dict) else {"kind": told})
        for part in FEATURES.values()
        for name, told in part.items()
    }
    return describe_inputs(Processed(made[0]).query_schema, made[0], columns)


@pytest.fixture(scope="module")
def raw(made: Any, described: dict[str, Any]) -> RawFeatures:
    tables = {
        "user_id": IdTable(made[0] / "tables" / "users.arrow", "user_id"),
        "item_id": IdTable(made[0] / "tables" / "items.arrow", "item_id"),
    }
    return RawFeatures(made[0], described, tables)


def asked(made: Any, row: dict[str, Any]) -> dict[str, Any]:
    """Return the raw query of an interaction."""
    _, users, _ = made
    own = users.filter(pl.col("user_id") == row["user_id"]).row(0, named=True)
    return {**own, "timestamp": row["timestamp"], "hashed": 2}


@pytest.fixture(scope="module")
def queries(made: Any) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Raw queries, and what NVTabular made of them: of each user's last row in training."""
    out, _, rows = made
    known = pl.read_parquet(out / "users.parquet").select("user_id", "raw_user_id")
    encoded = pl.read_parquet(out / "test" / "*.parquet").join(known, on="user_id")
    raw_items = pl.read_parquet(out / "items.parquet").select("item_id", "raw_item_id")
    encoded = encoded.join(raw_items, on="item_id")
    raw_rows = rows.rename({"user_id": "raw_user_id", "item_id": "raw_item_id"})
    pairs = encoded.join(
        raw_rows.rename({"timestamp": "moment"}), on=["raw_user_id", "raw_item_id"]
    ).unique(["raw_user_id", "raw_item_id"], keep="none")
    found = []
    for row in pairs.iter_rows(named=True):
        query = asked(made, {"user_id": row["raw_user_id"], "timestamp": row["moment"]})
        found.append((query, row))
    assert len(found) > 100
    return found


class TestEncode:
    def test_as_nvtabular(self, raw: RawFeatures, described: Any, queries: Any) -> None:
        for query, expected in queries:
            batch = raw.encode(query)
            for name, feature in described.items():
                if name == "hashed":
                    assert batch[name].tolist() == [2]
                elif feature.list:
                    assert batch[f"{name}__values"].tolist() == expected[name]
                else:
                    assert batch[name][0] == pytest.approx(expected[name], abs=1e-5), name

    def test_what_is_missing(self, raw: RawFeatures) -> None:
        batch = raw.encode({})
        assert batch["user_id"].tolist() == batch["city"].tolist() == batch["hour"].tolist() == [1]
        assert batch["surname"].tolist() == batch["spent"].tolist() == [1]
        assert batch["band"].tolist() == [1]
        assert batch["score"].tolist() == batch["joined"].tolist() == [0.0]
        assert batch["likes__values"].tolist() == []
        assert batch["likes__offsets"].tolist() == [0, 0]

    def test_what_is_unknown(self, raw: RawFeatures) -> None:
        batch = raw.encode(
            {"user_id": "nobody", "city": "Bergen", "likes": ["z", None, "a"], "member": "perhaps"}
        )
        assert batch["user_id"].tolist() == batch["city"].tolist() == [2]
        assert batch["likes__values"].tolist() == [2, 2]
        assert batch["member"].tolist() == [2]
        batch = raw.encode({"surname": "Zahl", "spent": 1e12})
        assert batch["surname"].tolist() == batch["spent"].tolist() == [2]

    def test_empty_text_is_a_value_where_training_had_it(self, raw: RawFeatures) -> None:
        assert raw.encode({"city": ""})["city"][0] > 2

    @pytest.mark.parametrize(
        "moment",
        [
            1_709_263_800,
            1_709_263_800.9,
            "2024-03-01T03:30:00",
            "2024-03-01T05:30:00+02:00",
            datetime(2024, 3, 1, 3, 30),
            datetime(2024, 3, 1, 3, 30, tzinfo=UTC),
        ],
    )
    def test_moments(self, raw: RawFeatures, moment: Any) -> None:
        expected = raw.encode({"timestamp": datetime(2024, 3, 1, 3, 30)})
        found = raw.encode({"timestamp": moment})
        assert {n: v.tolist() for n, v in found.items()} == {
            n: v.tolist() for n, v in expected.items()
        }
        assert expected["hour"][0] > 2

    @pytest.mark.parametrize(
        ("values", "said"),
        [
            ({"town": "Oslo"}, r"`features` may be .*timestamp.* Received: town"),
            ({"hour": 3}, "Received: hour"),
            ({"city": ["Oslo"]}, r"`features\.city` should be one value"),
            ({"likes": "a"}, r"`features\.likes` should be a list"),
            ({"surname": ["A"]}, r"`features\.surname` should be one value"),
            ({"spent": "much"}, r"`features\.spent` should be a number"),
            ({"score": "high"}, r"`features\.score` should be a number"),
            ({"score": float("inf")}, "should be finite"),
            ({"city": {}}, "should be text or a number"),
            ({"timestamp": "yesterday"}, "should be a time in ISO 8601"),
            ({"timestamp": True}, "should be a time"),
            ({"hashed": "h3"}, r"an id from 0 to \d+: what its vocabulary lacks is hashed"),
            ({"hashed": 99}, "an id from 0 to"),
        ],
    )
    def test_refused(self, raw: RawFeatures, values: dict[str, Any], said: str) -> None:
        with pytest.raises(BundleError, match=said):
            raw.check(values)


class TestRawTower:
    """The same, inside a TensorFlow graph."""

    def test_as_numpy(
        self, made: Any, described: dict[str, Any], raw: RawFeatures, queries: Any, tmp_path: Path
    ) -> None:
        import tensorflow as tf

        from towermill.pipelines.export.raw_tower import RawTower, raw_inputs
        from towermill.pipelines.gates.saved_models import raw_batch, run_saved

        scalars = [name for name, feature in described.items() if not feature.list]

        class Shows:
            """A tower whose embedding is what it is given; of the list, lengths and sums."""

            variables = ()

            def __call__(self, batch: dict[str, tf.Tensor], training: bool) -> tf.Tensor:
                lists = tf.RaggedTensor.from_row_splits(
                    batch["likes__values"], batch["likes__offsets"]
                )
                shown = [tf.cast(batch[name], tf.float32) for name in scalars]
                sums = tf.cast(tf.reduce_sum(lists, axis=1), tf.float32)
                return tf.stack([*shown, tf.cast(lists.row_lengths(), tf.float32), sums], axis=1)

        RawTower(Shows(), described, made[0]).save(tmp_path / "raw")
        given = [query for query, _ in queries]
        given += [
            {"hashed": 1},
            {"surname": "Zahl", "spent": 1e12, "hashed": 1},
            {"user_id": "nobody", "city": "", "likes": ["z", None], "hashed": 1},
        ]
        found = run_saved(tmp_path / "raw", raw_batch(raw_inputs(described), given))
        for row, query in zip(found, given, strict=True):
            batch = raw.encode(query)
            lists = batch["likes__values"]
            expected = [*(batch[name][0] for name in scalars), len(lists), lists.sum()]
            np.testing.assert_allclose(row, np.array(expected, np.float32), atol=1e-5)

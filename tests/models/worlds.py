"""Tiny processed data sets with a knowable answer, in the layout that `process` writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from merlin.schema import ColumnSchema, Schema, Tags
from merlin.schema.io.tensorflow_metadata import TensorflowMetadata

from towermill.columns import FIRST_ID, HISTORY, ITEM_ID, OOV_ID, USER_ID
from towermill.models.baselines.base import Given
from towermill.models.configs.train import TrainConfig
from towermill.models.contracts.retriever import Retriever
from towermill.models.data.batches.interaction import InteractionBatches
from towermill.models.data.interactions import Processed
from towermill.models.data.queries import Queries
from towermill.models.evaluation.catalogue import measure, rank_baselines
from towermill.models.metrics.clicks import auroc
from towermill.models.training.checkpoints import TrainState
from towermill.models.training.fit import fit

ID_TAGS = {USER_ID: [Tags.USER_ID], ITEM_ID: [Tags.ITEM_ID]}
GROUPS = 6
#: Categories of users, and of items, in the crossed world.
KINDS = 6
#: Logit of a click where the parities of both categories agree; minus it where they do not.
STRENGTH = 2.0


def write_processed(
    folder: Path,
    splits: Mapping[str, pl.DataFrame],
    items: pl.DataFrame,
    sides: Mapping[str, Tags],
) -> Path:
    """Write encoded rows as `towermill.workflows.process.process` does.

    Parameters
    ----------
    splits
        Encoded rows, features of both sides included; int32 and lists of it are categories,
        float32 are numbers.
    items
        ``item_id`` and item features, by encoded id from 3.
    sides
        Column to Tags.USER, Tags.ITEM or Tags.CONTEXT; others are signals.
    """
    for name, frame in splits.items():
        (folder / name).mkdir(parents=True)
        frame.write_parquet(folder / name / "part_0.parquet")
    train = splits["train"]
    columns = [_column(train, items, name, side) for name, side in sides.items()]
    schema = Schema(columns)
    TensorflowMetadata.from_merlin_schema(schema).to_proto_text_file(str(folder))
    items.write_parquet(folder / "items.parquet")
    own = [name for name, side in sides.items() if side == Tags.USER]
    known = train.filter(pl.col(USER_ID) >= FIRST_ID).unique(USER_ID).sort(USER_ID)
    users = known.select(USER_ID, *(name for name in own if name != USER_ID))
    users.write_parquet(folder / "users.parquet")
    return folder


def _column(train: pl.DataFrame, items: pl.DataFrame, name: str, side: Tags) -> ColumnSchema:
    dtype = train.schema[name]
    is_list = isinstance(dtype, pl.List)
    if dtype == pl.Float32:
        return ColumnSchema(name, dtype=np.float32, tags=[side, Tags.CONTINUOUS])
    values = [frame[name].explode() for frame in (train, items) if name in frame.columns]
    top = max(int(v.max() or OOV_ID) for v in values)  # type: ignore[arg-type]
    return ColumnSchema(
        name,
        dtype=np.int32,
        is_list=is_list,
        is_ragged=is_list,
        tags=[side, Tags.CATEGORICAL, *ID_TAGS.get(name, [])],
        properties={"domain": {"min": 0, "max": top, "name": name}},
    )


def by_falling_count(raw: np.ndarray, size: int) -> np.ndarray:
    """Return the encoded id of each raw id 0 … size-1."""
    order = np.argsort(-np.bincount(raw, minlength=size), kind="stable")
    encoded = np.empty(size, np.int32)
    encoded[order] = np.arange(size) + FIRST_ID
    return encoded


def group_world(folder: Path, *, features: bool, users: int = 240, items: int = 120) -> Path:
    """Write a world where a user meets the items of the own group only, at random.

    There are `GROUPS` groups of 20 items. A user's 15 items are 10 in training (the seen ones), 2
    in validation and 3 in test; so a model that knows the group, and leaves out what was seen,
    finds all of them among its best 10: recall@10 is 1. Popularity finds about a twelfth.

    With `features`, test users are strangers (out of vocabulary): only their list ``likes`` (one of
    3 tokens, among chaff) and their number ``side`` (about -1 or 1) tell the group, and likewise
    ``genres`` and ``year`` of an item.
    """
    rng = np.random.default_rng(7)
    rows: dict[str, list[tuple[int, int]]] = {"train": [], "validation": [], "test": []}
    for user in range(users):
        own = np.arange(user % GROUPS, items, GROUPS)
        met = rng.permutation(own)[:15]
        rows["train"] += [(user, item) for item in met[:10]]
        rows["validation"] += [(user, item) for item in met[10:12]]
        rows["test"] += [(user, item) for item in met[12:]]
    train = np.array(rows["train"])
    user_of, item_of = by_falling_count(train[:, 0], users), by_falling_count(train[:, 1], items)

    def tokens(group: int) -> list[int]:
        chaff = rng.integers(6, 10, rng.integers(0, 3))
        return rng.permutation([FIRST_ID + group % 3, *chaff]).tolist()

    def number(group: int) -> float:
        return float((group // 3) * 2 - 1 + rng.normal(0, 0.1))

    def side(size: int, encoded: np.ndarray, key: str, names: tuple[str, str]) -> pl.DataFrame:
        frame = pl.DataFrame(
            {
                key: encoded,
                names[0]: [tokens(i % GROUPS) for i in range(size)],
                names[1]: [number(i % GROUPS) for i in range(size)],
            },
            schema={key: pl.Int32, names[0]: pl.List(pl.Int32), names[1]: pl.Float32},
        )
        return frame if features else frame.select(key)

    user_table = side(users, user_of, USER_ID, ("likes", "side"))
    item_table = side(items, item_of, ITEM_ID, ("genres", "year")).sort(ITEM_ID)
    splits = {}
    for name, pairs in rows.items():
        array = np.array(pairs)[rng.permutation(len(pairs))]
        frame = pl.DataFrame({USER_ID: user_of[array[:, 0]], ITEM_ID: item_of[array[:, 1]]})
        frame = frame.join(user_table, on=USER_ID, maintain_order="left")
        frame = frame.join(item_table, on=ITEM_ID, maintain_order="left")
        if features and name == "test":
            frame = frame.with_columns(pl.lit(OOV_ID, pl.Int32).alias(USER_ID))
        splits[name] = frame
    sides = {USER_ID: Tags.USER, "likes": Tags.USER, "side": Tags.USER}
    sides |= {ITEM_ID: Tags.ITEM, "genres": Tags.ITEM, "year": Tags.ITEM}
    named = {name: tag for name, tag in sides.items() if name in splits["train"].columns}
    return write_processed(folder, splits, item_table, named)


def chain_world(folder: Path, *, users: int = 200, items: int = 60) -> Path:
    """Write a world where each item decides the next one, and nothing else does.

    A user starts anywhere on a ring of all items, in an order that ids do not tell, and follows it:
    8 items in training, then 1 in validation and 1 in test. The next item is the answer.
    """
    rng = np.random.default_rng(3)
    ring = rng.permutation(items)
    rows: dict[str, list[tuple[int, int]]] = {"train": [], "validation": [], "test": []}
    for user in range(users):
        start = rng.integers(items)
        met = [int(ring[(start + step) % items]) for step in range(10)]
        for name, part in zip(rows, (met[:8], met[8:9], met[9:]), strict=True):
            rows[name] += [(user, item) for item in part]
    train = np.array(rows["train"])
    user_of, item_of = by_falling_count(train[:, 0], users), by_falling_count(train[:, 1], items)
    splits = {}
    for name, pairs in rows.items():
        array = np.array(pairs)
        splits[name] = pl.DataFrame({USER_ID: user_of[array[:, 0]], ITEM_ID: item_of[array[:, 1]]})
    table = pl.DataFrame({ITEM_ID: np.sort(item_of)})
    path = write_processed(folder, splits, table, {USER_ID: Tags.USER, ITEM_ID: Tags.ITEM})
    return with_histories(path)


def crossed_world(folder: Path, rows: int = 40_000) -> Path:
    """Write shown items whose clicks depend on the XOR of the parities of two categories.

    A user has a category ``taste``, an item one ``style``, both of six; neither tells anything
    alone. Each row's true chance of a click is the column ``chance``. A third of the pairs of
    categories is shown eight times as often as the others, which has no effect on clicks. What is
    clicked is bought with a chance of 0.6 in three styles, and of 0.1 in the others.
    """
    rng = np.random.default_rng(5)
    users, items = rng.integers(0, 300, 4 * rows), rng.integers(0, 200, 4 * rows)
    targeted = users % KINDS // 2 == items % KINDS // 2
    shown = np.flatnonzero(rng.random(4 * rows) < np.where(targeted, 1.0, 1 / 8))[:rows]
    users, items = users[shown], items[shown]
    chance = 1 / (1 + np.exp(-STRENGTH * np.where((users + items) % 2 == 0, 1, -1)))
    sale = np.where(items % KINDS < 3, 0.6, 0.1)
    clicked, bought = rng.random(rows) < chance, rng.random(rows) < sale
    user_of, item_of = by_falling_count(users, 300), by_falling_count(items, 200)
    frame = pl.DataFrame(
        {
            USER_ID: user_of[users],
            ITEM_ID: item_of[items],
            "taste": (users % KINDS + 3).astype(np.int32),
            "style": (items % KINDS + 3).astype(np.int32),
            "click": clicked.astype(np.int8),
            "buy": (clicked & bought).astype(np.int8),
            "chance": chance,
            "buy_chance": chance * sale,
        }
    )
    ends = {"train": (0.0, 0.6), "validation": (0.6, 0.7), "test": (0.7, 1.0)}
    splits = {
        name: frame.slice(int(first * rows), int((last - first) * rows))
        for name, (first, last) in ends.items()
    }
    catalogue = frame.select(ITEM_ID, "style").unique().sort(ITEM_ID)
    sides = {USER_ID: Tags.USER, "taste": Tags.USER, ITEM_ID: Tags.ITEM, "style": Tags.ITEM}
    return write_processed(folder, splits, catalogue, sides)


def with_histories(folder: Path, size: int = 9) -> Path:
    """Add the histories to a processed data set, in the order of its rows."""
    lists: pl.DataFrame | None = None
    for name in ("train", "validation", "test"):
        rows = pl.read_parquet(folder / name / "*.parquet")
        known = rows.filter(pl.col(USER_ID) >= FIRST_ID)
        own = known.group_by(USER_ID, maintain_order=True).agg(pl.col(ITEM_ID).alias(name))
        lists = own if lists is None else lists.join(own, on=USER_ID, how="left")
    assert lists is not None
    lists = lists.with_columns(pl.col(pl.List(pl.Int32)).fill_null([])).sort(USER_ID)
    lists.write_parquet(folder / "sequences.parquet")
    users = pl.read_parquet(folder / "users.parquet")
    latest = pl.concat_list("train", "validation", "test").list.tail(size)
    latest_of = lists.select(USER_ID, latest.alias(HISTORY))
    users.join(latest_of, on=USER_ID, maintain_order="left").write_parquet(folder / "users.parquet")
    schema = TensorflowMetadata.from_proto_text_file(str(folder)).to_merlin_schema()
    item = schema[ITEM_ID]
    column = ColumnSchema(
        HISTORY,
        dtype=np.int32,
        is_list=True,
        is_ragged=True,
        tags=[Tags.CATEGORICAL, Tags.SEQUENCE],
        properties={
            "domain": item.properties["domain"],
            "value_count": {"min": 0, "max": size},
        },
    )
    made = Schema([*schema, column])
    TensorflowMetadata.from_merlin_schema(made).to_proto_text_file(str(folder))
    return folder


def gain(world: Path, auc: float, chance: str = "chance", target: str = "click") -> float:
    """Return an AUC above chance as a share of what the true chances reach."""
    test = Processed(world).scan("test").select(chance, target).collect()
    return (auc - 0.5) / (auroc(test[chance], test[target]) - 0.5)


def evaluate_baselines(
    data: Processed,
    queries: Queries,
    k: Sequence[int],
    seed: int,
    names: Sequence[str] = ("popularity", "random"),
) -> dict[str, dict[str, float]]:
    """Return what baselines reach on the same queries."""
    tops = rank_baselines(names, Given(data, seed), queries, max(k))
    return {name: measure(top, data, queries, k) for name, top in tops.items()}


def fit_interactions(
    retriever: Retriever, data: Processed, config: TrainConfig, folder: Path, **options: Any
) -> TrainState:
    """Fit on the training interactions, as `train_model` does but for its validation."""
    batches = InteractionBatches(data, batch_size=config.batch_size)
    return fit(retriever, batches, config, folder, **{"monitor": "ndcg@10", **options})


def weights_of(retriever: Any) -> list[np.ndarray]:
    """Return every weight of both towers, or of a ranker."""
    return [weight.numpy() for part in retriever.parts for weight in part.weights]

"""Vectors of items from a bundle alone: of new ones too, without retraining."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from towermill.columns import ITEM_ID, RAW_PREFIX, TOKENS, VECTOR
from towermill.errors import BundleError, DataError, did_you_mean
from towermill.models.impressions import AGE
from towermill.pipelines.bundle import Bundle, tower_inputs
from towermill.progress import progress
from towermill.workflows.sources.files import find_files, scan

logger = logging.getLogger(__name__)

#: Items encoded at a time.
_ROWS = 8192


def embed_items(bundle: Path, items: Path, out: Path) -> int:
    """Write the vectors of items as ``item_id`` (raw) and columns ``0`` … ``dim - 1``.

    What the training did with an item is done here: its text is tokenised, its categories encoded
    by the fitted workflow (an unknown value as out of vocabulary). An article's age is taken to be
    the least.

    Parameters
    ----------
    bundle
        A bundle's folder.
    items
        Parquet, CSV or TSV with the raw columns that the training's items had; what the model does
        not take may be left out.
    out
        The Parquet file to write, whole or not at all.

    Returns
    -------
    int
        The number of items.

    Raises
    ------
    BundleError
        The bundle is not whole.
    DataError
        A column is missing, or an id stands twice.
    """
    opened = Bundle.open(bundle)
    features: dict[str, Any] = opened.manifest["item_features"]
    table = scan(find_files(items, "items")).collect()
    if ITEM_ID not in table.columns or table[ITEM_ID].is_duplicated().any():
        raise DataError(
            f"{items} should have a column `item_id`, one row an id. Found: "
            f"{', '.join(table.columns)}."
        )
    if table.is_empty():
        raise DataError(f"{items} should hold items; it has no rows.")
    encoded = _encode(opened, table, features)
    vectors = _through_tower(opened, encoded, features)
    if not np.isfinite(vectors).all():
        raise BundleError(
            "Expected finite vectors; found NaN or infinity. Look at the numbers of the items."
        )
    columns = {str(i): vectors[:, i] for i in range(vectors.shape[1])}
    partial = out.with_name(f"{out.name}.partial")
    out.parent.mkdir(parents=True, exist_ok=True)
    pl.DataFrame({ITEM_ID: table[ITEM_ID], **columns}).write_parquet(partial)
    partial.replace(out)
    return table.height


def _encode(bundle: Bundle, table: pl.DataFrame, features: Mapping[str, Any]) -> pl.DataFrame:
    """Return the inputs of the item tower."""
    columns: list[pl.Series] = []
    if TOKENS in features or VECTOR in features:
        columns += _text(bundle, table, features)
    if AGE in features:
        columns.append(pl.Series(AGE, np.ones(table.height, np.int32)))
    made = [column.name for column in columns]
    wanted = [name for name in features if name not in made]
    if wanted:
        columns += _by_workflow(bundle, table, wanted).get_columns()
    return pl.DataFrame(columns).select(list(features))


def _text(bundle: Bundle, table: pl.DataFrame, features: Mapping[str, Any]) -> list[pl.Series]:
    from towermill.workflows.text.articles import CONFIG, joined
    from towermill.workflows.text.config import TextConfig
    from towermill.workflows.text.sentences import sentence_vectors
    from towermill.workflows.text.tokens import TextTokenizer

    folder = bundle.path / "text"
    config = TextConfig.model_validate(json.loads((folder / CONFIG).read_text()))
    texts = joined(table.rename({n: RAW_PREFIX + n for n in table.columns}), config)
    columns = []
    if TOKENS in features:
        tokens = TextTokenizer.load(folder).encode(texts, config.title_size)
        columns.append(tokens.alias(TOKENS))
    if VECTOR in features:
        if config.vectors is None:
            raise DataError(
                "The articles' vectors of this bundle came from the source, not from a model that "
                "could make new ones. Train with `text.vectors` set."
            )
        columns.append(pl.Series(VECTOR, sentence_vectors(texts, config.vectors)))
    return columns


def _by_workflow(bundle: Bundle, table: pl.DataFrame, wanted: list[str]) -> pl.DataFrame:
    """Encode ids and features by the operators that were fitted in training."""
    import tempfile

    from towermill.workflows.dataset import open_dataset
    from towermill.workflows.workflow import Workflow
    from towermill.workflows.writing import to_table

    part = Workflow.load(bundle.path / "workflow").get_subworkflow("item")
    known = pl.read_parquet_schema(bundle.path / "item_features.parquet")
    columns = []
    for name in part.input_schema.column_names:
        kind = known.get(RAW_PREFIX + name)
        if name in table.columns:
            columns.append(pl.col(name) if kind is None else pl.col(name).cast(kind))
        elif kind is not None:
            raise DataError(
                f"The items should have the column {name!r}, which the model takes."
                f"{did_you_mean(name, table.columns)} They have: {', '.join(table.columns)}."
            )
        else:  # of interactions: a list that shares the vocabulary of ids, or a moment
            empty = pl.List(known[RAW_PREFIX + ITEM_ID])
            is_list = part.input_schema[name].is_list
            columns.append(pl.lit([] if is_list else None, empty if is_list else None).alias(name))
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "items.parquet"
        table.select(columns).write_parquet(raw)
        return to_table(part.transform(open_dataset(raw))).select(wanted)


def _through_tower(
    bundle: Bundle, encoded: pl.DataFrame, features: Mapping[str, Any]
) -> NDArray[np.float32]:
    import tensorflow as tf

    tower = tf.saved_model.load(str(bundle.path / "item_tower"))
    serve, blocks = tower.signatures["serving_default"], []
    with progress() as bars:
        bar = bars.add_task("encoding items", total=encoded.height)
        for rows in encoded.iter_slices(_ROWS):
            blocks.append(serve(**tower_inputs(rows, features))["embedding"].numpy())
            bars.advance(bar, rows.height)
    return np.concatenate(blocks)

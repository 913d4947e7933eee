"""Compute item embeddings from a bundle alone, including for new items."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from towermill.columns import ITEM_ID, RAW_PREFIX, TIMESTAMP, TOKENS, VECTOR
from towermill.errors import BundleError, DataError, did_you_mean
from towermill.features.config import Feature
from towermill.features.inputs import ModelInput
from towermill.files import replacing
from towermill.models.data.impressions import AGE
from towermill.pipelines.bundle.bundle import Bundle
from towermill.pipelines.bundle.manifest import onnx_file
from towermill.pipelines.bundle.tables import to_batch
from towermill.pipelines.bundle.towers import Tower
from towermill.pipelines.stages.output import require_target
from towermill.progress import progress
from towermill.workflows.sources.reading.files import find_files, scan

logger = logging.getLogger(__name__)

#: Items encoded at a time: attention over words holds kilobytes a token.
_ROWS = 1024


def embed_items(bundle: Path, items: Path, out: Path, trust: bool = False) -> int:
    """Write the vectors of items as ``item_id`` (raw) and columns ``0`` … ``dim - 1``.

    Items are encoded as in training: text is tokenised, categories are looked up in the
    vocabularies (an unknown value is out of vocabulary). An article's age is taken to be the least.

    Parameters
    ----------
    bundle
        A bundle's folder.
    items
        Parquet, CSV or TSV with the raw columns of the training's items, under their names in the
        recipe or in its source's table. Columns that the model does not take may be left out.
    out
        The Parquet file to write, whole or not at all.
    trust
        Whether the bundle's pickled workflow may be run, which can execute any code. It is needed
        only for inputs that a graph of your own makes, or that are hashed (`num_buckets`).

    Returns
    -------
    int
        The number of items.

    Raises
    ------
    BundleError
        The bundle is not whole, or an input needs the pickled workflow, which is not trusted.
    DataError
        There is no such file, a column is missing or of another type than in training, an id is
        null or stands twice, or the model takes vectors that came with the source.
    """
    require_target(out)
    made = encode_items(Bundle.open(bundle), items, trust)
    columns = {str(i): made.vectors[:, i] for i in range(made.vectors.shape[1])}
    with replacing(out) as partial:
        pl.DataFrame({ITEM_ID: made.raw[ITEM_ID], **columns}).write_parquet(partial)
    return made.raw.height


@dataclass(frozen=True)
class EncodedItems:
    """Items of a file: raw columns, inputs of the item tower, and embeddings ``(items, dim)``."""

    raw: pl.DataFrame
    inputs: pl.DataFrame
    vectors: NDArray[np.float32]


def encode_items(bundle: Bundle, items: Path, trust: bool = False) -> EncodedItems:
    """Return the items of a file through a bundle's item tower: see `embed_items`."""
    if bundle.ranks:
        raise BundleError(
            f"Expected a bundle with an item tower; {bundle.path} is that of a ranker, which "
            "scores pairs."
        )
    features: Mapping[str, ModelInput] = bundle.manifest.item_features
    table = _read(items, bundle)
    encoded = _encode(bundle, table, features, trust)
    vectors = _through_tower(bundle, encoded, features)
    if not np.isfinite(vectors).all():
        raise BundleError(
            "Expected finite vectors; found NaN or infinity. Look at the numbers of the items."
        )
    return EncodedItems(table, encoded, vectors)


def _read(items: Path, bundle: Bundle) -> pl.DataFrame:
    # Text that looks like a number is text if it was in training.
    text = {name: pl.String for name, kind in _raw_types(bundle).items() if kind == pl.String}
    columns = bundle.manifest.raw_columns("item")
    text |= {columns[name]: kind for name, kind in text.items() if name in columns}
    try:
        table = scan(find_files(items, "items"), text).collect()
        table = table.rename(
            {c: n for n, c in columns.items() if n not in table.columns}, strict=False
        )
    except pl.exceptions.PolarsError as error:
        raise DataError(f"Cannot read {items}: {error}. Fix the file.") from error
    ids = table[ITEM_ID] if ITEM_ID in table.columns else None
    if ids is None or ids.null_count() or ids.is_duplicated().any():
        raise DataError(
            f"{items} should have a column `item_id`, one row an id and none without. Found: "
            f"{', '.join(table.columns)}."
        )
    if table.is_empty():
        raise DataError(f"{items} should hold items; it has no rows.")
    return table


def _raw_types(bundle: Bundle) -> dict[str, pl.DataType]:
    """Return the raw columns that the training's items had, and their types."""
    held = pl.read_parquet_schema(bundle.path / "item_features.parquet")
    return {n.removeprefix(RAW_PREFIX): k for n, k in held.items() if n.startswith(RAW_PREFIX)}


def _encode(
    bundle: Bundle, table: pl.DataFrame, features: Mapping[str, ModelInput], trust: bool
) -> pl.DataFrame:
    """Return the inputs of the item tower."""
    columns: list[pl.Series] = []
    if TOKENS in features or VECTOR in features:
        columns += _text(bundle, table, features)
    if AGE in features:
        columns.append(pl.Series(AGE, np.ones(table.height, np.int32)))
    made = [column.name for column in columns]
    wanted = [name for name in features if name not in made]
    raw = [name for name in wanted if features[name].raw.from_raw]
    fitted = [name for name in wanted if name not in raw]
    if fitted and not trust:
        why = features[fitted[0]].raw.why
        raise BundleError(
            f"The input {fitted[0]!r} cannot be made from raw values: {why}. Only the bundle's "
            "pickled workflow makes it, and unpickling can run any code. If you trust the bundle, "
            "put --trust before the command: `towermill --trust embed-items …`."
        )
    columns += _from_raw(bundle, table, raw)
    if fitted:
        columns += _by_workflow(bundle, table, fitted).get_columns()
    return pl.DataFrame(columns).select(list(features))


def _text(
    bundle: Bundle, table: pl.DataFrame, features: Mapping[str, ModelInput]
) -> list[pl.Series]:
    from towermill.workflows.text.config import LSA, TextConfig
    from towermill.workflows.text.items import CONFIG, joined
    from towermill.workflows.text.sentences import sentence_vectors
    from towermill.workflows.text.tokenizer import TextTokenizer

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
        if config.vectors == LSA:
            raise DataError(
                "The vectors of this bundle are of its own items' words (`text.vectors: lsa`), and "
                "none can be made of others. Run the recipe with the new items, or with a sentence "
                "model."
            )
        columns.append(pl.Series(VECTOR, sentence_vectors(texts, config.vectors)))
    return columns


def _from_raw(bundle: Bundle, table: pl.DataFrame, wanted: list[str]) -> list[pl.Series]:
    """Encode ids and features as the bundle encodes those of a query."""
    from towermill.workflows.process.inputs import typed

    kinds = bundle.raw_items.kinds
    columns = [name for name in wanted if kinds[name].from_column]
    _require_columns(table, columns)
    features = _features(bundle)
    own = {name: features[name] for name in columns if name in features}
    found = typed(table.lazy(), own, "item").select(columns).collect()
    trained = typed(pl.LazyFrame(schema=_raw_types(bundle)), own, "item").collect_schema()
    rows = found.with_columns(
        *(_in_type(found[n], trained[n]) for n in columns if kinds[n].shares_vocabulary),
        _end_of_training(bundle),
    ).to_dicts()
    made = []
    for name in wanted:
        spec = bundle.raw_items.features[name]
        values = bundle.raw_items.encode_column(name, rows)
        kind = pl.Series(np.zeros(0, spec.dtype)).dtype
        made.append(pl.Series(name, values, pl.List(kind) if spec.list else kind))
    return made


def _require_columns(table: pl.DataFrame, names: Iterable[str]) -> None:
    for name in names:
        if name not in table.columns:
            raise DataError(
                f"The items should have the column {name!r}, which the model takes."
                f"{did_you_mean(name, table.columns)} They have: {', '.join(table.columns)}."
            )


def _features(bundle: Bundle) -> dict[str, Feature]:
    columns = bundle.manifest.item_columns
    return {name: Feature.model_validate(written) for name, written in columns.items()}


def _by_workflow(bundle: Bundle, table: pl.DataFrame, wanted: list[str]) -> pl.DataFrame:
    """Encode features by the pickled workflow, which is trusted."""
    import tempfile

    from towermill.workflows.dataset import open_dataset
    from towermill.workflows.graph.workflow import Workflow
    from towermill.workflows.graph.write import to_table
    from towermill.workflows.process.inputs import filled, typed

    part = Workflow.load(bundle.path / "workflow").get_subworkflow("item")
    known, features = _raw_types(bundle), _features(bundle)
    columns: list[pl.Series | pl.Expr] = []
    for name in part.input_schema.column_names:
        if name in table.columns:
            columns.append(_in_type(table[name], known[name]))
        else:
            columns.append(_left_out(bundle, name, part.input_schema[name].is_list, known))
    own = {name: feature for name, feature in features.items() if name in table.columns}
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "items.parquet"
        filled(typed(table.select(columns).lazy(), own, "item")).sink_parquet(raw)
        return to_table(part.transform(open_dataset(raw))).select(wanted)


def _in_type(values: pl.Series, kind: pl.DataType) -> pl.Series:
    """Return a raw column in the type that it had in training.

    Raises
    ------
    DataError
        That would change or lose a value.
    """
    try:
        found = values.cast(kind)
        if found.cast(values.dtype).equals(values, check_dtypes=False):
            return found
    except pl.exceptions.PolarsError:
        pass
    raise DataError(
        f"The items' column {values.name!r} should be of the type it had in training, {kind}. Its "
        f"type is {values.dtype}, and some of its values cannot be of that type."
    )


def _left_out(
    bundle: Bundle, name: str, is_list: bool, known: Mapping[str, pl.DataType]
) -> pl.Expr:
    """Return a column that the workflow asks for and the model does not take."""
    if name == TIMESTAMP:  # ages are taken at the end of training, as those of its items
        return _end_of_training(bundle)
    kind = known.get(name, known[ITEM_ID])  # a list of interactions holds ids of items
    if is_list:
        return pl.lit([], kind if isinstance(kind, pl.List) else pl.List(kind)).alias(name)
    return pl.lit(None, kind).alias(name)


def _end_of_training(bundle: Bundle) -> pl.Expr:
    """Return the moment to which ages count, as the timestamp of every row."""
    as_of = bundle.manifest.as_of
    moment = None if as_of is None else datetime.fromisoformat(as_of)
    return pl.lit(moment, pl.Datetime("us")).alias(TIMESTAMP)


def _through_tower(
    bundle: Bundle, encoded: pl.DataFrame, features: Mapping[str, ModelInput]
) -> NDArray[np.float32]:
    tower, blocks = Tower(bundle.path / onnx_file("item_tower"), features), []
    with progress() as bars:
        bar = bars.add_task("encoding items", total=encoded.height)
        for rows in encoded.iter_slices(_ROWS):
            blocks.append(tower(to_batch(rows.to_arrow(), features, None)))
            bars.advance(bar, rows.height)
    return np.concatenate(blocks)

"""`Categorify` on Arrow columns: one pass of counts to fit, one lookup a value to transform."""

from __future__ import annotations

import contextlib
import copy
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import fsspec
import merlin.dtypes as md
import numpy as np
import pandas as pd
import polars as pl
from dask.delayed import Delayed
from merlin.core.dispatch import hash_series
from merlin.io.worker import get_worker_cache
from nvtabular import ops
from nvtabular.ops.categorify import NULL_OFFSET, OOV_OFFSET

from towermill.errors import DataError
from towermill.workflows.ops import gpu as gpu
from towermill.workflows.ops.categories.extend import extend_vocabulary
from towermill.workflows.ops.categories.lookup import Lookup
from towermill.workflows.ops.categories.vocabulary import (
    Group,
    count_values,
    merge_counts,
    read_vocabulary,
    write_vocabulary,
)
from towermill.workflows.ops.frames import each, flatten, on_cpu, to_pandas, to_polars, unflatten
from towermill.workflows.ops.reduction import reduce_partitions

_CACHE = "towermill-lookups"


class Categorify(ops.Categorify):  # type: ignore[misc]
    """NVTabular's `Categorify`, with the same arguments, ids and files.

    On pandas frames the values are counted and looked up by Polars, best on Arrow columns (those
    of `towermill.workflows.dataset`); on cuDF frames both is done on the GPU, and the vocabulary
    is the same. Ids fall by frequency; ties are broken by the value, ascending. A null within a
    list is an unknown value, as in NVTabular; a list that is null is an empty one.

    `split_out`, `split_every`, `on_host` and `cardinality_memory_limit` decide how stock NVTabular
    shuffles; nothing is shuffled here. Nor is anything searched (`search_sorted`): values are
    joined.

    Attributes
    ----------
    earlier
        Name to file of the vocabularies that the next `fit` extends: see
        `towermill.workflows.ops.categories.extend`. None starts new ones.
    """

    earlier: Mapping[str, str] | None = None

    def fit(self, col_selector: Any, ddf: Any) -> Any:
        """Return the lazy counting of all columns, which ends with one file a vocabulary."""
        if self.earlier is not None:
            # `fit_finalize` decides which new values are kept.
            unlimited = copy.copy(self)
            unlimited.earlier = None
            unlimited.freq_threshold = unlimited.max_size = 0
            return unlimited.fit(col_selector, ddf)
        groups = self._groups(col_selector)
        if self.search_sorted:  # type: ignore[has-type]
            self.search_sorted = False
            warnings.warn("`search_sorted` is not used: values are joined.", stacklevel=2)
        if not groups:
            return Delayed("no-op", {"no-op": {}})
        folder = f"{str(self.out_path).rstrip('/')}/categories"
        return reduce_partitions(
            ddf,
            partial(count_values if on_cpu(ddf._meta) else gpu.count_on_gpu, groups=groups),
            merge_counts,
            partial(
                _write_all,
                groups=groups,
                folder=folder,
                limits={group.name: self._limits(group.name) for group in groups},
            ),
        )

    def fit_finalize(self, categories: Mapping[str, str]) -> None:
        """Take the files that `fit` wrote, appended to those of `earlier` if there are any."""
        super().fit_finalize(categories)
        if self.earlier is None:
            return
        for name, path in categories.items():
            extend_vocabulary(self.earlier[name], path, name, **self._limits(name))

    def _groups(self, col_selector: Any) -> list[Group]:
        """Return the vocabularies to fit, and note which columns have one together."""
        names = col_selector.grouped_names
        flat = [n for name in names for n in (name if isinstance(name, tuple) else (name,))]
        if self.encode_type == "joint" and len(set(flat)) < len(flat):
            raise ValueError(
                "Each column should have one vocabulary. Named in several groups: "
                f"{', '.join(sorted({n for n in flat if flat.count(n) > 1}))}"
            )
        for name in flat:
            if name.startswith("__") or "/" in name:
                raise ValueError(
                    "A column that is encoded should not begin with '__' or hold a '/', as its "
                    f"vocabulary is named for it. Received: {name!r}"
                )
        groups = []
        for name in names:
            columns = name if isinstance(name, tuple) else (name,)
            joined = self.name_sep.join(columns)
            if len(columns) > 1:
                self.storage_name.update(dict.fromkeys(columns, joined))
            if joined not in self.categories:
                keys = columns if self.encode_type == "combo" else (joined,)
                groups.append(Group(joined, columns, keys))
        return groups

    def _limits(self, name: str) -> dict[str, int]:
        options = {key: getattr(self, key) for key in ("freq_threshold", "max_size", "num_buckets")}
        return {
            key: (value[name] if isinstance(value, dict) else value) or 0
            for key, value in options.items()
        }

    def transform(self, col_selector: Any, df: Any) -> Any:
        """Return the frame with each column, or combination of columns, as its ids."""
        if not on_cpu(df):
            return self._on_gpu(col_selector, df)
        columns = self._columns(col_selector, Lookup)
        dtype = _polars_type(self.output_dtype)

        def encode(column: _Column) -> Any:
            with _naming(column):
                ids = column.ids(df)
            wanted = pl.List(dtype) if isinstance(ids.dtype, pl.List) else dtype
            ids = ids if ids.dtype == wanted else ids.cast(wanted)
            return to_pandas(ids, like=df[column.sources[0]])

        encoded = df.copy(deep=False)
        for column, ids in zip(columns, each(encode, columns), strict=True):
            encoded[column.name] = ids
        return encoded

    def _on_gpu(self, col_selector: Any, df: Any) -> Any:
        encoded = df.copy(deep=False)
        for column in self._columns(col_selector, gpu.GPULookup):
            with _naming(column):
                encoded[column.name] = column.on_gpu(df, self.output_dtype)
        return encoded

    def _columns(self, col_selector: Any, kind: type) -> list[_Column]:
        """Return what is to be made. (Here, not by threads: the cache is the worker's.)"""
        mapping = self.column_mapping(col_selector)
        # As in NVTabular, one number for all columns is none for the columns of a joint group.
        buckets = self.num_buckets
        buckets = dict.fromkeys(mapping, buckets) if isinstance(buckets, int) else buckets or {}
        columns = []
        for name, found in mapping.items():
            sources = (found,) if isinstance(found, str) else tuple(found)
            stored = name if self.encode_type == "combo" else self.storage_name.get(name, name)
            hashed = buckets.get(stored) or 1
            keys = sources if len(sources) > 1 else [stored]
            lookup = self._lookup(stored, keys, hashed, kind)
            columns.append(_Column(name, sources, lookup, hashed))
        return columns

    def _lookup(self, stored: str, keys: Sequence[str], unknown_ids: int, kind: type) -> Any:
        path = self.categories[stored]
        fs, where = fsspec.core.url_to_fs(path)
        info = fs.info(where)
        stamp = (info.get("mtime"), info.get("size"))
        key = (path, *stamp, tuple(keys), unknown_ids, self.single_table, kind)
        if self.cat_cache == "disk":
            return self._read(path, keys, unknown_ids, kind)
        with get_worker_cache(_CACHE) as cache:
            if key not in cache:
                cache[key] = self._read(path, keys, unknown_ids, kind)
            return cache[key]

    def _read(self, path: str, keys: Sequence[str], unknown_ids: int, kind: type) -> Any:
        vocabulary, first = read_vocabulary(path, keys)
        # NVTabular's rule for indices that count from 0, as cuDF once wrote them.
        if first is None or first < OOV_OFFSET + unknown_ids:
            first = (first or 0) + OOV_OFFSET + unknown_ids
        # And its rule for a table that all columns share, in which a null is the first value.
        null = first if self.single_table else NULL_OFFSET
        return kind(vocabulary, first, null, null + 1)


def _write_all(
    counts: Mapping[str, pl.DataFrame],
    groups: Sequence[Group],
    folder: str,
    limits: Mapping[str, Mapping[str, int]],
) -> dict[str, str]:
    fs, where = fsspec.core.url_to_fs(folder)
    fs.makedirs(where, exist_ok=True)
    paths = each(
        lambda group: write_vocabulary(counts[group.name], group, folder, **limits[group.name]),
        groups,
    )
    return {group.name: path for group, path in zip(groups, paths, strict=True)}


@dataclass(frozen=True)
class _Column:
    """A column of ids, made of one column of values or of a combination."""

    name: str
    sources: tuple[str, ...]
    lookup: Any
    buckets: int

    def ids(self, df: pd.DataFrame) -> pl.Series:
        columns = [to_polars(df[source]) for source in self.sources]
        lists = isinstance(columns[0].dtype, pl.List)
        if lists:
            columns[0], lengths = flatten(columns[0])
        ids = self.lookup.ids(columns)
        if self.buckets > 1:
            ids = _in_buckets(ids, columns, self.lookup.unknown, self.buckets)
        if ids.null_count():
            # A null within a list is an unknown value in NVTabular, on a GPU as well.
            ids = ids.fill_null(self.lookup.unknown if lists else self.lookup.null)
        return (unflatten(ids, lengths) if lists else ids).alias(self.name)

    def on_gpu(self, df: Any, dtype: Any) -> Any:
        """Return the ids of a cuDF frame."""
        ids, lengths = gpu.encode(df, self.sources, self.lookup, self.name)
        if self.buckets > 1:
            # By the CPU's hash, on the host, so that ids are the same.
            columns = [gpu.to_host(gpu.values_of(df[source])) for source in self.sources]
            spread = _in_buckets(gpu.to_host(ids), columns, self.lookup.unknown, self.buckets)
            ids = gpu.to_gpu(spread.alias(self.name).to_frame().to_arrow())[self.name]
        ids = ids.astype(md.dtype(dtype).to_numpy)
        like = df[self.sources[0]]
        if lengths is not None:
            return gpu.relisted(ids, lengths, like)
        ids.index = like.index
        return ids


@contextlib.contextmanager
def _naming(column: _Column) -> Iterator[None]:
    """Say which column an error is of."""
    try:
        yield
    except DataError:
        raise
    except Exception as error:
        raise RuntimeError(f"Failed to encode the column {column.name!r}: {error}") from error


def _in_buckets(
    ids: pl.Series, columns: Sequence[pl.Series], unknown: int, buckets: int
) -> pl.Series:
    """Spread the unknown values over `buckets` ids, by NVTabular's hash on a CPU."""
    places = (ids == unknown).fill_null(False).arg_true()
    if places.is_empty():
        return ids
    hashes = np.zeros(len(places), np.uint64)
    for column in columns:
        hashes ^= hash_series(column.gather(places).to_pandas())
    spread = pl.Series((hashes % np.uint64(buckets)).astype(np.int32) + unknown)
    return ids.scatter(places, spread)


def _polars_type(dtype: Any) -> Any:
    return pl.Series(np.empty(0, md.dtype(dtype).to_numpy)).dtype

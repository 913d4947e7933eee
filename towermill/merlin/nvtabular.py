"""Patches of NVTabular."""

from __future__ import annotations

import functools
from typing import Any


def _write_uniques(
    dfs: Any,
    base_path: str,
    col_selector: Any,
    options: Any,
    cpu: bool,
    path: str | None = None,
) -> Any:
    """NVTabular's function, given one frame instead of a folder (`sort_uniques_in_one_frame`)."""
    from merlin.core import dispatch
    from nvtabular.ops import categorify

    if path is not None:
        read = dispatch.read_dispatch(cpu=cpu, collection=True)
        frame = read(path, split_row_groups=False).compute(scheduler="synchronous")
        dfs = [frame.reset_index(drop=True)]
    return categorify._write_uniques_of_frames(dfs, base_path, col_selector, options, cpu)


def sort_uniques_in_one_frame(nvtabular_ops_categorify: Any) -> None:
    """``Categorify(split_out=…)`` sorts its uniques by Dask, with internals gone since 2025.1.

    ``dd.shuffle._calculate_divisions``, and a ``BlockIndex`` handed to ``map_partitions``, of which
    dask-expr makes no partition number: the null row stayed among the values. The uniques are
    sorted in one frame instead, as they are with ``split_out=1``.
    """
    nvtabular_ops_categorify._write_uniques_of_frames = nvtabular_ops_categorify._write_uniques
    nvtabular_ops_categorify._write_uniques = _write_uniques


def encode_by_position(nvtabular_ops_categorify: Any) -> None:
    """Categorify finds nulls, and puts lists back, by index label where it means the position.

    So in a pandas partition whose index does not count from 0 (any but the first of
    ``Dataset(frame, npartitions=2)``, or one behind a filter) it wrote to other rows or failed; and
    it failed in a partition that is empty or has nothing but nulls. Never right on a CPU.
    """
    import numpy as np
    import pandas as pd

    original = nvtabular_ops_categorify._encode

    def encode(name: Any, storage_name: str, path: Any, df: Any, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(df, pd.DataFrame):
            return original(name, storage_name, path, df, *args, **kwargs)
        if isinstance(name, str) and df[name].isna().all() and not kwargs.get("single_table"):
            dtype = kwargs.get("dtype") or np.int64
            return np.full(len(df), nvtabular_ops_categorify.NULL_OFFSET, dtype=dtype)
        labels = original(name, storage_name, path, df.reset_index(drop=True), *args, **kwargs)
        return labels.values if isinstance(labels, pd.Series) else labels

    nvtabular_ops_categorify._encode = encode


def write_empty_vocabularies(nvtabular_ops_categorify: Any) -> None:
    """Categorify writes no file for a column of nothing but nulls, and then fails to open it.

    Never right, on a GPU neither.
    """
    from fsspec.core import url_to_fs

    original = nvtabular_ops_categorify._save_encodings

    def save_encodings(df: Any, *args: Any, **kwargs: Any) -> Any:
        path = original(df, *args, **kwargs)
        fs, where = url_to_fs(path)
        if not fs.exists(where):
            df.head(0).to_parquet(path)
        return path

    nvtabular_ops_categorify._save_encodings = save_encodings


def count_given_buckets(nvtabular_ops_categorify: Any) -> None:
    """``Categorify(vocabs=…, num_buckets=4)`` writes its vocabulary as with one bucket.

    Then the offset is added at each look-up, as the labels of the file seem to lack it, so that ids
    pass the domain of the schema. Never right.
    """
    op = nvtabular_ops_categorify.Categorify
    original = op.process_vocabs

    @functools.wraps(original)
    def process_vocabs(self: Any, vocabs: Any) -> Any:
        save = nvtabular_ops_categorify._save_encodings

        def save_encodings(df: Any, base_path: str, name: str) -> Any:
            buckets = self.num_buckets
            count = (buckets[name] if isinstance(buckets, dict) else buckets) or 1
            return save(df, base_path, name, oov_count=count)

        nvtabular_ops_categorify._save_encodings = save_encodings
        try:
            return original(self, vocabs)
        finally:
            nvtabular_ops_categorify._save_encodings = save

    op.process_vocabs = process_vocabs


def mend_categorify(nvtabular_ops_categorify: Any) -> None:
    """What Categorify needs, once it is loaded."""
    write_empty_vocabularies(nvtabular_ops_categorify)
    sort_uniques_in_one_frame(nvtabular_ops_categorify)
    encode_by_position(nvtabular_ops_categorify)
    count_given_buckets(nvtabular_ops_categorify)


def pad_sliced_arrays(nvtabular_ops_list_slice: Any) -> None:
    """``ListSlice(pad=True)`` on a CPU pads lists, but throws the padded arrays away.

    Lists read from Parquet are arrays. Never right on a CPU.
    """
    import numpy as np

    op = nvtabular_ops_list_slice.ListSlice
    original = op.transform

    @functools.wraps(original)
    def transform(self: Any, col_selector: Any, df: Any) -> Any:
        sliced = original(self, col_selector, df)
        if self.pad and nvtabular_ops_list_slice.is_cpu_object(df):
            for column in col_selector.names:
                sliced[column] = [
                    np.append(row, np.full(self.max_elements - len(row), self.pad_value, row.dtype))
                    if isinstance(row, np.ndarray)
                    else row
                    for row in sliced[column]
                ]
        return sliced

    op.transform = transform

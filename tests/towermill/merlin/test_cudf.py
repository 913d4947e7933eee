"""Names that cuDF 26.6 lacks are restored; modules of its names stand in for it."""

from __future__ import annotations

import importlib.util
import sys
import types
from typing import Any

import pytest

from towermill.merlin import core


class Column:
    """Of `cudf.core.column.ColumnBase`, what is called."""

    def __init__(self, plc_column: Any, dtype: Any = None) -> None:
        self.plc_column, self.dtype = plc_column, dtype

    create = classmethod(lambda cls, made, dtype: cls(made, dtype))
    from_pylibcudf = classmethod(lambda cls, made: cls(made))

    def to_pylibcudf(self) -> Any:
        return self.plc_column


class ListColumn(Column):
    """And of lists."""


@pytest.fixture
def cudf(monkeypatch: pytest.MonkeyPatch) -> Any:
    column = types.ModuleType("cudf.core.column")
    column.ColumnBase, column.ListColumn = Column, type("ListColumn", (ListColumn,), {})
    plc = types.ModuleType("pylibcudf")
    plc.Column = lambda *parts: parts
    plc.DataType, plc.TypeId = (lambda kind: f"type {kind}"), types.SimpleNamespace(LIST="list")
    dask_cudf = types.ModuleType("dask_cudf")
    dask_cudf.DataFrame = type("DataFrame", (), {"to_backend": lambda self, to: (self, to)})
    modules = {"cudf.core.column": column, "pylibcudf": plc, "dask_cudf": dask_cudf}
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    core.restore_cudf_names(types.SimpleNamespace(cudf=object()))
    return types.SimpleNamespace(column=column, dask_cudf=dask_cudf)


class TestRestored:
    def test_a_column_of_lists_is_built(self, cudf: Any) -> None:
        offsets, elements = Column("offsets"), Column("elements")
        made = cudf.column.build_column(None, dtype="lists", size=2, children=(offsets, elements))
        parts = ["offsets", "elements"]
        assert made.plc_column == ("type list", 2, None, None, 0, 0, parts)
        assert made.dtype == "lists"

    def test_its_offsets_are_told(self, cudf: Any) -> None:
        view = types.SimpleNamespace(offsets=lambda: [0, 2, 3])
        column = cudf.column.ListColumn(types.SimpleNamespace(list_view=lambda: view))
        assert column.offsets.plc_column == [0, 2, 3]

    def test_frames_move_between_host_and_gpu(self, cudf: Any) -> None:
        frame = cudf.dask_cudf.DataFrame()
        assert cudf.dask_cudf.from_dask_dataframe(frame) == (frame, "cudf")
        assert frame.to_dask_dataframe() == (frame, "pandas")

    def test_nothing_is_touched_without_cudf(self) -> None:
        core.restore_cudf_names(types.SimpleNamespace(cudf=None))
        assert "cudf.core.column" not in sys.modules


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("cudf") is None, reason="cuDF is not installed")
def test_merlin_and_the_rooms_import_on_the_real_one(python: Any) -> None:
    """As on a machine with a GPU; there need be none to import."""
    python(
        "import sys, types, towermill\n"
        "found = types.ModuleType('merlin.core.has_gpu')\n"
        "found.HAS_GPU = True\n"
        "sys.modules['merlin.core.has_gpu'] = found\n"
        "import cudf, nvtabular, merlin.io, rmm\n"
        "import merlin.dataloader.loader_base, towermill.workflows.process.interactions\n"
        "from cudf.core.column import ListColumn\n"
        "from merlin.core import compat, dispatch\n"
        "assert compat.cudf is cudf\n"
        "names = {'as_column', 'build_column', 'cudf_is_list_dtype', 'rmm'}\n"
        "assert names <= set(vars(dispatch)), vars(dispatch)\n"
        "assert ListColumn.offsets\n"
        "cudf.set_option('spill', True)\n"
        "assert {'PoolMemoryResource', 'CudaAsyncMemoryResource', 'CudaMemoryResource',\n"
        "        'LimitingResourceAdaptor', 'set_current_device_resource'} <= set(dir(rmm.mr))\n"
        "assert {'from_pylibcudf', 'to_pylibcudf'} <= set(dir(cudf.Series))\n",
        RAPIDS_NO_INITIALIZE="1",
        CUDA_VISIBLE_DEVICES="",
    )

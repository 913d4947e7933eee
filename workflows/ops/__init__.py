"""NVTabular's operators, as fast on Arrow columns as Polars is; on cuDF frames they are its own."""

from towermill.workflows.ops.categories.categorify import Categorify
from towermill.workflows.ops.fill import Clip, FillMedian, FillMissing
from towermill.workflows.ops.filter import Filter
from towermill.workflows.ops.groupby import Groupby
from towermill.workflows.ops.join_external import JoinExternal
from towermill.workflows.ops.list_slice import ListSlice
from towermill.workflows.ops.normalize import Normalize

__all__ = [
    "Categorify",
    "Clip",
    "FillMedian",
    "FillMissing",
    "Filter",
    "Groupby",
    "JoinExternal",
    "ListSlice",
    "Normalize",
]

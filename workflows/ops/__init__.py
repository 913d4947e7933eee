"""NVTabular's operators, as fast on Arrow columns as Polars is; on cuDF frames they are its own."""

from towermill.workflows.ops.categorify import Categorify
from towermill.workflows.ops.filter import Filter

__all__ = ["Categorify", "Filter"]

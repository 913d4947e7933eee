"""Every input of the catalogue is read right, or refused with a message, by `prepare`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from catalogue import Case
from csv_shapes import CASES as CSV_SHAPES
from csv_values import CASES as CSV_VALUES
from files import CASES as FILES
from parquet import CASES as PARQUET
from tables import CASES as TABLES

from towermill.columns import ITEM_ID, USER_ID
from towermill.errors import TowermillError
from towermill.pipelines import validate_recipe
from towermill.pipelines.stages.prepare import prepare
from towermill.runtime.device import Runtime
from towermill.workflows.tables import Tables, read_tables

CASES = [*CSV_SHAPES, *CSV_VALUES, *FILES, *PARQUET, *TABLES]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_read_right_or_refused(case: Case, tmp_path: Path) -> None:
    case.write(tmp_path)
    out = tmp_path / "out"
    out.mkdir()
    if case.refused is not None:
        with pytest.raises(TowermillError) as error:
            prepare(validate_recipe(case.recipe(tmp_path)), {}, out, Runtime())
        assert re.search(case.refused, str(error.value), re.DOTALL), str(error.value)
        return
    prepare(validate_recipe(case.recipe(tmp_path)), {}, out, Runtime())
    tables = read_tables(out)
    assert isinstance(tables, Tables)
    if case.rows is not None:
        found = tables.interactions.select(USER_ID, ITEM_ID, *case.more).collect()
        assert found.rows() == case.rows
    if case.items is not None:
        assert tables.items is not None
        assert tables.items.collect().rows() == case.items


def test_names_are_different() -> None:
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names)
    assert len(names) >= 300

"""A vocabulary that goes on from an earlier one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nvtabular as nvt
import polars as pl
import pytest

from towermill.errors import DataError
from towermill.workflows.dataset import open_dataset
from towermill.workflows.graph.workflow import Workflow


class Fitted:
    """Workflows of one graph, fitted one after the other."""

    def __init__(self, folder: Path, columns: Any = ("v",), **options: Any) -> None:
        self.folder, self.columns, self.options = folder, columns, options
        self.last: Workflow | None = None
        self.count = 0

    def on(self, **values: list[Any]) -> Fitted:
        self.count += 1
        place = self.folder / str(self.count)
        place.mkdir()
        pl.DataFrame(values).write_parquet(place / "rows.parquet")
        out = str(place / "fit")
        graph = list(self.columns) >> nvt.ops.Categorify(out_path=out, **self.options)
        workflow = Workflow(graph)
        earlier = None if self.last is None else self.folder / str(self.count - 1) / "saved"
        workflow.fit(open_dataset(place / "rows.parquet"), earlier)
        workflow.save(place / "saved")
        self.last = Workflow.load(place / "saved")
        return self

    def ids(self, values: list[Any], column: str = "v") -> list[Any]:
        path = self.folder / "asked.parquet"
        frame = pl.DataFrame(dict.fromkeys(self.last.input_schema.column_names, values))
        frame.write_parquet(path)
        encoded = self.last.transform(open_dataset(path)).to_ddf().compute()
        return list(encoded[column].to_list())

    def vocabulary(self, name: str = "v") -> dict[Any, int]:
        path = self.last.output_schema[name].properties["cat_path"]
        frame = pl.read_parquet(path)
        return dict(zip(*(frame[c].to_list() for c in frame.columns[:2]), strict=True))


class TestIds:
    def test_old_ones_stay_and_new_ones_stand_behind_by_falling_frequency(
        self, tmp_path: Path
    ) -> None:
        made = Fitted(tmp_path).on(v=[7, 7, 7, 5, 5, 9]).on(v=[9] * 9 + [2, 4, 4, 1, 1, 5])
        # Of the new ones 1 and 4 are met twice, and the tie goes to the lesser.
        assert made.ids([7, 5, 9, 1, 4, 2, 77, None]) == [3, 4, 5, 6, 7, 8, 2, 1]

    def test_meta_counts_what_stays_unknown(self, tmp_path: Path) -> None:
        made = Fitted(tmp_path, freq_threshold=2).on(v=[7, 7]).on(v=[7, 5, 4, 4, 4, None])
        path = Path(made.last.output_schema["v"].properties["cat_path"])
        meta = pl.read_parquet(path.with_name("meta.v.parquet"))
        observed = dict(zip(meta["kind"], meta["num_observed"], strict=True))
        assert (observed["null"], observed["oov"]) == (1, 1)  # 5 is met once

    def test_sizes_sum_up(self, tmp_path: Path) -> None:
        made = Fitted(tmp_path).on(v=["a", "a", "b"]).on(v=["b", "c", None])
        assert made.vocabulary() == {"a": 2, "b": 2, "c": 1}

    def test_chain(self, tmp_path: Path) -> None:
        made = Fitted(tmp_path).on(v=["a"]).on(v=["b", "b"]).on(v=["c", "a"])
        assert made.ids(["a", "b", "c"]) == [3, 4, 5]
        assert made.vocabulary() == {"a": 2, "b": 2, "c": 1}

    def test_nothing_new(self, tmp_path: Path) -> None:
        made = Fitted(tmp_path).on(v=["a", "b", "b"]).on(v=["a", "a", "a"])
        assert made.ids(["b", "a"]) == [3, 4]

    def test_old_file_is_left_alone(self, tmp_path: Path) -> None:
        made = Fitted(tmp_path).on(v=["a"])
        saved = sorted((tmp_path / "1" / "saved").rglob("*.parquet"))
        before = [path.read_bytes() for path in saved]
        made.on(v=["b"])
        assert [path.read_bytes() for path in saved] == before

    def test_columns_that_share_one(self, tmp_path: Path) -> None:
        made = Fitted(tmp_path, columns=[["one", "many"]])
        made.on(one=["a", "b"], many=[["a"], ["c"]]).on(one=["d", "a"], many=[["e", "e"], ["d"]])
        assert made.ids(["a", "b", "c", "d", "e"], "one") == [3, 4, 5, 6, 7]

    def test_schema_has_the_new_size(self, tmp_path: Path) -> None:
        made = Fitted(tmp_path).on(v=["a", "b"]).on(v=["c"])
        assert made.last.output_schema["v"].int_domain.max == 5


class TestLimits:
    def test_threshold_is_of_the_new_rows(self, tmp_path: Path) -> None:
        made = Fitted(tmp_path, freq_threshold=2).on(v=["a", "a", "b"]).on(v=["b", "c", "c", "a"])
        assert made.ids(["a", "c", "b"]) == [3, 4, 2]
        assert made.vocabulary() == {"a": 3, "c": 2}  # a below the threshold counts all the same

    def test_max_size_is_of_old_and_new(self, tmp_path: Path) -> None:
        made = Fitted(tmp_path, max_size=3 + 3).on(v=["a", "b"]).on(v=["c", "d", "d"])
        assert made.ids(["a", "b", "d", "c"]) == [3, 4, 5, 2]

    def test_full_vocabulary_takes_no_more(self, tmp_path: Path) -> None:
        made = Fitted(tmp_path, max_size=3 + 2).on(v=["a", "b"]).on(v=["c"] * 9)
        assert made.vocabulary() == {"a": 1, "b": 1}

    @pytest.mark.filterwarnings("ignore:Performing a hash")
    def test_buckets_keep_their_ids(self, tmp_path: Path) -> None:
        made = Fitted(tmp_path, max_size=4 + 3, num_buckets=2).on(v=["a"]).on(v=["b"])
        assert made.ids(["a", "b"]) == [4, 5]
        assert made.ids(["x"])[0] in (2, 3)


class TestRefused:
    def test_other_type(self, tmp_path: Path) -> None:
        made = Fitted(tmp_path).on(v=[1, 2])
        with pytest.raises(DataError, match=r"values of 'v'.*Int64 and String"):
            made.on(v=["1"])


class TestNormalize:
    def test_numbers_are_measured_as_before(self, tmp_path: Path) -> None:
        def fit(values: list[float], earlier: Path | None = None) -> Workflow:
            path = tmp_path / f"{len(values)}.parquet"
            pl.DataFrame({"x": values}).write_parquet(path)
            return Workflow(["x"] >> nvt.ops.Normalize()).fit(open_dataset(path), earlier)

        first = fit([0.0, 2.0])
        first.save(tmp_path / "saved")
        then = fit([100.0, 200.0, 300.0], tmp_path / "saved")
        asked = open_dataset(tmp_path / "2.parquet")
        for workflow in (first, then):
            found = workflow.transform(asked).to_ddf().compute()["x"].to_list()
            assert found == pytest.approx([-(0.5**0.5), 0.5**0.5])

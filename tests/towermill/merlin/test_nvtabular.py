"""NVTabular on this stack, against formulas that are slow and plain."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import towermill  # noqa: F401  (what makes the next imports work)

import nvtabular as nvt  # isort: skip
from merlin.dag.ops.subgraph import Subgraph  # isort: skip
from merlin.schema import ColumnSchema, Schema, Tags  # isort: skip
from nvtabular import ops  # isort: skip

PAD, NULL, OOV, FIRST = 0, 1, 2, 3


def host(frame: Any) -> pd.DataFrame:
    frame = frame.to_ddf().compute() if hasattr(frame, "to_ddf") else frame
    frame = frame.to_pandas() if hasattr(frame, "to_pandas") else frame
    return frame.reset_index(drop=True)


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    """Ids with as many ties as there are in real logs, nulls, lists, a null-only row group."""
    rng = np.random.default_rng(7)
    n = 1200
    lengths = rng.integers(0, 5, n)
    frame = pd.DataFrame(
        {
            "number": rng.zipf(1.6, n).astype("float64") % 150,
            "word": [f"w{i}" for i in rng.integers(0, 40, n)],
            "other": [f"w{i}" for i in rng.integers(20, 60, n)],
            "numbers": [rng.integers(0, 25, k) for k in lengths],
            "words": [[f"t{i}" for i in rng.integers(0, 25, k)] for k in lengths],
            "real": rng.lognormal(size=n),
            "label": rng.integers(0, 2, n).astype("float32"),
        }
    )
    frame.loc[::17, "number"] = None
    frame.loc[::23, "word"] = None
    frame.loc[300:599, "other"] = None  # one whole partition
    return frame


@pytest.fixture(params=["parquet", "memory"])
def dataset(request: pytest.FixtureRequest, frame, tmp_path: Path, device: str) -> Any:
    """Four partitions, from a file or from memory (there, the index goes on counting)."""
    cpu = device == "cpu"
    if request.param == "memory":
        return nvt.Dataset(frame, npartitions=4, cpu=cpu)
    frame.to_parquet(tmp_path / "in.parquet", row_group_size=300)
    path = str(tmp_path / "in.parquet")
    return nvt.Dataset(path, engine="parquet", row_groups_per_part=1, cpu=cpu)


def flat(column: pd.Series) -> list[Any]:
    return [x for v in column for x in (v if isinstance(v, list | np.ndarray) else [v])]


def check_encoding(
    raw: pd.Series,
    ids: pd.Series,
    *,
    least: int = 0,
    size: int | None = None,
    buckets: int = 1,
    fitted_on: list[Any] | None = None,
) -> dict[Any, int]:
    """Each id is what the convention says, by counting. Returns the vocabulary."""
    values, encoded = flat(raw), flat(ids)
    assert len(values) == len(encoded)
    counts = Counter(v for v in (fitted_on or values) if not pd.isna(v))
    kept = [v for v, c in counts.items() if c >= least]
    if size is not None:
        room = size - 2 - buckets
        at_least = sorted(counts.values(), reverse=True)[:room]
        kept_count, smallest = min(room, len(counts)), at_least[-1]
    else:
        kept_count, smallest = len(kept), least
    first = 2 + buckets
    vocabulary: dict[Any, int] = {}
    outside: dict[Any, int] = {}
    for value, code in zip(values, encoded, strict=True):
        if pd.isna(value):
            assert code == NULL
        elif code >= first:
            assert vocabulary.setdefault(value, code) == code
            assert counts[value] >= smallest
        else:
            assert OOV <= code < first
            assert outside.setdefault(value, code) == code
            assert counts[value] <= smallest if size is not None else value not in kept
    assert len(outside) < 2 * buckets or len(set(outside.values())) == buckets
    codes = sorted(vocabulary.values())
    assert len(set(codes)) == len(vocabulary)  # no two values share one
    if fitted_on is None:
        assert codes == list(range(first, first + kept_count))
    by_code = [counts[v] for v, _ in sorted(vocabulary.items(), key=lambda kv: kv[1])]
    assert by_code == sorted(by_code, reverse=True)  # by falling frequency
    return vocabulary


class TestCategorify:
    COLUMNS = ("number", "word", "other", "numbers", "words")

    def encode(self, dataset: Any, tmp_path: Path, columns: Any = COLUMNS, **options: Any) -> Any:
        op = ops.Categorify(out_path=str(tmp_path / "out"), **options)
        workflow = nvt.Workflow(list(columns) >> op)
        return host(workflow.fit_transform(dataset)), workflow

    @pytest.mark.parametrize("split_out", [1, 3])
    @pytest.mark.parametrize(
        ("options", "rule"),
        [
            ({}, {}),
            ({"freq_threshold": 10}, {"least": 10}),
            ({"max_size": 12}, {"size": 12}),
            ({"max_size": 12, "num_buckets": 4}, {"size": 12, "buckets": 4}),
            ({"freq_threshold": 10, "num_buckets": 3}, {"least": 10, "buckets": 3}),
            ({"split_every": 2, "dtype": "int32"}, {}),
            ({"cat_cache": "disk"}, {}),
        ],
        ids=lambda value: "-".join(map(str, value)) or "default",
    )
    @pytest.mark.filterwarnings("ignore:.*hash-based", "ignore:.*chained assignment")
    def test_ids(self, frame, dataset, tmp_path, split_out, options, rule):
        encoded, _ = self.encode(dataset, tmp_path, split_out=split_out, **options)
        assert len(encoded) == len(frame)
        for column in self.COLUMNS:
            check_encoding(frame[column], encoded[column], **rule)
            if "dtype" in options:
                kind = encoded[column].iloc[-1].dtype if column[-1] == "s" else encoded[column]
                assert getattr(kind, "dtype", kind) == np.dtype(options["dtype"])
        lengths = frame["words"].map(len).tolist()
        assert encoded["words"].map(len).tolist() == lengths

    def test_split_out_changes_nothing_but_the_order_of_ties(self, dataset, tmp_path):
        one, _ = self.encode(dataset, tmp_path / "1", split_out=1)
        many, _ = self.encode(dataset, tmp_path / "4", split_out={"word": 4, "words": 2})
        for column in self.COLUMNS:
            assert Counter(flat(one[column])) == Counter(flat(many[column]))

    def test_tree_width_is_deprecated(self):
        with pytest.warns(FutureWarning, match="tree_width"):
            ops.Categorify(tree_width=4)

    @pytest.mark.parametrize("gone", ["start_index", "na_sentinel"])
    def test_arguments_that_went(self, gone):
        with pytest.raises(ValueError, match=gone):
            ops.Categorify(**{gone: 1})

    def test_search_sorted_is_for_cudf(self, dataset, tmp_path, device):
        if device == "gpu":
            pytest.skip("allowed there")
        with pytest.warns(UserWarning, match="search_sorted"):
            self.encode(dataset, tmp_path, ["word"], search_sorted=True)

    def test_joint_columns_share_a_vocabulary(self, frame, dataset, tmp_path):
        encoded, workflow = self.encode(dataset, tmp_path, [["word", "other"]])
        both = [*frame["word"], *frame["other"]]
        words = check_encoding(frame["word"], encoded["word"], fitted_on=both)
        others = check_encoding(frame["other"], encoded["other"], fitted_on=both)
        assert {**words, **others} == {**others, **words}
        assert set(words) & set(others)
        assert max({**words, **others}.values()) == FIRST + len({**words, **others}) - 1
        names = [c.properties["embedding_sizes"] for c in workflow.output_schema]
        assert names[0] == names[1]

    @pytest.mark.parametrize("name_sep", ["_", "|"])
    def test_combinations(self, frame, dataset, tmp_path, name_sep):
        op = ops.Categorify(encode_type="combo", name_sep=name_sep, out_path=str(tmp_path / "out"))
        workflow = nvt.Workflow([["word", "label"], "number"] >> op)
        encoded = host(workflow.fit_transform(dataset))
        name = f"word{name_sep}label"
        assert set(encoded.columns) == {name, "number"}
        # A half-null pair is a combination of its own; a wholly null one is null.
        pairs = [
            (None if w is None else w, int(y))
            for w, y in zip(frame["word"], frame["label"], strict=True)
        ]
        whole = [i for i, (w, _) in enumerate(pairs) if w is not None]
        codes: dict[Any, set[int]] = {}
        for i in whole:
            codes.setdefault(pairs[i], set()).add(encoded[name].iloc[i])
        assert all(len(c) == 1 for c in codes.values())
        assert len({c for cs in codes.values() for c in cs}) == len(codes)
        assert min(c for cs in codes.values() for c in cs) >= FIRST

    def test_out_path_and_what_is_written(self, frame, dataset, tmp_path):
        _, workflow = self.encode(dataset, tmp_path, ["word"])
        found = sorted((tmp_path / "out" / "categories").glob("unique.*"))
        assert [p.name for p in found] == ["unique.word.parquet"]
        uniques = pd.read_parquet(found[0])
        counts = frame["word"].value_counts()
        assert uniques["word_size"].tolist() == sorted(counts, reverse=True)
        assert uniques.index.tolist() == list(range(FIRST, FIRST + len(counts)))
        properties = workflow.output_schema["word"].properties
        assert properties["cat_path"].endswith("unique.word.parquet")
        assert properties["embedding_sizes"]["cardinality"] == FIRST + len(counts)
        assert properties["domain"] == {"min": 0, "max": FIRST + len(counts) - 1, "name": "word"}
        assert (properties["num_buckets"], properties["freq_threshold"]) == (None, 0)

    def test_given_vocabulary_is_not_fitted(self, tmp_path, device):
        rows = pd.DataFrame({"word": ["b", "a", "never", None, "c"]})
        vocabs = {"word": pd.Series(["a", "b", "c"])}
        dataset = nvt.Dataset(rows, cpu=device == "cpu")
        encoded, _ = self.encode(dataset, tmp_path, ["word"], vocabs=vocabs)
        assert encoded["word"].tolist() == [4, 3, OOV, NULL, 5]

    @pytest.mark.parametrize("buckets", [4, {"word": 4}])
    def test_buckets_beside_a_given_vocabulary(self, tmp_path, device, buckets):
        rows = pd.DataFrame({"word": ["b", "a", "never", "nor this", None, "c"]})
        options = {"vocabs": {"word": pd.Series(["a", "b", "c"])}, "max_size": 100}
        dataset = nvt.Dataset(rows, cpu=device == "cpu")
        encoded, workflow = self.encode(dataset, tmp_path, ["word"], num_buckets=buckets, **options)
        ids = encoded["word"].tolist()
        assert [ids[i] for i in (1, 0, 5)] == [OOV + 4, OOV + 5, OOV + 6]
        assert set(ids[2:4]) <= set(range(OOV, OOV + 4))
        assert ids[4] == NULL
        assert workflow.output_schema["word"].int_domain.max == OOV + 6

    def test_values_unseen_in_fit(self, frame, dataset, tmp_path, device):
        _, workflow = self.encode(dataset, tmp_path, ["word", "words"])
        rows = pd.DataFrame({"word": ["zz", None, "w1"], "words": [["zz", "t1"], [], ["t2"]]})
        encoded = host(workflow.transform(nvt.Dataset(rows, cpu=device == "cpu")))
        assert encoded["word"].tolist()[:2] == [OOV, NULL]
        assert encoded["words"].iloc[0][0] == OOV
        assert len(encoded["words"].iloc[1]) == 0
        assert encoded["word"].iloc[2] >= FIRST

    def test_single_table_has_one_range_of_ids(self, frame, dataset, tmp_path):
        encoded, _ = self.encode(dataset, tmp_path, ["word", "number"], single_table=True)
        known = frame["word"].notna() & frame["number"].notna()
        words, numbers = set(encoded["word"][known]), set(encoded["number"][known])
        assert not words & numbers

    def test_partitions_behind_a_filter(self, frame, dataset, tmp_path):
        long = ["word", "real"] >> ops.Filter(f=_is_long)
        workflow = nvt.Workflow(long["word"] >> ops.Categorify(out_path=str(tmp_path / "out")))
        encoded = host(workflow.fit_transform(dataset))
        kept = frame[frame["real"] > 1.5]
        check_encoding(kept["word"], encoded["word"])


def _is_long(frame: Any) -> Any:
    return frame[frame["real"] > 1.5]


def _double(column: Any) -> Any:
    return column * 2


class TestOtherOperators:
    def test_normalize(self, frame, dataset):
        out = host(nvt.Workflow(["real"] >> ops.Normalize()).fit_transform(dataset))
        expected = (frame["real"] - frame["real"].mean()) / frame["real"].std(ddof=1)
        np.testing.assert_allclose(out["real"], expected, rtol=1e-4, atol=1e-4)

    def test_normalize_min_max_and_fill(self, frame, dataset):
        workflow = nvt.Workflow(["number"] >> ops.FillMedian() >> ops.NormalizeMinMax())
        out = host(workflow.fit_transform(dataset))["number"]
        assert (out.min(), out.max()) == (0, 1)
        assert out.notna().all()

    def test_log_clip_rename_lambda(self, frame, dataset):
        graph = (
            ["real"]
            >> ops.Clip(min_value=0.5, max_value=2.0)
            >> ops.LambdaOp(_double)
            >> ops.LogOp()
            >> ops.Rename(postfix="_log")
        )
        out = host(nvt.Workflow(graph).fit_transform(dataset))
        expected = np.log1p(frame["real"].clip(0.5, 2.0) * 2)
        np.testing.assert_allclose(out["real_log"], expected, rtol=1e-5)

    def test_bucketize(self, frame, dataset):
        edges = [0.5, 1.0, 2.0]
        out = host(nvt.Workflow(["real"] >> ops.Bucketize({"real": edges})).fit_transform(dataset))
        assert out["real"].tolist() == [sum(x >= e for e in edges) for x in frame["real"]]

    def test_hash_bucket(self, frame, dataset):
        graph = ["word"] >> ops.FillMissing("none") >> ops.HashBucket(7)
        out = host(nvt.Workflow(graph).fit_transform(dataset))
        pairs = set(zip(frame["word"].fillna("none"), out["word"], strict=True))
        assert len(pairs) == frame["word"].nunique() + 1
        assert set(out["word"]) <= set(range(7))

    def test_list_slice_pads(self, frame, dataset):
        graph = ["numbers"] >> ops.ListSlice(0, 3, pad=True, pad_value=0)
        out = host(nvt.Workflow(graph).fit_transform(dataset))
        expected = [[*v, 0, 0, 0][:3] for v in frame["numbers"]]
        assert [list(v) for v in out["numbers"]] == expected

    def test_join_external(self, frame, dataset, device):
        ext = pd.DataFrame({"word": [f"w{i}" for i in range(40)], "weight": range(40)})
        graph = ["word", "real"] >> ops.JoinExternal(
            nvt.Dataset(ext, cpu=device == "cpu"), on=["word"], columns_ext=["word", "weight"]
        )
        out = host(nvt.Workflow(graph).fit_transform(dataset))
        weights = dict(zip(ext["word"], ext["weight"], strict=True))
        expected = [weights.get(w, np.nan) for w in frame["word"]]
        np.testing.assert_array_equal(out["weight"].to_numpy("float64"), expected)
        np.testing.assert_array_equal(out["real"], frame["real"])

    def test_groupby_keeps_the_order_of_time(self, device):
        rng = np.random.default_rng(1)
        rows = pd.DataFrame({"user": rng.integers(0, 9, 200), "at": rng.permutation(200)})
        rows["item"] = rng.integers(0, 50, 200)
        op = ops.Groupby(
            groupby_cols=["user"], sort_cols=["at"], aggs={"item": ["list", "count"], "at": "last"}
        )
        dataset = nvt.Dataset(rows, cpu=device == "cpu").shuffle_by_keys(["user"])
        out = host(nvt.Workflow(["user", "at", "item"] >> op).fit_transform(dataset))
        assert sorted(out["user"]) == sorted(rows["user"].unique())
        for row in out.itertuples():
            mine = rows[rows["user"] == row.user].sort_values("at")
            assert list(row.item_list) == mine["item"].tolist()
            assert row.item_count == len(mine)
            assert row.at_last == mine["at"].iloc[-1]

    def test_target_encoding(self, frame, dataset, tmp_path):
        op = ops.TargetEncoding(
            "label", kfold=1, p_smooth=20, out_path=str(tmp_path), out_dtype="float64"
        )
        out = host(nvt.Workflow(["word"] >> op).fit_transform(dataset))
        mean = frame["label"].mean()
        groups = frame.groupby("word")["label"]
        expected = (groups.sum() + 20 * mean) / (groups.count() + 20)
        known = frame["word"].notna().to_numpy()
        np.testing.assert_allclose(
            out["TE_word_label"][known], frame["word"][known].map(expected), rtol=1e-4
        )

    def test_join_groupby(self, frame, dataset, tmp_path):
        op = ops.JoinGroupby(cont_cols=["real"], stats=["count", "sum"], out_path=str(tmp_path))
        out = host(nvt.Workflow(["other"] >> op).fit_transform(dataset))
        sums = frame.groupby("other")["real"].sum()
        known = frame["other"].notna().to_numpy()
        expected = frame["other"][known].map(sums)
        np.testing.assert_allclose(out["other_real_sum"][known], expected, rtol=1e-4)


class TestWorkflow:
    def graph(self, tmp_path: Path) -> Any:
        cats = ["number", "word", "words"] >> ops.Categorify(out_path=str(tmp_path / "cats"))
        tagged = cats["word"] >> ops.AddTags([Tags.USER_ID])
        return cats["number", "words"] + tagged + (["real"] >> ops.LogOp() >> ops.Normalize())

    def test_save_and_load(self, dataset, tmp_path, device):
        workflow = nvt.Workflow(self.graph(tmp_path))
        before = host(workflow.fit_transform(dataset))
        workflow.save(str(tmp_path / "saved"))
        loaded = nvt.Workflow.load(str(tmp_path / "saved"))
        pd.testing.assert_frame_equal(host(loaded.transform(dataset)), before)
        assert loaded.output_schema == workflow.output_schema
        assert loaded.output_schema.select_by_tag(Tags.USER_ID).column_names == ["word"]

    def test_load_in_a_process_that_has_done_nothing_else(
        self, frame, dataset, tmp_path, device, python
    ):
        workflow = nvt.Workflow(self.graph(tmp_path))
        before = host(workflow.fit_transform(dataset))
        workflow.save(str(tmp_path / "saved"))
        frame.to_parquet(tmp_path / "again.parquet")
        python(
            "import towermill, nvtabular as nvt\n"
            "workflow = nvt.Workflow.load('saved')\n"
            f"dataset = nvt.Dataset('again.parquet', engine='parquet', cpu={device == 'cpu'})\n"
            "workflow.transform(dataset).to_parquet('out')\n"
            "import sys; assert 'tensorflow' not in sys.modules"
        )
        after = host(nvt.Dataset(str(tmp_path / "out"), engine="parquet", cpu=device == "cpu"))
        assert list(after.columns) == list(before.columns)
        for column in before:
            assert flat(after[column]) == pytest.approx(flat(before[column]))

    def test_subgraphs(self, frame, dataset):
        words = Subgraph("strings", ["word"] >> ops.FillMissing("none"))
        reals = Subgraph("reals", ["real"] >> ops.Normalize())
        workflow = nvt.Workflow(words + reals)
        whole = host(workflow.fit_transform(dataset))
        part = workflow.get_subworkflow("strings")
        assert part.output_schema.column_names == ["word"]
        alone = host(part.transform(dataset))
        assert alone["word"].tolist() == whole["word"].tolist()
        assert alone["word"].tolist() == frame["word"].fillna("none").tolist()
        assert alone["word"].dtype == "object"
        assert part.output_schema["word"].dtype == workflow.output_schema["word"].dtype

    def test_remove_inputs(self, dataset, tmp_path):
        workflow = nvt.Workflow(self.graph(tmp_path))
        workflow.fit(dataset)
        smaller = workflow.remove_inputs(["real"])
        assert "real" not in smaller.output_schema.column_names

    def test_input_is_not_changed(self, frame, dataset, tmp_path):
        before = frame.copy(deep=True)
        nvt.Workflow(self.graph(tmp_path)).fit_transform(dataset).to_ddf().compute()
        pd.testing.assert_frame_equal(frame, before)


class TestDataset:
    def test_parquet_with_its_schema(self, frame, dataset, tmp_path, device):
        schema = Schema(
            [
                ColumnSchema("word", dtype="str", tags=[Tags.ITEM_ID, Tags.CATEGORICAL]),
                ColumnSchema("numbers", dtype="int64", is_list=True, is_ragged=True),
                ColumnSchema(
                    "real", dtype="float64", properties={"domain": {"min": 0.0, "max": 9.0}}
                ),
            ]
        )
        dataset.schema = schema
        out = tmp_path / "out"
        dataset.to_parquet(str(out), output_files=2)
        found = [str(p.relative_to(out)) for p in out.rglob("schema.*")]
        assert found, sorted(out.rglob("*"))
        assert sorted(p.name for p in out.glob("*.parquet")) == ["part_0.parquet", "part_1.parquet"]
        back = nvt.Dataset(str(out), engine="parquet", cpu=device == "cpu")
        assert back.schema["word"].tags == schema["word"].tags
        assert back.schema["numbers"].is_list
        assert back.schema["real"].properties["domain"]["max"] == 9.0
        assert back.num_rows == len(frame)
        got = host(back).sort_values("real")
        expected = frame.sort_values("real")
        assert got["word"].fillna("-").tolist() == expected["word"].fillna("-").tolist()
        assert flat(got["numbers"]) == flat(expected["numbers"])

    def test_a_selection_of_columns_reaches_the_reader(self, frame, tmp_path, device):
        frame.to_parquet(tmp_path / "in.parquet")
        data = nvt.Dataset(str(tmp_path / "in.parquet"), engine="parquet", cpu=device == "cpu")
        ddf = data.to_ddf()[["real"]]
        tasks = [repr(task) for task in dict(ddf.dask).values()]
        assert not any("words" in task for task in tasks)
        assert host(ddf.compute())["real"].tolist() == frame["real"].tolist()

    def test_rewritten_file_is_read_again(self, tmp_path, device):
        path = str(tmp_path / "in.parquet")
        for values in ([1, 2, 3], [4, 5, 6, 7]):
            pd.DataFrame({"a": values}).to_parquet(path)
            data = nvt.Dataset(path, engine="parquet", cpu=device == "cpu")
            assert host(data)["a"].tolist() == values
            assert data.num_rows == len(values)

    def test_partition_on(self, frame, tmp_path, device):
        data = nvt.Dataset(frame[["real", "label"]], npartitions=2, cpu=device == "cpu")
        data.to_parquet(str(tmp_path / "out"), partition_on=["label"])
        folders = sorted(p.name for p in (tmp_path / "out").glob("label=*"))
        assert folders == ["label=0.0", "label=1.0"]
        rows = pd.read_parquet(tmp_path / "out" / "label=1.0")
        assert sorted(rows["real"]) == sorted(frame["real"][frame["label"] == 1])

    def test_shuffled_partitions_and_repartition(self, frame, dataset):
        shuffled = host(dataset.to_ddf(shuffle=True, seed=3).compute())
        assert sorted(shuffled["real"]) == sorted(frame["real"])
        again = dataset.repartition(2)
        assert again.to_ddf().npartitions == 2
        assert host(again)["real"].tolist() == frame["real"].tolist()

    def test_merge(self, device):
        left = nvt.Dataset(pd.DataFrame({"k": [1, 2, 3], "a": [10, 20, 30]}), cpu=device == "cpu")
        right = nvt.Dataset(pd.DataFrame({"k": [2, 3, 4], "b": [5, 6, 7]}), cpu=device == "cpu")
        both = host(nvt.Dataset.merge(left, right, on="k")).sort_values("k")
        assert both.values.tolist() == [[2, 20, 5], [3, 30, 6]]

"""The competitions' file: held against a parser of its own, and against the source's rows."""

from __future__ import annotations

import json
import re
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from towermill.errors import DataError
from towermill.models.data.impressions import Slates
from towermill.pipelines.bundle.manifest import parse_manifest, save_manifest
from towermill.pipelines.recommend import competition as predictions
from towermill.pipelines.recommend.competition import ranks_within, write_predictions
from towermill.processed import ProcessedFolder, Stats

#: An id, a blank, ranks in brackets with commas between and no blanks: nothing else.
LINE = re.compile(r"(\S+) \[((?:[1-9]\d*(?:,[1-9]\d*)*)?)\]")


def parse(path: Path) -> list[tuple[str, list[int]]]:
    """Read the file as the competitions do: by lines, each ending in a newline."""
    text = path.read_bytes().decode("ascii")
    assert text.endswith("\n")
    assert "\r" not in text
    found = []
    for line in text[:-1].split("\n"):
        match = LINE.fullmatch(line)
        assert match, line
        ranks = match[2].split(",") if match[2] else []
        found.append((match[1], [int(rank) for rank in ranks]))
    return found


@dataclass
class Part:
    """Impressions as the source has them, and what was written of them."""

    source: pl.DataFrame
    lines: list[tuple[str, list[int]]]


@pytest.fixture(scope="module")
def read(news: Any) -> Callable[[str, Path], Part]:
    raw = pl.read_parquet(news.stages["prepare"] / "impressions.parquet")

    def part(split: str, path: Path) -> Part:
        return Part(raw.filter(pl.col("split") == split), parse(path))

    return part


@pytest.fixture(scope="module")
def written(news: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_predictions(news.latest, tmp_path_factory.mktemp("written"))


@pytest.fixture
def copy(news: Any, tmp_path: Path) -> Callable[[Callable[[pl.DataFrame], pl.DataFrame]], Path]:
    """A run whose hidden impressions are others."""

    def call(change: Callable[[pl.DataFrame], pl.DataFrame]) -> Path:
        run = tmp_path / "run"
        run.mkdir()
        for name in ("train", "bundle"):
            (run / name).symlink_to((news.latest / name).resolve())
        shutil.copytree(news.stages["process"], run / "process")
        (file,) = (run / "process" / "hidden").glob("*.parquet")
        change(pl.read_parquet(file)).write_parquet(file)
        return run

    return call


class TestFile:
    def test_names_and_zip(self, written: Path) -> None:
        assert sorted(path.name for path in written.parent.iterdir()) == [
            *("predictions.txt", "predictions.zip"),
        ]
        assert written.name == "predictions.zip"
        with zipfile.ZipFile(written) as archive:
            assert archive.namelist() == ["predictions.txt"]
            assert archive.testzip() is None
            assert archive.read("predictions.txt") == written.with_suffix(".txt").read_bytes()

    def test_lines_stand_in_the_order_of_the_source(self, written: Path, read: Any) -> None:
        part = read("hidden", written.with_suffix(".txt"))
        assert len(part.lines) == 60
        assert [line[0] for line in part.lines] == [str(i) for i in part.source["impression_id"]]

    def test_ranks_are_permutations(self, written: Path, read: Any) -> None:
        part = read("hidden", written.with_suffix(".txt"))
        for (_, ranks), shown in zip(part.lines, part.source["inview"], strict=True):
            assert sorted(ranks) == list(range(1, len(shown) + 1))

    def test_the_best_score_has_rank_1(self, written: Path, read: Any, news: Any) -> None:
        """Scores are worked out one article at a time, from the towers and the ages."""
        data, retriever = news.live()
        part = read("hidden", written.with_suffix(".txt"))
        slates = data.slates("hidden")
        articles, ages = retriever.refresh(), retriever.age_vectors()
        readers = retriever.embed_queries(data.query_frame(slates.users, slates.histories))
        for row, (_, ranks) in enumerate(part.lines[:20]):
            own = slice(slates.offsets[row], slates.offsets[row + 1])
            buckets = data.ages(slates)[own]
            scores = (articles[slates.items[own]] + ages[buckets]) @ readers[row]
            assert np.all(np.diff(scores[np.argsort(ranks)]) <= 1e-5)

    def test_validation_is_what_stands_before_the_hidden_ones(
        self, news: Any, read: Any, tmp_path: Path
    ) -> None:
        path = write_predictions(news.latest, tmp_path, "validation").with_suffix(".txt")
        part = read("test", path)
        assert [line[0] for line in part.lines] == [str(i) for i in part.source["impression_id"]]

    @pytest.mark.parametrize(
        ("changes", "split", "found"),
        [
            ({"source": {"hidden": 0}}, "test", "It has: validation"),
            ({"split": {"kind": "time"}}, "validation", "It has: test"),
            ({"split": {"kind": "time"}, "source": {"hidden": 0}}, "validation", "It has: none"),
        ],
    )
    def test_parts_that_are_not_the_sources_are_refused(
        self, news: Any, tmp_path: Path, changes: Any, split: Any, found: str
    ) -> None:
        run = tmp_path / "run"
        shutil.copytree(news.latest, run)
        stats = Stats.read(ProcessedFolder(run / "process"))
        hidden = {} if "source" in changes else {"test": "hidden"}
        given = {} if "split" in changes else {"validation": "test"}
        stats.model_copy(update={"parts": {**given, **hidden}}).write(
            ProcessedFolder(run / "process")
        )
        with pytest.raises(DataError, match=f"a part '{split}' that.*{found}"):
            write_predictions(run, tmp_path / "out", split)
        assert not (tmp_path / "out").exists()

    def test_agrees_with_the_metrics(self, news: Any, read: Any, tmp_path: Path) -> None:
        """Mean reciprocal rank of the clicks (MIND's: their mean), from the file alone."""
        path = write_predictions(news.latest, tmp_path, "validation").with_suffix(".txt")
        part, found = read("test", path), []
        rows = part.source.select("inview", "clicked").iter_rows()
        for (_, ranks), (shown, clicked) in zip(part.lines, rows, strict=True):
            at = [rank for rank, item in zip(ranks, shown, strict=True) if item in clicked]
            found.append(sum(1 / rank for rank in at) / len(at))
        metrics = json.loads((news.stages["evaluate"] / "metrics.json").read_text())
        # Equal scores (of readers without a history) are ordered by chance here.
        assert np.mean(found) == pytest.approx(metrics["metrics"]["mrr"], abs=0.02)

    def test_blocks_make_no_difference(
        self, news: Any, written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(predictions, "_BLOCK", 7)
        made = write_predictions(news.latest, tmp_path / "a" / "b")
        assert made.with_suffix(".txt").read_bytes() == written.with_suffix(".txt").read_bytes()

    def test_minds_name(self, copy: Any, tmp_path: Path) -> None:
        run = copy(lambda frame: frame)
        manifest = parse_manifest(run / "bundle")
        manifest.recipe["source"] = {"kind": "mind", "path": "small"}
        (run / "bundle").unlink()
        (run / "bundle").mkdir()
        save_manifest(run / "bundle", manifest)
        made = write_predictions(run, tmp_path / "out")
        assert made.name == "prediction.zip"
        with zipfile.ZipFile(made) as archive:
            assert archive.namelist() == ["prediction.txt"]


class TestImpressions:
    def test_repeated_ids_and_empty_slates(self, copy: Any, tmp_path: Path) -> None:
        """EB-NeRD has thousands of impressions of the id 0; each has its line."""
        shown = pl.when(pl.int_range(pl.len()) % 3 == 1).then([]).otherwise(pl.col("inview"))
        run = copy(
            lambda frame: frame.with_columns(
                impression_id=pl.lit(0, pl.Int64), inview=shown.cast(pl.List(pl.Int32))
            )
        )
        raw = pl.read_parquet(run / "process" / "hidden" / "*.parquet")
        lines = parse(write_predictions(run, tmp_path).with_suffix(".txt"))
        assert [line[0] for line in lines] == ["0"] * 60
        assert [len(line[1]) for line in lines] == raw["inview"].list.len().to_list()
        assert lines[1][1] == []

    def test_nothing_shown_in_a_whole_block(
        self, copy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(predictions, "_BLOCK", 20)
        run = copy(lambda frame: frame.with_columns(inview=pl.lit([], pl.List(pl.Int32))))
        lines = parse(write_predictions(run, tmp_path).with_suffix(".txt"))
        assert [line[1] for line in lines] == [[]] * 60

    def test_ids_of_text(self, copy: Any, tmp_path: Path) -> None:
        run = copy(
            lambda f: (
                f.with_columns(pl.format('a"{}', "impression_id").alias("x"))
                .drop("impression_id")
                .rename({"x": "impression_id"})
            )
        )
        lines = parse(write_predictions(run, tmp_path).with_suffix(".txt"))
        assert all(line[0].startswith('a"') for line in lines)

    def test_unknown_articles_come_with_the_rest(self, copy: Any, tmp_path: Path) -> None:
        run = copy(
            lambda frame: frame.with_columns(
                inview=pl.col("inview").list.eval(pl.lit(2, pl.Int32) + 0 * pl.element())
            )
        )
        raw = pl.read_parquet(run / "process" / "hidden" / "*.parquet")
        lines = parse(write_predictions(run, tmp_path).with_suffix(".txt"))
        for (_, ranks), shown in zip(lines, raw["inview"], strict=True):
            assert sorted(ranks) == list(range(1, len(shown) + 1))


class TestRanks:
    def slates(self, lengths: list[int]) -> Slates:
        rows, entries = len(lengths), sum(lengths)
        return Slates(
            pl.Series(range(rows)),
            *(np.zeros(rows, np.int32) for _ in range(2)),
            np.zeros(rows, "datetime64[us]"),
            np.zeros(entries, np.int32),
            np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
            np.zeros(entries, bool),
        )

    def test_by_hand(self) -> None:
        scores = np.array([0.1, 0.9, 0.5, -1.0, -2.0, 7.0])
        ranks = ranks_within(self.slates([3, 0, 2, 1]), scores)
        assert ranks.tolist() == [3, 1, 2, 1, 2, 1]

    def test_equal_scores_by_chance_the_same_each_time(self) -> None:
        slates = self.slates([50, 50])
        ranks = ranks_within(slates, np.zeros(100))
        assert ranks.tolist() == ranks_within(slates, np.zeros(100)).tolist()
        assert sorted(ranks[:50]) == list(range(1, 51))
        assert ranks[:50].tolist() != list(range(1, 51))
        assert ranks[:50].tolist() != ranks[50:].tolist()


class TestKilled:
    def test_half_a_file_does_not_look_whole(
        self, news: Any, written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        blocks = predictions._blocks

        def cut_off(*arguments: Any) -> Any:
            yield next(blocks(*arguments))
            raise KeyboardInterrupt

        monkeypatch.setattr(predictions, "_BLOCK", 10)
        monkeypatch.setattr(predictions, "_blocks", cut_off)
        with pytest.raises(KeyboardInterrupt):
            write_predictions(news.latest, tmp_path)
        assert not list(tmp_path.glob("*.txt"))
        assert not list(tmp_path.glob("*.zip"))
        monkeypatch.undo()
        again = write_predictions(news.latest, tmp_path).with_suffix(".txt")
        assert again.read_bytes() == written.with_suffix(".txt").read_bytes()
        assert len(list(tmp_path.iterdir())) == 2

    def test_runs_and_parts_have_folders_of_their_own(
        self, news: Any, tmp_path: Path, cli: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        key = news.latest.resolve().name[:6]
        for split in ("validation", "test"):
            said = cli("predict", news.latest, "--split", split)
            assert said.out.strip() == f"predictions/news-{key}-{split}/predictions.zip"
            assert Path(said.out.strip()).is_file()

    def test_no_old_zip_stands_beside_a_new_file(
        self, news: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_predictions(news.latest, tmp_path, "validation")

        def full(*arguments: Any, **options: Any) -> Any:
            raise OSError("no space left")

        monkeypatch.setattr(zipfile, "ZipFile", full)
        with pytest.raises(OSError, match="no space left"):
            write_predictions(news.latest, tmp_path)
        assert (tmp_path / "predictions.txt").is_file()
        assert not (tmp_path / "predictions.zip").exists()


class TestRefused:
    def test_a_run_of_interactions(self, trained: Any, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="Expected a run that ranks impressions"):
            write_predictions(trained.latest, tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def test_no_run(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="No finished run at"):
            write_predictions(tmp_path, tmp_path)

    def test_the_bundle_instead_of_the_run(self, news: Any, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="No finished run at"):
            write_predictions(news.bundle, tmp_path)

    def test_another_split(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"test or validation\. Received: 'train'"):
            write_predictions(tmp_path, tmp_path, "train")  # type: ignore[arg-type]

    def test_a_file_instead_of_a_folder(self, news: Any, tmp_path: Path) -> None:
        (tmp_path / "out").write_text("")
        with pytest.raises(DataError, match=r"should be written into a folder.*out"):
            write_predictions(news.latest, tmp_path / "out")

    def test_command_line(self, cli: Any, news: Any, tmp_path: Path) -> None:
        assert (
            "--split should be test or validation"
            in cli("predict", news.latest, "--split", "hidden").err
        )
        said = cli("predict", news.latest, "--out", tmp_path)
        assert said.code == 0
        assert said.out.strip() == str(tmp_path / "predictions.zip")

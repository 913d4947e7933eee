"""Serving needs none of what trains: an environment of four packages opens a bundle."""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import shutil
import subprocess
import venv
from pathlib import Path
from typing import Any

import pytest

import towermill
from towermill.pipelines import Bundle

#: And what usearch asks for.
PACKAGES = ("numpy", "onnxruntime", "pyarrow", "usearch", "numkong")
ROOMS = ("workflows", "models", "pipelines")

RECOMMEND = """
import importlib.util, json, sys
for name in ("tensorflow", "merlin", "nvtabular", "pandas", "polars", "pydantic", "dask"):
    assert importlib.util.find_spec(name) is None, name
from towermill.pipelines import Bundle
bundle = Bundle.open(sys.argv[1], verify=True)
answers = [bundle.recommend(user, 5).items for user in json.loads(sys.argv[2])]
features = bundle.recommend(features=json.loads(sys.argv[3]), k=5).items
print(json.dumps([answers, features, bundle.similar(answers[0][0]["item_id"], 3)]))
"""


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with `PACKAGES` and the rooms of this checkout alone."""
    folder = tmp_path_factory.mktemp("clean")
    venv.create(folder / "venv", with_pip=False, symlinks=True)
    (site,) = (folder / "venv" / "lib").glob("python*/site-packages")
    for name in PACKAGES:
        for file in importlib.metadata.files(name) or ():
            if ".." not in file.parts:
                (site / file).parent.mkdir(parents=True, exist_ok=True)
                (site / file).symlink_to(Path(str(file.locate())).resolve())
    rooms = site / "towermill"
    shutil.copytree(Path(str(towermill.__file__)).parent, rooms)
    for room in ROOMS:
        source = importlib.import_module(f"towermill.{room}").__file__
        shutil.copytree(Path(str(source)).parent, rooms / room, dirs_exist_ok=True)
    return folder / "venv" / "bin" / "python"


class TestReader:
    def test_same_answers_as_here(self, clean: Path, trained: Any) -> None:
        here = Bundle.open(trained.bundle)
        users = [here.user(row)["user_id"] for row in range(5)]
        features = {"user_id": users[0], "age": 30, "segment": "no such segment"}
        done = subprocess.run(
            [clean, "-I", "-c", RECOMMEND, trained.bundle, json.dumps(users), json.dumps(features)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        answers, of_features, similar = json.loads(done.stdout)
        assert answers == [here.recommend(user, 5).items for user in users]
        assert of_features == here.recommend(features=features, k=5).items
        assert similar == here.similar(answers[0][0]["item_id"], 3)

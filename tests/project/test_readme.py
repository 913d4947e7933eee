"""Every command of the README, in its order, in a copy of the checkout that ran `make demo`."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "README.md").read_text()
UV = shutil.which("uv") or shutil.which("uv", path=ROOT / ".venv" / "uv" / "bin")
#: The command after which a placeholder is replaced, and the file.
PLACEHOLDERS = {
    ("run", "RECIPE"): "more.yaml",
    ("tune", "RECIPE"): "tune.yaml",
    ("simulate", "RECIPE"): "slates.yaml",
    ("recommend", "BLEND"): "blend.yaml",
    ("verify", "BUNDLE"): "runs/demo/latest/bundle",
    ("export", "BUNDLE"): "runs/demo/latest/bundle",
    ("export", "DIR"): "triton",
}


def commands() -> list[list[str]]:
    """Return the words of every command: `make`, `towermill`, and Python blocks as ``python -c``.

    A block's lines are commands if it names no language; in prose, code that begins with
    ``towermill`` and a subcommand is one.
    """
    found = []
    for language, block, inline in re.findall(
        r"^```(\w*)\n(.*?)^```$|`(towermill\s[^`]+)`", TEXT, re.MULTILINE | re.DOTALL
    ):
        if language == "python":
            found.append(["python", "-c", block])
        elif inline or not language:
            lines = (inline.replace("\n", " "),) if inline else block.splitlines()
            for line in lines:
                words = shlex.split(line.removeprefix("$ "), comments=True)
                if words and words[0].rsplit("/")[-1] in ("make", "towermill"):
                    found.append(filled(words))
    return found


def filled(words: list[str]) -> list[str]:
    return [PLACEHOLDERS.get((words[1], word), word) for word in words]


class Checkout:
    """A copy of the checkout, with an environment that `make demo` set up."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        path = [folder / ".venv" / "bin", *([Path(UV).parent] if UV else [])]
        self.environ = {**os.environ, "PATH": f"{':'.join(map(str, path))}:{os.environ['PATH']}"}
        for name in ("PYTHONPATH", "VIRTUAL_ENV", "TF_USE_LEGACY_KERAS"):
            self.environ.pop(name, None)
        self.served = ""

    def run(self, words: list[str], **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            words,
            cwd=self.folder,
            env={**self.environ, **environ},
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )

    def serve(self, words: list[str]) -> None:
        """Start a server, ask it for recommendations, and end it."""
        log = self.folder / "serve.log"
        with (
            log.open("w") as output,
            subprocess.Popen(
                [*words, "--port", "0"], cwd=self.folder, env=self.environ, stderr=output
            ) as server,
        ):
            try:
                deadline = time.monotonic() + 60
                while not (at := re.search(r"http://[\d.]+:\d+", log.read_text())):
                    assert server.poll() is None, log.read_text()
                    assert time.monotonic() < deadline, log.read_text()
                    time.sleep(0.1)
                with urllib.request.urlopen(f"{at[0]}/recommend?user_id=196&k=5") as answer:
                    assert len(json.load(answer)["items"]) == 5
            finally:
                server.terminate()
        assert server.returncode in (0, -signal.SIGTERM), log.read_text()


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """What `make demo` installs, from uv's cache if it has it all; the demo itself runs below."""
    if UV is None:
        pytest.skip("needs uv on the PATH or in .venv/uv")
    folder = tmp_path_factory.mktemp("checkout")
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    for name in subprocess.check_output(listed, cwd=ROOT, text=True).split("\0"):
        if name and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    copy = Checkout(folder)
    done = copy.run(["make", ".venv/ready-demo"], UV_OFFLINE="1")
    if done.returncode:
        done = copy.run(["make", ".venv/ready-demo"])
    assert done.returncode == 0, done.stdout + done.stderr
    write_data(folder)
    return copy


def write_data(folder: Path) -> None:
    """Write the README's `films.yaml`, with data as it describes it, and what placeholders name."""
    rng = np.random.default_rng(0)
    (films,) = re.findall(r"^```yaml\n# films.yaml\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    recipe: dict[str, Any] = yaml.safe_load(films)
    pl.DataFrame(
        {"film": range(60), "name": [f"Film {i}" for i in range(60)]}
        | {"genre": [f"g{i % 4}" for i in range(60)], "year": [1960 + i for i in range(60)]}
    ).write_parquet(folder / "films.parquet")
    for name, start in (("ratings", 0), ("more", 4000)):
        readers = rng.integers(100, 250, 4000)
        pl.DataFrame(
            {"reader": readers, "film": (readers % 4 + 4 * rng.integers(0, 15, 4000))}
            | {"at": start + np.arange(4000), "stars": rng.integers(3, 6, 4000)}
        ).write_parquet(folder / f"{name}.parquet")
    more = {**recipe["source"]["interactions"], "path": "more.parquet"}
    small = {"kind": "slates", "users": 120, "items": 200, "categories": 4, "shown": 60}
    bundle = "runs/demo/latest/bundle"
    written: dict[str, dict[str, Any]] = {
        "films": recipe,
        "more": {**recipe, "source": {**recipe["source"], "interactions": more}},
        "tune": {
            **recipe,
            "tune": {"parameters": {"train.learning_rate": {"choices": [0.001, 0.01]}}},
        },
        "slates": {
            "source": small,
            "split": {"kind": "random", "by": "user"},
            "text": {"columns": ["headline", "short_description"], "vectors": "lsa"},
            "model": {"kind": "funk_svd", "factors": 8},
            "simulate": {"train_users": 60, "episodes": 1, "policies": ["random", "model"]},
        },
        "blend": {"blend": {"sources": [{"bundle": bundle, "quota": 5}]}},
    }
    for name, content in written.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(content))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_command_works_after_make_demo(checkout: Checkout) -> None:
    """In one test, as most commands need what those before them wrote."""
    for words in commands():
        if words[0] == "make" and words[1].startswith("test"):
            continue
        if words[1] == "serve":
            checkout.serve(words)
            continue
        done = checkout.run(words)
        assert done.returncode == 0, f"{shlex.join(words)}\n{done.stdout}{done.stderr}"


class TestCommands:
    def test_all_are_found(self) -> None:
        subcommands = {words[1] for words in commands()}
        assert ["make", "demo"] in commands()
        assert subcommands >= {"recommend", "plan", "run", "serve", "export", "tune", "verify"}
        assert any(words[0] == "python" for words in commands())

    def test_every_placeholder_is_filled(self) -> None:
        words = [word for command in commands() if command[0] != "python" for word in command]
        assert [word for word in words if re.fullmatch(r"[A-Z_]+|.*…", word)] == []

"""How to install an extra: a command that works where it is printed."""

from __future__ import annotations

import importlib.util
import shlex
import sys
from pathlib import Path

import pytest

from towermill import extras
from towermill.extras import install_command, packages_of

ROOT = Path(__file__).parents[2]


def test_in_a_checkout_it_is_the_lock_of_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert install_command("serve").endswith("--no-deps --require-hashes -r requirements/serve.txt")


def test_from_elsewhere_the_path_is_absolute(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    words = shlex.split(install_command("serve"))
    assert words[0] == sys.executable or words[0] == "uv"
    assert Path(words[-1]) == ROOT / "requirements" / "serve.txt"


def test_without_a_checkout_it_names_the_packages(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(extras, "_LOCKS", tmp_path)
    assert shlex.split(install_command("serve"))[-3:] == packages_of("serve")
    assert {name.split(">")[0] for name in packages_of("serve")} == {
        "fastapi",
        "prometheus-client",
        "uvicorn[standard]",
    }


def test_without_pip_uv_installs_into_this_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    words = shlex.split(install_command("tune"))
    assert words[:4] == ["uv", "pip", "install", "--python"]


def test_messages_name_no_extra_that_pip_cannot_resolve() -> None:
    folders = ("towermill", "workflows", "models", "pipelines", "docs")
    files = [
        path
        for folder in folders
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".py", ".md") and path.name != "extras.py"
    ]
    assert files
    assert [path for path in files if "install 'towermill[" in path.read_text()] == []

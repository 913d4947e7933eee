"""What compose starts: targets, commands, recipes and paths are there, and a Make target each."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from towermill.cli.app import app
from towermill.pipelines import shipped_recipes
from towermill.pipelines.recipe.runtime import RuntimeConfig

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
MAKEFILE = (ROOT / "Makefile").read_text()
each_service = pytest.mark.parametrize("name", SERVICES)


def plain(text: str) -> str:
    """Text with the defaults of its variables."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


def test_services_are_those_that_are_wanted() -> None:
    assert {"scheduler", "workers", "train", "server", "mlflow", "tensorboard"} == set(SERVICES)


@each_service
class TestService:
    def test_image_is_built_here(self, name: str) -> None:
        service = SERVICES[name]
        build = service["build"]
        assert (ROOT / "docker" / build["context"]).resolve() == ROOT
        assert (ROOT / build["dockerfile"]).is_file()
        dockerfile = (ROOT / build["dockerfile"]).read_text()
        assert f" AS {build['target']}\n" in dockerfile
        assert service["image"] == f"towermill:{build['target']}"

    def test_a_make_target_starts_it(self, name: str) -> None:
        (profile,) = SERVICES[name]["profiles"]
        recipes = re.findall(r"\$\(COMPOSE\) (.+)", MAKEFILE)
        starting = [line for line in recipes if f"--profile {profile} " in f"{line} "]
        named = [
            line for line in starting if line.split()[-1] == "--detach" or name in line.split()
        ]
        assert named, name
        image = f"image-{SERVICES[name]['build']['target']}"
        assert re.search(rf"^(image-\w+ )*{image}\b", MAKEFILE, re.MULTILINE)

    def test_ports_are_this_machines_alone(self, name: str) -> None:
        for port in SERVICES[name].get("ports", []):
            assert re.fullmatch(r"127\.0\.0\.1:(\d+):\1", port)

    def test_folders_are_where_runs_and_data_are_kept(self, name: str) -> None:
        for volume in SERVICES[name].get("volumes", []):
            source, _, target = plain(volume).partition(":")
            assert source in ("../runs", "../data", *COMPOSE["volumes"])
            assert target.startswith("/mill")

    def test_gpus_are_asked_for_by_who_computes(self, name: str) -> None:
        wanted = name in ("workers", "train", "server")
        assert ("deploy" in SERVICES[name]) is wanted
        if wanted:
            (device,) = SERVICES[name]["deploy"]["resources"]["reservations"]["devices"]
            assert device["driver"] == "nvidia"
            assert SERVICES[name]["build"]["target"] == "gpu"


class TestCommands:
    def test_of_towermill(self) -> None:
        known = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
        used = {n: s["command"][0] for n, s in SERVICES.items() if n in ("train", "server")}
        assert used == {"train": "run", "server": "serve"}
        assert set(used.values()) <= known

    def test_training_runs_a_recipe_that_ships(self) -> None:
        command = [plain(word) for word in SERVICES["train"]["command"]]
        assert command[1] in shipped_recipes()
        device, cluster = (command[command.index(f"--{n}") + 1] for n in ("device", "cluster"))
        assert RuntimeConfig(device=device, cluster=cluster)  # type: ignore[arg-type]

    def test_server_serves_that_recipes_bundle(self) -> None:
        recipe = plain(SERVICES["train"]["command"][1])
        assert plain(SERVICES["server"]["command"][1]) == f"runs/{recipe}/latest/bundle"

    def test_workers_find_the_scheduler(self) -> None:
        address = plain(SERVICES["workers"]["command"][0])
        port = SERVICES["scheduler"]["command"][
            SERVICES["scheduler"]["command"].index("--port") + 1
        ]
        assert address == f"tcp://scheduler:{port}"
        assert f"CLUSTER={address} " in MAKEFILE
        assert SERVICES["workers"]["depends_on"] == {"scheduler": {"condition": "service_healthy"}}
        resources = SERVICES["workers"]["command"].index("--resources") + 1
        assert SERVICES["workers"]["command"][resources] == "GPU=1"  # which stages ask for

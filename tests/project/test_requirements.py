"""The locks: of what pyproject asks for, alike on a CPU and a GPU, with hashes and no addresses."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT, GROUPS = PYPROJECT["project"], PYPROJECT["dependency-groups"]
#: The locks by name; what they are made of is in `requirements/in`.
FILES = {
    path.stem: path
    for path in sorted((ROOT / "requirements").rglob("*.txt"))
    if path.parent.name != "in"
}
#: Groups that are added to an environment of another lock.
ADDED = sorted(GROUPS.keys() - {"train", "cpu", "gpu", "dev"})
#: RAPIDS 26.6 asks for an older patch of Dask; TensorFlow is another package on a CPU.
DIFFERENT = {"tensorflow", "tensorflow-cpu"}


def text(lock: str) -> str:
    return FILES[lock].read_text()


def pins(lock: str) -> dict[str, Version]:
    found = re.findall(r"^([a-z0-9._-]+)==(\S+)", text(lock), re.MULTILINE)
    return {name: Version(version) for name, version in found}


def asked(*groups: str) -> list[Requirement]:
    found = [Requirement(r) for r in PROJECT["dependencies"]]
    return [*found, *(r for group in groups for r in of_group(group))]


def of_group(group: str) -> list[Requirement]:
    found = []
    for line in GROUPS[group]:
        if isinstance(line, str):
            found.append(Requirement(line))
        else:
            found += of_group(line["include-group"])
    return found


def overrides(name: str) -> dict[str, SpecifierSet]:
    """What a file of overrides says, and the files it names."""
    found: dict[str, SpecifierSet] = {}
    for line in (ROOT / "requirements" / "in" / name).read_text().splitlines():
        if line.startswith("-r "):
            found |= overrides(line.removeprefix("-r ").strip())
        elif line and not line.startswith("#"):
            requirement = Requirement(line)
            found[requirement.name] = requirement.specifier
    return found


@pytest.mark.parametrize("lock", FILES)
class TestLock:
    def test_every_pin_has_a_hash(self, lock: str) -> None:
        blocks = re.split(r"^(?=[a-z0-9._-]+==)", text(lock), flags=re.MULTILINE)[1:]
        assert len(blocks) == len(pins(lock)) > 0
        assert [block.split()[0] for block in blocks if "--hash=sha256:" not in block] == []

    def test_no_address_and_no_index(self, lock: str) -> None:
        assert not re.search(r"://|--(extra-)?index|--find-links", text(lock))

    def test_make_lock_makes_it(self, lock: str) -> None:
        makefile = (ROOT / "Makefile").read_text()
        if lock in ADDED:
            (added,) = re.findall(r"^ADDED := (.+)", makefile, re.MULTILINE)
            assert lock in added.split()
        elif lock != "demo":  # which is one package, pinned by hand
            assert f"-o {FILES[lock].relative_to(ROOT)}" in makefile


class TestAgainstPyproject:
    @pytest.mark.parametrize(
        ("lock", "groups"),
        [("cpu", ("cpu",)), ("gpu", ("gpu",)), ("dev", ("cpu", "dev", *ADDED))],
    )
    def test_pins_are_within_its_bounds(self, lock: str, groups: tuple[str, ...]) -> None:
        locked = pins(lock)
        for requirement in asked(*groups):
            assert requirement.name in locked, requirement
            assert locked[requirement.name] in requirement.specifier, requirement

    @pytest.mark.parametrize("group", sorted(GROUPS.keys() - {"train"}))
    def test_every_group_has_a_lock(self, group: str) -> None:
        assert {requirement.name for requirement in of_group(group)} <= pins(group).keys()

    def test_metadata_names_nothing_that_pip_cannot_resolve(self) -> None:
        assert "optional-dependencies" not in PROJECT
        names = {requirement.name for requirement in asked()}
        assert not names & {r.name for r in of_group("train")}

    @pytest.mark.parametrize(
        ("lock", "file"), [("dev", "overrides.txt"), ("gpu", "overrides-gpu.txt")]
    )
    def test_pins_are_within_the_overrides(self, lock: str, file: str) -> None:
        locked = pins(lock)
        for name, specifier in overrides(file).items():
            if specifier:
                assert locked[name] in specifier, name
            else:  # a marker that never holds keeps it out
                assert name not in locked


class TestTwins:
    def test_what_both_have_is_the_same(self) -> None:
        cpu, gpu = pins("cpu"), pins("gpu")
        other = {name for name in cpu.keys() & gpu.keys() if cpu[name] != gpu[name]}
        assert other <= DIFFERENT
        assert cpu.keys() - gpu.keys() <= DIFFERENT

    @pytest.mark.parametrize("group", ADDED)
    def test_what_groups_add_fits_both(self, group: str) -> None:
        added = pins(group)
        for lock in ("cpu", "gpu", "dev"):
            locked = pins(lock)
            shared = (added.keys() & locked.keys()) - DIFFERENT
            assert {n: added[n] for n in shared} == {n: locked[n] for n in shared}

    def test_the_gpus_alone_are_rapids_and_cuda(self) -> None:
        alone = pins("gpu").keys() - pins("cpu").keys() - DIFFERENT
        cuda = (
            r"nvidia-|cuda-|(lib|pylib|dask-)?(cudf|cuda|kvikio|rmm)\b|librmm|cupy-|rapids-|numba-"
        )
        assert {n for n in alone if not re.match(cuda, n)} <= {"cachetools", "nvtx"}
        assert {str(pins("gpu")[n].release[:2]) for n in alone if "cudf" in n} == {"(26, 6)"}

    def test_cudas_libraries_are_of_one_major(self) -> None:
        gpu = pins("gpu")
        of_cuda = [n for n in gpu if re.match(r"nvidia-.*-cu\d+$", n)]
        assert of_cuda
        assert all(name.endswith("-cu12") for name in of_cuda)
        assert gpu["cuda-toolkit"].major == 12

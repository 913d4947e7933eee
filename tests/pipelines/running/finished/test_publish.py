"""Publishing a bundle: real files, verified, and a link that is switched last."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from bundles import reseal

from towermill.errors import BundleError, DataError
from towermill.pipelines import Bundle
from towermill.pipelines.running.finished import publish as publishing
from towermill.pipelines.running.finished.publish import publish


class TestPublish:
    def test_copies_files_and_links_the_copy(self, trained: Any, tmp_path: Path) -> None:
        done = publish(trained.latest, tmp_path / "shop")
        assert done.copied
        assert done.path.name == Bundle.open(trained.bundle).manifest.id
        assert done.latest.resolve() == done.path
        assert not any(path.is_symlink() for path in done.path.rglob("*"))
        names = {path.name for path in (tmp_path / "shop").iterdir()}
        assert names == {done.path.name, "latest"}
        user = Bundle.open(trained.bundle).user(0)["user_id"]
        copy = Bundle.open(done.latest, verify=True)
        assert copy.recommend(user) == Bundle.open(trained.bundle).recommend(user)

    def test_the_same_again_copies_nothing(self, trained: Any, tmp_path: Path) -> None:
        first = publish(trained.latest, tmp_path)
        again = publish(trained.bundle, tmp_path)  # by the bundle's folder
        assert not again.copied
        assert again.path == first.path

    def test_a_damaged_copy_is_replaced(self, trained: Any, tmp_path: Path) -> None:
        path = publish(trained.latest, tmp_path).path
        (path / "item_features.parquet").write_bytes(b"")
        assert publish(trained.latest, tmp_path).copied
        Bundle.open(path, verify=True)

    def test_a_damaged_bundle_is_refused(self, trained: Any, tmp_path: Path) -> None:
        bundle = tmp_path / "bundle"
        shutil.copytree(trained.bundle, bundle)
        file = bundle / "item_features.parquet"
        content = bytearray(file.read_bytes())
        content[100] ^= 1
        file.write_bytes(content)
        with pytest.raises(BundleError):
            publish(bundle, tmp_path / "shop")
        assert list((tmp_path / "shop").iterdir()) == []

    def test_the_link_stays_if_the_copy_fails(
        self, trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "old").mkdir()
        (tmp_path / "latest").symlink_to("old")

        def full(*_: Any) -> None:
            raise OSError("No space left on device")

        monkeypatch.setattr(publishing.shutil, "copytree", full)
        with pytest.raises(OSError, match="No space"):
            publish(trained.latest, tmp_path)
        assert (tmp_path / "latest").readlink() == Path("old")
        assert {path.name for path in tmp_path.iterdir()} == {"old", "latest"}

    def test_something_in_the_way_of_the_link(self, trained: Any, tmp_path: Path) -> None:
        (tmp_path / "latest").mkdir()
        with pytest.raises(DataError, match="to be a link, or not there yet"):
            publish(trained.latest, tmp_path)

    @pytest.mark.parametrize("name", ["../victim", "", ".."])
    def test_an_id_that_leads_elsewhere(self, trained: Any, tmp_path: Path, name: str) -> None:
        bundle = tmp_path / "bundle"
        shutil.copytree(trained.bundle, bundle)
        reseal(bundle, id=name)
        (tmp_path / "victim").mkdir()
        with pytest.raises(BundleError):
            publish(bundle, tmp_path / "to")
        assert (tmp_path / "victim").is_dir()
        assert not (tmp_path / "to").exists() or not any((tmp_path / "to").iterdir())

    def test_command(self, trained: Any, cli: Any, tmp_path: Path) -> None:
        said = cli("publish", trained.latest, "--to", tmp_path)
        assert said.code == 0, said.err
        assert "copied and verified" in said.out
        assert cli("recommend", tmp_path / "latest", "--user", "1").code == 0
        assert cli("publish", tmp_path / "nothing", "--to", tmp_path).code == 2

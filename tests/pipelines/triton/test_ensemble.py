"""The whole repository, run: answers are those of a formula, mistakes are told."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import stub
from stub import Refused, Repository
from triton_world import ITEMS, World

from towermill.pipelines.recipe.index import IndexConfig
from towermill.pipelines.triton.repository import write_model_repository


def column(*values: Any) -> np.ndarray:
    return np.array(values)[:, None]


def answers(outputs: dict[str, np.ndarray], key: str = "ITEM_ID") -> list[list[str]]:
    return [[one.decode() for one in row if one] for row in outputs[key]]


class TestRecommend:
    def test_everybody_is_answered_as_by_the_formula(
        self, server: Repository, world: World
    ) -> None:
        users = [str(user) for user in world.user_ids]
        found = server.infer("recommend", {"USER_ID": column(*users)})
        wanted = [world.best(user, 5) for user in users]
        assert answers(found) == [[item for item, _ in one] for one in wanted]
        assert found["SCORE"] == pytest.approx(
            np.array([[score for _, score in one] for one in wanted]), rel=1e-5
        )
        assert found["KNOWN"].all()
        assert found["SCORE"].dtype == np.float32

    def test_unknown_and_known_side_by_side(self, server: Repository, world: World) -> None:
        users = ["nobody", str(world.user_ids[3]), "1e3", "", str(world.user_ids[4]), "-7"]
        found = server.infer("recommend", {"USER_ID": column(*users)})
        assert answers(found) == [[item for item, _ in world.best(user, 5)] for user in users]
        assert found["KNOWN"][:, 0].tolist() == [False, True, False, False, True, False]

    def test_alone_as_among_others(self, server: Repository, world: World) -> None:
        users = [str(user) for user in world.user_ids[:6]]
        together = server.infer("recommend", {"USER_ID": column(*users)})
        for row, user in enumerate(users):
            alone = server.infer("recommend", {"USER_ID": column(user)})
            assert (alone["ITEM_ID"][0] == together["ITEM_ID"][row]).all()

    def test_seen_items_are_left_out_unless_wanted(self, server: Repository, world: World) -> None:
        users = [str(user) for user in world.user_ids]
        keep = [row % 2 == 0 for row in range(len(users))]
        found = server.infer(
            "recommend",
            {
                "USER_ID": column(*users),
                "FILTER_SEEN": column(*keep),
                "K": column(*[ITEMS] * len(users)).astype(np.int32),
            },
        )
        for user, filtered, items in zip(users, keep, answers(found), strict=True):
            assert items == [item for item, _ in world.best(user, ITEMS, filter_seen=filtered)]
        assert len(answers(found)[1]) == ITEMS

    def test_each_row_has_its_own_number(self, server: Repository, world: World) -> None:
        users = [str(user) for user in world.user_ids[:3]]
        found = server.infer(
            "recommend",
            {"USER_ID": column(*users), "K": column(1, 40, 3).astype(np.int32)},
        )
        assert found["ITEM_ID"].shape == (3, 40)
        assert [len(one) for one in answers(found)] == [1, ITEMS - len(world.seen[1]), 3]
        padded = found["ITEM_ID"] == b""
        assert (found["SCORE"][padded] == np.finfo(np.float32).min).all()
        assert np.abs(found["SCORE"][~padded]).max() < 100

    def test_what_is_not_wanted_is_left_out(self, server: Repository, world: World) -> None:
        users = [str(user) for user in world.user_ids[5:7]]
        best = [item for item, _ in world.best(users[0], 2)]
        exclude = np.array([[*best, "no such film"], ["", "", ""]])
        found = server.infer("recommend", {"USER_ID": column(*users), "EXCLUDE": exclude})
        wanted = [world.best(users[0], 5, exclude=tuple(best)), world.best(users[1], 5)]
        assert answers(found) == [[item for item, _ in one] for one in wanted]


class TestMistakes:
    @pytest.mark.parametrize(
        ("inputs", "told"),
        [
            ({"K": column(0).astype(np.int32)}, "K should be between 1 and 40. Received: [0]"),
            ({"K": column(41).astype(np.int32)}, "K should be between 1 and 40"),
            ({"K": column(-(2**31)).astype(np.int32)}, "K should be between 1 and 40"),
            ({"USER_ID": np.array([[b"\xff"]], object)}, "USER_ID should be UTF-8"),
            ({"EXCLUDE": np.array([[b"\xff"]], object)}, "EXCLUDE should be UTF-8"),
            ({"USER_ID": column(*["1"] * 33)}, "32"),
        ],
    )
    def test_are_told(self, server: Repository, inputs: dict[str, Any], told: str) -> None:
        with pytest.raises(Refused) as refused:
            server.infer("recommend", {"USER_ID": column("100"), **inputs})
        assert told in str(refused.value)

    def test_a_model_that_is_asked_past_the_core_checks_shapes_itself(
        self, server: Repository
    ) -> None:
        """A Python model sees what its own configuration lets through, and no more is sure."""
        for model, name, values in [
            ("user_features", "USER_ID", np.array([b"100"], object)),
            ("user_features", "USER_ID", np.zeros((0, 1), object)),
            ("candidates", "EMBEDDING", np.zeros((2, 3), np.float32)),
            ("candidates", "EMBEDDING", np.full((1, 4), np.nan, np.float32)),
            ("candidates", "USER", np.zeros((2, 2), np.int32)),
            ("similar", "ITEM_ID", np.array([[b"a", b"b"]], object)),
        ]:
            sent = {name: values}
            if name == "USER":
                sent["EMBEDDING"] = np.zeros((1, 4), np.float32)
            request = stub.InferenceRequest([stub.Tensor(n, v) for n, v in sent.items()])
            (response,) = server.execute(model, [request])
            assert response.has_error(), (model, name)
            assert name in response.error().message()
            assert response.error().code() == stub.TritonError.INVALID_ARG

    def test_one_does_not_spoil_the_requests_beside_it(
        self, server: Repository, world: World
    ) -> None:
        def asking(item: bytes) -> stub.InferenceRequest:
            return stub.InferenceRequest([stub.Tensor("ITEM_ID", np.array([[item]], object))])

        first, bad, last = server.execute(
            "similar", [asking(b"film-00"), asking(b"\xff"), asking(b"film-01")]
        )
        assert bad.has_error()
        for response, item in ((first, "film-00"), (last, "film-01")):
            outputs = {t.name(): t.as_numpy() for t in response.output_tensors()}
            assert answers(outputs, "SIMILAR_ID") == [world.near(item, 5)]

    def test_a_fault_of_ours_is_an_error_and_no_crash(
        self, repository: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        server = Repository(repository)
        monkeypatch.setattr(server.python_model("similar"), "_cosines", None)
        request = stub.InferenceRequest([stub.Tensor("ITEM_ID", np.array([[b"film-00"]], object))])
        (response,) = server.execute("similar", [request])
        assert response.has_error()
        assert response.error().code() == stub.TritonError.INTERNAL


class TestSimilar:
    def test_nearest_are_those_of_the_formula(self, server: Repository, world: World) -> None:
        items = ["film-07", "no such film", "film-29"]
        found = server.infer(
            "similar", {"ITEM_ID": column(*items), "K": column(4, 2, 6).astype(np.int32)}
        )
        wanted = [world.near("film-07", 4), [], world.near("film-29", 6)]
        assert answers(found, "SIMILAR_ID") == wanted
        assert found["KNOWN"][:, 0].tolist() == [True, False, True]
        assert (found["SCORE"][1] == np.finfo(np.float32).min).all()


class TestAlone:
    """The repository needs neither the bundle that it was written from nor this package."""

    FORBIDDEN = (
        "tensorflow",
        "merlin",
        "pandas",
        "polars",
        "nvtabular",
        "numba",
        "dask",
        "pydantic",
    )

    def test_runs_where_the_training_stack_cannot_be_imported(
        self, world: World, tmp_path: Path, python: Callable[..., Any]
    ) -> None:
        bundle = world.write(tmp_path / "bundle", IndexConfig(kind="hnsw"))
        made = write_model_repository(bundle, tmp_path / "made", k=5)
        shutil.rmtree(bundle)
        moved = made.rename(tmp_path / "moved here")
        user = str(world.user_ids[8])
        code = f"""
import sys
from pathlib import Path

class Forbidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {self.FORBIDDEN!r}:
            raise ImportError(f"{{name}} is forbidden")

sys.meta_path.insert(0, Forbidden())
sys.path.insert(0, {str(Path(stub.__file__).parent)!r})
from stub import Repository

server = Repository(Path({str(moved)!r}))
found = server.infer("recommend", {{"USER_ID": [[{user!r}]]}})
print(*(one.decode() for one in found["ITEM_ID"][0]))
server.infer("similar", {{"ITEM_ID": [["film-00"]]}})
for model, modules in server.modules.items():
    of_it = Path({str(moved)!r}) / model / "1"
    assert modules and all(Path(m.__file__).is_relative_to(of_it) for m in modules.values())
"""
        done = python(code, PYTHONPATH=None, PYTHONSAFEPATH=None)
        assert done.stdout.split() == [item for item, _ in world.best(user, 5)]

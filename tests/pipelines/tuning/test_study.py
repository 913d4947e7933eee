"""Which trial is next: after kills, beside others, of few choices; and a torn journal."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tuning_world import recipe_of

from towermill.errors import DataError, PrunedError
from towermill.pipelines.recipe.tune import PrunerConfig
from towermill.pipelines.tuning.space import Space
from towermill.pipelines.tuning.study import (
    ATTEMPTS,
    SharedStudy,
    Trial,
    is_own,
    reason_of,
    work_on,
)
from towermill.pipelines.tuning.trial import Judge

SPACE = Space(recipe_of())


@contextlib.contextmanager
def process(folder: Path, space: Space = SPACE) -> Iterator[SharedStudy]:
    """What one process holds; it ends with the block, whatever is at work."""
    with work_on(folder, space, 3, 0) as study:
        yield study


def finish(study: SharedStudy, trial: Trial) -> None:
    rate = trial.values.get("train.learning_rate", 0.05)
    study.complete(trial.number, 1 - abs(rate - 0.02), {1: 0.1, 3: 0.2})


def judge(folder: Path, number: int, spared: bool = False) -> Any:
    pruner = PrunerConfig(startup_trials=2, warmup_epochs=2)
    return Judge(
        folder=folder, number=number, metric="ndcg@10", pruner=pruner, epochs=3, spared=spared
    )


class TestOrder:
    def test_the_recipe_as_it_is_comes_first(self, tmp_path: Path) -> None:
        with process(tmp_path) as study:
            first, second = study.next(5), study.next(5)
            assert first is not None
            assert second is not None
            assert (first.number, first.own, first.values) == (0, True, {})
            assert (second.number, second.own) == (1, False)
            assert set(second.values) == set(SPACE.config.parameters)
            drawn = study.trials()[0]
            assert is_own(drawn)
            assert drawn.params == SPACE.own_parameters()  # what the sampler learns from

    def test_outside_its_ranges_it_has_no_values(self, tmp_path: Path) -> None:
        space = Space(recipe_of(parameters={"model.tower": {"choices": [[16], [4]]}}))
        with process(tmp_path, space) as study:
            for wanted in range(1, 4):
                trial = study.next(wanted)
                assert trial is not None
                assert trial.own == (wanted == 1)
                study.complete(trial.number, 0.5, {})
            assert [bool(found.params) for found in study.trials()] == [False, True, True]

    def test_as_many_as_wanted(self, tmp_path: Path) -> None:
        with process(tmp_path) as study:
            for _ in range(3):
                assert study.next(3) is not None
            assert study.next(3) is None
            assert study.next(4) is not None

    @pytest.mark.parametrize("kind", ["tpe", "random"])
    def test_one_process_or_many_draw_the_same(self, kind: str, tmp_path: Path) -> None:
        space = Space(recipe_of(sampler={"kind": kind, "startup_trials": 3}))
        drawn: dict[str, list[Any]] = {"one": [], "many": []}
        with process(tmp_path / "one", space) as study:
            for _ in range(8):
                trial = study.next(8)
                assert trial is not None
                drawn["one"].append(trial.values)
                finish(study, trial)
        for number in range(8):
            for cut_off in (True, False):
                with process(tmp_path / "many", space) as study:
                    trial = study.next(8)
                    assert trial is not None
                    assert trial.number == number
                    if not cut_off:
                        drawn["many"].append(trial.values)
                        finish(study, trial)
        assert drawn["one"] == drawn["many"]
        assert len({str(values) for values in drawn["one"]}) == 8

    def test_few_choices_are_tried_once_each(self, tmp_path: Path) -> None:
        spans = {
            "model.tower": {"choices": [[8], [16]]},
            "model.embedding_dim": {"low": 8, "high": 24, "step": 8},
        }
        found = []
        with process(tmp_path, Space(recipe_of(parameters=spans))) as study:
            while (trial := study.next(50)) is not None:
                found.append(trial)
                finish(study, trial)
            assert len(found) == 6
            tried = {str(sorted(trial.params.items())) for trial in study.trials()}
            assert len(tried) == 6


class TestKilled:
    def test_its_trial_is_taken_up(self, tmp_path: Path) -> None:
        with process(tmp_path) as study:
            begun = [study.next(3), study.next(3)]
        with process(tmp_path) as study:
            assert [study.next(3), study.next(3)] == begun
            third = study.next(3)
            assert third is not None
            assert third.number == 2

    def test_not_without_end(self, tmp_path: Path) -> None:
        for _ in range(ATTEMPTS):
            with process(tmp_path) as study:
                trial = study.next(1)
                assert trial is not None
                assert trial.number == 0
        with process(tmp_path) as study:
            assert study.next(1) is None
            (trial,) = study.trials()
            assert trial.state.name == "FAIL"
            assert reason_of(trial) == "its process ended 3 times at epoch 1"

    def test_who_gets_on_may_be_killed_more_often(self, tmp_path: Path) -> None:
        for epoch in range(1, ATTEMPTS + 3):
            with process(tmp_path) as study:
                trial = study.next(1)
                assert trial is not None
                judge(tmp_path, 0).after_epoch()(epoch, {"ndcg@10": 0.1})

    def test_while_it_drew(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(SharedStudy, "_hand_out", lambda *_: None)
            with process(tmp_path) as study:
                study.next(2)
        with process(tmp_path) as study:
            first, second = study.next(2), study.next(2)
            assert first is not None
            assert second is not None
            assert (first.own, second.own) == (True, False)
            assert study.next(2) is None
            assert len(study.trials()) == 2

    def test_a_torn_line_is_cut_off(self, tmp_path: Path) -> None:
        with process(tmp_path) as study:
            study.next(2)
        journal = tmp_path / "journal.log"
        whole = journal.read_bytes()
        journal.write_bytes(whole + whole.splitlines()[-1][:20])
        with process(tmp_path) as study:
            trial = study.next(2)
            assert trial is not None
            finish(study, trial)
        with process(tmp_path) as study:
            assert [trial.state.name for trial in study.trials()] == ["COMPLETE"]

    def test_a_damaged_journal(self, tmp_path: Path) -> None:
        with process(tmp_path) as study:
            study.next(2)
        journal = tmp_path / "journal.log"
        lines = journal.read_bytes().splitlines(keepends=True)
        journal.write_bytes(b"".join([lines[0], b"{]\n", *lines[1:]]))
        with pytest.raises(DataError, match=r"it is damaged .*Delete it to begin again"):
            process(tmp_path).__enter__()


class TestSideBySide:
    def test_no_trial_twice(self, tmp_path: Path) -> None:
        with process(tmp_path) as one, process(tmp_path) as two:
            trials = [study.next(4) for study in (one, two, one, two)]
            assert [trial and trial.number for trial in trials] == [0, 1, 2, 3]
            assert one.next(4) is None
            assert two.next(4) is None

    def test_the_others_are_left_alone_until_they_end(self, tmp_path: Path) -> None:
        with process(tmp_path) as one:
            with process(tmp_path) as two:
                theirs = two.next(2)
                ours = one.next(2)
                assert one.next(2) is None
            assert one.next(2) == theirs
            assert ours is not None
            assert ours.number == 1


class TestJudge:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        """Two trials that are done: 0.5 and 0.6 at epoch 2."""
        with process(tmp_path) as study:
            for value in (0.5, 0.6):
                trial = study.next(2)
                assert trial is not None
                study.complete(trial.number, value, {1: 0.9, 2: value})
        return tmp_path

    def test_worse_than_the_median(self, folder: Path) -> None:
        with process(folder) as study:
            study.next(3)
            tell = Judge.model_validate(judge(folder, 2).model_dump(mode="json")).after_epoch()
            tell(1, {"ndcg@10": 0.1})  # each has two epochs
            with pytest.raises(PrunedError, match="Trial 2 was ended after epoch 2"):
                tell(2, {"ndcg@10": 0.2})
            study.prune(2)
            assert study.trials()[2].state.name == "PRUNED"
            assert study.trials()[2].value == 0.2

    def test_better_and_spared(self, folder: Path) -> None:
        with process(folder) as study:
            study.next(4)
            study.next(4)
            for number, spared, value in ((2, False, 0.7), (3, True, 0.1)):
                tell = judge(folder, number, spared).after_epoch()
                for epoch in (1, 2, 3):
                    tell(epoch, {"ndcg@10": value, "other": 0.0})
            values = [list(t.intermediate_values.values()) for t in study.trials()[2:]]
            assert values == [[0.7] * 3, [0.1] * 3]

    @pytest.mark.parametrize("kind", ["hyperband", "none"])
    def test_other_pruners(self, folder: Path, kind: Any) -> None:
        with process(folder) as study:
            study.next(3)
        found = judge(folder, 2).model_copy(update={"pruner": PrunerConfig(kind=kind)})
        found.after_epoch()(1, {"ndcg@10": 0.0})

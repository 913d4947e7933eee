"""A recipe that is written out and read again is the same recipe."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from towermill.pipelines import load_recipe, shipped_recipes, validate_recipe
from towermill.pipelines.recipe.recipe import Recipe

FEW = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)

_names = st.from_regex(r"[a-z]{1,5}(_[a-z]{1,5})?", fullmatch=True)
_share = st.floats(0.01, 0.4)
_day = st.dates().filter(lambda day: day.year > 1970)


def section(**keys: Any) -> Any:
    """Return some of these keys."""
    return st.fixed_dictionaries({}, optional=keys)


_features = st.dictionaries(
    _names,
    st.one_of(
        st.sampled_from(["category", "list", "number", "title"]),
        st.builds(dict, kind=st.just("category"), freq_threshold=st.integers(0, 9)),
        st.builds(dict, kind=st.just("list"), separator=st.sampled_from(["|", ",", " "])),
        st.builds(
            dict,
            kind=st.just("number"),
            boundaries=st.lists(st.floats(-9, 9), min_size=1, max_size=3, unique=True).map(sorted),
        ),
    ),
    max_size=3,
)
_sources = st.one_of(
    st.builds(
        lambda **keys: {"kind": "synthetic", **keys},
        users=st.integers(10, 99),
        layout=st.sampled_from(["retail", "aliccp"]),
    ),
    st.fixed_dictionaries(
        {
            "kind": st.just("table"),
            "interactions": st.fixed_dictionaries(
                {"path": _names},
                optional={
                    "user_id": st.just("u"),
                    "rating": _names,
                    "signals": st.one_of(
                        st.lists(_names, max_size=2), st.dictionaries(_names, _names, max_size=2)
                    ),
                    "features": _features,
                    "reading": section(quote_char=st.none(), decimal=st.just(",")),
                },
            ),
        },
        optional={
            "on_bad_row": st.sampled_from(["error", "drop"]),
            "null_values": st.lists(_names, max_size=2),
            "types": st.dictionaries(_names, st.sampled_from(["text", "integer"]), max_size=2),
            "separator": st.sampled_from([";", "\t"]),
            "normalize_ids": st.sampled_from([[], ["strip"], ["strip", "lower"]]),
        },
    ),
)
_splits = st.one_of(
    st.fixed_dictionaries(
        {"kind": st.sampled_from(["time", "random"]), "validation": _share, "test": _share},
        optional={"min_signal": st.dictionaries(_names, st.floats(-5, 5), max_size=2)},
    ),
    st.tuples(_day, _day)
    .filter(lambda days: days[0] != days[1])
    .map(lambda days: {"validation": min(days), "test": max(days)}),
    section(kind=st.just("leave_one_out"), cold=st.sampled_from(["drop", "keep", "flag"])),
)
_widths = st.lists(st.integers(1, 64), max_size=3)
recipes = st.fixed_dictionaries(
    {"name": _names, "source": _sources},
    optional={
        "description": st.text(max_size=9),
        "filters": section(
            min_user=st.integers(0, 9), core=st.booleans(), min_rating=st.floats(-5, 5)
        ),
        "split": _splits,
        "features": section(item=_features, user=_features, positive=st.just({"click": 1})),
        "model": st.one_of(
            section(
                kind=st.just("two_tower"),
                tower=_widths.filter(bool),
                embedding_dim=st.integers(1, 64),
            ),
            section(kind=st.just("ncf"), mlp=_widths.filter(bool), num_negatives=st.integers(1, 9)),
            section(kind=st.just("dcn"), target=st.just("click"), cross_layers=st.integers(1, 4)),
            section(kind=st.just("wide_deep"), crosses=st.just([("user_id", "item_id")])),
        ),
        "train": section(
            epochs=st.integers(1, 99),
            learning_rate=st.floats(1e-6, 1, exclude_max=True),
            schedule=st.sampled_from([{"kind": "cosine", "warmup_steps": 3}, {"kind": "plateau"}]),
        ),
        "evaluate": section(k=st.lists(st.integers(1, 50), min_size=1, max_size=3, unique=True)),
        "export": section(index=st.sampled_from(["exact", {"kind": "hnsw"}])),
        "runtime": section(seed=st.integers(0, 2**31 - 1), rmm_pool=st.sampled_from([0.5, "8GB"])),
    },
)


def again(recipe: Recipe, content: Any) -> None:
    """Check that the written recipe reads back equal, and writes the same."""
    read = validate_recipe(content, recipe.name)
    assert read == recipe
    assert read.model_dump() == recipe.model_dump()


class TestRoundTrip:
    @given(recipes)
    @FEW
    def test_any(self, content: dict[str, Any]) -> None:
        recipe = validate_recipe(content, "x")
        again(recipe, recipe.model_dump())
        again(recipe, json.loads(recipe.model_dump_json()))
        again(recipe, yaml.safe_load(yaml.safe_dump(recipe.model_dump(mode="json"))))

    @pytest.mark.parametrize("name", list(shipped_recipes()))
    def test_shipped(self, name: str) -> None:
        recipe = load_recipe(name, ["source.path=/data"] if name.startswith("ali-ccp") else [])
        again(recipe, recipe.model_dump())
        again(recipe, json.loads(recipe.model_dump_json()))

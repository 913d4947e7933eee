"""The five stages: what each reads, what decides its key, and the plain function that does it.

A stage function takes the recipe, the folders of the stages before it, an output folder and the
runtime, and returns nothing but files. The heavy imports stand inside, so that planning a run
needs none of them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from towermill.pipelines.recipe.recipe import Recipe
from towermill.runtime.device import Runtime
from towermill.runtime.gpu import Use, claim

Inputs = Mapping[str, Path]
#: Where the stages themselves are written.
_SHARED = (
    *("towermill.columns", "towermill.features", "towermill.processed"),
    "towermill.pipelines.stages.stages",
)
_FEATURES = ("nvtabular", "merlin-core", "dask", "pandas", "pyarrow", "numpy", "cudf-cu12")
#: What writes a bundle, and what it is held against.
_EXPORT = ("export", "search", "gates", "bundle")
_MODELS = ("tensorflow", "tensorflow-cpu", "tf-keras", "merlin-models", "merlin-dataloader")


@dataclass(frozen=True)
class Stage:
    """One step of a pipeline.

    Attributes
    ----------
    name, inputs
        Its name, and those of the stages whose output it reads.
    settings
        The sections of the recipe (dotted keys) that decide its output.
    code
        Packages and modules of Towermill whose source decides its output.
    packages
        Other packages whose version decides its output.
    run
        The function.
    earlier
        Stages of the run that is continued, if one is, whose output it reads: they stand among its
        inputs as ``earlier.<name>``.
    resumes
        A run that was cut off goes on in the folder it left; else it starts afresh.
    spreads
        Some of its work goes to a Dask cluster, if there is one.
    card
        With device gpu, it computes on a card.
    """

    name: str
    inputs: tuple[str, ...]
    settings: tuple[str, ...]
    code: tuple[str, ...]
    packages: tuple[str, ...]
    run: Callable[[Recipe, Inputs, Path, Runtime], None]
    earlier: tuple[str, ...] = ()
    resumes: bool = False
    spreads: bool = False
    card: bool = True


def prepare(recipe: Recipe, inputs: Inputs, out: Path, runtime: Runtime) -> None:
    """Read the source into canonical tables."""
    from towermill.workflows.prepare.prepare import prepare as prepare_tables

    prepare_tables(recipe.source, out)


def process(recipe: Recipe, inputs: Inputs, out: Path, runtime: Runtime) -> None:
    """Filter, split and encode."""
    from towermill.workflows.process import PROCESSES
    from towermill.workflows.process.process import process as process_tables
    from towermill.workflows.tables import read_tables

    tables = read_tables(inputs["prepare"])
    share = recipe.continue_from.replay if recipe.continue_from else 0.0
    # Vectors of texts are made by TensorFlow.
    _claim_card(recipe, runtime, "both" if recipe.text.vectors else "features")
    events = PROCESSES.get(tables.events).of_recipe(tables, recipe)
    process_tables(events, out, inputs.get("earlier.process"), share)


def train(
    recipe: Recipe,
    inputs: Inputs,
    out: Path,
    runtime: Runtime,
    after_epoch: Callable[[int, dict[str, float]], None] | None = None,
) -> None:
    """Fit the model: its best weights, ``history.json``, TensorBoard logs."""
    from towermill.models.training.train import train_model

    _claim_card(recipe, runtime, "model")
    config, earlier = recipe.train, None
    if recipe.continue_from is not None:
        earlier = inputs["earlier.process"], inputs["earlier.train"]
        changes = {
            "epochs": min(config.epochs, recipe.continue_from.epochs),
            "learning_rate": config.learning_rate * recipe.continue_from.learning_rate_factor,
        }
        config = config.model_copy(update=changes)
    train_model(
        inputs["process"],
        recipe.model,
        config,
        out,
        runtime.seed,
        query=recipe.evaluate.query,
        filter_seen=recipe.evaluate.filter_seen,
        max_queries=recipe.evaluate.max_queries,
        after_epoch=after_epoch,
        earlier=earlier,
    )


def evaluate(recipe: Recipe, inputs: Inputs, out: Path, runtime: Runtime) -> None:
    """Rank the test split: ``metrics.json``."""
    from towermill.pipelines.stages.encode_on_cluster import spread_over_cluster
    from towermill.pipelines.stages.evaluate import evaluate_model

    _claim_card(recipe, runtime, "model")
    spread = spread_over_cluster(inputs, recipe, runtime)
    metrics = evaluate_model(inputs["process"], inputs["train"], recipe, spread)
    (out / "metrics.json").write_text(json.dumps(metrics, indent=2))


def export(recipe: Recipe, inputs: Inputs, out: Path, runtime: Runtime) -> None:
    """Write the bundle and check it against the live model."""
    from towermill.pipelines.export.export import export_bundle
    from towermill.pipelines.stages.encode_on_cluster import spread_over_cluster

    _claim_card(recipe, runtime, "model")
    export_bundle(inputs, recipe, out / "bundle", spread_over_cluster(inputs, recipe, runtime))


def _claim_card(recipe: Recipe, runtime: Runtime, use: Use) -> None:
    if runtime.device == "gpu":
        claim(use, recipe.runtime.memory(runtime))


STAGES: tuple[Stage, ...] = (
    Stage(
        "prepare",
        (),
        ("source",),
        (
            *_SHARED,
            "towermill.workflows.sources",
            "towermill.workflows.tables",
            "towermill.workflows.prepare",
            "towermill.workflows.streaming.group_by",
        ),
        ("polars",),
        prepare,
        card=False,
    ),
    Stage(
        "process",
        ("prepare",),
        ("filters", "split", "features", "text", "continue_from.replay"),
        (*_SHARED, "towermill.workflows", "towermill.merlin.activation"),
        ("polars", "tokenizers", "keras-hub", *_FEATURES),
        process,
        earlier=("process",),
        spreads=True,
    ),
    Stage(
        "train",
        ("process",),
        # The validation that picks the epoch follows the protocol of the evaluation.
        (
            "model",
            "train",
            "continue_from.epochs",
            "continue_from.learning_rate_factor",
            "evaluate.query",
            "evaluate.filter_seen",
            "evaluate.max_queries",
            "runtime.seed",
        ),
        (*_SHARED, "towermill.models", "towermill.merlin.activation", "towermill.runtime.device"),
        _MODELS,
        train,
        earlier=("process", "train"),
        resumes=True,
    ),
    Stage(
        "evaluate",
        ("process", "train"),
        ("evaluate", "split.cold", "runtime.seed"),
        (
            *_SHARED,
            "towermill.models",
            "towermill.pipelines.stages.encode_on_cluster",
            "towermill.pipelines.stages.evaluate",
        ),
        _MODELS,
        evaluate,
        spreads=True,
    ),
    Stage(
        "export",
        ("process", "train", "evaluate"),
        # All else that the manifest tells of the recipe is in the keys of the inputs.
        ("name", "description", "export"),
        (
            *_SHARED,
            "towermill.models",
            "towermill.pipelines.stages.encode_on_cluster",
            *(f"towermill.pipelines.{module}" for module in _EXPORT),
        ),
        (*_MODELS, "onnx", "tf2onnx", "onnxruntime", "usearch", "faiss-cpu"),
        export,
        spreads=True,
    ),
)
STAGE_NAMES = tuple(stage.name for stage in STAGES)


def settings_of(stage: Stage, recipe: Recipe) -> dict[str, Any]:
    """Return the parts of the recipe that decide the stage's output, by dotted key."""
    content = recipe.model_dump(mode="json")
    found = {}
    for dotted in stage.settings:
        value: Any = content
        for part in dotted.split("."):
            value = None if value is None else value[part]
        found[dotted] = value
    return found

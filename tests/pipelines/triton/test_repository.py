"""The repository as files: held to Triton's schema, whole or not there, and self-contained."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import stub
from stub import Repository, read_config
from triton_world import DIM, World
from tritonclient.grpc.model_config_pb2 import DataType, ModelInstanceGroup

from towermill.errors import BundleError, DataError
from towermill.pipelines.bundle.manifest import files_of, parse_manifest, save_manifest
from towermill.pipelines.triton import repository as writing
from towermill.pipelines.triton.pbtxt import to_pbtxt
from towermill.pipelines.triton.repository import write_model_repository

MODELS = {"user_features", "query_tower", "candidates", "similar", "recommend"}


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def edited(bundle: Path, out: Path, **changes: Any) -> Path:
    shutil.copytree(bundle, out)
    save_manifest(out, replace(parse_manifest(out), **changes))
    return out


class TestConfigs:
    """All are parsed by the schema that Triton publishes; an unknown field would not be."""

    def test_names_are_those_of_the_folders(self, server: Repository) -> None:
        assert {config.name for config in server.configs.values()} == MODELS
        assert all(name == config.name for name, config in server.configs.items())

    def test_types_and_shapes_of_the_tower(self, server: Repository, world: World) -> None:
        tower = server.configs["query_tower"]
        found = {i.name: (DataType.Name(i.data_type), list(i.dims)) for i in tower.input}
        size = -1 if world.lists else 1
        wanted = {
            "user_id": ("TYPE_INT32", [size]),
            "age": ("TYPE_FP32", [size]),
            "gender": ("TYPE_INT32", [size]),
        }
        if world.lists:
            wanted["history__values"] = wanted["history__offsets"] = ("TYPE_INT32", [-1])
        assert found == wanted
        assert tower.backend == "onnxruntime"
        assert list(tower.output[0].dims) == ([-1, DIM] if world.lists else [DIM])

    def test_requests_are_merged_where_rows_are_the_first_axis(
        self, server: Repository, world: World
    ) -> None:
        for name in MODELS:
            config = server.configs[name]
            alone = world.lists and name in ("query_tower", "user_features")
            assert config.max_batch_size == (0 if alone else 32)
            if name != "recommend":
                assert config.HasField("dynamic_batching") == (not alone)

    def test_what_a_request_may_leave_out(self, server: Repository) -> None:
        optional = {i.name for i in server.configs["recommend"].input if i.optional}
        assert optional == {"K", "FILTER_SEEN", "EXCLUDE"}

    def test_devices_and_instances(self, bundle: Path, tmp_path: Path) -> None:
        out = write_model_repository(bundle, tmp_path / "models", device="gpu", instances=3)
        kinds = {
            name: [(g.count, ModelInstanceGroup.Kind.Name(g.kind)) for g in config.instance_group]
            for name, config in Repository(out).configs.items()
        }
        # Triton refuses instances of an ensemble.
        assert kinds.pop("recommend") == []
        assert kinds.pop("query_tower") == [(3, "KIND_GPU")]
        assert set(map(tuple, kinds.values())) == {((3, "KIND_CPU"),)}

    def test_the_tower_answers_its_own_warm_up(self, server: Repository) -> None:
        tower = server.configs["query_tower"]
        (warmup,) = tower.model_warmup
        inputs = {}
        for name, told in warmup.inputs.items():
            kind = stub.TYPES[DataType.Name(told.data_type)]
            file = server.path / "query_tower" / "warmup" / told.input_data_file
            values = np.zeros(told.dims, kind) if told.zero_data else np.fromfile(file, kind)
            assert values.shape == tuple(told.dims)
            inputs[name] = values[None] if tower.max_batch_size else values
        assert np.isfinite(server.infer("query_tower", inputs)["embedding"]).all()

    def test_a_name_may_hold_anything(self, tmp_path: Path) -> None:
        name = 'a "quoted" \\ name\nof two lines, größer 木'
        (tmp_path / "config.pbtxt").write_text(
            to_pbtxt({"name": name, "max_batch_size": 4, "input": [], "dynamic_batching": {}}),
            encoding="utf-8",
        )
        config = read_config(tmp_path / "config.pbtxt")
        assert config.name == name
        assert config.HasField("dynamic_batching")


class TestTensorFlow:
    @pytest.mark.parametrize("lists", [False, True])
    def test_serves_the_saved_model(self, lists: bool, tmp_path: Path) -> None:
        import tensorflow as tf

        world = World(lists)
        bundle = world.write(tmp_path / "bundle")
        module = tf.Module()
        weights = {name: tf.constant(table) for name, table in world.weights.items()}

        def embed(**features: tf.Tensor) -> dict[str, tf.Tensor]:
            found = tf.gather(weights["users"], features["user_id"])
            found += tf.gather(weights["genders"], features["gender"])
            found += features["age"][:, None] * weights["age"] + features["mood"][:, None]
            if lists:
                values, offsets = features["history__values"], features["history__offsets"]
                read = tf.RaggedTensor.from_row_splits(tf.gather(weights["read"], values), offsets)
                found += tf.reduce_sum(read, axis=1)
            return {"embedding": found}

        scalars = {"user_id": tf.int32, "age": tf.float32, "gender": tf.int32, "mood": tf.float32}
        listed = {"history__values": tf.int32, "history__offsets": tf.int32} if lists else {}
        specs = {n: tf.TensorSpec([None], t, name=n) for n, t in {**scalars, **listed}.items()}
        serve = tf.function(embed).get_concrete_function(**specs)
        tf.saved_model.save(module, str(bundle / "query_tower"), signatures=serve)
        save_manifest(bundle, replace(parse_manifest(bundle), files=files_of(bundle)))

        out = write_model_repository(bundle, tmp_path / "models", backend="tensorflow")
        config = read_config(out / "query_tower" / "config.pbtxt")
        assert (config.platform, config.backend) == ("tensorflow_savedmodel", "tensorflow")
        assert not (out / "query_tower" / "1" / "model.onnx").exists()
        users = [[str(user)] for user in world.user_ids[:7]]
        found = stub.run_ensemble(out, {"USER_ID": users})
        assert [[one.decode() for one in row] for row in found["ITEM_ID"]] == [
            [item for item, _ in world.best(user, 10)] for (user,) in users
        ]


class TestFiles:
    def test_only_what_its_models_read(self, repository: Path) -> None:
        code = ("1/towermill/", "1/__pycache__/")  # the second where a test ran the models before
        held = {
            name: {f for f in files(repository / name) if not f.startswith(code)} for name in MODELS
        }
        python = {"config.pbtxt", "1/model.py", "1/manifest.json"}
        index = {"1/tables/items.arrow", "1/index/vectors.npy"}
        assert held == {
            "user_features": python | {"1/tables/users.arrow"},
            "candidates": python | index | {"1/tables/seen.arrow"},
            "similar": python | index,
            "query_tower": {"config.pbtxt", "1/model.onnx", "warmup/offsets"},
            "recommend": {"config.pbtxt", "1/.keep"},
        }

    def test_large_files_are_not_copied(self, bundle: Path, repository: Path) -> None:
        made = repository / "candidates" / "1" / "index" / "vectors.npy"
        assert made.stat().st_ino == (bundle / "index" / "vectors.npy").stat().st_ino

    def test_they_are_where_there_are_no_links(
        self, bundle: Path, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: Any) -> None:
            raise OSError("another file system")

        monkeypatch.setattr(writing.os, "link", refuse)
        out = write_model_repository(bundle, tmp_path / "models", k=3)
        user = str(world.user_ids[0])
        found = stub.run_ensemble(out, {"USER_ID": [[user]]})
        assert [one.decode() for one in found["ITEM_ID"][0]] == [
            item for item, _ in world.best(user, 3)
        ]

    @pytest.mark.parametrize("name", ["user_features", "candidates", "similar"])
    def test_the_code_that_comes_with_a_model_is_whole_and_slim(
        self, repository: Path, name: str, python: Callable[..., Any]
    ) -> None:
        root = repository / name / "1"
        modules = [
            ".".join(file.relative_to(root).with_suffix("").parts)
            for file in (root / "towermill").rglob("*.py")
            if file.name != "__init__.py"
        ]
        assert f"towermill.pipelines.triton.{name}" in modules
        python(
            f"""
import sys
sys.path[:0] = [{str(root)!r}, {str(Path(stub.__file__).parent)!r}]
import stub
sys.modules["triton_python_backend_utils"] = stub._as_module()
from importlib import import_module
for module in {modules!r}:
    import_module(module)
heavy = {{"tensorflow", "merlin", "nvtabular", "pandas", "polars", "dask"}}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
""",
            PYTHONPATH=None,
            PYTHONSAFEPATH=None,
        )

    def test_versions_stand_side_by_side(self, repository: Path, tmp_path: Path) -> None:
        """Each runs on the modules of its own folder, whatever those of the other say."""
        both = tmp_path / "models"
        shutil.copytree(repository, both)
        shutil.copytree(both / "similar" / "1", both / "similar" / "2")
        broken = both / "similar" / "2" / "towermill" / "pipelines" / "triton" / "similar.py"
        broken.write_text("raise RuntimeError('the other version')")
        found = stub.run_ensemble(both, {"ITEM_ID": [["film-03"]]}, "similar")
        assert found["KNOWN"].all()


class TestRefused:
    def test_a_folder_that_holds_something(self, bundle: Path, tmp_path: Path) -> None:
        (tmp_path / "mine").write_text("to be kept")
        with pytest.raises(DataError, match="empty folder"):
            write_model_repository(bundle, tmp_path)
        with pytest.raises(DataError, match="empty folder"):
            write_model_repository(bundle, tmp_path / "mine")
        assert files(tmp_path) == {"mine"}

    @pytest.mark.parametrize("name", ["onnx/query_tower.onnx", "index/vectors.npy"])
    def test_a_damaged_bundle(self, bundle: Path, tmp_path: Path, name: str) -> None:
        shutil.copytree(bundle, tmp_path / "bundle")
        content = bytearray((tmp_path / "bundle" / name).read_bytes())
        content[len(content) // 2] ^= 1
        (tmp_path / "bundle" / name).write_bytes(content)
        with pytest.raises(BundleError, match=f"is damaged: {name} is not the file"):
            write_model_repository(tmp_path / "bundle", tmp_path / "models")
        assert not (tmp_path / "models").exists()

    def test_an_empty_folder_is_filled(self, bundle: Path, tmp_path: Path) -> None:
        (tmp_path / "models").mkdir()
        out = write_model_repository(bundle, tmp_path / "models")
        assert {path.name for path in out.iterdir()} == MODELS
        assert list(tmp_path.iterdir()) == [out]

    def test_one_that_breaks_off_leaves_nothing(
        self, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*_: Any) -> None:
            raise OSError("no space left on device")

        monkeypatch.setattr(writing, "to_pbtxt", full)
        with pytest.raises(DataError, match="no space left"):
            write_model_repository(bundle, tmp_path / "models")
        assert list(tmp_path.iterdir()) == []

    def test_what_a_killed_one_left_is_in_nobodys_way(self, bundle: Path, tmp_path: Path) -> None:
        (tmp_path / "models.partial" / "candidates").mkdir(parents=True)
        (tmp_path / "models.partial" / "candidates" / "half").touch()
        out = write_model_repository(bundle, tmp_path / "models")
        assert list(tmp_path.iterdir()) == [out]
        assert "candidates/half" not in files(out)

    @pytest.mark.parametrize(
        "lost", ["onnx/query_tower.onnx", "tables/users.arrow", "tables/seen.arrow"]
    )
    def test_a_bundle_that_is_not_whole(self, bundle: Path, tmp_path: Path, lost: str) -> None:
        broken = edited(bundle, tmp_path / "bundle")
        (broken / lost).unlink()
        with pytest.raises(BundleError, match=lost):
            write_model_repository(broken, tmp_path / "models")
        assert not (tmp_path / "models").exists()

    def test_no_bundle(self, tmp_path: Path) -> None:
        with pytest.raises(BundleError, match="No bundle at"):
            write_model_repository(tmp_path, tmp_path / "models")

    def test_a_ranker(self, bundle: Path, tmp_path: Path) -> None:
        ranker = edited(bundle, tmp_path / "bundle", kind="ranker")
        with pytest.raises(BundleError, match="a ranker scores pairs"):
            write_model_repository(ranker, tmp_path / "models")

    def test_an_older_format(self, tmp_path: Path) -> None:
        (tmp_path / "manifest.json").write_text('{"format": 2, "files": {}}')
        with pytest.raises(BundleError, match="of format 2"):
            write_model_repository(tmp_path, tmp_path / "models")

    @pytest.mark.parametrize(
        ("option", "told"),
        [
            ({"instances": 0}, "`instances` should be a positive integer. Received: 0"),
            ({"max_batch_size": -1}, "`max_batch_size` should be a positive integer"),
            ({"k": True}, "`k` should be a positive integer. Received: True"),
            ({"k": 20, "max_k": 10}, "`k` should be at most `max_k`, 10. Received: k=20"),
            ({"backend": "pytorch"}, "`backend` should be one of onnxruntime, tensorflow"),
            ({"device": "tpu"}, "`device` should be cpu or gpu. Received: 'tpu'"),
        ],
    )
    def test_options(self, bundle: Path, tmp_path: Path, option: dict[str, Any], told: str) -> None:
        with pytest.raises(BundleError) as refused:
            write_model_repository(bundle, tmp_path / "models", **option)
        assert told in str(refused.value)

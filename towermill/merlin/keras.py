"""Patches of TensorFlow and Keras 2 for Merlin Models."""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import importlib.util
import logging
import os
import sys
import uuid
from typing import Any

from towermill.errors import SetupError
from towermill.extras import install_command
from towermill.merlin.state import LEGACY_KERAS


def ask_for_legacy_keras() -> None:
    """Before TensorFlow is imported: have ``tf.keras`` be Keras 2, unless the user said else."""
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")


def use_legacy_keras() -> None:
    """``tf.keras`` is Keras 3 since TensorFlow 2.16; Merlin Models is written for Keras 2.

    TensorFlow reads ``TF_USE_LEGACY_KERAS`` twice: at import, to find ``tensorflow.keras`` on its
    path, and at the first use of ``tf.keras``, which is a lazy loader until then. If TensorFlow was
    imported without the variable but no Keras has been used yet, both are still mended here.
    """
    if importlib.util.find_spec("tf_keras") is None:
        raise SetupError(
            "Merlin Models needs Keras 2, and the package tf-keras is not installed. "
            f"Install it: {install_command('cpu')}"
        )
    advice = (
        "Set TF_USE_LEGACY_KERAS=1 in the environment, or `import towermill` before tensorflow, "
        "and start again."
    )
    if os.environ.setdefault("TF_USE_LEGACY_KERAS", "1") not in LEGACY_KERAS:
        raise SetupError(
            "Merlin Models needs Keras 2, but TF_USE_LEGACY_KERAS is "
            f"{os.environ['TF_USE_LEGACY_KERAS']!r} in the environment. {advice}"
        )
    import tensorflow as tf

    found = _keras_in_use(tf)
    if found.startswith("keras."):
        raise SetupError(
            "Merlin Models needs Keras 2, but TensorFlow was imported before Towermill and has "
            f"loaded Keras 3 ({found}). {advice}"
        )
    api = importlib.util.find_spec("tf_keras.api._v2")
    for folder in (api.submodule_search_locations or ()) if api else ():
        if folder not in tf.__path__:
            tf.__path__.insert(0, folder)


def _keras_in_use(tf: Any) -> str:
    """Return the module behind ``tf.keras``, or an empty string if nothing has loaded it yet."""
    for name in ("keras", "losses", "metrics", "optimizers", "initializers"):
        module = vars(tf).get(name)
        if module is None or getattr(module, "_tfll_initialized", True) is False:
            continue
        # Not `repr` or an attribute: either would make the lazy loader load.
        package = object.__getattribute__(module, "__name__")
        if package == "tensorflow.keras":  # found on TensorFlow's path
            package = "keras.3" if "_tf_keras" in (module.__file__ or "") else "tf_keras"
        if package.startswith("keras."):
            return str(package)
    return ""


def restore_tf_names() -> None:
    """Names TensorFlow moved: DLPack (2.16), ``python.training.tracking`` (2.11)."""
    import tensorflow as tf
    import tensorflow.python as tf_python
    import tensorflow.python.trackable as trackable
    import tensorflow.python.trackable.data_structures as data_structures

    for name in ("to_dlpack", "from_dlpack"):
        if not hasattr(tf_python, name):
            setattr(tf_python, name, getattr(tf.experimental.dlpack, name))
    sys.modules["tensorflow.python.training.tracking"] = trackable
    sys.modules["tensorflow.python.training.tracking.data_structures"] = data_structures


def alias_keras_internals() -> None:
    """Merlin imports internals of Keras 2.12 from ``keras``; since 2.13 they are in ``keras.src``.

    And ``keras`` itself is Keras 3. Only names that Keras 3 does not have are taken.
    """
    for name in (
        "engine",
        "engine.compile_utils",
        "layers.preprocessing",
        "layers.preprocessing.preprocessing_utils",
        "saving.saving_lib",
        "utils.control_flow_util",
        "utils.generic_utils",
        "utils.layer_utils",
        "utils.losses_utils",
        "utils.metrics_utils",
        "utils.tf_inspect",
    ):
        module = importlib.import_module("tf_keras.src." + name)
        sys.modules.setdefault("keras." + name, module)


def use_legacy_keras_serialization() -> None:
    """Keras 2.13 changed ``serialize`` to Keras 3's format; Merlin's configs expect 2.12's.

    Objects are written in the old format. Either is read, told by the config's shape.
    """
    from tf_keras.src.saving.legacy import serialization as legacy

    def serialize(obj: Any, *args: Any, **kwargs: Any) -> Any:
        return legacy.serialize_keras_object(obj)

    def reading_both(original: Any) -> Any:
        @functools.wraps(original)
        def deserialize(config: Any, *args: Any, **kwargs: Any) -> Any:
            new = isinstance(config, dict) and {"module", "registered_name"} <= config.keys()
            kwargs.setdefault("use_legacy_format", not new)
            return original(config, *args, **kwargs)

        return deserialize

    for kind in ("layers", "metrics", "losses", "optimizers"):
        # Not tf.keras: Merlin's `from tensorflow.keras import …` makes a second copy of the module.
        module: Any = importlib.import_module("tensorflow.keras." + kind)
        module.serialize = serialize
        module.deserialize = reading_both(module.deserialize)
    # Keras's layers reach initializers here. Merlin's TensorInitializer holds an array, which the
    # new format wraps in a dict that its from_config does not undo.
    initializers: Any = importlib.import_module("tf_keras.src.initializers")
    initializers.serialize = serialize
    utils: Any = importlib.import_module("tensorflow.keras.utils")
    utils.serialize_keras_object = legacy.serialize_keras_object
    utils.deserialize_keras_object = legacy.deserialize_keras_object


def tokenize_model_encode(merlin_models_tf_utils_batch_utils: Any) -> None:
    """dask-expr wants a token of whatever goes into ``map_partitions`` (2025.1).

    ``batch_predict`` and the encoders' ``encode`` hand it a model, which has none: each object gets
    one of its own, so that no two models are taken for the same.
    """

    def token(self: Any) -> str:
        own: str = vars(self).setdefault("_towermill_token", uuid.uuid4().hex)
        return own

    merlin_models_tf_utils_batch_utils.TFModelEncode.__dask_tokenize__ = token


def _is_not_sampler_tracing(record: logging.LogRecord) -> bool:
    return "returned no samples for this batch" not in record.getMessage()


def silence_sampler_warning() -> None:
    """ "The sampler InBatchSampler returned no samples for this batch" comes of tracing alone.

    Merlin raises an exception of its own if no sampler returned anything.
    """
    logging.getLogger("merlin_models").addFilter(_is_not_sampler_tracing)

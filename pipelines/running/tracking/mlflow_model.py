"""A bundle as an MLflow model of the flavour `python_function`.

MLflow stores this file beside the bundle, and runs it when the model is loaded.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import mlflow.models
import mlflow.pyfunc
import pandas as pd

from towermill.pipelines.bundle.bundle import Bundle
from towermill.pipelines.bundle.query import Query

#: Columns of a table of queries, by the arguments of `Query`.
_COLUMNS = ("user_id", "history", "features", "exclude", "candidates")
# A type of `predict` would be a schema of the queries, whose columns may be left out.
warnings.filterwarnings("ignore", ".*Add type hints to the `predict` method")


class BundleModel(mlflow.pyfunc.PythonModel):  # type: ignore[misc,name-defined]
    """Recommends for a table of queries."""

    def load_context(self, context: Any) -> None:
        """Open the bundle that was logged, and check its files against their sha256."""
        self.bundle = Bundle.open(context.artifacts["bundle"], verify=True)

    def predict(  # type: ignore[no-untyped-def]
        self,
        context: Any,
        model_input,
        params: Mapping[str, Any] | None = None,
    ) -> pd.DataFrame:
        """Return a row for each query.

        Parameters
        ----------
        context
            Not used.
        model_input
            A table with some of the columns ``user_id``, ``history``, ``features``, ``exclude``
            and ``candidates``; missing values leave an argument out. See `Query`.
        params
            ``k`` and ``filter_seen``.

        Returns
        -------
        pandas.DataFrame
            ``items``: lists of ``item_id`` and ``score``, best first; ``known`` and ``by`` as in
            `Recommendations`.
        """
        table = pd.DataFrame(model_input)
        unknown = [name for name in table if name not in _COLUMNS]
        if unknown:
            raise ValueError(
                f"Expected columns among {', '.join(_COLUMNS)}. Received: {unknown[0]!r}."
            )
        given = table.astype(object).to_dict("records")
        queries = [Query(**_present(row), **(params or {})) for row in given]
        answers = self.bundle.answer(queries)
        items = [
            [{name: item[name] for name in ("item_id", "score")} for item in answer.items]
            for answer in answers
        ]
        return pd.DataFrame(
            {
                "items": items,
                "known": [answer.known for answer in answers],
                "by": [answer.by for answer in answers],
            }
        )


def _present(row: Mapping[Any, Any]) -> dict[str, Any]:
    present = {}
    for name, value in row.items():
        if hasattr(value, "tolist"):
            value = value.tolist()
        if isinstance(value, list | dict) or not pd.isna(value):
            present[name] = value
    return present


mlflow.models.set_model(BundleModel())

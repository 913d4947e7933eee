"""The `export.index` section of a recipe: how a bundle finds the nearest items."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, GetJsonSchemaHandler, PositiveInt, model_validator
from pydantic_core import CoreSchema

from towermill.extras import install_command
from towermill.section import Section


class IndexConfig(Section):
    """The index that finds a query's nearest items. ``index: exact`` sets only the kind.

    Parameters
    ----------
    kind
        ``exact``: by all products. ``hnsw``: by a graph of neighbours (Malkov and Yashunin, TPAMI
        2018). ``ivf``: by lists around centres (Jégou et al., TPAMI 2011). ``auto``: exact up to
        `exact_up_to` items, then ``hnsw``.
    exact_up_to
        For ``auto``: the number of items up to which search is exact.
    library
        ``usearch`` or ``faiss``; ``ivf`` is faiss' alone.
    connectivity, expansion_build, expansion_search
        For ``hnsw``: neighbours of an item, and how many candidates are kept while an item is put
        in and while a query is answered; the last raises recall and time alike.
    lists, probes
        For ``ivf``: number of lists, and of lists probed per query; 0 takes four times the
        square root of the number of items, and an eighth of the lists.
    recall_k, min_recall
        Export fails if recall@`recall_k` over held-out queries is below `min_recall`.
    """

    kind: Literal["auto", "exact", "hnsw", "ivf"] = "auto"
    exact_up_to: int = Field(200_000, ge=0)
    library: Literal["usearch", "faiss"] = "usearch"
    connectivity: int = Field(16, ge=2, le=512)
    expansion_build: PositiveInt = 64
    expansion_search: PositiveInt = 650
    lists: int = Field(0, ge=0)
    probes: int = Field(0, ge=0)
    recall_k: PositiveInt = 100
    min_recall: float = Field(0.95, ge=0, le=1)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        whole = handler.resolve_ref_schema(handler(schema))
        return {"anyOf": [whole, whole["properties"]["kind"]]}

    @model_validator(mode="before")
    @classmethod
    def _kind_alone(cls, value: Any) -> Any:
        return {"kind": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _library_has_it(self) -> IndexConfig:
        if self.kind == "ivf" and self.library != "faiss":
            raise ValueError(
                f"`kind: ivf` is not in {self.library}. Set `library: faiss` "
                f"({install_command('faiss')}), or `kind: hnsw`"
            )
        if self.lists and self.probes > self.lists:
            raise ValueError(
                f"`probes` should be at most `lists`. Received: {self.probes} of {self.lists}"
            )
        return self

    def kind_for(self, items: int) -> Literal["exact", "hnsw", "ivf"]:
        """Return the kind of an index over `items` items; an empty catalogue needs no graph."""
        if self.kind == "auto":
            return "exact" if items <= self.exact_up_to else "hnsw"
        return self.kind if items else "exact"

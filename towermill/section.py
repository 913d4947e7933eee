"""The base class of a recipe's sections, and sections whose class depends on a name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from towermill.errors import RecipeError
from towermill.registry import Place, Registry, reference


class Section(BaseModel):
    """A section of a recipe: it cannot be changed, and takes no keys that it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


#: Keyword that marks a section whose class depends on a name, in a JSON Schema: see
#: `towermill.pipelines.recipe.schema`.
PARTS = "x-towermill-parts"


class PartSection:
    """Annotates a field whose class is that of the part that its `kind` names.

    Parameters
    ----------
    registry
        Where the kind is looked up.
    default
        The kind of a section that gives none.
    """

    def __init__(self, registry: Registry[Any], default: str | None = None) -> None:
        self.registry, self.default = registry, default

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self._validate,
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda part, info: part.model_dump(
                    mode=info.mode,
                    exclude_unset=info.exclude_unset,
                    exclude_defaults=info.exclude_defaults,
                ),
                info_arg=True,
            ),
        )

    @property
    def name(self) -> str:
        """What a section of these parts is called in a JSON Schema: ``source``, ``model_kind``."""
        return self.registry.what.replace(" ", "_")

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {PARTS: self.name}

    def section_of(self, value: Any) -> type[Section] | None:
        """Return the class of the section that `value` describes, or None if it is not known."""
        try:
            return self._section_of(value)
        except (ValueError, RecipeError):
            return None

    def _section_of(self, value: Any) -> type[Section]:
        if not isinstance(value, Mapping):
            raise ValueError("Expected a section: keys and their values")
        kind = value.get("kind", self.default)
        if kind is None:
            raise RecipeError(f"Known: {', '.join(self.registry.names())}.")
        found: type[Section] = self.registry.get(str(kind))
        return found

    def _validate(self, value: Any) -> Any:
        if isinstance(value, Section):
            return value
        try:
            section = self._section_of(value)
        except RecipeError as error:
            raise PydanticCustomError("part_kind", "{error}", {"error": str(error)}) from None
        return section.model_validate({"kind": self.default, **value})


class PartName:
    """Annotates a text field that names a part; None is left as it is.

    Parameters
    ----------
    registry
        Where the name is looked up; None takes any importable ``module:Name``.
    light
        Whether parts import nothing heavy, so that they are imported as a recipe is validated.
    """

    def __init__(self, registry: Registry[Any] | None = None, *, light: bool = False) -> None:
        self.registry, self.light = registry, light

    def place(self, name: str) -> Place:
        """Return where the part is defined; raise `RecipeError` if it is not known."""
        return reference(name) if self.registry is None else self.registry.place(name)

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._validate, handler(source))

    def _validate(self, name: str | None) -> str | None:
        try:
            if name is not None:
                self.place(name).check()
                if self.registry is not None and self.light:
                    self.registry.get(name)
        except RecipeError as error:
            raise ValueError(str(error)) from None
        return name


def modules_of(value: Any) -> Iterator[str]:
    """Yield the modules of the parts that a section names, its own class among them."""
    if isinstance(value, BaseModel):
        yield type(value).__module__
        for name, field in type(value).model_fields.items():
            given = getattr(value, name)
            named = [mark for mark in field.metadata if isinstance(mark, PartName)]
            if named and given is not None:
                yield named[0].place(given).module
            yield from modules_of(given)
    elif isinstance(value, Mapping):
        for given in value.values():
            yield from modules_of(given)
    elif isinstance(value, (list, tuple)):
        for given in value:
            yield from modules_of(given)

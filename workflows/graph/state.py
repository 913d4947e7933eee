"""The fitted state of a workflow as data, so that nothing has to unpickle the workflow."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from towermill.errors import DataError

#: Folder of the vocabularies in the folder of a saved workflow.
CATEGORIES: Final = "categories"
_FILE: Final = "state.json"


def _bare(name: str) -> str:
    if PurePosixPath(name).name != name:
        raise ValueError(f"Expected the name of a file, without a folder. Received: {name!r}")
    return name


class Moments(BaseModel):
    """Means and standard deviations of one Normalize operator, by column."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    means: dict[str, float]
    stds: dict[str, float]


class WorkflowState(BaseModel):
    """What Categorify and Normalize operators have learned: ``state.json`` of a saved workflow.

    Parameters
    ----------
    vocabularies
        Column, or name of columns that share a vocabulary, to its file in ``categories/``.
    moments
        One entry per Normalize operator, in the order of the graph.

    Examples
    --------
    >>> from towermill.workflows.graph.state import WorkflowState
    >>> WorkflowState(vocabularies={"genre": "unique.genre.parquet"}, moments=()).version
    1
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1] = 1
    vocabularies: dict[str, Annotated[str, AfterValidator(_bare)]]
    moments: tuple[Moments, ...]

    @classmethod
    def read(cls, folder: Path) -> WorkflowState:
        """Read the state of the workflow saved in `folder`.

        Raises
        ------
        DataError
            The file is missing or is not such a state.
        """
        try:
            return cls.model_validate_json((folder / _FILE).read_bytes())
        except (OSError, ValidationError) as error:
            raise DataError(
                f"Expected the fitted state of a workflow in {folder / _FILE}, as the `process` "
                f"stage writes it. {error}. Run the `process` stage again."
            ) from error

    def write(self, folder: Path) -> None:
        """Write the state beside a saved workflow."""
        (folder / _FILE).write_text(self.model_dump_json(indent=2))

"""Errors whose cause the caller can fix."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class TowermillError(Exception):
    """A mistake in the recipe, the data or the set-up; the message says what to do about it.

    The command line prints the message alone and exits with code 2.
    """


class RecipeError(TowermillError):
    """The recipe is not one that can be run."""


class DataError(TowermillError):
    """A file, table or column is missing, of the wrong type, empty or inconsistent."""


class SchemaError(TowermillError):
    """A model asks the processed schema for something that it lacks."""


class BundleError(TowermillError):
    """A bundle is incomplete, damaged or of another format."""


class SetupError(TowermillError):
    """The installation or the device does not match the settings."""


class StageError(TowermillError):
    """A stage broke off: its process or the Dask cluster ended, or there is a fault in the code."""


class PrunedError(TowermillError):
    """A trial of a study is not worth going on with: no mistake, but an end all the same."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the nearest of `known`, or an empty string.

    Case does not count.

    Examples
    --------
    >>> did_you_mean("USERID", ["item_id", "user_id"])
    " Did you mean 'user_id'?"
    """
    folded = {one.casefold(): one for one in known}
    near = difflib.get_close_matches(name.casefold(), list(folded), n=1, cutoff=0.5)
    return f" Did you mean {folded[near[0]]!r}?" if near else ""

"""Merlin 23.8 on a current stack: patches, applied as Merlin is first imported."""

from towermill.merlin.activation import activate, activate_keras
from towermill.merlin.imports import arm, around_import, dask_setup
from towermill.merlin.state import TESTED

__all__ = ["TESTED", "activate", "activate_keras", "arm", "around_import", "dask_setup"]

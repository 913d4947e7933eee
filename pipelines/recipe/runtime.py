"""The section `runtime` of a recipe."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from towermill.runtime.device import Runtime
from towermill.runtime.gpu import Memory
from towermill.section import Section


def _memory(value: float | str) -> float | str:
    size = isinstance(value, str) and re.fullmatch(r"\d+(\.\d+)? ?([KMGT]i?)?B", value)
    if not size and not (isinstance(value, float) and 0 <= value <= 1):
        raise ValueError("Expected a share of the GPU, from 0 to 1, or a size such as 8GB")
    return value


_Memory = Annotated[float | str, AfterValidator(_memory)]


class RuntimeConfig(Section):
    """Where the recipe runs. Only `seed` affects the results.

    Parameters
    ----------
    device, cluster
        See `towermill.runtime.device.resolve`.
    seed
        Decides initial weights, row order and negatives.
    rmm_pool, tensorflow_memory, spill, host_tables
        How a GPU's memory is shared: see `towermill.runtime.gpu.Memory`.
    workers, protocol, device_memory_limit, local_directory
        Options of a cluster started for the run: see `cluster_client`, which uses `rmm_pool` and
        `spill` for its workers as well.
    """

    device: Literal["auto", "cpu", "gpu"] = "auto"
    cluster: str = Field("none", pattern=r"^(none|local|cuda|(tcp|tls|ucx)://.+)$")
    seed: int = Field(0, ge=0)
    workers: int = Field(0, ge=0)
    protocol: Literal["tcp", "ucx"] = "tcp"
    rmm_pool: _Memory = 0.5
    tensorflow_memory: _Memory = 0.0
    spill: bool = True
    host_tables: _Memory = 0.25
    device_memory_limit: _Memory = 0.8
    local_directory: str = ""

    def cluster_options(self) -> dict[str, Any]:
        """Return the options of `towermill.runtime.cluster.cluster_client`."""
        others = {"device", "cluster", "seed", "tensorflow_memory", "host_tables"}
        return self.model_dump(exclude=others)

    def memory(self, runtime: Runtime) -> Memory:
        """Return how a stage's process shares its GPU; on a cluster, the pool is the workers'."""
        pool = self.rmm_pool if runtime.cluster == "none" else 0.0
        return Memory(pool, self.tensorflow_memory, self.spill, self.host_tables)

"""The API key, where one is set."""

from __future__ import annotations

import hmac
from typing import Annotated

from fastapi import HTTPException, Request, Security
from fastapi.security import APIKeyHeader

from towermill.pipelines.server.service.serving import serving

_header = APIKeyHeader(name="X-API-Key", auto_error=False)


async def require_key(request: Request, given: Annotated[str | None, Security(_header)]) -> None:
    """Check the key of a request to a route that depends on this."""
    check_key(request, given)


def check_key(request: Request, given: str | None) -> None:
    """Raise HTTP error 401 if a key is set and `given` is another.

    The comparison takes as long wherever the two differ.
    """
    key = serving(request).settings.api_key
    if key is not None and not hmac.compare_digest((given or "").encode(), key.encode()):
        raise HTTPException(
            401, "The header X-API-Key is missing or wrong.", {"WWW-Authenticate": "ApiKey"}
        )

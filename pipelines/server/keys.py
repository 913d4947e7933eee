"""The API key, where one is set."""

from __future__ import annotations

import hmac
from typing import Annotated

from fastapi import HTTPException, Request, Security
from fastapi.security import APIKeyHeader

from towermill.pipelines.server.serving import serving

_header = APIKeyHeader(name="X-API-Key", auto_error=False)


async def require_key(request: Request, given: Annotated[str | None, Security(_header)]) -> None:
    """Raise HTTP error 401 if the request has not the key of the server.

    The comparison takes as long wherever the two differ.
    """
    key = serving(request).settings.api_key or ""
    if not hmac.compare_digest((given or "").encode(), key.encode()):
        raise HTTPException(
            401, "The header X-API-Key is missing or wrong.", {"WWW-Authenticate": "ApiKey"}
        )

"""Routes whose body pydantic parses directly."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, get_type_hints

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import ValidationError
from starlette.responses import Response

from towermill.pipelines.server.http.auth import check_key


class BodyRoute(APIRoute):
    """A route of a function of `request` and `body`, a pydantic model, that returns a response.

    It is declared, documented and checked as FastAPI's own. Only its parameters are not resolved in
    general, which takes FastAPI longer than all that the server itself does for a request: the
    key is checked, and the model reads the JSON.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what answers a request."""
        model = get_type_hints(self.endpoint)["body"]
        endpoint = self.endpoint

        async def handle(request: Request) -> Response:
            check_key(request, request.headers.get("X-API-Key"))
            if "json" not in request.headers.get("Content-Type", ""):
                raise RequestValidationError(
                    [{"loc": ("header", "Content-Type"), "msg": "should be application/json"}]
                )
            try:
                body = model.model_validate_json(await request.body())
            except ValidationError as error:
                found = error.errors(include_url=False, include_context=False, include_input=False)
                raise RequestValidationError(
                    [{**one, "loc": ("body", *one["loc"])} for one in found]
                ) from None
            response: Response = await endpoint(request, body)
            return response

        return handle

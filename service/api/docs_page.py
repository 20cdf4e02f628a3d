"""``/docs``: every address, to be read and tried. Its script comes with the package ``fastapi-offline``.

FastAPI's own page would load it from another company's servers, into a page where people paste their tokens.
"""

import html
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

router = APIRouter(include_in_schema=False)

_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>kleidia-backup: API</title>
<link rel="stylesheet" href="{root}/docs/swagger-ui.css">
</head><body><div id="api" data-document="{root}/openapi.json"></div>
<script src="{root}/docs/swagger-ui-bundle.js"></script><script src="{root}/docs/start.js"></script>
</body></html>
"""
_START = """"use strict";
SwaggerUIBundle({
  url: document.getElementById("api").dataset.document,
  domNode: document.getElementById("api"),
  deepLinking: true,
  persistAuthorization: false,
  validatorUrl: null,
});
"""
#: Swagger UI writes styles into its elements, and shows pictures of its own.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
#: Bytes given to the network at once.
_SLICE = 32 * 1024
_FILES = {"swagger-ui.css": "text/css", "swagger-ui-bundle.js": "text/javascript"}


@router.get("/docs")
async def docs(request: Request) -> HTMLResponse:
    """The page."""
    _files()
    root = html.escape(request.scope.get("root_path", "") + request.app.state.prefix)
    return HTMLResponse(_PAGE.format(root=root), headers={"Content-Security-Policy": _POLICY})


@router.get("/docs/start.js")
async def start() -> Response:
    """What starts it."""
    return Response(_START, media_type="text/javascript")


@router.get("/docs/{name}")
async def file(name: str) -> Response:
    """What it is made of."""
    if name not in _FILES:
        raise HTTPException(404)
    return _Slices(_read(name), media_type=_FILES[name], headers={"Cache-Control": "max-age=3600"})


class _Slices(Response):
    """An answer in small pieces, so that clients that do not read cost no copy of it each."""

    async def __call__(self, _: Scope, __: Receive, send: Send) -> None:
        """Send it."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        for at in range(0, len(self.body), _SLICE):
            await send(
                {
                    "type": "http.response.body",
                    "body": bytes(self.body[at : at + _SLICE]),
                    "more_body": at + _SLICE < len(self.body),
                }
            )


@cache
def _read(name: str) -> bytes:
    """A file of the page, cached: a thread for each of many requests would cost more."""
    return (_files() / name).read_bytes()


def _files() -> Path:
    found = find_spec("fastapi_offline")
    if found is None or found.origin is None:
        raise HTTPException(404)
    return Path(found.origin).parent / "static"

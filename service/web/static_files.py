"""The files that pages are made of: their style, our script and htmx, as ``static/manifest.json`` names it."""

from __future__ import annotations

import gzip
from functools import cache
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException

router = APIRouter(include_in_schema=False)

STATIC = Path(__file__).parent / "static"
_FILES = {
    "htmx.min.js": "text/javascript",
    "page.js": "text/javascript",
    "page.css": "text/css",
    "icon.svg": "image/svg+xml",
}


@router.get("/static/{name}")
async def file(request: Request, name: str) -> Response:
    """One of them, compressed for who takes that."""
    if name not in _FILES:
        raise HTTPException(404)
    headers = {"Cache-Control": "max-age=3600", "Vary": "Accept-Encoding"}
    if "gzip" not in request.headers.get("accept-encoding", ""):
        return Response(_read(name), media_type=_FILES[name], headers=headers)
    return Response(_compressed(name), media_type=_FILES[name], headers=headers | {"Content-Encoding": "gzip"})


@cache
def _read(name: str) -> bytes:
    return (STATIC / name).read_bytes()


@cache
def _compressed(name: str) -> bytes:
    return gzip.compress(_read(name), mtime=0)

"""The files that pages are made of: their style, our script and htmx, as ``static/manifest.json`` names it."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from fastapi import APIRouter
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
async def file(name: str) -> Response:
    """One of them."""
    if name not in _FILES:
        raise HTTPException(404)
    return Response(_read(name), media_type=_FILES[name], headers={"Cache-Control": "max-age=3600"})


@cache
def _read(name: str) -> bytes:
    return (STATIC / name).read_bytes()

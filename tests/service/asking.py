"""Asking the API in tests: an app around a running service, and tokens for it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx
import jwt
from fastapi import FastAPI

from kleidia_backup.service.api.app import create_app
from kleidia_backup.service.service import Service

#: What the tests' vault has at ``jwt_path``.
JWT_SECRET = "canary-jwt-secret-of-at-least-32-bytes"
MEDIA_TYPE = "application/problem+json"


def token(role: str | None = "admin", secret: str = JWT_SECRET, **claims: Any) -> str:
    """A token for ``ada`` (subject u-1), or as ``claims`` say."""
    values = {"sub": "u-1", "name": "ada", "role": role, "exp": int(time.time()) + 600} | claims
    return jwt.encode({name: value for name, value in values.items() if value is not None}, secret, "HS256")


def bearer(role: str | None = "admin", **claims: Any) -> dict[str, str]:
    """The header with such a token."""
    return {"Authorization": f"Bearer {token(role, **claims)}"}


@asynccontextmanager
async def asking(app: FastAPI, role: str | None = "admin", **headers: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client whose requests have a token with that role (None: no token), and come from 192.0.2.9."""
    transport = httpx.ASGITransport(app, client=("192.0.2.9", 4711), raise_app_exceptions=False)
    headers = (bearer(role) if role else {}) | headers
    async with httpx.AsyncClient(transport=transport, base_url="http://api", headers=headers) as client:
        yield client


@asynccontextmanager
async def admin_of(service: Service) -> AsyncIterator[httpx.AsyncClient]:
    """An administrator's client, of an app of its own."""
    async with asking(create_app(service)) as client:
        yield client


async def ended(client: httpx.AsyncClient, job: int) -> dict[str, Any]:
    """A job when it has ended."""
    with anyio.fail_after(60):
        while True:
            answer = await client.get(f"/api/backup/jobs/{job}")
            assert answer.status_code == 200, answer.text
            found: dict[str, Any] = answer.json()
            if found["status"] in {"completed", "failed"}:
                return found
            await anyio.sleep(0.05)  # the job is polled, as the page does


async def backed_up(client: httpx.AsyncClient, kind: str = "full") -> dict[str, Any]:
    """A backup that was triggered and has succeeded."""
    answer = await client.post("/api/backup/trigger", json={"type": kind})
    assert answer.status_code == 202, answer.text
    job = await ended(client, answer.json()["id"])
    assert job["status"] == "completed", job
    return job

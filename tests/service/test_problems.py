"""What a program may decide by is a member of a problem, never a word in its detail."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from kleidia_backup.service.api import problems
from kleidia_backup.stages.errors import (
    CommitUncertain,
    DumpFailed,
    KleidiaError,
    RestoreFailed,
    Right,
    StoreUnreachable,
    UnfinishedRestore,
    VaultForbidden,
)

pytestmark = pytest.mark.anyio

LIST = Right("list", "kv/metadata/app/")


async def told(error: KleidiaError) -> dict[str, Any]:
    """The problem that an error becomes; it fits the documented schema."""
    app = FastAPI()
    problems.install(app)

    @app.get("/it")
    async def it() -> None:
        raise error

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as client:
        answer = await client.get("/it")
    problem: dict[str, Any] = answer.json()
    problems.Problem.model_validate(problem)
    return problem


@pytest.mark.parametrize(
    ("error", "members", "detail"),
    [
        (StoreUnreachable("No answer."), {}, "No answer."),
        (RestoreFailed("Refused."), {"effect": "nothing"}, "Refused. Nothing was changed."),
        (DumpFailed("Refused."), {"effect": "nothing"}, "Refused. Nothing was stored."),
        (CommitUncertain("There, or not."), {"effect": "unknown"}, "There, or not."),
        (
            VaultForbidden("No list.", rights=(LIST,)),
            {"rights": [{"verb": "list", "path": "kv/metadata/app/"}]},
            "No list.",
        ),
        (
            UnfinishedRestore("One is left.", effect="secrets"),
            {"effect": "secrets", "remedies": ["undo", "dismiss"]},
            "One is left. The database is as before.",
        ),
    ],
    ids=lambda each: type(each).__name__ if isinstance(each, KleidiaError) else "",
)
async def test_effect_rights_and_remedies_are_members(
    error: KleidiaError, members: dict[str, Any], detail: str
) -> None:
    """As far as the error has them; the detail says what the effect means."""
    problem = await told(error)
    assert {name: problem[name] for name in ("effect", "rights", "remedies") if name in problem} == members
    assert problem["detail"] == detail


@pytest.mark.parametrize("sent", ["9" * 5000, "[" * 5000 + "]" * 5000], ids=["digits", "levels"])
async def test_a_body_that_python_cannot_read(sent: str) -> None:
    """More digits or levels than it takes: the request is at fault, and nothing of it is repeated."""
    app = FastAPI()
    problems.install(app)

    @app.post("/it")
    async def it(body: dict[str, Any]) -> None:
        raise AssertionError(body)

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as client:
        content, headers = f'{{"x": {sent}}}', {"Content-Type": "application/json"}
        answer = await client.post("/it", content=content, headers=headers)
    assert answer.status_code == 400
    problems.Problem.model_validate(answer.json())
    assert sent[:9] not in answer.text

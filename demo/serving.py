"""The servers of ``serve --demo``: filled, with settings of a service for them and tokens to use it with."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import jwt

from ..config.service import ServiceSettings
from .run import start as start_servers

if TYPE_CHECKING:
    from ..pipeline.parts.request import Format

#: How many keys the demo's database and vault are filled for.
_KEYS = 200
#: Seconds for which its tokens are valid.
_VALID = 30 * 86_400


def start(stack: ExitStack, format_: Format = "v1") -> tuple[ServiceSettings, dict[str, str]]:
    """Start and fill the servers, which end with ``stack``. Returns settings, and what to tell: a token for each role.

    New archives are of ``format_``.

    Raises ``ConfigurationError`` when a wheel is missing (the demo extra brings it) or a server does not start.
    """
    demo = start_servers(stack, None)
    demo.fill(_KEYS)
    secret = demo.application.get("kleidia/jwt-secret")["secret"]
    settings = ServiceSettings(
        control=demo.database,
        database=demo.database,
        vault=demo.vault,
        store=demo.store,
        password=demo.password,
        secrets_mount="secret",
        secrets_path="kleidia/backup-service",
        jwt_mount="secret",
        jwt_path="kleidia/jwt-secret",
        target="demo",
        environment="demo: 30 days of its history are made up",
        environment_color="orange",
        format=format_,
        state=demo.servers.directory / "state",
    )
    expires = int(time.time()) + _VALID
    tokens = {
        role: jwt.encode({"sub": f"demo-{role}", "name": f"Demo {role}", "role": role, "exp": expires}, secret, "HS256")
        for role in ("admin", "operator", "viewer")
    }
    told = {f"{role}_token": token for role, token in tokens.items()}
    return settings, told | {"password": demo.password, "database": demo.database.conninfo}

"""The ASGI app, on its own or inside another."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from fastapi import FastAPI

from . import (
    audit_routes,
    backup_routes,
    docs_page,
    health_routes,
    job_routes,
    metrics,
    problems,
    restore_routes,
    settings_routes,
)
from .auth import RefusedLogins
from .authenticators import authenticator
from .metrics import MetricsAccess
from .middleware import Surroundings
from .openapi import describe
from .polled import Polled
from .tokens import JwtAuthenticator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ..service import Service
    from .auth import Authenticate

#: Those with fixed paths stand before the ones that take any key.
_ROUTERS = (
    job_routes.router,
    restore_routes.router,
    settings_routes.router,
    audit_routes.router,
    backup_routes.router,
    health_routes.router,
    metrics.router,
)


def create_app(
    service: Service,
    *,
    authenticate: Authenticate | None = None,
    prefix: str = "",
    metrics_access: MetricsAccess | None = None,
) -> FastAPI:
    """The API of a service.

    Run by a server of its own, the app enters and leaves the service. Mounted in another app it does not, for the
    other app's lifespan is the only one that runs: write ``async with service:`` there.

    Args:
        service: what the API is for.
        authenticate: tells who sent a request; without it the configured JWTs do.
        prefix: what every path begins with, such as ``/backups``; for an app that is mounted, the mount says it.
        metrics_access: who may read ``/metrics``; without it as is configured, else whoever has a role.

    Raises:
        ConfigurationError: a setting for tokens that cannot be used.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with service:
            yield

    app = FastAPI(
        lifespan=lifespan,
        openapi_url=f"{prefix}/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.service = service
    app.state.prefix = prefix
    authenticate = app.state.authenticate = authenticate or authenticator(service.config)
    app.state.refused = RefusedLogins(service.audit)
    app.state.deriving = asyncio.Semaphore(1)  # keys from passwords
    app.state.metrics = metrics_access or MetricsAccess(
        public=service.config.metrics_public, token=service.config.metrics_token
    )
    for router in (*_ROUTERS, docs_page.router):
        app.include_router(router, prefix=prefix)
    problems.install(app)
    app.add_middleware(Surroundings)
    if isinstance(authenticate, JwtAuthenticator):  # how others know somebody may cost, or change at any time
        app.add_middleware(Polled, knows=authenticate.knows, changes=service.changes, prefix=prefix)
    describe(app)
    return app

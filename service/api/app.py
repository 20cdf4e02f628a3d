"""The ASGI app, on its own or inside another."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.routing import compile_path

from ..service import Service
from ..targets.held import OneTarget
from ..web import site
from . import docs_page, metrics, problems
from .copying import routes as copies
from .document import describe
from .identity.authenticators import authenticator
from .identity.refused import RefusedLogins
from .identity.roles import allowed
from .identity.tokens import JwtAuthenticator
from .login.by_token import token_login
from .login.people import PeopleAndMachines, login_of
from .metrics import MetricsAccess
from .middleware import OuterLayer
from .polled import PolledAnswers
from .routes import (
    audit,
    backups,
    drills,
    health,
    inspections,
    jobs,
    login,
    notifications,
    restores,
    retention,
    schedules,
    settings,
    targets,
    verifications,
)
from .routes.shared import DEFAULT, EACH

if TYPE_CHECKING:
    from ..targets.held import Targets
    from .identity.auth import Authenticate

#: What there is of each target. Those with fixed paths stand before the ones that take any key.
_OF_A_TARGET = (
    jobs.router,
    copies.router,
    drills.router,
    inspections.router,
    restores.router,
    schedules.router,
    verifications.router,
    settings.router,
    audit.router,
    notifications.router,
    retention.router,
    backups.router,
)
_ROUTERS = (targets.router, login.router, health.router, metrics.router, docs_page.router)


def _polled() -> Iterator[re.Pattern[str]]:
    """The paths of the routes that are marked so, without the app's prefix."""
    for router in _OF_A_TARGET:
        for route in router.routes:
            if isinstance(route, APIRoute) and getattr(route.endpoint, "polled", False):
                yield from (compile_path(f"{base}{route.path}")[0] for base in (DEFAULT, EACH))


def _operation(route: APIRoute) -> str:
    """The name of an operation: of each target it has another than of the default one."""
    return f"target_{route.name}" if "{target}" in route.path_format else route.name


def create_app(
    service: Service | Targets,
    *,
    authenticate: Authenticate | None = None,
    prefix: str = "",
    metrics_access: MetricsAccess | None = None,
) -> FastAPI:
    """The API of a service, or of a replica with several targets.

    Run by a server of its own, the app enters and leaves the service. Mounted in another app it does not, for the
    other app's lifespan is the only one that runs: write ``async with service:`` there.

    Args:
        service: what the API is for.
        authenticate: identifies the sender of a request; without it the configured JWTs do.
        prefix: what every path begins with, such as ``/backups``; a mounted app has its mount's as well.
        metrics_access: who may read ``/metrics``; without it as is configured, else everybody with a role.

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
        generate_unique_id_function=_operation,
    )
    held: Targets = OneTarget(service) if isinstance(service, Service) else service
    of_default = held.find(None)
    app.state.targets = held
    app.state.prefix = prefix
    app.state.public_url = of_default.config.login.public_url if of_default.config.login else ""
    app.state.login = app.state.by_token = None
    if authenticate is None:
        authenticate = authenticator(of_default.config)
        app.state.login = login_of(of_default.config, held.control)
        app.state.by_token = token_login(of_default.config, held.control, authenticate)
    app.state.ways = [way for way in (app.state.login, app.state.by_token) if way is not None]
    app.state.authenticate = PeopleAndMachines(authenticate, app.state.ways) if app.state.ways else authenticate
    app.state.refused = RefusedLogins(of_default.audit)
    app.state.deriving = asyncio.Semaphore(1)  # keys from passwords
    app.state.metrics = metrics_access or MetricsAccess(
        public=of_default.config.metrics_public, token=of_default.config.metrics_token
    )
    for base in (DEFAULT, EACH):
        for router in _OF_A_TARGET:
            app.include_router(router, prefix=f"{prefix}{base}")
    for router in _ROUTERS:
        app.include_router(router, prefix=prefix)
    site.install(app, prefix)
    problems.install(app)
    app.add_middleware(OuterLayer)
    if isinstance(authenticate, JwtAuthenticator):  # another's check may be costly, or change at any time
        known, changes = authenticate.known, of_default.changes

        def may(authorization: str, target: str | None) -> bool:
            principal = known(authorization)
            return principal is not None and allowed(principal, "read", held.default if target is None else target)

        app.add_middleware(PolledAnswers, paths=[*_polled()], may=may, changes=changes, prefix=prefix)
    describe(app)
    return app

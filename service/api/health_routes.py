"""For Kubernetes and load balancers: no token, and nothing told."""

from fastapi import APIRouter

from . import models
from .shared import TheService, problems

router = APIRouter(tags=["operation"])


@router.get("/healthz", responses=problems(always=(500,)))
async def healthz() -> models.Health:
    """The process answers: restart it when it does not. Nothing else is looked at."""
    return models.Health()


@router.get("/readyz", responses=problems(503, always=(500,)))
async def readyz(service: TheService) -> models.Health:
    """The control database answers, so requests can be served here."""
    async with service.control.connection() as connection:
        await connection.execute("SELECT 1")
    return models.Health()

"""Probes for Kubernetes and load balancers, without a token."""

from fastapi import APIRouter

from .. import models
from .shared import TheService, problems

router = APIRouter(tags=["operation"])

#: Seconds in which the control database must answer.
_PATIENCE = 2.0


@router.get("/healthz", responses=problems(always=(500,)))
async def healthz() -> models.Health:
    """The process answers: restart it when it does not. Nothing else is looked at."""
    return models.Health()


@router.get("/readyz", responses=problems(503, always=(500,)))
async def readyz(service: TheService) -> models.Health:
    """The control database answers, so requests can be served here."""
    await service.control.check(_PATIENCE)
    return models.Health()

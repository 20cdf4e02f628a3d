"""Metrics for Prometheus, read from the database at every scrape: all replicas say the same, also after a restart."""

import hmac
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Request, Response, Security
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from ..service_settings import SHORTEST_TOKEN
from . import auth
from .shared import TheService, problems

if TYPE_CHECKING:
    from ..control.jobs import Job, Summary

router = APIRouter(tags=["operation"])

_STATUSES = ("completed", "failed")


@dataclass(frozen=True, slots=True)
class MetricsAccess:
    """Who may read ``/metrics``: ``public`` anybody; else who has ``token`` (if one is set), or a role."""

    public: bool = False
    token: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        if self.token and len(self.token) < SHORTEST_TOKEN:
            raise ValueError(f"a metrics token has at least {SHORTEST_TOKEN} characters")


@router.get("/metrics", responses={200: {"content": {"text/plain": {}}}, **problems()}, response_class=Response)
async def metrics(
    request: Request, service: TheService, _: Annotated[object, Security(auth.bearer)] = None
) -> Response:
    """Last success, duration, size, runs, what is next and what runs, in Prometheus' text format."""
    await _admit(request)
    due = await service.schedule.next_due(service.target)
    collector = _Snapshot(await service.jobs.summary(), await service.jobs.running(), due)
    registry = CollectorRegistry()
    registry.register(collector)
    encode, content_type = choose_encoder(request.headers.get("accept", ""))
    return Response(encode(registry), headers={"Content-Type": content_type})


async def _admit(request: Request) -> None:
    access: MetricsAccess = request.app.state.metrics
    if access.public:
        return
    given = request.headers.get("authorization", "").encode(errors="replace")
    if access.token and hmac.compare_digest(given, f"Bearer {access.token}".encode()):
        return
    await auth.viewer(request, None)


class _Snapshot(Collector):
    """What one scrape says."""

    def __init__(self, summaries: "list[Summary]", running: "list[Job]", next_due: datetime | None) -> None:
        self._summaries = summaries
        self._running = running
        self._next_due = next_due

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        labels = ["kind", "type"]
        at = _gauge("last_success_timestamp_seconds", "When the last successful run ended.", labels)
        seconds = _gauge("last_duration_seconds", "How long the last successful run took.", labels)
        size = _gauge("last_size_bytes", "Size of the archive of the last successful run.", labels)
        runs = CounterMetricFamily("kleidia_backup_runs", "Runs that ended.", labels=[*labels, "status"])
        running = _gauge("running", "Jobs that wait or run.", ["kind"])
        for each in self._summaries:
            key = [each.kind, each.backup_type]
            for family, value in (
                (at, None if each.last_success_at is None else each.last_success_at.timestamp()),
                (seconds, each.last_duration),
                (size, each.last_size),
            ):
                if value is not None:
                    family.add_metric(key, value)
            for status in _STATUSES:
                runs.add_metric([*key, status], each.counts.get(status, 0))
        for kind in ("backup", "restore"):
            running.add_metric([kind], sum(job.kind == kind for job in self._running))
        yield from (at, seconds, size, runs, running)
        if self._next_due is not None:
            due = _gauge("next_due_timestamp_seconds", "When the next scheduled backup is due.", [])
            due.add_metric([], self._next_due.timestamp())
            yield due


def _gauge(name: str, text: str, labels: list[str]) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"kleidia_backup_{name}", text, labels=labels)

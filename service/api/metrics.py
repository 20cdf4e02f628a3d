"""Metrics for Prometheus, read from the database at every scrape, so that all replicas report the same."""

import hmac
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, get_args

from fastapi import APIRouter, Request, Response, Security
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from ...config.service import SHORTEST_TOKEN
from ..control.jobs import Kind
from ..control.targets.figures import figures
from .identity import auth
from .routes.shared import problems, targets_of

if TYPE_CHECKING:
    from ..control.targets.figures import Figures
    from ..targets.held import Held

router = APIRouter(tags=["operation"])

_STATUSES = ("completed", "failed")
_LAST = "by the last successful run"
#: Server and figure of a report's load, its factor, and the metric's name and text.
_LOAD = (
    ("vault", "requests", 1, "last_vault_requests", f"Requests to the vault {_LAST}."),
    ("vault", "p50_ms", 0.001, "last_vault_request_p50_seconds", f"Median time of a request to the vault {_LAST}."),
    ("vault", "p99_ms", 0.001, "last_vault_request_p99_seconds", f"In which 99 of 100 requests {_LAST} were answered."),
    (
        "database",
        "longest_transaction",
        1,
        "last_longest_transaction_seconds",
        f"Longest transaction {_LAST}.",
    ),
    (
        "database",
        "exclusive_locks_held",
        1,
        "last_exclusive_locks_seconds",
        f"For how long tables were locked against everybody {_LAST}.",
    ),
)


@dataclass(frozen=True, slots=True)
class MetricsAccess:
    """Who may read ``/metrics``: ``public`` anybody; else who has ``token`` (if one is set), or a role."""

    public: bool = False
    token: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        if self.token and len(self.token) < SHORTEST_TOKEN:
            raise ValueError(f"a metrics token has at least {SHORTEST_TOKEN} characters")


@router.get("/metrics", responses={200: {"content": {"text/plain": {}}}, **problems()}, response_class=Response)
async def metrics(request: Request, _: Annotated[object, Security(auth.bearer)] = None) -> Response:
    """Of each target: last success, duration, size, runs, what is next and what runs, in Prometheus' text format."""
    await _admit(request)
    targets = targets_of(request)
    held = targets.held()
    registry = CollectorRegistry()
    registry.register(_Snapshot(await figures(targets.control, [*held]), held))
    encode, content_type = choose_encoder(request.headers.get("accept", ""))
    return Response(encode(registry), headers={"Content-Type": content_type})


async def _admit(request: Request) -> None:
    access: MetricsAccess = request.app.state.metrics
    if access.public:
        return
    given = request.headers.get("authorization", "").encode(errors="replace")
    if access.token and hmac.compare_digest(given, f"Bearer {access.token}".encode()):
        return
    auth.check(request, await auth.authenticated(request, None), "read")


class _Snapshot(Collector):
    """The metrics of one scrape."""

    def __init__(self, found: "Figures", held: "Mapping[str, Held]") -> None:
        self._found, self._held = found, held

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        labels = ["target", "kind", "type"]
        at = _gauge("last_success_timestamp_seconds", "When the last successful run ended.", labels)
        seconds = _gauge("last_duration_seconds", "How long the last successful run took.", labels)
        size = _gauge("last_size_bytes", "Size of the archive of the last successful run.", labels)
        runs = CounterMetricFamily("kleidia_backup_runs", "Runs that ended.", labels=[*labels, "status"])
        for each in self._found.summaries:
            key = [each.target, each.kind, each.backup_type]
            for family, value in (
                (at, None if each.last_success_at is None else each.last_success_at.timestamp()),
                (seconds, each.last_duration),
                (size, each.last_size),
            ):
                if value is not None:
                    family.add_metric(key, value)
            for status in _STATUSES:
                runs.add_metric([*key, status], each.counts.get(status, 0))
        yield from (at, seconds, size, runs, *self._load(labels), *self._now(), *self._proofs())

    def _load(self, labels: list[str]) -> Iterator[Metric]:
        """What the reports of the last successful runs say of their load."""
        for server, figure, factor, name, text in _LOAD:
            family = _gauge(name, text, labels)
            for each in self._found.summaries:
                value = ((each.last_load or {}).get(server) or {}).get(figure)
                if value is not None:
                    family.add_metric([each.target, each.kind, each.backup_type], value * factor)
            yield family

    def _now(self) -> Iterator[Metric]:
        running = _gauge("running", "Jobs that wait or run.", ["target", "kind"])
        broken = _gauge("target_broken", "Whether the target's configuration cannot be used.", ["target"])
        jobs = Counter(self._found.running)
        for target, held in self._held.items():
            for kind in get_args(Kind):
                running.add_metric([target, kind], jobs[target, kind])
            broken.add_metric([target], float(held.error is not None))
        due = _gauge("next_due_timestamp_seconds", "When the next scheduled backup is due.", ["target"])
        for target, moment in self._found.due:
            due.add_metric([target], moment.timestamp())
        lag = _gauge("copies_lag_seconds", "For how long an archive has lacked its second copy.", ["target", "copy"])
        for target, copy, seconds in self._found.lags:
            lag.add_metric([target, copy], seconds)
        yield from (running, broken, due, lag)

    def _proofs(self) -> Iterator[Metric]:
        labels = ["target", "type"]
        verified = _gauge("last_verified_timestamp_seconds", "When an archive was last found whole.", labels)
        proven = _gauge("last_proven_timestamp_seconds", "When a drill last brought an archive back.", labels)
        for each in self._found.proofs:
            for family, moment in ((verified, each.verified_at), (proven, each.proven_at)):
                if moment is not None:
                    family.add_metric([each.target, each.backup_type], moment.timestamp())
        yield from (verified, proven)


def _gauge(name: str, text: str, labels: list[str]) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"kleidia_backup_{name}", text, labels=labels)

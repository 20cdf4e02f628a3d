"""The OpenAPI document: it is in the repository, it is complete, and the API keeps to it."""

from __future__ import annotations

import json
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
import uvicorn
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import SearchStrategy
from schemathesis import Case, CheckFunction, GenerationMode
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import positive_data_acceptance

from kleidia_backup.config.service import ServiceSettings
from kleidia_backup.service.api.app import create_app
from kleidia_backup.service.api.openapi import FILE, render
from kleidia_backup.service.service import Service

from .asking import bearer

DOCUMENT: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
OPERATIONS = [
    (method, path, operation) for path, methods in DOCUMENT["paths"].items() for method, operation in methods.items()
]
#: The same examples every time, and few: each is a request to real servers.
EXAMPLES = settings(
    max_examples=5,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def test_the_document_is_what_the_routes_say() -> None:
    """service/api/openapi.json is what the code makes: the web page and other clients are built from it."""
    assert FILE.read_text(encoding="utf-8") == render(), (
        "The API has changed. If that is meant: python -m kleidia_backup.service.api.openapi, "
        "commit service/api/openapi.json, and say it in CHANGELOG.md."
    )


def test_every_error_is_documented_as_a_problem() -> None:
    """Each status from 400 on is application/problem+json with the one schema; so is everything that auth answers."""
    for method, path, operation in OPERATIONS:
        for status, response in operation["responses"].items():
            if int(status) >= 400:
                assert response["content"] == {
                    "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
                }, (method, path, status)
        if path.startswith("/api/"):
            assert {"401", "403", "422", "500", "503"} <= operation["responses"].keys()
            assert operation["security"] == [{"HTTPBearer": []}]
        assert operation["description"]


def test_no_example_is_a_secret() -> None:
    """Fields for secrets are marked as passwords, are only ever taken, and have no example, default or pattern."""
    found = []

    def look(name: str, node: Any, schema: str) -> None:
        if isinstance(node, dict):
            if name in {"password", "encryption_password", "secret_access_key"}:
                found.append((schema, name))
                assert '"format": "password"' in json.dumps(node), (schema, name)
                assert node.get("examples", [None]) == [None]
            for key, value in node.get("properties", {}).items():
                look(key, value, schema)

    for name, schema in DOCUMENT["components"]["schemas"].items():
        look("", schema, name)
    assert sorted(found) == [
        ("Candidate", "password"),
        ("Comparison", "password"),
        ("Contents", "password"),
        ("Reading", "password"),
        ("Restore", "password"),
        ("S3Candidate", "secret_access_key"),
        ("SettingsChange", "encryption_password"),
        ("SettingsChange", "secret_access_key"),
    ]


@pytest.fixture
def address(service_settings: ServiceSettings) -> Iterator[str]:
    """The API of a real service, served by uvicorn in a thread of its own."""
    app = create_app(Service(service_settings))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        config = uvicorn.Config(app, log_config=None, proxy_headers=False, server_header=False)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        started = threading.Event()
        startup = server.startup

        async def tell(sockets: list[socket.socket] | None = None) -> None:
            await startup(sockets)
            started.set()

        server.startup = tell  # type: ignore[method-assign]  # to know the moment without polling
        thread.start()
        try:
            assert started.wait(30)
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(30)


# The service draws random numbers of its own, in another thread, while a strategy is at work.
@pytest.mark.filterwarnings("ignore:Do not use the `random` module:hypothesis.errors.HypothesisDeprecationWarning")
@pytest.mark.parametrize("role", ["admin", "viewer", None])
def test_the_api_keeps_to_its_document(address: str, role: str | None) -> None:
    """Whatever is sent: no server error, no undocumented status, content type, header or body."""
    document = schemathesis.openapi.from_dict(DOCUMENT)
    document.config.generation.update(allow_extra_parameters=False)
    headers = bearer(role) if role else {}
    sent: Counter[str] = Counter()
    for result in document.get_all_operations():
        assert isinstance(result, Ok), result
        operation = result.ok()
        given_in = DOCUMENT["paths"][operation.path][operation.method]
        modes = [GenerationMode.POSITIVE]
        if "requestBody" in given_in or "parameters" in given_in:  # else nothing can be wrong
            modes.append(GenerationMode.NEGATIVE)
        for mode in modes:
            _try(operation.as_strategy(generation_mode=mode), address, headers, sent)
    assert len(sent) == len(OPERATIONS)
    assert sum(sent.values()) > 100


def _try(cases: SearchStrategy[Case[Any]], address: str, headers: dict[str, str], sent: Counter[str]) -> None:
    @settings(EXAMPLES)
    @given(case=cases)
    def holds(case: Case[Any]) -> None:
        sent[f"{case.method} {case.path}"] += 1
        assert case.meta is not None
        excluded: list[CheckFunction] = []
        if (
            case.path in {"/api/backup/settings", "/api/backup/test-connection"}
            and case.meta.generation.mode.is_positive
        ):
            # That a text is a cron or a URL is more than a schema says; and no bucket of anybody's is asked.
            excluded.append(positive_data_acceptance)
            if isinstance(case.body, dict):
                case.body["bucket"] = ""
        restores = {"/api/backup/restore", "/api/backup/restore/dry-run"}
        if case.path in restores:
            excluded.append(positive_data_acceptance)  # nor what goes together
        if case.path == "/api/backup/retention/preview":  # nor which time zones there are
            excluded.append(positive_data_acceptance)
        case.call_and_validate(base_url=address, headers=headers, excluded_checks=excluded)

    holds()

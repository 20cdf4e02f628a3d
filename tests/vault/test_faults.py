"""A vault that misbehaves: what passes is waited for together, what does not ends in the right error."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable
from pathlib import Path
from time import monotonic

import pytest
from aiohttp import web

from kleidia_backup.formats.secret import Secret
from kleidia_backup.pipeline.engine.testing import collect, run_sink
from kleidia_backup.stages.errors import (
    ConfigurationError,
    VaultError,
    VaultForbidden,
    VaultSealed,
    VaultUnreachable,
    VaultUnreadable,
)
from kleidia_backup.stages.vault.kv.answers import Conflict, Found, Refused, Written
from kleidia_backup.stages.vault.kv.client import VaultClient
from kleidia_backup.stages.vault.kv.settings import Root, TokenAuth, VaultSettings
from kleidia_backup.stages.vault.sink import VaultSink
from kleidia_backup.stages.vault.source import VaultSource

from .stub import Fault, StubVault, counters, settings

pytestmark = pytest.mark.anyio

ROOTS = (Root("", "secret"),)


@pytest.fixture(autouse=True)
def full_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    """The longest pause that chance could choose, always."""
    monkeypatch.setattr(random, "uniform", lambda _low, high: high)


def about_secrets(request: web.Request) -> bool:
    """Whether a request is about secrets, not about the session."""
    return request.match_info["path"].startswith("secret/")


def failing(times: int, answer: Callable[[web.Request], web.StreamResponse], after: int = 0) -> Fault:
    """After some requests about secrets, so many of them fail."""
    seen = 0

    async def fault(request: web.Request) -> web.StreamResponse | None:
        nonlocal seen
        seen += about_secrets(request)
        return answer(request) if about_secrets(request) and after < seen <= after + times else None

    return fault


def reset(request: web.Request) -> web.StreamResponse:
    """Close the connection instead of answering."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


def cut(request: web.Request) -> web.StreamResponse:
    """Close the connection in the middle of the body."""
    assert request.transport is not None
    request.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{")
    request.transport.close()
    return web.Response()


def status(number: int, text: str = "", **headers: str) -> Callable[[web.Request], web.StreamResponse]:
    """Answer with a status, and with errors as a vault words them."""

    def answer(_request: web.Request) -> web.StreamResponse:
        return web.json_response(
            {"errors": [text]}, status=number, headers={key.replace("_", "-"): value for key, value in headers.items()}
        )

    return answer


def html(number: int) -> Callable[[web.Request], web.StreamResponse]:
    """Answer as a proxy does."""
    return lambda _request: web.Response(status=number, text="<html>", content_type="text/html")


PASSING = {
    "429": status(429, "rate limit quota exceeded"),
    "500": status(500, "transaction commit failed"),
    "502": html(502),
    "503": status(503, "node is not active"),
    "412": status(412, "required index state not present"),
    "307": status(307, Location="http://10.0.0.1:8200/v1/secret"),
    "sealed": status(503, "Vault is sealed"),
    "473": status(473),
    "upgrading": status(400, "Upgrading from non-versioned to versioned data."),
    "upgrading, at a standby": status(400, "Waiting for the primary to upgrade from non-versioned to versioned data."),
    "html with 200": html(200),
    "html with 404": html(404),
    "html with 403": html(403),
    "empty body": lambda _request: web.Response(),
    "reset": reset,
    "cut": cut,
}


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
async def test_trouble_that_passes_is_not_seen(stub: StubVault, fault: Callable[[web.Request], web.Response]) -> None:
    """A backup and a restore get through every kind of trouble that 30 requests in the middle meet."""
    stub.fill(40)
    stub.fault = failing(30, fault, after=10)
    async with VaultClient(settings(stub, retry_base=0.002, retry_cap=0.004)) as client:
        source = VaultSource(client, ROOTS)
        secrets = await collect(source)
        assert sorted(secret.path for secret in secrets) == sorted(stub.values)
        assert counters(client).retries > 0

        stub.values = {}
        stub.fault = failing(30, fault, after=10)
        await run_sink(VaultSink(client, ROOTS), secrets)
    assert {path: json.loads(value) for path, (_, value) in stub.values.items()} == {
        f"s/{n}": {"n": n} for n in range(40)
    }


LASTING = {
    "429": (status(429), VaultUnreachable, "answers 429"),
    "500": (status(500, "disk on fire"), VaultError, "disk on fire"),
    "503": (status(503, "node is not active"), VaultUnreachable, "node is not active"),
    "sealed": (status(503, "Vault is sealed"), VaultSealed, "is sealed"),
    "html": (html(200), VaultError, "not JSON"),
    "html with 404": (html(404), VaultError, "not JSON"),
    "empty body": (lambda _request: web.Response(), VaultError, "an empty body"),
    "reset": (reset, VaultUnreachable, "connection was closed"),
    "cut": (cut, VaultUnreachable, "connection was closed"),
    "307": (status(307, Location="http://u:canary@active:8200/x"), VaultError, "redirects to http://active:8200"),
}


@pytest.mark.parametrize(("fault", "error", "text"), LASTING.values(), ids=LASTING)
async def test_trouble_that_stays_ends_the_job_within_its_budget(
    stub: StubVault, fault: Callable[[web.Request], web.Response], error: type[VaultError], text: str
) -> None:
    """When nothing succeeds for the budget, the error says what the vault does and where."""
    stub.fill(5)
    started = monotonic()
    async with VaultClient(settings(stub, retry_budget=0.3)) as client:
        stub.fault = failing(10**9, fault)
        with pytest.raises(error) as caught:
            await collect(VaultSource(client, ROOTS))
    assert type(caught.value) is error
    assert text in str(caught.value)
    assert stub.address in str(caught.value)
    assert caught.value.hint
    assert "canary" not in str(caught.value)
    assert monotonic() - started < 15


AT_ONCE = {
    "301": (status(301, Location="https://vault.example.com/v1/x"), ConfigurationError, "https://vault.example.com"),
    "302 elsewhere on it": (status(302, Location="/login"), ConfigurationError, "another path"),
    "HTTPS wanted": (
        lambda _request: web.Response(status=400, text="Client sent an HTTP request to an HTTPS server.\n"),
        ConfigurationError,
        "speaks HTTPS",
    ),
    "namespace": (status(404, "namespace not found"), ConfigurationError, "no such namespace"),
    "locked": (
        status(503, "API access to this namespace has been locked by an administrator"),
        VaultForbidden,
        "locked",
    ),
    "not initialised": (status(501), VaultSealed, "not initialised"),
}


@pytest.mark.parametrize(("fault", "error", "text"), AT_ONCE.values(), ids=AT_ONCE)
async def test_what_no_waiting_cures_ends_the_job_at_once(
    stub: StubVault, fault: Callable[[web.Request], web.Response], error: type[Exception], text: str
) -> None:
    """One request is enough to know, and the error names the cause."""

    async def everything(request: web.Request) -> web.StreamResponse:
        return fault(request)

    stub.fault = everything
    with pytest.raises(error, match=text):
        async with VaultClient(settings(stub)):
            pass
    assert len(stub.seen) == 1


# The shared back-off --------------------------------------------------------------------------------------------


async def test_everybody_waits_as_long_as_the_server_asks(stub: StubVault) -> None:
    """After one 429 with Retry-After nobody sends anything for that time; then half as many at once."""
    stub.fill(200)
    refused: list[float] = []

    async def fault(request: web.Request) -> web.StreamResponse | None:
        if len(stub.reads()) < 60 or not about_secrets(request):
            await asyncio.sleep(0.005)
            return None
        if refused:
            await asyncio.sleep(0.005)
            return None
        refused.append(monotonic())
        stub.most_running = 0
        return status(429, Retry_After="1")(request)

    stub.fault = fault
    async with VaultClient(settings(stub, retry_budget=5)) as client:
        assert len(await collect(VaultSource(client, ROOTS))) == 200
        assert counters(client).paused >= 1
    after = [when - refused[0] for when in stub.reads() if when > refused[0]]
    # Those that were on their way may still arrive.
    assert [when for when in after if 0.5 < when < 1.0] == [], "somebody did not wait"
    resumed = [when for when in after if when >= 1.0]
    assert len(resumed) > 100
    assert len([when for when in resumed if when < min(resumed) + 0.004]) <= 11, "all twenty came back at once"


async def test_without_a_time_the_pause_doubles_for_everybody(stub: StubVault) -> None:
    """Twenty workers that meet five rounds of 429 send little more than one request for each round after the first."""
    stub.fill(40)
    rounds = [0.0]
    busy_until = monotonic()

    async def fault(request: web.Request) -> web.StreamResponse | None:
        nonlocal busy_until
        if not request.match_info["path"].startswith("secret/data/"):
            return None
        if not rounds[0]:
            rounds[0] = monotonic()
            busy_until = rounds[0] + 0.9
        return status(429)(request) if monotonic() < busy_until else None

    stub.fault = fault
    async with VaultClient(settings(stub, retry_base=0.05, retry_cap=10, retry_budget=10)) as client:
        assert len(await collect(VaultSource(client, ROOTS))) == 40
        # Pauses of 0.1, 0.2, 0.4 and 0.8 s; windows of 10, 5, 2 and 1.
        refused = counters(client).retries
    assert 0 < refused <= 20 + 10 + 5 + 2
    assert stub.most_running <= 20


async def test_a_time_beyond_the_budget_is_not_waited_for(stub: StubVault) -> None:
    """A server that asks for an hour gets an error now."""
    stub.fill(1)
    async with VaultClient(settings(stub)) as client:
        stub.fault = failing(1, status(429, Retry_After="3600"))
        with pytest.raises(VaultUnreachable, match="429"):
            await client.read("secret", "s/0")


async def test_retry_after_may_be_a_date(stub: StubVault) -> None:
    """The other form of the header; a date in the past asks for no wait."""
    stub.fill(1)
    async with VaultClient(settings(stub)) as client:
        stub.fault = failing(1, status(429, Retry_After="Fri, 31 Dec 2100 23:59:59 GMT"))
        with pytest.raises(VaultUnreachable):
            await client.read("secret", "s/0")
        stub.fault = failing(1, status(429, Retry_After="Fri, 31 Dec 1999 23:59:59 GMT"))
        assert isinstance(await client.read("secret", "s/0"), Found)


async def test_slow_answers_are_given_up_and_asked_again(stub: StubVault) -> None:
    """A request that takes longer than its timeout is repeated."""
    stub.fill(1)
    slow = [True]

    async def fault(request: web.Request) -> None:
        if about_secrets(request) and slow[0]:
            slow[0] = False
            await asyncio.sleep(30)

    stub.fault = fault
    async with VaultClient(settings(stub, request_timeout=1.0)) as client:
        assert isinstance(await client.read("secret", "s/0"), Found)
        assert counters(client).retries == 1


async def test_a_vault_that_never_answers_is_unreachable(stub: StubVault) -> None:
    """Connections that are taken and never answered end in time."""

    async def stall(_request: web.Request) -> None:
        await asyncio.sleep(30)

    stub.fault = stall
    with pytest.raises(VaultUnreachable, match="no answer in time"):
        async with VaultClient(settings(stub, request_timeout=0.1)):
            pass


async def test_one_bad_secret_does_not_stop_the_others(stub: StubVault) -> None:
    """A path that fails for ever while others succeed is named, not waited for."""
    stub.fill(300)

    async def fault(request: web.Request) -> web.StreamResponse | None:
        await asyncio.sleep(0.005)
        return status(500, "bad block")(request) if request.path.endswith("/s/7") else None

    stub.fault = fault
    async with VaultClient(settings(stub)) as client:
        source = VaultSource(client, ROOTS)
        with pytest.raises(VaultUnreadable) as caught:
            await collect(source)
    assert caught.value.paths == ("s/7",)
    assert source.report.read == 299


async def test_an_error_that_never_passes_is_not_repeated(stub: StubVault) -> None:
    """A server error that is about this one secret costs one request."""
    stub.fill(1)
    async with VaultClient(settings(stub)) as client:
        stub.fault = failing(10, status(500, "put failed due to value being too large; got 99 bytes"))
        result = await client.write("secret", "s/0", b"{}", cas=1)
        assert result == Refused(500, "put failed due to value being too large; got 99 bytes")
        assert counters(client).retries == 0


# Writes whose answer is lost -------------------------------------------------------------------------------------


def losing(vault: StubVault, meanwhile: Callable[[], None] = lambda: None) -> Fault:
    """The first write is done, and its answer lost."""
    lost: list[bool] = []

    async def fault(request: web.Request) -> web.StreamResponse | None:
        if request.method == "POST" and not lost:
            lost.append(True)
            vault._write(request.match_info["path"].removeprefix("secret/data/"), await request.text())
            meanwhile()
            return reset(request)
        return None

    return fault


async def test_a_write_whose_answer_was_lost_happens_once(stub: StubVault) -> None:
    """The second attempt meets its own version, and finds that it holds what it wanted."""
    async with VaultClient(settings(stub)) as client:
        stub.fault = losing(stub)
        assert await client.write("secret", "x", b'{"long":12345678901234567890}', cas=0) == Written(1)
    assert stub.values["x"][0] == 1


async def test_a_lost_answer_and_somebody_else_is_a_conflict(stub: StubVault) -> None:
    """When another value stands there instead, nothing is overwritten unseen."""

    def other() -> None:
        stub.values["x"] = (1, '{"theirs":1}')

    async with VaultClient(settings(stub)) as client:
        stub.fault = losing(stub, other)
        assert await client.write("secret", "x", b'{"ours":1}', cas=0) == Conflict()
    assert stub.values["x"] == (1, '{"theirs":1}')


async def test_the_sink_wins_against_a_writer_in_between(stub: StubVault) -> None:
    """A conflict is read again and written over the newer version."""
    stub.values = {"x": (3, '{"old":1}')}
    tries: list[str] = []

    async def fault(request: web.Request) -> None:
        if request.method == "POST" and not tries:
            tries.append("conflict")
            stub.values["x"] = (4, '{"theirs":1}')

    stub.fault = fault
    async with VaultClient(settings(stub)) as client:
        sink = VaultSink(client, ROOTS)
        await run_sink(sink, [Secret("x", b'{"ours":1}')])
    assert stub.values["x"] == (5, '{"ours": 1}')
    assert (sink.report.written, sink.report.failed.count) == (1, 0)


# Connections -----------------------------------------------------------------------------------------------------


async def test_a_refused_connection(closed_port: int) -> None:
    """Nobody listens: the address is named, and it does not take long."""
    started = monotonic()
    with pytest.raises(VaultUnreachable, match=rf"127\.0\.0\.1:{closed_port}: connect.* failed|refused"):
        async with VaultClient(
            VaultSettings(f"http://127.0.0.1:{closed_port}", TokenAuth("t"), ROOTS, start_budget=0.2, retry_base=0.01)
        ):
            pass
    assert monotonic() - started < 15


async def test_an_unknown_host() -> None:
    """A name that no resolver knows."""
    with pytest.raises(VaultUnreachable, match="host name is not known"):
        async with VaultClient(
            VaultSettings("http://vault.invalid:8200", TokenAuth("t"), ROOTS, start_budget=0.1, retry_base=0.01)
        ):
            pass


async def test_a_certificate_that_nobody_trusts(tls_stub: StubVault) -> None:
    """It is said at once what is wrong with it, and which setting mends it."""
    with pytest.raises(VaultUnreachable, match=r"certificate .* is not trusted") as caught:
        async with VaultClient(settings(tls_stub)):
            pass
    assert "ca_file" in caught.value.hint


async def test_a_certificate_of_our_own_ca(tls_stub: StubVault, certificate: tuple[Path, Path]) -> None:
    """With its CA file the connection is checked and works, for hvac's requests too."""
    async with VaultClient(settings(tls_stub, ca_file=certificate[0])) as client:
        assert await client.kv_version("secret") == 2


async def test_a_certificate_for_another_host(tls_stub: StubVault, certificate: tuple[Path, Path]) -> None:
    """The host name is checked too."""
    tls_stub.address = tls_stub.address.replace("127.0.0.1", "localhost")
    with pytest.raises(VaultUnreachable, match="not trusted"):
        async with VaultClient(settings(tls_stub, ca_file=certificate[0])):
            pass


async def test_a_certificate_that_is_not_checked(tls_stub: StubVault) -> None:
    """With ``insecure_tls`` any certificate will do, and nothing is warned about at every login."""
    async with VaultClient(settings(tls_stub, insecure_tls=True)) as client:
        assert await client.kv_version("secret") == 2


async def test_https_to_a_server_without_tls(stub: StubVault) -> None:
    """The scheme in the address is named as what is wrong."""
    stub.address = stub.address.replace("http:", "https:")
    with pytest.raises(VaultUnreachable, match="does not speak TLS"):
        async with VaultClient(settings(stub)):
            pass


@pytest.mark.parametrize("content", [None, "no certificate"])
async def test_a_ca_file_that_cannot_be_read(stub: StubVault, tmp_path: Path, content: str | None) -> None:
    """A missing file and one without certificates are the operator's mistake."""
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ConfigurationError, match=r"ca\.pem"):
        async with VaultClient(settings(stub, ca_file=file)):
            pass

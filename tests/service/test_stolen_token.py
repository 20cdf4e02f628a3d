"""What somebody cannot do who has an administrator's token, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest

from kleidia_backup import S3Settings
from kleidia_backup.config.service import ServiceSettings
from kleidia_backup.demo.servers.together import Bucket
from kleidia_backup.service.service import Service

from .asking import admin_of, backed_up, ended
from .conftest import PASSWORD, new_backup

pytestmark = pytest.mark.anyio

OWN = "canary-password-of-eve"


def s3_of(bucket: Bucket) -> dict[str, Any]:
    """Settings for a bucket."""
    server = bucket.server
    return {
        "endpoint": server.endpoint,
        "region": server.region,
        "bucket": bucket.name,
        "access_key_id": server.access_key,
        "secret_access_key": server.secret_key,
        "path_style": True,
    }


async def restored(api: httpx.AsyncClient, archive: str, **more: Any) -> httpx.Response:
    """The answer to a restore, which has ended if it began."""
    answer = await api.post("/api/backup/restore", json={"key": archive, "backup_first": False, **more})
    if answer.status_code == 202:
        assert (await ended(api, answer.json()["id"]))["status"] == "completed"
    return answer


async def test_nothing_is_restored_from_a_store_of_ones_own(
    service_settings: ServiceSettings, rclone_bucket: Bucket
) -> None:
    """Moved by the API, it needs the password that the configuration set; or a word in the configuration."""
    async with Service(service_settings) as service, admin_of(service) as api:
        before = (await backed_up(api, "vault"))["archive"]
        assert (await restored(api, before, password=PASSWORD)).status_code == 202  # nothing was moved yet
        assert (await api.put("/api/backup/settings", json=s3_of(rclone_bucket))).status_code == 200
        archive = (await backed_up(api, "vault"))["archive"]
        refused = await restored(api, archive, password=PASSWORD)
        assert (refused.status_code, "allowed_endpoints" in refused.json()["next_step"]) == (409, True)
        drill = {"key": archive, "password": PASSWORD}
        assert (await api.post("/api/backup/drill", json=drill)).status_code == 409
        refused = await api.post("/api/backup/diff", json=drill)  # whose secrets may be guesses
        assert (refused.status_code, "allowed_endpoints" in refused.json()["next_step"]) == (409, True)
        assert (await api.post("/api/backup/diff", json=drill | {"other": archive})).status_code == 202
        assert (await restored(api, archive)).status_code == 202
        assert (await api.put("/api/backup/settings", json={"encryption_password": OWN})).status_code == 200
        own = (await backed_up(api, "vault"))["archive"]
        refused = await restored(api, own)
        assert (refused.status_code, "canary" in refused.text) == (409, False)
        refused = await api.post("/api/backup/drill", json={"key": own})  # which runs its SQL too
        assert (refused.status_code, "allowed_endpoints" in refused.json()["next_step"]) == (409, True)
        scheduled = await service.jobs.create(new_backup(kind="drill", requested_by=None))
        await service.queue.defer(scheduled.id)
        assert "nothing is restored from it" in (await ended(api, scheduled.id))["error"]
        assert (await api.put("/api/backup/settings", json={"bucket": ""})).status_code == 200  # the configuration's
        assert (await restored(api, before, password=PASSWORD)).status_code == 202
        assert (await api.put("/api/backup/settings", json=s3_of(rclone_bucket))).status_code == 200
    allowed = f"{rclone_bucket.server.endpoint}/{rclone_bucket.name}"
    async with Service(replace(service_settings, allowed_endpoints=(allowed,))) as service, admin_of(service) as api:
        assert (await restored(api, own)).status_code == 202
        assert (await restored(api, archive, password=PASSWORD)).status_code == 202


async def test_settings_name_no_server_that_is_not_allowed(
    service_settings: ServiceSettings, rclone_bucket: Bucket
) -> None:
    """Nor is one tried; nor does one count that was set before there was a list."""
    async with Service(service_settings) as service, admin_of(service) as api:
        assert (await api.put("/api/backup/settings", json=s3_of(rclone_bucket))).status_code == 200
    settings = replace(service_settings, allowed_endpoints=("https://s3.example.com/ours", "https://minio.example.com"))
    async with Service(settings) as service, admin_of(service) as api:
        for answer in (await api.get("/api/backup/list"), await api.post("/api/backup/trigger")):
            assert (answer.status_code, "not one that the configuration allows" in answer.text) == (409, True)
        for change in (
            {"endpoint": "https://s3.example.com:8443", "bucket": "ours"},
            {"endpoint": "http://s3.example.com", "bucket": "ours"},
            {"endpoint": "https://s3.example.com", "bucket": "theirs"},
            {"endpoint": "https://s3.example.com.evil.example", "bucket": "ours"},
            {"endpoint": "https://s3.example.com/ours", "bucket": "theirs"},
            {"endpoint": "", "bucket": "ours"},
        ):
            body = s3_of(rclone_bucket) | change
            for answer in (
                await api.put("/api/backup/settings", json=body),
                await api.post("/api/backup/test-connection", json=body),
            ):
                assert answer.status_code in {422, 429}, (change, answer.text)  # there are ten trials a minute
        for change in (
            {"endpoint": "https://S3.example.com:443/", "bucket": "ours"},
            {"endpoint": "https://minio.example.com", "bucket": "anything"},
        ):
            answer = await api.put("/api/backup/settings", json=s3_of(rclone_bucket) | change)
            assert answer.status_code == 200, answer.text
        assert (await api.put("/api/backup/settings", json={"retention_days": 9})).status_code == 200
    nowhere = replace(service_settings, allowed_endpoints=())  # a list that names nobody allows nobody
    async with Service(nowhere) as service, admin_of(service) as api:
        answer = await api.put("/api/backup/settings", json=s3_of(rclone_bucket))
        assert (answer.status_code, "not one that the configuration allows" in answer.text) == (422, True)
        assert (await api.put("/api/backup/settings", json={"bucket": ""})).status_code == 200  # the configuration's


async def test_requests_hold_no_passwords_where_that_is_said(service_settings: ServiceSettings) -> None:
    """Neither a restore's, nor a new one, nor one to be tried; what was configured works."""
    settings = replace(service_settings, passwords_in_requests=False)
    async with Service(settings) as service, admin_of(service) as api:
        archive = (await backed_up(api, "vault"))["archive"]
        for answer in (
            await api.post("/api/backup/restore", json={"key": archive, "password": PASSWORD}),
            await api.post("/api/backup/restore/validate-password", json={"key": archive, "password": PASSWORD}),
            await api.put("/api/backup/settings", json={"encryption_password": OWN}),
        ):
            assert answer.status_code in {409, 422}
            assert "may not hold encryption passwords" in answer.json()["detail"]
            assert "canary" not in answer.text
        assert (await restored(api, archive)).status_code == 202


# What answers from inside of the network ---------------------------------------------------------------------------

_PAGE = b"HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s"
_ERROR = b"<?xml version='1.0'?><Error><Code>%s</Code><Message>canary: root:x:0:0</Message></Error>"


def _http(status: bytes, kind: bytes, body: bytes) -> bytes:
    return _PAGE % (status, kind, len(body), body)


#: Servers that are no S3: by what each says to whoever connects, empty for nobody who listens.
OTHERS = {
    "closed": b"",
    "ssh": b"SSH-2.0-canary\r\n",
    "page": _http(b"404 Not Found", b"text/html", b"<h1>canary</h1>"),
    "login": _http(b"401 Unauthorized", b"application/json", b'{"canary": 1}'),
    "fine": _http(b"200 OK", b"text/plain", b"canary"),
    "unknown": _http(b"400 Bad Request", b"application/xml", _ERROR % b"canary: a code of its own"),
}


@asynccontextmanager
async def listening(said: bytes) -> AsyncIterator[str]:
    """The address of a server that says this."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65536)
        writer.write(said)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    if not said:
        server.close()
    async with server if said else AsyncExitStack():
        yield f"http://127.0.0.1:{port}"


async def test_a_trial_says_nothing_of_other_servers(service_settings: ServiceSettings) -> None:
    """Of any server that is no S3 the same, open or closed, and never its own text; of one that is listed, why."""
    known = S3Settings("b", endpoint="http://127.0.0.1:9", access_key_id="a", secret_access_key="s", backoff=0.01)
    told: dict[str, dict[str, Any]] = {}
    async with AsyncExitStack() as stack:
        places = {name: await stack.enter_async_context(listening(said)) for name, said in OTHERS.items()}
        denied = await stack.enter_async_context(
            listening(_http(b"403 Forbidden", b"application/xml", _ERROR % b"InvalidAccessKeyId"))
        )
        settings = replace(service_settings, store=known)
        async with Service(settings) as service, admin_of(service) as api:
            key = {"access_key_id": "a", "secret_access_key": "s"}
            for name, place in (*places.items(), ("denied", denied)):
                answer = await api.post("/api/backup/test-connection", json={"endpoint": place, **key})
                assert answer.status_code == 200, answer.text
                assert "canary" not in answer.text
                (told[name],) = answer.json()["checks"]
                told[name]["detail"] = told[name]["detail"].replace(place, "it")
        assert told.pop("denied")["code"] == "store-forbidden"
        assert all(each == told["closed"] for each in told.values()), told
        assert told["closed"]["code"] == "store-unreachable"
        settings = replace(settings, allowed_endpoints=(*places.values(),))
        async with Service(settings) as service, admin_of(service) as api:
            answer = await api.post("/api/backup/test-connection", json={"endpoint": places["closed"], **key})
            assert "Nobody listens" in answer.json()["checks"][0]["detail"]
            answer = await api.post("/api/backup/test-connection", json={"endpoint": places["unknown"], **key})
            assert "400" in answer.json()["checks"][0]["detail"]
            assert "canary" not in answer.text

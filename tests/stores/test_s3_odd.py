"""Stores that lack something, or lie: what a backup can do without it does without, and nothing is taken on trust."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from kleidia_backup.pipeline.archives.checks import check_connections
from kleidia_backup.pipeline.archives.listing import list_archives
from kleidia_backup.stages.errors import ConfigurationError, ObjectChanged, StoreError, StoreForbidden
from kleidia_backup.stages.stores.names import probe_name
from kleidia_backup.stages.stores.s3.store import S3Settings, S3Store

from .conftest import PREFIX, Broken
from .faults import Fault, Forward, answer
from .test_s3_faults import DATA, NAME, SLOW_DOWN, pauses, read, upload

__all__ = ["pauses"]

if TYPE_CHECKING:
    pass

pytestmark = pytest.mark.anyio

LACKS = [answer(501, "NotImplemented"), answer(405, "MethodNotAllowed"), answer(400, "InvalidRequest")]


# What is not there --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", LACKS, ids=["501", "405", "400"])
@pytest.mark.parametrize("operation", ["ListMultipartUploads", "AbortMultipartUpload"])
async def test_what_no_backup_needs(broken: Broken, operation: str, fault: Fault) -> None:
    """I1: without it the check is ok; the missing list of uploads is one warning there, and a backup goes on."""
    broken.proxy.fail(operation, fault, times=99)
    (checked,) = await check_connections(store=broken.settings())
    assert checked.ok, checked
    assert any("killed" in warning for warning in checked.warnings) is (operation == "ListMultipartUploads")
    assert "checksum" not in " ".join(checked.warnings)
    async with S3Store(broken.settings()) as store:
        assert await store.abort_stale(timedelta(days=1)) == 0
        await upload(store)
        assert await read(store) == DATA


@pytest.mark.parametrize("operation", ["ListMultipartUploads", "ListObjectsV2", "DeleteObject"])
async def test_hints_fit_their_cause(broken: Broken, operation: str) -> None:
    """What has no body has no checksum that could be refused."""
    broken.bucket.put(NAME, DATA)
    broken.proxy.fail(operation, answer(501, "NotImplemented"), times=99)
    async with S3Store(broken.settings()) as store:
        if operation == "ListMultipartUploads":
            assert await store.unfinished() == frozenset()
            return
        with pytest.raises(StoreError) as caught:
            await (anext(store.list(PREFIX)) if operation == "ListObjectsV2" else store.delete(NAME))
        assert "checksum" not in caught.value.hint


async def test_a_refusal_without_a_word(broken: Broken) -> None:
    """I15: nothing is quoted where nothing was said."""

    async def silent(request: web.BaseRequest, _: Forward) -> web.StreamResponse:
        await request.content.read()
        return web.Response(status=403, text="<Error><Code>AccessDenied</Code><Message/></Error>")

    broken.proxy.fail("PutObject", silent)
    async with S3Store(broken.settings()) as store:
        with pytest.raises(StoreForbidden) as caught:
            await store.put(NAME, bytearray(b"x"))
    assert "None" not in caught.value.advice
    assert "The server said" not in caught.value.advice


# What a policy demands ----------------------------------------------------------------------------------------


async def test_what_a_policy_demands(broken_moto: Broken) -> None:
    """I2: without it the store's own words are repeated and the settings named; with them it goes with every object."""
    words = "explicit deny: s3:x-amz-server-side-encryption is missing"
    broken_moto.proxy.fail("PutObject", answer(403, "AccessDenied", words))
    async with S3Store(broken_moto.settings()) as store:
        with pytest.raises(StoreForbidden) as caught:
            await store.put(NAME, bytearray(b"x"))
    assert words in caught.value.advice
    assert "server_side_encryption" in caught.value.advice
    asked = {
        "server_side_encryption": "aws:kms",
        "kms_key_id": "alias/backups",
        "storage_class": "STANDARD_IA",
        "tags": ("purpose=backup of all", "owner=ops"),
    }
    broken_moto.proxy.seen.clear()
    async with S3Store(broken_moto.settings(**asked)) as store:
        await (await store.create(NAME, part_size=5 << 20)).abort()
        await store.put(f"{NAME}.small", bytearray(b"x"))
    sent = [each.headers for each in broken_moto.proxy.seen if each.operation in {"PutObject", "CreateMultipartUpload"}]
    assert len(sent) == 2
    for headers in sent:
        assert headers["x-amz-server-side-encryption"] == "aws:kms"
        assert headers["x-amz-server-side-encryption-aws-kms-key-id"] == "alias/backups"
        assert headers["x-amz-storage-class"] == "STANDARD_IA"
        assert headers["x-amz-tagging"] == "purpose=backup+of+all&owner=ops"


@pytest.mark.parametrize(
    "fields",
    [
        {"server_side_encryption": "AES128"},
        {"kms_key_id": "k", "server_side_encryption": "AES256"},
        {"tags": ("a=1", "a=2")},
        {"tags": ("nothing",)},
    ],
)
def test_what_cannot_be_demanded(fields: dict[str, object]) -> None:
    """Refused when the settings are made."""
    with pytest.raises(ConfigurationError):
        S3Settings("b", **fields)  # type: ignore[arg-type]  # wrong on purpose


# Patience -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", ["HeadObject", "ListObjectsV2", "CreateMultipartUpload"])
async def test_reads_are_as_patient_as_writes(broken: Broken, operation: str, pauses: list[float]) -> None:
    """I4: a store that sheds load for as long as an upload would wait stops neither a listing nor a verification."""
    broken.proxy.fail(operation, SLOW_DOWN, times=7)
    async with S3Store(broken.settings(attempts=8)) as store:
        info = await upload(store)
        assert (await store.head(NAME)).is_same(info)
        assert [each.name async for each in store.list(PREFIX)] == [NAME]
    assert len(pauses) == 7


# What tries leave ---------------------------------------------------------------------------------------------


async def test_what_a_try_left_is_never_listed_and_goes(broken: Broken) -> None:
    """I5, I14: the object of a try that could not remove it is no archive, and the next run removes it."""
    broken.proxy.fail("DeleteObject", answer(403, "AccessDenied"), times=99)
    async with S3Store(broken.settings()) as store:
        assert await store.check() == ("s3:DeleteObject",)
    (left,) = broken.bucket.keys()
    assert await list_archives(broken.settings()) == []
    broken.proxy._plans.clear()
    broken.bucket.put(f"{PREFIX}backup-check-mine.enc", b"somebody's own name")
    async with S3Store(broken.settings()) as store:
        assert await store.abort_stale(timedelta(hours=1)) == 0
        assert left in set(broken.bucket.keys())
        assert await store.abort_stale(timedelta(seconds=-60)) == 0
    assert broken.bucket.keys() == [f"{PREFIX}backup-check-mine.enc"]


# Ranges -------------------------------------------------------------------------------------------------------


#: In the place of a status: the whole object.
WHOLE = 0


def whole_instead(status: int) -> Fault:
    """The whole object in answer to a range, or the right bytes without a word of which they are."""

    async def act(request: web.BaseRequest, forward: Forward) -> web.StreamResponse:
        if status != WHOLE:
            response = await forward()
            response.headers.pop("Content-Range", None)
            response.set_status(status)
            return response
        head = await forward()
        about = {key: value for key, value in head.headers.items() if key.lower() in {"etag", "last-modified"}}
        return web.Response(body=DATA, headers=about)

    return act


@pytest.mark.parametrize("status", [WHOLE, 200, 206])
async def test_a_store_that_ignores_ranges(broken: Broken, status: int) -> None:
    """I10: the reader skips to its place; another object is noticed all the same."""
    async with S3Store(broken.settings()) as store:
        pin = await store.put(NAME, bytearray(DATA))
        broken.proxy.fail("GetObject", whole_instead(status), times=99)
        for start, end in ((5, 10), (0, 10), (70_000, None), (70_000, 10**9), (len(DATA) - 1, None)):
            assert await read(store, start, end, pin) == DATA[start:end], (start, end)
        if status != 200:  # what has no pin and no word of its place is taken for the whole
            assert await read(store, 5, 10) == DATA[5:10]
        with pytest.raises(ObjectChanged):
            await read(store, 5, 10, replace(pin, etag="another"))


async def test_a_store_that_ignores_ranges_is_named(broken: Broken) -> None:
    """I10: ``test-connection`` tries what a restore needs, and warns of what it will cost."""

    async def act(request: web.BaseRequest, forward: Forward) -> web.StreamResponse:
        found = await forward()
        if "Content-Range" not in found.headers:
            return found
        key = request.path.split("/", 2)[2]
        about = {name: value for name, value in found.headers.items() if name.lower() in {"etag", "last-modified"}}
        return web.Response(body=broken.bucket.get(key), headers=about)

    broken.proxy.fail("GetObject", act, times=99)
    (checked,) = await check_connections(store=broken.settings())
    assert checked.ok
    assert any("whole object" in warning for warning in checked.warnings)


# Listings that lie --------------------------------------------------------------------------------------------


def page_of(
    keys: list[str], *, more: bool, token: str = "", size: str = "1", time: str = "2026-01-01T00:00:00Z"
) -> Fault:
    """A page of a listing."""

    async def act(request: web.BaseRequest, _: Forward) -> web.StreamResponse:
        entries = "".join(
            f"<Contents><Key>{key}</Key><Size>{size}</Size><LastModified>{time}</LastModified></Contents>"
            for key in keys
        )
        goes_on = f"<NextContinuationToken>{token}</NextContinuationToken>" if token else ""
        text = f"<ListBucketResult><IsTruncated>{str(more).lower()}</IsTruncated>{goes_on}{entries}</ListBucketResult>"
        return web.Response(text=text, content_type="application/xml")

    return act


@pytest.mark.parametrize("token", ["", "same"], ids=["nowhere to go on", "the same page again"])
async def test_a_listing_that_cannot_be_believed(broken: Broken, token: str) -> None:
    """Archives that are left out would be missed by nobody: an error, and never a listing without end."""
    broken.proxy.fail("ListObjectsV2", page_of([f"{PREFIX}a"], more=True, token=token), times=99)
    async with S3Store(broken.settings()) as store:
        with pytest.raises(StoreError, match="ListObjectsV2 wrongly"):
            [info async for info in store.list(PREFIX)]
    assert broken.proxy.count("ListObjectsV2") <= 2


@pytest.mark.parametrize(
    "odd", [{"size": "9" * 5000}, {"size": "many"}, {"time": "today"}, {"time": "9" * 400}], ids=",".join
)
async def test_numbers_and_times_that_are_none(broken: Broken, odd: dict[str, str]) -> None:
    """Python reads 4,300 digits at most: the store is at fault, and nobody else."""
    broken.proxy.fail("ListObjectsV2", page_of([f"{PREFIX}a"], more=False, **odd), times=99)
    async with S3Store(broken.settings()) as store:
        with pytest.raises(StoreError, match="does not speak S3"):
            [info async for info in store.list(PREFIX)]


async def test_a_range_of_many_digits(broken: Broken) -> None:
    """It says nothing, as any other text in its place does."""
    broken.bucket.put(NAME, DATA)

    async def odd(_: web.BaseRequest, forward: Forward) -> web.Response:
        given = await forward()
        given.headers["Content-Range"] = f"bytes 0-1/{'9' * 5000}"
        return given

    broken.proxy.fail("GetObject", odd, times=99)
    async with S3Store(broken.settings()) as store:
        assert await read(store) == DATA


async def test_a_page_again_under_new_markers(broken: Broken) -> None:
    """As well where the store thinks of a new marker each time."""
    for number in range(9):
        broken.proxy.fail("ListObjectsV2", page_of([f"{PREFIX}a"], more=True, token=f"t{number}"))
    async with S3Store(broken.settings()) as store:
        with pytest.raises(StoreError, match="gives one again"):
            [info async for info in store.list(PREFIX)]
    assert broken.proxy.count("ListObjectsV2") == 2


async def test_a_store_that_ignores_the_prefix(broken: Broken) -> None:
    """What lies elsewhere is none of ours: it is neither listed nor cleaned up."""
    names = [f"{PREFIX}a", "elsewhere/b", probe_name("elsewhere/")]
    broken.proxy.fail("ListObjectsV2", page_of(names, more=False), times=99)
    async with S3Store(broken.settings()) as store:
        assert [info.name async for info in store.list(PREFIX)] == [f"{PREFIX}a"]
        await store.abort_stale(timedelta(0))
    assert broken.proxy.count("DeleteObject") == 0

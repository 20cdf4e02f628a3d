"""A store and a network that fail: what is tried again, what is reported, and that nothing stays behind."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import anyio
import pytest
from aiohttp import web

from kleidia_backup.stages.errors import ConfigurationError, ObjectChanged, ObjectExists, StoreError, StoreUnreachable
from kleidia_backup.stages.stores.base import ObjectInfo
from kleidia_backup.stages.stores.s3 import calls, multipart
from kleidia_backup.stages.stores.s3.store import S3Store

from .conftest import PREFIX, Broken
from .faults import (
    Fault,
    Forward,
    answer,
    corrupt,
    cut_body,
    cut_request,
    hold,
    lose_answer,
    page,
    redirect,
    reset,
    rewrite,
    stall_body,
)

pytestmark = pytest.mark.anyio

NAME = f"{PREFIX}backup-full-20260117-120000.enc"
PART = 64 * 1024
DATA = bytes(range(256)) * 300

SLOW_DOWN = answer(503, "SlowDown")
#: What Complete answers when it fails after it sent the status.
ERROR_IN_200 = answer(200, "InternalError")


async def upload(store: S3Store, data: bytes = DATA) -> ObjectInfo:
    """Two parts, part 1 last; abort as the sink does."""
    begun = await store.create(NAME, part_size=PART)
    try:
        await begun.put_part(2, bytearray(data[PART:]))
        await begun.put_part(1, bytearray(data[:PART]))
        return await begun.complete(len(data))
    except BaseException:
        with anyio.CancelScope(shield=True):
            await begun.abort()
        raise


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses between attempts, which take no time."""
    asked: list[float] = []

    async def pause(seconds: float) -> None:
        asked.append(seconds)

    monkeypatch.setattr(calls, "sleep", pause)
    return asked


async def read(store: S3Store, start: int = 0, end: int | None = None, pin: ObjectInfo | None = None) -> bytes:
    got = bytearray()
    async with store.get(NAME, start=start, end=end, pin=pin) as body:
        async for chunk in body:
            got += chunk
    return bytes(got)


# Passing faults -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "operation", ["HeadObject", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload", "PutObject"]
)
@pytest.mark.parametrize(
    "fault",
    [SLOW_DOWN, answer(500, "InternalError"), page(502), reset, cut_request],
    ids=["503", "500", "502 page", "reset", "cut request"],
)
async def test_passing_faults_are_not_noticed(broken: Broken, operation: str, fault: Fault) -> None:
    """Two failures of any kind, and the third attempt succeeds; one object, no upload left."""
    broken.proxy.fail(operation, fault, times=2)
    async with S3Store(broken.settings()) as store:
        if operation == "PutObject":
            await store.put(NAME, bytearray(DATA))
        else:
            await upload(store)
        assert await read(store) == DATA
    assert broken.bucket.keys() == [NAME]
    assert broken.bucket.uploads() == []


@pytest.mark.parametrize("operation", ["ListObjectsV2", "DeleteObject", "AbortMultipartUpload", "ListMultipartUploads"])
async def test_small_requests_are_tried_again(broken: Broken, operation: str) -> None:
    """Also outside an upload."""
    async with S3Store(broken.settings()) as store:
        await store.put(NAME, bytearray(DATA))
        begun = await store.create(f"{NAME}.other", part_size=PART)
        broken.proxy.fail(operation, SLOW_DOWN, times=2)
        assert [info.name async for info in store.list(PREFIX)] == [NAME]
        assert await store.check() == ()
        await begun.abort()
        await store.delete(NAME)
    assert broken.bucket.keys() == broken.bucket.uploads() == []


async def test_an_error_in_a_200_is_tried_again(broken: Broken) -> None:
    """Complete may say 200 first and fail then."""
    broken.proxy.fail("CompleteMultipartUpload", ERROR_IN_200)
    async with S3Store(broken.settings()) as store:
        await upload(store)
    assert broken.proxy.count("CompleteMultipartUpload") == 2


# Answers that get lost ----------------------------------------------------------------------------------------


async def test_complete_whose_answer_is_lost(broken: Broken) -> None:
    """The second attempt hears that there is no such upload; the object is ours, so that is a success."""
    broken.proxy.fail("CompleteMultipartUpload", lose_answer)
    async with S3Store(broken.settings()) as store:
        info = await upload(store)
        assert info.size == len(DATA)
        assert await read(store, pin=info) == DATA
    assert broken.proxy.count("CompleteMultipartUpload") == 2


async def test_every_answer_to_complete_is_lost(broken: Broken) -> None:
    """The store is asked what it has; what is there is ours."""
    broken.proxy.fail("CompleteMultipartUpload", lose_answer, times=99)
    async with S3Store(broken.settings(attempts=2)) as store:
        assert (await upload(store)).size == len(DATA)


async def test_a_store_without_metadata_is_recognised_by_size(broken: Broken) -> None:
    """Where the store keeps no metadata, a free name before and the right size afterwards are enough."""
    broken.proxy.fail("HeadObject", rewrite(x_amz_meta_kleidia_upload=""), times=99)
    broken.proxy.fail("CompleteMultipartUpload", lose_answer)
    async with S3Store(broken.settings()) as store:
        assert (await upload(store)).size == len(DATA)


async def test_put_whose_answer_is_lost(broken_moto: Broken) -> None:
    """The second attempt hears that the name is taken: by ourselves."""
    broken_moto.proxy.fail("PutObject", lose_answer)
    async with S3Store(broken_moto.settings()) as store:
        assert (await store.put(NAME, bytearray(DATA))).size == len(DATA)
    assert broken_moto.proxy.count("PutObject") == 2


async def test_somebody_else_s_object_is_not_taken_for_ours(broken_moto: Broken) -> None:
    """A name that was taken between the look and the put stays theirs, though it has our size."""

    async def overtake(_: web.BaseRequest, forward: Forward) -> web.StreamResponse:
        await asyncio.to_thread(broken_moto.bucket.put, NAME, DATA[::-1])
        return await forward()

    broken_moto.proxy.fail("PutObject", overtake)
    async with S3Store(broken_moto.settings()) as store:
        stored = store.put(NAME, bytearray(DATA[:-1]))
        with pytest.raises(ObjectExists):
            await stored
    assert broken_moto.bucket.get(NAME) == DATA[::-1]


async def test_create_whose_answer_is_lost(broken: Broken) -> None:
    """The upload that nobody knows the id of is aborted."""
    broken.proxy.fail("CreateMultipartUpload", lose_answer)
    async with S3Store(broken.settings()) as store:
        begun = await store.create(NAME, part_size=PART)
        assert broken.bucket.uploads() == [NAME]
        await begun.put_part(1, bytearray(b"data"))
        await begun.complete(4)
    assert broken.bucket.uploads() == []


async def test_every_answer_to_create_is_lost(broken: Broken) -> None:
    """All that the attempts left is aborted."""
    broken.proxy.fail("CreateMultipartUpload", lose_answer, times=99)
    async with S3Store(broken.settings()) as store:
        with pytest.raises(StoreUnreachable):
            await store.create(NAME, part_size=PART)
    assert broken.proxy.count("CreateMultipartUpload") > 1
    assert broken.bucket.uploads() == []


# Faults that stay ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", ["CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload", "PutObject"])
@pytest.mark.parametrize(
    ("fault", "words"),
    [(answer(500, "InternalError"), "500"), (reset, "broke"), (ERROR_IN_200, "InternalError")],
    ids=["500", "reset", "error in 200"],
)
async def test_faults_that_stay(broken: Broken, operation: str, fault: Fault, words: str) -> None:
    """After all attempts, an error that says what was heard; no object, no upload."""
    broken.proxy.fail(operation, fault, times=99)
    async with S3Store(broken.settings()) as store:
        with pytest.raises(StoreUnreachable, match=words):
            await (store.put(NAME, bytearray(DATA)) if operation == "PutObject" else upload(store))
    if fault is not reset:  # aiohttp repeats some requests by itself when a kept connection breaks
        assert broken.proxy.count(operation) == (4 if operation == "CreateMultipartUpload" else 5)
    assert broken.bucket.keys() == broken.bucket.uploads() == []


async def test_something_that_is_no_s3(broken: Broken) -> None:
    """A web page in the place of every answer: said, and not taken for an empty bucket."""
    welcome = page(200, "<html><body>Welcome</body></html>")
    for operation in ("ListObjectsV2", "CreateMultipartUpload", "UploadPart", "HeadObject"):
        broken.proxy.fail(operation, welcome)
        async with S3Store(broken.settings()) as store:
            with pytest.raises(StoreError, match="does not speak S3"):
                await (anext(store.list(PREFIX)) if operation == "ListObjectsV2" else upload(store))
    broken.proxy.fail("ListObjectsV2", page(200, "Welcome & <br>"), times=99)
    async with S3Store(broken.settings()) as store:
        with pytest.raises(StoreError, match="a web page: check endpoint"):
            await anext(store.list(PREFIX))


@pytest.mark.parametrize("operation", ["HeadObject", "PutObject"])
async def test_a_redirect_that_passes_is_an_error_all_the_same(broken: Broken, operation: str) -> None:
    """It says that the address is wrong; that another request was answered does not make it right."""
    broken.proxy.fail(operation, redirect("http://127.0.0.1:1"), times=1)
    async with S3Store(broken.settings()) as store:
        with pytest.raises(ConfigurationError, match="redirects to http://127"):
            await store.put(NAME, bytearray(DATA))
    assert broken.bucket.keys() == []


async def test_a_store_that_wants_ascending_parts(broken: Broken, monkeypatch: pytest.MonkeyPatch) -> None:
    """503 after a long wait, twice, to a part while part 1 is missing: the error says why that may be."""
    monkeypatch.setattr(multipart, "_STALLED", -1.0)
    broken.proxy.fail("UploadPart", SLOW_DOWN, times=99)
    async with S3Store(broken.settings()) as store:
        with pytest.raises(StoreUnreachable, match=r"503.*ascending order") as caught:
            await upload(store)
    assert "part_size" in caught.value.hint
    assert broken.proxy.count("UploadPart") == 2
    assert broken.bucket.uploads() == []


async def test_one_long_wait_is_no_order_of_parts(broken: Broken, monkeypatch: pytest.MonkeyPatch) -> None:
    """A single 503 that took long is tried again like any other."""
    monkeypatch.setattr(multipart, "_STALLED", -1.0)
    broken.proxy.fail("UploadPart", SLOW_DOWN)
    async with S3Store(broken.settings()) as store:
        begun = await store.create(NAME, part_size=PART)
        await begun.put_part(2, bytearray(b"data"))
        await begun.abort()


async def test_503_for_ever_in_the_middle_of_an_upload(broken: Broken) -> None:
    """An overloaded store is called that, also while part 1 is missing, after all attempts."""
    broken.proxy.fail("UploadPart", SLOW_DOWN, times=99)
    async with S3Store(broken.settings()) as store:
        with pytest.raises(StoreUnreachable, match="keeps answering 503 SlowDown to UploadPart") as caught:
            await upload(store)
    assert "ascending" not in f"{caught.value}{caught.value.hint}"
    assert broken.proxy.count("UploadPart") == 5
    assert broken.bucket.uploads() == []


async def test_a_store_that_is_only_overloaded(broken: Broken) -> None:
    """503 to part 1 itself has nothing to do with order."""
    broken.proxy.fail("UploadPart", SLOW_DOWN, times=99)
    async with S3Store(broken.settings()) as store:
        begun = await store.create(NAME, part_size=PART)
        with pytest.raises(StoreUnreachable, match="keeps answering 503 SlowDown"):
            await begun.put_part(1, bytearray(b"data"))
        await begun.abort()


@pytest.mark.parametrize("form", ["seconds", "date"])
async def test_a_store_that_says_when_to_come_back(broken: Broken, form: str, pauses: list[float]) -> None:
    """Retry-After is honoured, in seconds or as a date; our own pause comes on top."""
    wanted = "40" if form == "seconds" else format_datetime(datetime.now(UTC) + timedelta(seconds=40), usegmt=True)
    broken.proxy.fail("ListObjectsV2", answer(503, "SlowDown", retry_after=wanted))
    async with S3Store(broken.settings()) as store:
        assert [info async for info in store.list(PREFIX)] == []
    assert len(pauses) == 1
    assert 35 < pauses[0] < 41


async def test_a_store_that_wants_to_be_left_alone_for_too_long(broken: Broken, pauses: list[float]) -> None:
    """Retry-After beyond the operation's own timeout: the error comes at once, and says what the store says."""
    broken.proxy.fail("UploadPart", answer(503, "SlowDown", retry_after="3600"), times=99)
    async with S3Store(broken.settings(operation_timeout=600.0)) as store:
        with pytest.raises(StoreUnreachable, match="answering 503 SlowDown"):
            await upload(store)
    assert broken.proxy.count("UploadPart") == 1
    assert pauses == []


async def test_a_status_without_a_code_is_said_once(broken: Broken) -> None:
    """HEAD's answer has no body, so its code is its status."""
    broken.proxy.fail("HeadObject", answer(500, "InternalError"), times=99)
    async with S3Store(broken.settings()) as store:
        with pytest.raises(StoreUnreachable, match="keeps answering 500 to HeadObject"):
            await store.head(NAME)


async def test_an_answer_that_does_not_come(broken: Broken) -> None:
    """After the read timeout the request is tried again, and then given up."""
    arrived, release = asyncio.Event(), asyncio.Event()
    broken.proxy.fail("HeadObject", hold(arrived, release), times=99)
    async with S3Store(broken.settings(read_timeout=0.2, attempts=2)) as store:
        with pytest.raises(StoreUnreachable, match="in time"):
            await store.head(NAME)
    release.set()
    assert broken.proxy.count("HeadObject") == 2


async def test_the_operation_s_timeout(broken: Broken) -> None:
    """All attempts together may not take longer."""
    broken.proxy.fail("HeadObject", SLOW_DOWN, times=99)
    async with S3Store(broken.settings(operation_timeout=0.3, backoff=60.0)) as store:
        with pytest.raises(StoreUnreachable, match=r"did not end within 0\.3 s"):
            await store.head(NAME)


async def test_a_store_that_lost_bytes(broken: Broken) -> None:
    """A size that is not ours after Complete is an error, and the object goes away again."""
    async with S3Store(broken.settings()) as store:
        begun = await store.create(NAME, part_size=PART)
        await begun.put_part(1, bytearray(b"data"))

        async def shorter(_: web.BaseRequest, forward: Forward) -> web.StreamResponse:
            response = await forward()
            if response.status == 200:
                response.headers["Content-Length"] = "3"
            return response

        broken.proxy.fail("HeadObject", shorter, times=99)
        with pytest.raises(StoreError, match="3 of the 4 bytes"):
            await begun.complete(4)
        assert broken.bucket.keys() == [NAME]
        await begun.abort()
    assert broken.bucket.keys() == broken.bucket.uploads() == []


async def test_conditions_that_are_not_implemented(broken: Broken) -> None:
    """A store that refuses If-None-Match gets the request without; the look beforehand has to do."""
    broken.proxy.fail("PutObject", answer(501, "NotImplemented"))
    broken.proxy.fail("CompleteMultipartUpload", answer(501, "NotImplemented"))
    async with S3Store(broken.settings()) as store:
        await upload(store)
        await store.put(f"{NAME}.other", bytearray(b"data"))
    for operation in ("PutObject", "CompleteMultipartUpload"):
        sent = [each.headers.get("If-None-Match") for each in broken.proxy.seen if each.operation == operation]
        assert sent == ["*", None]


async def test_a_part_that_outlives_the_first_abort(broken: Broken) -> None:
    """As long as the store still lists the upload, it is aborted again."""
    async with S3Store(broken.settings()) as store:
        begun = await store.create(NAME, part_size=PART)
        broken.proxy.fail("AbortMultipartUpload", page(204, ""))
        await begun.abort()
    assert broken.proxy.count("AbortMultipartUpload") == 2
    assert broken.bucket.uploads() == []


@pytest.mark.parametrize(("times", "succeeds"), [(1, True), (99, False)])
async def test_a_body_that_arrives_damaged(broken: Broken, times: int, succeeds: bool) -> None:
    """The server compares with the checksum we sent and refuses; we send it again, and give up at last."""
    broken.proxy.fail("UploadPart", corrupt, times=times)
    async with S3Store(broken.settings(checksum="md5", sign_payload=False)) as store:
        if succeeds:
            await upload(store)
            assert await read(store) == DATA
        else:
            with pytest.raises(StoreError, match="arrived damaged") as caught:
                await upload(store)
            assert "checksum" in caught.value.hint
    assert broken.bucket.keys() == ([NAME] if succeeds else [])
    assert broken.bucket.uploads() == []


# Downloads ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", [0, 10])
async def test_a_body_that_ends_early(broken: Broken, start: int) -> None:
    """What came is delivered, then an error: a resuming reader knows where it was."""
    broken.bucket.put(NAME, DATA)
    broken.proxy.fail("GetObject", cut_body)
    async with S3Store(broken.settings()) as store:
        got = bytearray()

        async def read_on() -> None:
            async with store.get(NAME, start=start) as body:
                async for chunk in body:
                    got.extend(chunk)

        with pytest.raises(StoreUnreachable):
            await read_on()
        assert got == DATA[start : start + len(got)]
        assert len(got) == (len(DATA) - start) // 2
        assert await read(store, len(got) + start) == DATA[len(got) + start :]


async def test_a_body_that_stalls(broken: Broken) -> None:
    """After the read timeout, an error."""
    release = asyncio.Event()
    broken.bucket.put(NAME, DATA)
    broken.proxy.fail("GetObject", stall_body(release))
    async with S3Store(broken.settings(read_timeout=0.2)) as store:
        with pytest.raises(StoreUnreachable, match="in time"):
            await read(store)
    release.set()


@pytest.mark.parametrize("fault", [SLOW_DOWN, reset], ids=["503", "reset"])
async def test_opening_a_download_is_one_attempt(broken: Broken, fault: Fault) -> None:
    """Resuming and retrying belong to the reader."""
    broken.bucket.put(NAME, DATA)
    # aiohttp repeats a GET by itself, once, when a kept connection breaks.
    broken.proxy.fail("GetObject", fault, times=2 if fault is reset else 1)
    async with S3Store(broken.settings()) as store:
        with pytest.raises(StoreUnreachable):
            await read(store)
        assert await read(store) == DATA


async def test_a_range_from_another_place(broken: Broken) -> None:
    """Bytes from elsewhere than asked for are an error, never data from the wrong place."""
    broken.bucket.put(NAME, DATA)
    broken.proxy.fail("GetObject", rewrite(Content_Range=f"bytes 3-7/{len(DATA)}"))
    async with S3Store(broken.settings()) as store:
        with pytest.raises(StoreError, match=r"sent bytes 3-7 of .* not 5-9"):
            await read(store, 5, 10)
        assert await read(store, 5, 10) == DATA[5:10]


@pytest.mark.parametrize(
    "headers",
    [{"ETag": '"another"'}, {"ETag": "", "Last_Modified": "Tue, 24 Nov 2020 09:08:38 GMT"}],
    ids=["etag", "no etag, other time"],
)
async def test_a_store_that_ignores_if_match(broken: Broken, headers: dict[str, str]) -> None:
    """The answer's own headers say that it is another object."""
    async with S3Store(broken.settings()) as store:
        pin = await store.put(NAME, bytearray(DATA))
        broken.proxy.fail("GetObject", rewrite(**headers))
        with pytest.raises(ObjectChanged):
            await read(store, 5, pin=pin)
        assert await read(store, 5, pin=pin) == DATA[5:]


# Cancellation -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [False, True], ids=["before the store acts", "after"])
async def test_cancelled_while_beginning(broken: Broken, after: bool) -> None:
    """The upload is aborted when its id arrives, and the cancellation goes on."""
    arrived, release = asyncio.Event(), asyncio.Event()
    broken.proxy.fail("CreateMultipartUpload", hold(arrived, release, after=after))
    async with S3Store(broken.settings()) as store, anyio.create_task_group() as group:
        with anyio.CancelScope() as scope:
            group.start_soon(_cancel_when, arrived, scope, release)
            await store.create(NAME, part_size=PART)
        assert scope.cancelled_caught
    assert broken.bucket.uploads() == []


async def test_cancelled_while_putting_a_part(broken: Broken) -> None:
    """A shielded abort leaves neither object nor upload."""
    arrived, release = asyncio.Event(), asyncio.Event()
    broken.proxy.fail("UploadPart", hold(arrived, release))
    async with S3Store(broken.settings()) as store, anyio.create_task_group() as group:
        with anyio.CancelScope() as scope:
            group.start_soon(_cancel_when, arrived, scope, release)
            await upload(store)
        assert scope.cancelled_caught
    assert broken.bucket.keys() == broken.bucket.uploads() == []


@pytest.mark.parametrize("operation", ["CompleteMultipartUpload", "PutObject"])
async def test_cancelled_when_the_object_is_there_already(broken: Broken, operation: str) -> None:
    """The store was done, we did not hear of it: the object goes away again."""
    arrived, release = asyncio.Event(), asyncio.Event()
    broken.proxy.fail(operation, hold(arrived, release, after=True))
    async with S3Store(broken.settings()) as store, anyio.create_task_group() as group:
        with anyio.CancelScope() as scope:
            group.start_soon(_cancel_when, arrived, scope, release)
            await (store.put(NAME, bytearray(DATA)) if operation == "PutObject" else upload(store))
        assert scope.cancelled_caught
    assert broken.bucket.keys() == broken.bucket.uploads() == []


async def _cancel_when(arrived: asyncio.Event, scope: anyio.CancelScope, release: asyncio.Event) -> None:
    await arrived.wait()
    scope.cancel()
    await anyio.wait_all_tasks_blocked()
    release.set()

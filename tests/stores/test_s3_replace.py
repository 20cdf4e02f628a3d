"""The beginning of an object is replaced, and the way to S3 breaks."""

from __future__ import annotations

import pytest

from kleidia_backup.stages.errors import ObjectChanged, StoreUnreachable
from kleidia_backup.stages.stores.base import ObjectInfo
from kleidia_backup.stages.stores.s3 import replace
from kleidia_backup.stages.stores.s3.store import S3Store

from .conftest import PREFIX, Broken
from .faults import answer, cut_body, lose_answer, reset

pytestmark = pytest.mark.anyio

NAME = f"{PREFIX}backup-full-20260117-120000.enc"
PART = 5 * 1024 * 1024
DATA = bytes(range(256)) * (2 * PART // 256 + 1000)


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three parts."""
    monkeypatch.setattr(replace, "PART", PART)


async def replaced(broken: Broken) -> ObjectInfo:
    """The object with another beginning, by way of the proxy."""
    broken.bucket.put(NAME, DATA)
    async with S3Store(broken.settings(attempts=3)) as store:
        return await store.replace_start(NAME, bytearray(b"new"), skip=5, pin=await store.head(NAME))


def is_new(broken: Broken) -> bool:
    """Whether the object is the new one, whole; else it is the old one. No upload is left."""
    found = broken.bucket.get(NAME)
    assert found in {DATA, b"new" + DATA[5:]}
    assert (broken.bucket.keys(), broken.bucket.uploads()) == ([NAME], [])
    return found != DATA


@pytest.mark.parametrize("times", [1, 99])
async def test_the_last_answer_is_lost(broken_moto: Broken, times: int) -> None:
    """What is there then is ours, and stays."""
    broken_moto.proxy.fail("CompleteMultipartUpload", lose_answer, times=times)
    assert (await replaced(broken_moto)).size == len(DATA) - 2
    assert is_new(broken_moto)


@pytest.mark.parametrize("operation", ["UploadPart", "ListParts", "CompleteMultipartUpload", "GetObject"])
async def test_a_store_that_is_gone(broken_moto: Broken, operation: str) -> None:
    """The old object is as it was; nothing is left of the new one."""
    broken_moto.proxy.fail(operation, answer(503, "SlowDown"), times=4 if operation == "GetObject" else 3)
    with pytest.raises(StoreUnreachable):
        await replaced(broken_moto)
    assert not is_new(broken_moto)


@pytest.mark.parametrize("operation", ["UploadPart", "CompleteMultipartUpload"])
async def test_one_failure_is_made_good(broken_moto: Broken, operation: str) -> None:
    """A connection that breaks is tried again; so is a copy that fails after it was begun."""
    broken_moto.proxy.fail(operation, reset)
    broken_moto.proxy.fail(operation, answer(200, "InternalError"))
    await replaced(broken_moto)
    assert is_new(broken_moto)


async def test_a_download_that_breaks(broken_moto: Broken) -> None:
    """What goes through this process is read on where it was."""
    broken_moto.proxy.fail("GetObject", cut_body)
    await replaced(broken_moto)
    assert is_new(broken_moto)


async def test_a_store_without_conditions(broken_moto: Broken) -> None:
    """The request goes without; the looks beforehand have to do."""
    broken_moto.proxy.fail("CompleteMultipartUpload", answer(501, "NotImplemented"))
    await replaced(broken_moto)
    assert is_new(broken_moto)
    sent = [each.headers.get("If-Match") for each in broken_moto.proxy.seen if "Complete" in each.operation]
    assert [bool(each) for each in sent] == [True, False]


async def test_a_condition_that_fails(broken_moto: Broken) -> None:
    """Somebody else was faster."""
    broken_moto.proxy.fail("CompleteMultipartUpload", answer(412, "PreconditionFailed"))
    broken_moto.bucket.put(NAME, DATA)
    with pytest.raises(ObjectChanged):
        await replaced(broken_moto)
    assert not is_new(broken_moto)

"""What stands on every view of the page: the way to another target, and until when the newest archive is locked."""

from __future__ import annotations

import html
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from kleidia_backup.config.login.grants import Grant
from kleidia_backup.config.service import ServiceSettings
from kleidia_backup.config.targets.services import TargetServices
from kleidia_backup.demo.servers.s3 import Bucket
from kleidia_backup.service.api.app import create_app
from kleidia_backup.service.service import Service
from kleidia_backup.service.targets.several import SeveralTargets
from kleidia_backup.service.web import locked

from ..buckets import s3_settings
from .asking import admin_of, asking, backed_up
from .conftest import PASSWORD

pytestmark = pytest.mark.anyio


@pytest.fixture
async def several(service_settings: ServiceSettings) -> AsyncIterator[SeveralTargets]:
    """The targets app and "b & c", of which the group near may read both, and the group staff the first alone."""
    grants = (Grant("near", "viewer", ("*",)), Grant("staff", "viewer", ("app",)))
    first = replace(service_settings, grants=grants)
    second = replace(first, target="b & c", secrets_path="service-of-other")
    settings = {"app": first, "b & c": second}
    async with SeveralTargets(lambda: TargetServices("app", settings, first.control)) as targets:
        yield targets


async def test_another_target_is_shown_in_the_same_view(several: SeveralTargets) -> None:
    """By a form, without any script; only what one may read is offered, and what one may not is as if it were not."""
    app = create_app(several)
    async with asking(app, "near") as near, asking(app, "staff") as staff:
        for view in ("history", "restore", "settings", "audit"):
            page = (await near.get(f"/targets/app/{view}")).text
            form = re.search(r'<form class="switch".*?</form>', page, re.DOTALL)
            assert form, page
            assert re.findall(r"<option( selected)?>([^<]*)", form[0]) == [(" selected", "app"), ("", "b &amp; c")]
            (kept,) = re.findall(r'name="view" value="([a-z]+)"', form[0])
            led = await near.get("/switch", params={"target": "b & c", "view": kept})
            assert (led.status_code, led.headers["Location"]) == (303, f"/targets/b%20%26%20c/{view}")
            there = await near.get(led.headers["Location"])
            assert (there.status_code, "<span>b & c</span>" in html.unescape(there.text)) == (200, True)
        assert 'class="switch"' not in (await staff.get("/targets/app/history")).text
        for name in ("b & c", "nobody"):
            led = await staff.get("/switch", params={"target": name})
            refused = await staff.get(led.headers["Location"])
            assert (refused.status_code, "b & c" in html.unescape(refused.text).replace("/targets/b & c", "")) == (
                403,
                False,
            )
        assert (await near.get("/switch", params={"target": "app", "view": "evil"})).status_code == 422


async def test_of_many_targets_the_name_is_typed(several: SeveralTargets, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list of a thousand would be longer than the page."""
    monkeypatch.setitem(_globals(), "most_in_a_list", 1)
    async with asking(create_app(several), "near") as near:
        page = (await near.get("/history")).text
    assert re.search(r'<input name="target"', page)
    assert "<option>app" not in page


def _globals() -> dict[str, object]:
    from kleidia_backup.service.web.templating import _environment

    return _environment().globals


@pytest.mark.parametrize("locking_bucket", ["seaweedfs"], indirect=True)
async def test_until_when_the_newest_archive_is_locked(
    service_settings: ServiceSettings, locking_bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store is asked once, and not for every view; one that does not answer keeps nobody waiting."""
    store = s3_settings(locking_bucket, lock_mode="governance", lock_days=3)
    async with Service(replace(service_settings, store=store)) as service, admin_of(service) as admin:
        await admin.put("/api/backup/settings", json={"encryption_password": PASSWORD})
        assert "locked until" not in (await admin.get("/history")).text
        await backed_up(admin)
        page = (await admin.get("/history")).text
        (until,) = re.findall(r"<dt>Newest archive locked until</dt><dd>([-0-9]+ [:0-9]+)", page)
        left = datetime.strptime(until, "%Y-%m-%d %H:%M").replace(tzinfo=UTC) - datetime.now(UTC)
        assert timedelta(days=2, hours=23) < left <= timedelta(days=3)

        async def asked(*_: object) -> None:
            raise AssertionError("the store is asked again")

        monkeypatch.setattr(locked, "locks_of", asked)
        assert until in (await admin.get("/settings")).text


async def test_a_store_without_locks_says_nothing_of_them(service: Service) -> None:
    """As a directory."""
    async with admin_of(service) as admin:
        await admin.put("/api/backup/settings", json={"encryption_password": PASSWORD})
        await backed_up(admin)
        page = await admin.get("/history")
        assert (page.status_code, "locked until" in page.text) == (200, False)

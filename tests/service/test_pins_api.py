"""Pins and the preview of retention, by the API."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from kleidia_backup.service.service import Service

from .asking import MEDIA_TYPE, admin_of, backed_up, ended

pytestmark = pytest.mark.anyio


async def test_pins_and_a_preview(service: Service, store_directory: Path) -> None:
    """A pinned archive is shown, refused to be deleted and kept; rules can be tried before they are set."""
    async with admin_of(service) as client:
        key = (await backed_up(client))["archive"]
        old = datetime.now(UTC) - timedelta(days=60)
        for days in range(3):  # three more, which the stored password opens
            copy = f"backups/backup-full-{old - timedelta(days=days):%Y%m%d-%H%M%S}.enc"
            (store_directory / copy).write_bytes((store_directory / key).read_bytes())
        # Their heads say that they were made today, so they are of today.
        preview = (await client.get("/api/backup/retention/preview")).json()
        assert (preview["retention_days"], preview["keep_at_least"], preview["keep_daily"]) == (30, 3, 0)
        assert {each["goes"] for each in preview["backups"]} == {False}
        assert all("age" in each["reasons"] for each in preview["backups"])

        made = await client.post(f"/api/backup/pins/{copy}", json={"reason": "case 7"})
        assert (made.status_code, made.json()["reason"], made.json()["by"]) == (200, "case 7", "ada")
        again = await client.post(f"/api/backup/pins/{copy}", json={"reason": "case 8"})
        assert again.json() == made.json()
        assert (await client.get("/api/backup/pins")).json() == {"pins": [made.json()]}
        listed = (await client.get("/api/backup/list")).json()["backups"]
        told = {name: value for name, value in made.json().items() if name in {"reason", "by", "at"}}
        assert {each["key"]: each["pinned"] for each in listed if each["pinned"]} == {copy: told}
        assert len(listed) == 4
        refused = await client.delete(f"/api/backup/{copy}")
        assert (refused.status_code, refused.headers["content-type"]) == (409, MEDIA_TYPE)
        assert refused.json()["type"].endswith(":pinned")
        assert "DELETE /api/backup/pins/" in refused.json()["next_step"]
        assert (await client.post("/api/backup/pins/latest")).json()["key"] == key
        assert (await client.post("/api/backup/pins/none.enc")).status_code == 404
        assert (await client.post(f"/api/backup/pins/{copy}", json={"reason": "x\ny"})).status_code == 422

        tried = await client.get("/api/backup/retention/preview", params={"timezone": "Nowhere/Land"})
        assert tried.status_code == 422
        assert (await client.get("/api/backup/retention/preview", params={"keep_daily": "-1"})).status_code == 422
        off = (await client.get("/api/backup/retention/preview", params={"retention_days": 0})).json()
        assert all("off" in each["reasons"] for each in off["backups"])
        assert [each["key"] for each in off["backups"] if "pinned" in each["reasons"]] == [key, copy]

        assert (await client.delete(f"/api/backup/pins/{copy}")).status_code == 204
        assert (await client.delete(f"/api/backup/pins/{copy}")).status_code == 404
        assert (await client.delete(f"/api/backup/{copy}")).status_code == 204
        entries = (await client.get("/api/backup/audit", params={"action": "archive.pinned"})).json()["entries"]
        assert [each["archive"] for each in entries] == [key, copy, copy]


async def test_the_rules_of_the_settings_are_those_of_the_service(service: Service, store_directory: Path) -> None:
    """Those that were set follow a backup, and the preview says what each keeps."""
    async with admin_of(service) as client:
        rules = {"retention_days": 1, "keep_at_least": 1, "keep_daily": 2, "timezone": "Europe/Vienna"}
        assert (await client.put("/api/backup/settings", json=rules)).status_code == 200
        first = (await backed_up(client))["archive"]
        assert (await client.get("/api/backup/settings")).json()["keep_daily"] == 2
        job = await ended(client, (await client.post("/api/backup/trigger")).json()["id"])
        assert (job["status"], job["warnings"]) == ("completed", [])
        preview = (await client.get("/api/backup/retention/preview")).json()
        assert [each["reasons"] for each in preview["backups"]] == [
            ["age", "at_least", "daily", "newest"],
            ["age", "daily"],
        ]
        assert preview["backups"][1]["key"] == first
        assert len(list((store_directory / "backups").iterdir())) == 2

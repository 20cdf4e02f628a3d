"""Some secrets by the API: as the command restores them, and refused before they are a job where they make no sense."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from kleidia_backup.demo.servers.together import KvMount
from kleidia_backup.service.service import Service

from .asking import MEDIA_TYPE, admin_of, backed_up, ended
from .conftest import PASSWORD

pytestmark = pytest.mark.anyio


async def test_one_secret_by_the_api(service: Service, application: str, kv: KvMount) -> None:
    """It comes back, to its path or another; the other secret and the table stay as they were made since."""
    async with admin_of(service) as api:
        assert (await api.put("/api/backup/settings", json={"encryption_password": PASSWORD})).status_code == 200
        key = (await backed_up(api))["archive"]
        for number in (0, 1):
            kv.put(f"app/secret-{number}", {"value": "changed"})
        with psycopg.connect(application, autocommit=True) as connection:
            connection.execute("DELETE FROM users")

        async def restored(**wanted: Any) -> dict[str, Any]:
            answer = await api.post("/api/backup/restore", json={"key": key, **wanted})
            assert answer.status_code == 202, answer.text
            return await ended(api, answer.json()["id"])

        done = await restored(secrets=["secret-0"])
        assert (done["status"], done["report"]["secrets"], done["report"]["written"]) == ("completed", 1, 1), done
        done = await restored(secrets=["secret-[1]"], to="found")
        assert done["status"] == "completed", done
        found = kv.all()
        assert [found[f"app/{name}"] for name in ("secret-0", "secret-1", "found")] == [
            {"value": "s0"},
            {"value": "changed"},
            {"value": "s1"},
        ]
        with psycopg.connect(application) as connection:
            assert connection.execute("SELECT count(*) FROM users").fetchone() == (0,)
        failed = await restored(secrets=["secret-x"])
        assert failed["status"] == "failed"
        assert "The archive has no secret secret-x." in failed["error"]
        for wrong in (
            {"secrets": ["a"], "only": "database"},
            {"secrets": ["a"], "prune": True},
            {"secrets": ["a", "b"], "to": "c"},
            {"to": "c"},
            {"secrets": [""]},
        ):
            answer = await api.post("/api/backup/restore", json={"key": key, **wrong})
            assert (answer.status_code, answer.headers["Content-Type"]) == (422, MEDIA_TYPE), answer.text

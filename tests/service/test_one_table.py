"""Some tables by the API: as the command restores them, and refused before they are a job where they make no sense."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from kleidia_backup.demo.servers.together import KvMount
from kleidia_backup.service.service import Service

from .asking import MEDIA_TYPE, admin_of, backed_up, ended
from .conftest import PASSWORD

pytestmark = pytest.mark.anyio


async def test_one_table_by_the_api(service: Service, application: str, kv: KvMount) -> None:
    """It comes back, or a copy of it; all else stays. What was asked for is in the audit log."""
    async with admin_of(service) as api:
        assert (await api.put("/api/backup/settings", json={"encryption_password": PASSWORD})).status_code == 200
        key = (await backed_up(api))["archive"]
        kv.put("app/secret-0", {"value": "changed"})
        with psycopg.connect(application, autocommit=True) as connection:
            connection.execute("DELETE FROM users; DELETE FROM audit_logs")

            async def restored(**wanted: Any) -> tuple[dict[str, Any], str]:
                answer = await api.post("/api/backup/restore", json={"key": key, **wanted})
                assert answer.status_code == 202, answer.text
                done = await ended(api, answer.json()["id"])
                (entry, *_) = (await api.get("/api/backup/audit")).json()["entries"]
                return done, entry["details"]

            def counts() -> list[int]:
                texts = ("users", "audit_logs", "pg_tables WHERE tablename = 'users_restored'")
                return [connection.execute(f"SELECT count(*) FROM {text}".encode()).fetchall()[0][0] for text in texts]

            done, said = await restored(tables=["public.users"], **{"as": "users_restored"})
            assert (done["status"], done["error"]) == ("completed", None), done
            assert (done["report"]["how"], done["report"]["backup"], counts()) == ("made", None, [0, 5 - 5, 1])
            assert said == "Only the tables public.users as users_restored."
            done, said = await restored(tables=["users"], reason="Ticket 4711")
            assert (done["status"], done["report"]["how"]) == ("completed", "rows replaced"), done
            assert (done["report"]["tables"][0]["rows"], counts()) == (20, [20, 0, 1])
            assert (
                said == f"Only the tables users. Backed up before it: {done['report']['backup']}. Reason: Ticket 4711"
            )
            assert done["progress"]["archive_total"] == done["report"]["archive_bytes"]
            failed, said = await restored(tables=["public.usres"], backup_first=False)
            assert (failed["status"], "nearest names: public.users" in failed["error"]) == ("failed", True)
            assert said.startswith("Only the tables public.usres. Nothing was backed up before it, as asked for.")
        assert kv.all()["app/secret-0"] == {"value": "changed"}
        together: dict[tuple[str, ...], dict[str, Any]] = {
            ("body.secrets",): {"tables": ["users"], "secrets": ["secret-0"]},
            ("body.prune",): {"tables": ["users"], "prune": True},
            ("body.only", "body.into_mount"): {"tables": ["users"], "only": "vault", "into_mount": "x"},
            ("body.create_database",): {"tables": ["users"], "into_database": "x", "create_database": True},
            ("body.to",): {"tables": ["users"], "to": "x"},
            ("body.as",): {"tables": ["users", "audit_logs"], "as": "x"},
            ("body.tables",): {"tables": ["a.b.c"]},
        }
        for fields, wrong in together.items():
            answer = await api.post("/api/backup/restore", json={"key": key, **wrong})
            assert (answer.status_code, answer.headers["Content-Type"]) == (422, MEDIA_TYPE), answer.text
            assert tuple(each["field"] for each in answer.json()["invalid"]) == fields
        others: tuple[dict[str, Any], ...] = ({"as": "x"}, {"tables": [""]}, {"copy_as": "x", "tables": ["users"]})
        for wrong in others:
            assert (await api.post("/api/backup/restore", json={"key": key, **wrong})).status_code == 422

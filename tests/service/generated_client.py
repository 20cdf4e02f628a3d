"""A client generated from openapi.json, tried on a running service. No test of the suite: it needs another package.

    pip install openapi-python-client
    kleidia-backup serve --demo --port 8080            # prints a token of an administrator
    python tests/service/generated_client.py http://127.0.0.1:8080 TOKEN

It generates the client, takes a backup with it, looks into it, restores nothing, deletes it, and says what it called.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

DOCUMENT = Path(__file__).resolve().parents[2] / "service" / "api" / "openapi.json"
#: Seconds for one job.
_PATIENCE = 120.0


def main(url: str, token: str) -> None:
    """Generate, and try. Raises at the first answer that is not what the document says."""
    with tempfile.TemporaryDirectory() as directory:
        command = ("openapi-python-client", "generate", "--path", str(DOCUMENT), "--meta", "none")
        output = Path(directory) / "generated"
        subprocess.run([*command, "--output-path", str(output)], check=True, stdin=subprocess.DEVNULL)
        sys.path.insert(0, directory)
        _try(importlib.import_module("generated").AuthenticatedClient(base_url=url, token=token))


def _try(client: Any) -> None:
    models = importlib.import_module("generated.models")

    def call(name: str, expected: int = 200, **values: Any) -> Any:
        answer = importlib.import_module(f"generated.api.{name}").sync_detailed(client=client, **values)
        sys.stdout.write(f"{answer.status_code.value} {name}\n")
        if answer.status_code != expected or (expected != 204 and answer.parsed is None):
            raise SystemExit(f"{name}: {answer.status_code}, not {expected}: {answer.content.decode()}")
        return answer.parsed

    def ended(job: Any) -> Any:
        deadline = time.monotonic() + _PATIENCE
        while job.status in {"pending", "running"}:
            if time.monotonic() > deadline:
                raise SystemExit(f"job {job.id} has not ended")
            time.sleep(0.5)
            job = call("jobs.get_job", id=job.id)
        if job.status != "completed":
            raise SystemExit(f"job {job.id}: {job.error}")
        return job

    made = ended(call("backups.trigger", 202, body=models.Trigger(type_=models.TriggerType.DATABASE)))
    assert any(each.key == made.archive for each in call("backups.list_backups").backups)
    ended(call("verifications.verify", 202, body=models.Reading(key=made.archive)))
    for name, body in (
        ("contents", models.Contents(key=made.archive)),
        ("diff", models.Comparison(key=made.archive)),
        ("dry_run", models.Restore(key=made.archive)),
    ):
        looked = call(f"inspections.{name}", 202, body=body)
        while looked.status == "running":
            time.sleep(0.5)
            looked = call("inspections.get_inspection", id=looked.id)
        assert looked.status == "completed", looked.error
        assert looked.result.to_dict()
    assert len(call("schedules.next_runs").schedules) == 3
    assert call("schedules.statistics", days=2).days[-1].jobs
    for name in ("drills.list_drills", "audit.list_audit", "settings.get_settings", "targets.list_targets"):
        call(name)
    call("backups.delete", 204, key=made.archive)
    call("backups.delete", 404, key=made.archive)


if __name__ == "__main__":
    main(*sys.argv[1:])

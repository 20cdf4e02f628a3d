"""What README and the pages behind it show of the command can be typed, and their configuration can be used."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from fastapi import FastAPI

from kleidia_backup.cli import build_parser
from kleidia_backup.commands.console.exit_codes import EXIT_CODES
from kleidia_backup.config.build import database_settings, store_settings, vault_settings
from kleidia_backup.config.keys import KEYS
from kleidia_backup.config.reader import load
from kleidia_backup.config.service import ServiceSettings
from kleidia_backup.config.service_build import service_settings
from kleidia_backup.demo.scratch import embedded
from kleidia_backup.demo.serving import start
from kleidia_backup.service.api.app import create_app
from kleidia_backup.service.service import Service

README = Path(__file__).parents[2] / "README.md"
DOCS = README.parent / "docs"
#: The pages that README was once, in its order; their blocks are tried.
PAGES = (README, *(DOCS / f"{name}.md" for name in ("setup", "commands", "formats", "first-service", "embedding")))


def _blocks(language: str) -> list[str]:
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def _table(head: str) -> str:
    """The rows of a table of the page of commands."""
    return (DOCS / "commands.md").read_text(encoding="utf-8").partition(f"{head}\n")[2].partition("\n\n")[0]


def test_every_command_in_the_readme_is_understood() -> None:
    """Each line that calls kleidia-backup is one the parser takes."""
    found = 0
    for block in _blocks("sh"):
        for line in re.split(r"\n|&&", block.replace("\\\n", "")):
            words = shlex.split(line.partition(">")[0], comments=True)
            if words and words[0].rpartition("/")[2] == "kleidia-backup":
                build_parser().parse_args(words[1:])
                found += 1
    assert found


def test_the_table_of_commands_is_the_parser_s() -> None:
    """Each command has a row, with every option of its own that has one there taken by the parser."""
    parser = build_parser()
    (commands,) = (action.choices for action in parser._actions if action.dest == "command")
    assert isinstance(commands, dict)
    table = _table("| command | what it does |")
    rows = [row.split(" | ")[0] for row in table.replace("\\|", "/").splitlines()[1:]]
    shown = [text.split() for row in rows for text in re.findall(r"`([^`]+)`", row)]
    assert {words[0] for words in shown} == set(commands)
    for name, *words in shown:
        options = set(re.findall(r"--[a-z-]+", " ".join(words)))
        assert options <= set(commands[name]._option_string_actions), (name, options)


def test_the_readme_has_the_exit_statuses_of_help() -> None:
    """The same statuses with the same words."""
    table = _table("| exit status | meaning |")
    rows = re.findall(r"^\| (\d+) \| (.+) \|$", table, re.MULTILINE)
    assert {int(code): meaning for code, meaning in rows} == EXIT_CODES


def test_the_configuration_in_the_readme_can_be_used(configured: Callable[[str], Path], tmp_path: Path) -> None:
    """It has all parts, and every key exists."""
    text = "\n".join(_blocks("toml"))  # the second one adds [service] to the first
    for name in re.findall(r'"/run/secrets/([^"]+)"', text):
        (tmp_path / name).write_text("a secret of 16 characters\n".replace(" ", "-"), encoding="utf-8")
    configured(text.replace("/run/secrets", str(tmp_path))).chmod(0o644)
    config = load(environment={})
    assert config.warnings == ()
    assert database_settings(config) is not None
    assert vault_settings(config) is not None
    assert store_settings(config).prefix
    assert service_settings(config).grace == 600


@pytest.fixture(scope="module")
def demo() -> Iterator[tuple[ServiceSettings, dict[str, str]]]:
    """What ``serve --demo`` starts, and what it prints."""
    with ExitStack() as stack:
        yield start(stack)


@asynccontextmanager
async def client(app: FastAPI, **headers: str) -> AsyncIterator[httpx.AsyncClient]:
    """Asks an app that runs."""
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://demo", headers=headers) as made,
    ):
        yield made


async def _idle(api: httpx.AsyncClient, path: str) -> None:
    with anyio.fail_after(30):
        while (await api.get(path)).json()["jobs"]:  # noqa: ASYNC110 - it is polled, as README's reader does
            await anyio.sleep(0.05)


def _request(line: str) -> tuple[str, str, str | None]:
    """Method, URL and body of a line with curl's options."""
    parser = argparse.ArgumentParser()
    parser.add_argument("-X", default="GET")
    parser.add_argument("-d")
    parser.add_argument("url")
    options = parser.parse_args(shlex.split(line, comments=True)[1:])
    return options.X, options.url, options.d


@pytest.mark.anyio
async def test_the_steps_with_the_service_work(demo: tuple[ServiceSettings, dict[str, str]]) -> None:
    """Each ``api`` line is answered as README says, in its order, with the variables that it sets."""
    settings, told = demo
    (block,) = (each for each in _blocks("bash") if "api()" in each)
    variables = {"$URL": "http://demo", "$PASSWORD": told["password"]}
    answers: dict[str, httpx.Response] = {}
    headers = dict(each.split(": ") for each in re.findall(r"-H ['\"](.+?)['\"]", block))
    headers["Authorization"] = headers["Authorization"].replace("$TOKEN", told["admin_token"])
    async with client(create_app(Service(settings, scratch=embedded)), **headers) as api:
        for line in block.splitlines():
            if line.startswith("KEY="):
                variables["$KEY"] = answers["list"].json()["backups"][0]["key"]
            if not line.startswith("api "):
                continue
            method, url, body = _request(re.sub(r"\$[A-Z]+", lambda match: variables[match[0]], line))
            answer = await api.request(method, url, content=body)
            started = url.endswith(("/trigger", "/verify", "/drill", "/restore"))
            assert answer.status_code == (202 if started else 200), answer.text
            answers[url.removeprefix("http://demo/").removeprefix("api/backup/")] = answer
            if answer.status_code == 202:
                await _idle(api, "/api/backup/jobs/running")
    assert answers["jobs/1"].json()["status"] == "completed"
    assert answers["list"].json()["backups"][0]["verdict"] == "proven"
    assert answers["restore/validate-password"].json()["valid"] is True
    assert answers["restore/status"].json()["job"]["status"] == "completed"
    assert answers["settings"].json()["retention_days"] == 60
    assert answers["test-connection"].json()["ok"] is True
    audited = {each["action"]: each for each in answers["audit?limit=5"].json()["entries"]}
    assert audited["restore.completed"]["workstation"] == "desk-7"
    assert re.search(
        r'kleidia_backup_last_success_timestamp_seconds\{kind="backup",target="\w+",type="full"\}',
        answers["metrics"].text,
    )


@pytest.mark.anyio
async def test_the_service_inside_another(
    demo: tuple[ServiceSettings, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """README's code runs as it stands, on a configuration of its reader's; who has no session is turned away."""
    (code,) = _blocks("py")
    monkeypatch.setattr("kleidia_backup.config.reader.load", lambda _: None)
    monkeypatch.setattr("kleidia_backup.config.service_build.service_settings", lambda _: demo[0])
    names: dict[str, Any] = {}
    exec(compile(code, str(README), "exec"), names)
    (session,) = names["sessions"]
    async with client(names["app"], Cookie=f"session={session}") as api:
        job = await api.post("/backups/api/backup/trigger", json={"type": "vault"})
        assert (job.status_code, job.json()["requested_by_name"]) == (202, "Ada")
        assert (await api.get("/backups/api/backup/jobs", headers={"Cookie": "session=other"})).status_code == 401
        await _idle(api, "/backups/api/backup/jobs/running")


def test_the_documents_links_lead_somewhere() -> None:
    """Every relative link of README and of the pages is a file, and its anchor a heading there."""
    for document in (README, *sorted(DOCS.glob("*.md")), README.parent / "deploy" / "README.md"):
        for link in re.findall(r"\]\((?!https?:)([^)]+)\)", document.read_text(encoding="utf-8")):
            path, _, anchor = link.partition("#")
            target = (document.parent / path) if path else document
            assert target.exists(), (document.name, link)
            if anchor:
                headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
                assert anchor in {heading.lower().replace(" ", "-") for heading in headings}, (document.name, link)


def test_every_key_and_metric_of_the_service_s_document_exists() -> None:
    """What docs/service.md names in code is a key, a setting, a field or a metric of the program."""
    text = (README.parent / "docs" / "service.md").read_text(encoding="utf-8")
    source = "\n".join(
        path.read_text(encoding="utf-8")
        for room in ("service", "config")
        for path in (README.parent / room).rglob("*.py")
    )
    for name in set(re.findall(r"`([a-z][a-z_]+)`", text)) - {key.name for key in KEYS.values()}:
        assert re.search(rf"\b{name.removeprefix('kleidia_backup_').removesuffix('_total')}\b", source), name

"""Who is told of what the command did; a message that cannot be sent changes nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ..receiving import Receiver, receiving
from .conftest import Outcome
from .test_end_to_end import Installation, installation  # noqa: F401 - a fixture

SECRET = "canary-of-the-webhook-secret"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as running:
        yield running


def hooks(receiver: Receiver) -> list[str]:
    return [each.json["event"] for each in receiver.requests if each.path == "/hook"]


def test_a_backup_and_a_restore_are_told(installation: Installation, receiver: Receiver) -> None:  # noqa: F811
    """Pings for the backups, a webhook for what was chosen by default; looking is nothing to tell of."""
    notified(installation.config, receiver)
    made = installation.run("backup", "--json").json
    installation.run("restore", made["name"], "--dry-run")
    installation.run("list")
    assert installation.run("restore", made["name"], "--yes").status == 0
    assert installation.run("verify", "nothing.enc").status == 7
    assert [each for each in receiver.paths if each != "/hook"] == ["/ping/start", "/ping"]
    assert hooks(receiver) == ["restore.started", "restore.completed", "verify.failed"]
    start, end = (each for each in receiver.requests if each.path != "/hook")
    assert start.path.partition("?")[2] == end.path.partition("?")[2]
    assert f"archive: {made['name']}\n".encode() in end.body
    assert b"canary" not in b"".join(each.body for each in receiver.requests)


def test_a_failure_and_a_receiver_that_is_away(
    installation: Installation,  # noqa: F811
    receiver: Receiver,
    store_directory: Path,
) -> None:
    """The exit status is the job's; each channel that did not take the message is one warning."""
    notified(installation.config, receiver)
    receiver.status = 503
    done = installation.run("backup")
    assert done.status == 0
    assert done.err.count("A message was not sent by ping: http_503.") == 2
    receiver.status = 200
    receiver.requests.clear()
    store_directory.rename(store_directory.with_name("gone"))
    failed = installation.run("backup", "--json")
    assert failed.status == 7
    # The channels of one message are told beside each other, in whichever order.
    assert (receiver.paths[0], sorted(receiver.paths[1:])) == ("/ping/start", ["/hook", "/ping/fail"])
    [told] = (each for each in receiver.requests if each.path == "/hook")
    assert (hooks(receiver), told.json["facts"]["error"]) == (["backup.failed"], failed.json["error"]["message"])


def test_a_setting_that_cannot_be_used_ends_no_backup(installation: Installation) -> None:  # noqa: F811
    """It is a warning there, and an error where the configuration is looked at."""
    with installation.config.open("a") as file:
        file.write('\n[notify]\nevents = ["backup.fialed"]\n')
    done = installation.run("backup")
    assert done.status == 0
    assert "Nobody will be told of this: events in [notify] names an event that there is not." in done.err
    refused = installation.run("config")
    assert (refused.status, "Did you mean backup.failed?" in refused.err) == (2, True)


def test_the_test(call: Callable[..., Outcome], tmp_path: Path, receiver: Receiver) -> None:
    """Each channel by itself, and exit status 8 when one did not take it."""
    configuration = tmp_path / "c.toml"
    configuration.write_text("")
    configuration.chmod(0o600)
    nobody = call("--config", configuration, "notify", "--test")
    assert (nobody.status, "has no section [notify]" in nobody.err) == (2, True)
    notified(configuration, receiver)
    done = call("--config", configuration, "notify", "--test", "--json")
    assert (done.status, done.json["ok"], sorted(receiver.paths)) == (0, True, ["/hook", "/ping/log"])
    receiver.status = 404
    done = call("--config", configuration, "notify", "--test")
    assert (done.status, done.out.count("not sent: http_404")) == (8, 2)
    assert call("--config", configuration, "notify").status == 2


def notified(configuration: Path, receiver: Receiver) -> None:
    with configuration.open("a") as file:
        file.write(
            f'\n[notify]\nping_url = "{receiver.url}/ping"\nwebhook_url = "{receiver.url}/hook"\n'
            f'webhook_secret = "{SECRET}"\n'
        )

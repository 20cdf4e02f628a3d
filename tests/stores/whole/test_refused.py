"""A key that is wrong and a bucket that is not there, on each store: the command says it, with what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from ...cli.test_end_to_end import Installation
from .conftest import Place

WRONG = "canary-of-a-wrong-secret"


@pytest.fixture
def checked(place: Place) -> Place:
    """A store that checks keys."""
    if place.id == "moto":
        pytest.skip("moto takes any key")
    return place


@pytest.mark.parametrize("wrong", ["secret", "id"])
def test_a_wrong_key(placed: Installation, checked: Place, wrong: str, tmp_path: Path) -> None:
    """Backup, list and check end with status 7, say which of the two is wrong, and never repeat it."""
    if wrong == "secret":
        (tmp_path / "s3").write_text(WRONG, encoding="utf-8")
        words = ("does not fit", "may not do")
    else:
        key = checked.bucket.server.access_key
        placed.configure(checked.configuration().replace(f'"{key}"', '"AKIANOBODYHASTHIS000"'))
        words = ("does not know this access key id", "may not do")
    for arguments in (["backup"], ["list"], ["test-connection"]):
        outcome = placed.run(*arguments)
        assert outcome.status == 7, outcome.everything
        assert any(each in " ".join(outcome.everything.split()) for each in words), outcome.everything
        assert WRONG not in outcome.everything
    assert checked.bucket.keys() == []


def test_no_such_bucket(placed: Installation, place: Place) -> None:
    """As well; AWS says of a bucket that is somebody else's that the key may not."""
    name = "kleidia-no-such-bucket"
    placed.configure(place.configuration().replace(f'bucket = "{place.bucket.name}"', f'bucket = "{name}"'))
    for arguments in (["backup"], ["list"], ["test-connection"]):
        outcome = placed.run(*arguments)
        assert outcome.status == 7, outcome.everything
        assert f"There is no bucket {name}" in " ".join(outcome.everything.split()), outcome.everything

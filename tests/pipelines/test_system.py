"""Whose archive it is: a restore of another installation's wants a word."""

from __future__ import annotations

from typing import Any

import pytest

from kleidia_backup import ConfigurationError, OtherSystem, backup, inspect, plan_restore, restore

from .conftest import PASSWORD, System, wreck

pytestmark = pytest.mark.anyio


def given(whole: System, /, **more: Any) -> dict[str, Any]:
    """What a restore of the whole system is asked."""
    return {
        "database": whole.postgres,
        "vault": whole.vault,
        "store": whole.store,
        "password": PASSWORD,
        **more,
    }


async def test_another_systems_archive_is_refused_before_anything_is_written(system: System) -> None:
    """Restore and dry run name both; a word lets them through."""
    made = await backup(**given(system, format="v2", system="staging"))
    _, head = await inspect(made.name, system.store)
    assert head.header.system == "staging"
    wreck(system)
    rows, secrets = system.rows(), system.secrets()
    for job in (restore, plan_restore):
        with pytest.raises(OtherSystem, match="'staging', and this one is 'production'") as caught:
            await job(made.name, **given(system, system="production"))
        assert (caught.value.system, caught.value.here) == ("staging", "production")
        assert "--from-other-system" in caught.value.hint
    assert (system.rows(), system.secrets()) == (rows, secrets)
    await plan_restore(made.name, **given(system, system="production", from_other_system=True))
    await restore(made.name, **given(system, system="production", from_other_system=True))
    assert system.secrets() != secrets


@pytest.mark.parametrize(
    ("format_", "made_by", "here"),
    [("v2", "staging", "staging"), ("v2", "", "production"), ("v2", "staging", ""), ("v1", "staging", "production")],
)
async def test_who_does_not_say_it_is_restored(format_: Any, made_by: str, here: str, system: System) -> None:
    """The same id, no id in the archive (format V1 has none), and no id here."""
    made = await backup(**given(system, format=format_, system=made_by, vault=None))
    rows = system.rows()
    await restore(made.name, **given(system, system=here, vault=None))
    assert system.rows() == rows


@pytest.mark.parametrize("system_id", ["x" * 201, "a\nb"])
async def test_an_id_that_cannot_be_shown_is_refused(system_id: str, system: System) -> None:
    """Before anything is asked of a server."""
    with pytest.raises(ConfigurationError, match="id of this system"):
        await backup(**given(system, format="v2", system=system_id))

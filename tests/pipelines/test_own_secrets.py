"""What the product itself needs is in no archive, and a restore neither writes nor removes nor misses it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from kleidia_backup import ConfigurationError, DirectorySettings, Root, TokenAuth, VaultSettings, plan_restore, restore
from kleidia_backup.config.build import vault_settings
from kleidia_backup.config.example import example
from kleidia_backup.config.reader import load
from kleidia_backup.demo.servers.kv import KvMount

from ..archive_format import backup, both_formats
from .conftest import PASSWORD

pytestmark = pytest.mark.anyio

OWN = ("app/password", "app/backup-service/one/encryption-password", "app/backup-service/one/restores/1")
#: Neighbours, which are the application's.
OTHERS = ("app/password/folder", "app/password2", "app/backup-service", "app/backup-services/x", "app/jwt-secret")


@dataclass
class Vault:
    """A KV mount with the product's secrets between others, and settings for it."""

    kv: KvMount
    settings: VaultSettings
    store: DirectorySettings

    def rooted(self, *roots: Root) -> VaultSettings:
        return replace(self.settings, roots=roots)

    async def restore(self, name: str, vault: VaultSettings, **options: Any) -> Any:
        return await restore(name, vault=vault, store=self.store, password=PASSWORD, **options)


@pytest.fixture(params=[1, 2])
def vault(request: pytest.FixtureRequest, kv_mount: Callable[[int], KvMount], tmp_path: Path) -> Vault:
    kv = kv_mount(request.param)
    for path in (*OWN, *OTHERS):
        kv.put(path, {"value": f"old {path}"})
    (tmp_path / "store").mkdir()
    settings = VaultSettings(
        address=kv.server.address,
        auth=TokenAuth(kv.server.root_token),
        roots=(Root("", kv.path, "app"),),
        own=(f"{kv.path}/app/password", f"{kv.path}/app/backup-service/"),
    )
    return Vault(kv, settings, DirectorySettings(tmp_path / "store"))


ROOTS: dict[str, Callable[[KvMount], tuple[Root, ...]]] = {
    "a folder": lambda kv: (Root("", kv.path, "app"),),
    "a folder with a prefix": lambda kv: (Root("some/where/", kv.path, "app"),),
    "the mount": lambda kv: (Root("", kv.path),),
    "the mount with a prefix": lambda kv: (Root("all/", kv.path),),
    "a root inside": lambda kv: (Root("", kv.path, "app/password"), Root("x/", kv.path, "app/backup-services")),
}


@both_formats
@pytest.mark.parametrize("kind", ROOTS)
async def test_no_archive_has_it_and_no_restore_touches_it(vault: Vault, kind: str) -> None:
    """Backed up, changed, restored with a prune: the product's own are as they are now, all others as they were."""
    kv, settings = vault.kv, vault.rooted(*ROOTS[kind](vault.kv))
    made = await backup(vault=settings, store=vault.store, password=PASSWORD)
    inside = kind == "a root inside"
    assert made.secrets == (2 if inside else len(OTHERS))
    assert len(made.own_secrets) == (0 if inside else 2)
    assert all(path.endswith(("app/password", "password", "backup-service/")) for path in made.own_secrets)
    assert made.warnings == ()
    for path in (*OWN, *OTHERS):
        kv.put(path, {"value": "new"})
    found = await plan_restore(made.name, vault=settings, store=vault.store, password=PASSWORD, prune=True)
    assert found.vault is not None
    assert (found.vault.changed, found.vault.extra, found.vault.own_secrets) == (made.secrets, 0, ())
    report = await vault.restore(made.name, settings, prune=True)
    assert (report.written, report.secrets, report.pruned_count, report.own_secrets) == (
        made.secrets,
        made.secrets,
        0,
        (),
    )
    assert [kv.get(path) for path in OWN] == [{"value": "new"}] * 3
    if not inside:
        assert [kv.get(path) for path in OTHERS] == [{"value": f"old {path}"} for path in OTHERS]


@both_formats
async def test_an_older_archive_that_has_it_is_restored_without_it(vault: Vault) -> None:
    """The report names what was left as it is; it counts nowhere, and what is gone is not brought back."""
    older = replace(vault.settings, own=())
    made = await backup(vault=older, store=vault.store, password=PASSWORD)
    assert made.secrets == len(OWN) + len(OTHERS)
    vault.kv.put(OWN[0], {"value": "new"})
    vault.kv.delete(OWN[1])
    for path in OTHERS:
        vault.kv.put(path, {"value": "new"})
    found = await plan_restore(made.name, vault=vault.settings, store=vault.store, password=PASSWORD, prune=True)
    assert found.vault is not None
    own = tuple(sorted(path.removeprefix("app/") for path in OWN))
    assert (found.vault.changed, found.vault.new, found.vault.own_secrets) == (len(OTHERS), 0, own)
    report = await vault.restore(made.name, vault.settings, prune=True)
    assert tuple(sorted(report.own_secrets)) == own
    assert (report.secrets, report.written, report.failed_count, report.warnings) == (len(OTHERS), len(OTHERS), 0, ())
    assert vault.kv.get(OWN[0]) == {"value": "new"}
    assert OWN[1] not in {path for path, value in vault.kv.all().items() if value is not None}
    assert [vault.kv.get(path) for path in OTHERS] == [{"value": f"old {path}"} for path in OTHERS]


@both_formats
async def test_an_archive_with_nothing_else_prunes_nothing(vault: Vault) -> None:
    """Of a root of which the archive has only the product's own secrets it has none: to prune would remove all."""
    only = VaultSettings(vault.settings.address, vault.settings.auth, (Root("", vault.kv.path, "app/backup-service"),))
    made = await backup(vault=only, store=vault.store, password=PASSWORD)
    target = vault.rooted(Root("", vault.kv.path, "app"))
    own = (f"{vault.kv.path}/app/one/",)
    with pytest.raises(ConfigurationError, match="has no secret of"):
        await vault.restore(made.name, replace(target, own=own), prune=True)
    report = await vault.restore(made.name, replace(target, own=own))
    assert (report.secrets, len(report.own_secrets)) == (0, 2)


@both_formats
async def test_many_of_them_before_others(vault: Vault) -> None:
    """An archive that begins with more of them than pass at once is restored to its end."""
    for number in range(300):
        vault.kv.put(f"app/backup-service/one/restores/{number:04}", {"value": "x" * 100})
    older = replace(vault.settings, own=())
    made = await backup(vault=older, store=vault.store, password=PASSWORD)
    for path in OTHERS:
        vault.kv.delete(path)
    report = await vault.restore(made.name, vault.settings)
    assert (report.written, len(report.own_secrets)) == (len(OTHERS), 300 + len(OWN))


def test_a_root_that_is_nothing_else_is_refused() -> None:
    """It is a slip: its archives would be empty."""
    with pytest.raises(ConfigurationError, match="where kleidia-backup keeps its own secrets"):
        VaultSettings("https://v.example", TokenAuth("t"), (Root("", "kv", "a/b/c"),), own=("kv/a/b/",))


@pytest.mark.parametrize(
    ("text", "own"),
    [
        ("", ("secret/kleidia/backup-service/",)),
        (
            '[password.vault]\nmount = "/secret/"\npath = "/kleidia/x/"\nfield = "p"\n',
            ("secret/kleidia/x", "secret/kleidia/backup-service/"),
        ),
        ('[service]\nsecrets_path = "/else/where/"\n', ("secret/else/where/",)),
        ('[service]\nsecrets_mount = "other"\n', ("other/kleidia/backup-service/",)),
    ],
)
def test_the_configuration_says_what_is_the_products_own(tmp_path: Path, text: str, own: tuple[str, ...]) -> None:
    """Whatever command reads it, with a section [service] or without."""
    file = tmp_path / "c.toml"
    text += '[vault]\naddress = "https://v.example"\nroots = [{ mount = "secret", path = "kleidia" }]\n'
    file.write_text(f'{text}[vault.auth]\ntoken = "t"\n', encoding="utf-8")
    found = vault_settings(load(file, {}))
    assert found is not None
    assert found.own == own


def test_the_password_of_the_example_is_the_products_own(tmp_path: Path) -> None:
    """The example's own place for it is inside of the example's own root."""
    file = tmp_path / "c.toml"
    text = example().replace("#[password.vault]", "[password.vault]").replace('file = "/etc/kleidia', '#file = "/etc')
    for name, value in (("mount", "secret"), ("path", "kleidia/backup"), ("field", "password")):
        text = text.replace(f'#{name} = "{value}"', f'{name} = "{value}"')
    file.write_text(text, encoding="utf-8")
    (tmp_path / "secret").write_text("s", encoding="utf-8")
    found = vault_settings(load(file, {"KLEIDIA_VAULT_AUTH_SECRET_ID_FILE": str(tmp_path / "secret")}))
    assert found is not None
    assert found.own == ("secret/kleidia/backup", "secret/kleidia/backup-service/")

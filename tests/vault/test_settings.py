"""Roots and settings."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kleidia_backup.stages.errors import ConfigurationError
from kleidia_backup.stages.vault.kv.roots import check_roots, locate, owner
from kleidia_backup.stages.vault.kv.settings import AppRoleAuth, Root, TokenAuth, UserpassAuth, VaultSettings

ROOTS = (Root("", "secret", "kleidia"), Root("yubikeys/", "yubikeys"))


def test_the_example_of_the_spec() -> None:
    """Two roots give the paths of the spec's example."""
    assert locate(ROOTS, "jwt-secret") == (ROOTS[0], "kleidia/jwt-secret")
    assert locate(ROOTS, "yubikeys/abc123/piv") == (ROOTS[1], "abc123/piv")


def test_the_longest_prefix_wins() -> None:
    """A path belongs to the root with the longest prefix; a prefix is whole folders only."""
    roots = (*ROOTS, Root("yubikeys/old/", "archive"))
    assert locate(roots, "yubikeys/old/x") == (roots[2], "x")
    assert locate(roots, "yubikeys/older") == (roots[1], "older")
    assert locate(roots, "yubikeys") == (roots[0], "kleidia/yubikeys")
    assert owner(roots[1:], "jwt-secret") is None


def test_slashes_around_mount_and_path_do_not_matter() -> None:
    """A mount and a folder may be written with or without slashes at their ends."""
    assert Root("", "/secret/", "/kleidia/") == Root("", "secret", "kleidia")


@pytest.mark.parametrize(
    "roots",
    [
        (),
        (Root("", "a"), Root("", "b")),
        (Root("", "a"), Root("b/", "a")),
        (Root("", "a", "x"), Root("b/", "a", "x/y")),
        (Root("", "a"), Root("b/", "a", "x")),
        (Root("", "team"), Root("b/", "team/kv")),
    ],
)
def test_ambiguous_roots_are_refused(roots: tuple[Root, ...]) -> None:
    """No root, equal prefixes, and folders inside one another are refused."""
    with pytest.raises(ConfigurationError):
        check_roots(roots)


def test_roots_side_by_side_are_fine() -> None:
    """Folders whose names only begin alike do not overlap."""
    check_roots((Root("", "a", "x"), Root("b/", "a", "xy"), Root("c/", "ab")))


@pytest.mark.parametrize(
    ("prefix", "mount", "path"),
    [("yubikeys", "m", ""), ("/", "m", ""), ("a//", "m", ""), ("", "", ""), ("", "m", "a//b"), ("", "m", "../x")],
)
def test_a_root_that_names_no_folder_is_refused(prefix: str, mount: str, path: str) -> None:
    """A prefix without its slash, an empty mount, and names that no vault has are refused."""
    with pytest.raises(ConfigurationError):
        Root(prefix, mount, path)


@pytest.mark.parametrize("path", ["", "a/", "/a", "a//b", ".", "a/../b", "a/./b", "\ud800"])
def test_an_archive_path_that_no_vault_can_hold_is_refused(path: str) -> None:
    """Empty names, dots and lone surrogates cannot be asked of a server without meaning something else."""
    with pytest.raises(ConfigurationError, match="No vault can hold"):
        locate(ROOTS[:1], path)


def test_an_archive_path_without_a_root_is_refused() -> None:
    """Without a root for everything, other paths have no place."""
    with pytest.raises(ConfigurationError, match="No vault root takes the path 'jwt-secret'"):
        locate(ROOTS[1:], "jwt-secret")


GOOD = VaultSettings("http://127.0.0.1:8200", TokenAuth("t"), ROOTS)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "127.0.0.1:8200",
        "ftp://x",
        "http://",
        "http://x:0",
        "http://x:99999",
        "http://u:p@x",
        "http://x/?a",
        "http://[",
        f"http://{'a' * 64}.example",
        "http://a..example",
        "http://[1.2.3.4]",
        "http://[:::::]:8200",
    ],
)
def test_an_address_that_is_no_url_is_refused(address: str) -> None:
    """The error repeats nothing of it, since it may hold a password."""
    with pytest.raises(ConfigurationError) as caught:
        replace(GOOD, address=address)
    assert "u:p" not in str(caught.value)


@pytest.mark.parametrize("namespace", ["team\n", "t\r\nX-Evil: 1", "a\0b", "\udcff", "a\tb"])
def test_a_namespace_that_no_header_can_hold_is_refused(namespace: str) -> None:
    """It ended a job as a bug; the setting is named, the namespace is not repeated."""
    with pytest.raises(ConfigurationError, match="namespace") as caught:
        replace(GOOD, namespace=namespace)
    assert namespace not in caught.value.message
    assert "BAO_NAMESPACE" in caught.value.hint
    assert replace(GOOD, namespace="team/é").namespace == "team/é"


def test_an_address_is_tidied() -> None:
    """A slash at the end and the path of the API itself do no harm."""
    assert replace(GOOD, address="https://x:8200/v1/").address == "https://x:8200"


@pytest.mark.parametrize("change", [{"workers": 0}, {"workers": 1000}, {"retry_budget": 0.0}, {"request_timeout": -1}])
def test_numbers_that_make_no_sense_are_refused(change: dict[str, int]) -> None:
    """Times and workers are above zero."""
    with pytest.raises(ConfigurationError):
        replace(GOOD, **change)  # type: ignore[arg-type]  # any of them


@pytest.mark.parametrize("token", ["", "with space", "line\n", "ümlaut"])
def test_a_token_that_cannot_be_one_is_refused(token: str) -> None:
    """A line break from a file, above all."""
    with pytest.raises(ConfigurationError):
        TokenAuth(token)


def test_secrets_are_not_shown() -> None:
    """The repr of settings holds no token, password or secret id."""
    auths = (TokenAuth("canary"), AppRoleAuth("canary", "canary"), UserpassAuth("joe", "canary"))
    for auth in auths:
        assert "canary" not in repr(replace(GOOD, auth=auth))

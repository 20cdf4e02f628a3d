"""The sink of a drill: compares all that an archive says of its secrets with what the vault says; writes nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..compare import Compare
from ..kv.answers import Absent, Deleted, Found, Refused
from ..kv.roots import locate, owns
from ..kv.values import equal
from ..reports import Named
from .bring_back import shift_of
from .keys import Key

if TYPE_CHECKING:
    from ....formats.secret import Metadata, Secret, Version


@dataclass
class DescribedReport:
    """How many secrets were compared by their metadata and by their versions, and which differ.

    ``unreadable`` are those whose metadata the vault did not say.
    """

    metadata: int = 0
    versions: int = 0
    other_metadata: Named[str] = field(default_factory=Named)
    other_versions: Named[str] = field(default_factory=Named)
    unreadable: Named[str] = field(default_factory=Named)


class CompareAll(Compare):
    """As ``Compare``, and metadata, settings of keys, version numbers and older versions where the archive has them.

    ``described`` is complete after the run.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.described = DescribedReport()

    async def _compare(self, secret: Secret) -> None:
        await super()._compare(secret)
        root, path = locate(self._roots, secret.path)
        known = secret.metadata is not None or secret.version
        if not known or owns(self._own, root.mount, path) or await self.client.kv_version(root.mount) != 2:
            return
        key = await self._keys.read(root.mount, path)
        report = self.described
        if isinstance(key, Refused):
            report.unreadable.add(secret.path)
        elif isinstance(key, Key):  # one that is missing is counted as that
            if secret.metadata is not None:
                report.metadata += 1
                if not _as_before(secret.metadata, key.metadata):
                    report.other_metadata.add(secret.path)
            if secret.version:
                report.versions += 1
                if not await self._same_versions(secret, key, root.mount, path):
                    report.other_versions.add(secret.path)

    async def _same_versions(self, secret: Secret, key: Key, mount: str, path: str) -> bool:
        shift = shift_of(secret)
        if key.current != secret.version - shift:
            return False
        if secret.gone and key.destroyed.get(key.current) != (secret.gone == "destroyed"):
            return False
        for version in secret.older:
            if not await self._same_version(version, key, mount, path, version.number - shift):
                return False
        return True

    async def _same_version(self, version: Version, key: Key, mount: str, path: str, number: int) -> bool:
        if key.destroyed.get(number) is not version.destroyed:  # or it is not there
            return False
        found = await self.client.read(mount, path, version=number)
        if version.value is None:
            return isinstance(found, Deleted | Absent)
        return isinstance(found, Found) and await equal(found.value, version.value)


def _as_before(wanted: Metadata, live: Metadata) -> bool:
    return wanted.custom_metadata == live.custom_metadata if wanted.partial else wanted == live

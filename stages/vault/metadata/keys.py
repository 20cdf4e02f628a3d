"""What KV version 2 keeps about a key besides its values: asked for, and set."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

import msgspec

from ....formats.json.broken import BROKEN
from ....formats.secret import Metadata
from ....pipeline.engine import in_thread
from ..kv import answers
from ..kv.answers import Absent, Names, Refused
from ..kv.backoff import GaveUp
from ..kv.transport import Call

if TYPE_CHECKING:
    from ..kv.client import VaultClient
    from ..kv.troubles import Answer

#: Largest answer, in bytes, with the metadata of a whole folder; those of a larger one are asked for one by one.
DETAILED = 32 * 1024 * 1024
#: Longer answers are parsed in a thread.
_INLINE = 64 * 1024
_NEVER = "0s"


class _Version(msgspec.Struct):
    created_time: str = ""
    deletion_time: str = ""
    destroyed: bool = False


class _Settings(msgspec.Struct, kw_only=True):
    custom_metadata: dict[str, str] | None = None
    max_versions: int = 0
    cas_required: bool = False
    metadata_cas_required: bool = False
    delete_version_after: str = _NEVER

    def metadata(self) -> Metadata:
        after = self.delete_version_after
        return Metadata(
            custom_metadata=self.custom_metadata or {},
            max_versions=self.max_versions,
            cas_required=self.cas_required,
            metadata_cas_required=self.metadata_cas_required,
            delete_version_after="" if after == _NEVER else after,
        )


class _Key(_Settings, kw_only=True):
    current_version: int = 0
    oldest_version: int = 0
    current_metadata_version: int = 0
    versions: dict[str, _Version] = msgspec.field(default_factory=dict)


class _KeyAnswer(msgspec.Struct):
    data: _Key


class _Folder(msgspec.Struct):
    keys: msgspec.Raw = msgspec.Raw(b"[]")
    key_info: dict[str, _Settings] = msgspec.field(default_factory=dict)


class _FolderAnswer(msgspec.Struct):
    data: _Folder


class _FolderKeys(msgspec.Struct):
    keys: msgspec.Raw = msgspec.Raw(b"[]")
    key_info: dict[str, _Key] = msgspec.field(default_factory=dict)


class _FolderKeysAnswer(msgspec.Struct):
    data: _FolderKeys


class _ConfigData(msgspec.Struct):
    max_versions: int = 0


class _ConfigAnswer(msgspec.Struct):
    data: _ConfigData


_NEW = _Settings()  # nearly all are
_NO_OLDER: Mapping[int, str | None] = MappingProxyType({})  # one for all that nobody asks for

_key = msgspec.json.Decoder(_KeyAnswer)
_folder = msgspec.json.Decoder(_FolderAnswer)
_folder_keys = msgspec.json.Decoder(_FolderKeysAnswer)
_config = msgspec.json.Decoder(_ConfigAnswer)
_STRANGE = Refused(200, "the answer is not what a KV engine says")


@dataclass(frozen=True, slots=True)
class Key:
    """A key: its metadata, the number of its newest version (0: none), and of each whether it was destroyed.

    ``oldest`` is 0 until it has no room for more.
    """

    metadata: Metadata
    current: int
    metadata_version: int = 0
    destroyed: dict[int, bool] = field(default_factory=dict)
    oldest: int = 0


@dataclass(frozen=True, slots=True)
class State:
    """What a folder's listing says of a key's versions: the newest one and when it was created, and what is the oldest.

    ``older`` has the times of those before, where asked for: None for one that is destroyed, empty for one that has a
    time of deletion.
    """

    newest: int
    created: str
    oldest: int = 0
    older: Mapping[int, str | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Listed:
    """The names in a folder, and the metadata of those that have some; None where the server does not say it so.

    ``states`` are those of the secrets whose newest version has a value and no time of deletion, where asked for.
    """

    names: Names
    metadata: dict[str, Metadata] | None
    states: dict[str, State] = field(default_factory=dict)


class Keys:
    """Asks one vault, and tells it. Raises what the client's requests raise; KV version 2 only."""

    def __init__(self, client: VaultClient) -> None:
        self._client = client
        self._kept: dict[str, int | None] = {}

    async def folder(self, mount: str, folder: str, *, states: bool = False, older: bool = False) -> Listed | None:
        """A folder with the metadata of all that is in it, as OpenBao says it in one answer; None where it does not.

        With ``states``, and in these those of ``older`` versions.
        """
        try:
            pages = await self._client.pages(f"{mount}/detailed-metadata/", folder, limit=DETAILED)
        except GaveUp:
            return None
        answer = pages[-1]
        if answer.oversize:
            return None
        if answer.status == 404 and isinstance(answers.missing(answer.body), Absent):
            return Listed(Names(), {})
        if answer.status != 200:
            return None
        parse = partial(_listed_keys, older=older) if states else _listed
        if len(pages) > 1:
            return await in_thread(_joined, parse, pages)
        return parse(answer.body) if len(answer.body) < _INLINE else await in_thread(parse, answer.body)

    async def read(self, mount: str, path: str) -> Key | Absent | Refused:
        """The metadata of one key."""
        answer = await self._ask(Call("GET", f"{mount}/metadata/{path}"))
        if isinstance(answer, Refused):
            return answer
        if answer.status == 404:
            missing = answers.missing(answer.body)
            return missing if isinstance(missing, Refused) else Absent()
        if answer.status != 200:
            return _refused(answer)
        try:
            key = _key.decode(answer.body).data
            versions = {int(number): each.destroyed for number, each in key.versions.items()}
        except (ValueError, *BROKEN):
            return _STRANGE
        return Key(key.metadata(), key.current_version, key.current_metadata_version, versions, key.oldest_version)

    async def write(self, mount: str, path: str, metadata: Metadata, *, live: Metadata | None = None) -> Refused | None:
        """Set the metadata of a key, all of it; of a ``partial`` one the custom metadata alone.

        ``live`` is what it has now. Where the server wants to be told which version of the metadata is replaced, it is.
        """
        body: dict[str, object] = {"custom_metadata": metadata.custom_metadata}
        if not metadata.partial:
            body |= {
                "max_versions": metadata.max_versions,
                "cas_required": metadata.cas_required,
                "delete_version_after": metadata.delete_version_after or _NEVER,
            }
            if metadata.metadata_cas_required or (live and live.metadata_cas_required):
                body["metadata_cas_required"] = metadata.metadata_cas_required
        return await self.set(mount, path, body)

    async def set(self, mount: str, path: str, body: dict[str, object]) -> Refused | None:
        """Set some fields."""
        answer = await self._post(f"{mount}/metadata/{path}", body)
        if isinstance(answer, Refused) or answer.status != 400:
            return _done(answer)
        key = await self.read(mount, path)
        number = key.metadata_version if isinstance(key, Key) else 0
        if isinstance(key, Refused):
            return _done(answer)
        return _done(await self._post(f"{mount}/metadata/{path}", body | {"metadata_cas": number}))

    async def mark(
        self, mount: str, path: str, how: Literal["delete", "destroy"], numbers: list[int]
    ) -> Refused | None:
        """Delete or destroy versions."""
        return _done(await self._post(f"{mount}/{how}/{path}", {"versions": numbers}))

    async def kept(self, mount: str) -> int | None:
        """How many versions the mount keeps of each key that does not say more; None when the token may not ask."""
        if mount not in self._kept:
            answer = await self._ask(Call("GET", f"{mount}/config"))
            self._kept[mount] = None
            if not isinstance(answer, Refused) and answer.status == 200:
                with contextlib.suppress(*BROKEN):
                    self._kept[mount] = _config.decode(answer.body).data.max_versions
        return self._kept[mount]

    async def _post(self, path: str, body: dict[str, object]) -> Answer | Refused:
        return await self._ask(Call("POST", path, msgspec.json.encode(body)))

    async def _ask(self, call: Call) -> Answer | Refused:
        try:
            return await self._client.request(call)
        except GaveUp as exc:
            return Refused(0, exc.trouble.clause)


def _joined(parse: Callable[[bytes], Listed | None], pages: Sequence[Answer]) -> Listed | None:
    """One of several pages."""
    whole = Listed(answers.joined(each.body for each in pages), {})
    for each in pages:
        listed = parse(each.body)
        if listed is None or listed.metadata is None or whole.metadata is None:
            return None
        whole.metadata.update(listed.metadata)
        whole.states.update(listed.states)
    return whole


def _listed(body: bytes) -> Listed | None:
    try:
        data = _folder.decode(body).data
    except BROKEN:
        return None
    # What is not named has nothing that a new key does not have. A folder's is that of a secret of the same name.
    found = {name: each.metadata() for name, each in data.key_info.items() if each != _NEW and not name.endswith("/")}
    return Listed(Names(data.keys), {name: each for name, each in found.items() if not each.plain})


def _listed_keys(body: bytes, *, older: bool) -> Listed | None:
    """The same, with the states."""
    metadata: dict[str, Metadata] = {}
    states: dict[str, State] = {}
    try:
        data = _folder_keys.decode(body).data
        for name, key in data.key_info.items():
            if name.endswith("/"):
                continue
            if not (said := key.metadata()).plain:
                metadata[name] = said
            if (state := _state(key, older=older)) is not None:
                states[name] = state
    except (ValueError, *BROKEN):
        return None
    return Listed(Names(data.keys), metadata, states)


def _state(key: _Key, *, older: bool) -> State | None:
    newest = key.versions.get(str(key.current_version))
    if newest is None or newest.destroyed or newest.deletion_time:
        return None
    if not older:
        return State(key.current_version, newest.created_time, 0, _NO_OLDER)
    others = {
        int(number): None if each.destroyed else "" if each.deletion_time else each.created_time
        for number, each in key.versions.items()
        if each is not newest
    }
    return State(key.current_version, newest.created_time, key.oldest_version, others)


def _done(answer: Answer | Refused) -> Refused | None:
    if isinstance(answer, Refused):
        return answer
    return None if answer.status in {200, 204} else _refused(answer)


def _refused(answer: Answer) -> Refused:
    return Refused(answer.status, answer.errors() or f"the server answers {answer.status}")

"""A vault's KV engines: read, list, write and delete one secret, as one of few results.

What concerns one path comes back as a result (``Refused`` with a reason, in the worst case); what concerns the whole
job is raised as one of the ``VaultError`` tree.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING, Self
from urllib.parse import quote

import anyio
import msgspec

from ....formats.json import text as jsontext
from ....formats.json.broken import BROKEN
from ....formats.secret import MAX_SECRET
from ....pipeline.engine import in_thread
from ...background import end
from ...errors import VaultSealed
from ...loop import need_asyncio
from . import answers
from .answers import Absent, Conflict, Deleted, Found, Names, Oversize, ReadResult, Refused, WriteResult, Written
from .backoff import GaveUp, Trouble
from .mounts import ask_version, no_mount, wrong_version
from .tokens import TokenKeeper
from .transport import LIST, LIST_LIMIT, WHOLE, Call, Transport
from .troubles import IS_VERSIONED, MOVED_ON, NO_MOUNT, Answer, final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from .settings import VaultSettings

#: Largest value, in bytes, that every worker may hold at once; larger ones are read one at a time.
SMALL = 1024 * 1024
#: What an answer holds besides the value: metadata, and up to 64 pairs of custom metadata.
_ENVELOPE = 512 * 1024
#: Longer answers are parsed in a thread, for they may be nested deeply.
_INLINE = 64 * 1024
#: Seconds in which the token is revoked at the end, or not.
_FAREWELL = 5.0
#: New tokens for one request: others may have used up the next one meanwhile.
_REPLACED = 3


class _Health(msgspec.Struct):
    initialized: bool = True
    sealed: bool = False


class VaultClient:
    """A session with one vault. An async context manager, on asyncio.

    ``hasty``: somebody waits for an answer, so nothing is tried for longer than the first contact.

    Entering reaches the server, logs in, and starts to renew the token; leaving revokes it if the client logged in.
    Entering and every method raise ``VaultUnreachable``, ``VaultSealed`` or ``VaultError`` when nothing succeeded for
    the budget, ``VaultForbidden`` when the login is refused or the token died for good, and ``ConfigurationError`` for
    an address that redirects, or of something else.
    """

    def __init__(self, settings: VaultSettings, *, hasty: bool = False) -> None:
        self.settings = settings
        self._budget = settings.start_budget if hasty else settings.retry_budget
        self._transport = Transport(settings)
        self._tokens = TokenKeeper(settings, self._transport)
        self._versions = {root.mount: root.kv_version for root in settings.roots if root.kv_version is not None}
        #: What the paths begin with whose lists a policy cuts into pages.
        self._paged: set[str] = set()
        self._renewal: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        need_asyncio("The vault")
        await self._transport.__aenter__()
        try:
            await self._transport.insist(self._unsealed)
            await self._tokens.start()
        except BaseException:
            await self._leave()
            raise
        self._transport.backoff.budget = self._budget
        self._renewal = asyncio.create_task(self._tokens.keep(), name="vault token renewal")
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._renewal is not None:
            with anyio.CancelScope(shield=True):
                await end(self._renewal)
        await self._leave()

    async def _leave(self) -> None:
        with anyio.move_on_after(_FAREWELL, shield=True):
            await self._tokens.close()
        with anyio.CancelScope(shield=True):
            await self._transport.__aexit__()

    async def _unsealed(self) -> Trouble | None:
        answer = await self._transport.once(Call("GET", "sys/seal-status"), "")
        if isinstance(answer, Trouble):
            return answer
        if answer.status == 200:
            with contextlib.suppress(*BROKEN):
                health = msgspec.json.decode(answer.body, type=_Health)
                if not health.initialized:
                    raise VaultSealed(
                        f"The vault at {self.settings.address} is not initialised.", hint="Initialise and unseal it."
                    )
                if health.sealed:
                    return Trouble("sealed", "is sealed")
        return None

    @property
    def consistent(self) -> bool:
        """Whether no answer can be older than what the active server of a cluster holds (OpenBao 2.7 and newer)."""
        return self._transport.consistent

    def expected(self, left: Callable[[], int]) -> AbstractContextManager[None]:
        """Meanwhile ``left`` says how many requests are still to be made, at least.

        Where a rate limit lets so few pass that the job cannot end in its time, requests raise ``JobTimeout``.
        """
        return self._transport.backoff.expected(left)

    # One request ----------------------------------------------------------------------------------------------

    async def request(self, call: Call) -> Answer:
        """Any request, with the token; a token that died is replaced. Raises ``GaveUp`` for this request alone."""
        token = await self._tokens.take()
        answer = await self._transport.request(call, token)
        for _ in range(_REPLACED):
            if answer.status != 403 or not await self._tokens.recover(token):
                break
            token = await self._tokens.take()
            answer = await self._transport.request(call, token)
        return answer

    async def control(self, call: Call) -> Answer:
        """A request about no secret, without which the job cannot go on: what it fails with is raised."""
        try:
            return await self.request(call)
        except GaveUp as exc:
            raise final(self.settings.address, exc.trouble, self._budget) from None

    # Mounts ---------------------------------------------------------------------------------------------------

    async def kv_version(self, mount: str) -> int:
        """The version of the KV engine at a mount: 1 or 2. Asked once.

        Raises ``VaultMountMissing`` when there is none, ``VaultForbidden`` when the token may do nothing there.
        """
        if mount not in self._versions:
            self._versions[mount] = await ask_version(self.control, self.settings.address, mount)
        return self._versions[mount]

    async def _data(self, mount: str, path: str) -> str:
        return f"{mount}/data/{path}" if await self.kv_version(mount) == 2 else f"{mount}/{path}"

    async def _metadata(self, mount: str, path: str) -> str:
        return f"{mount}/metadata/{path}" if await self.kv_version(mount) == 2 else f"{mount}/{path}"

    # Secrets --------------------------------------------------------------------------------------------------

    async def read(self, mount: str, path: str, *, version: int = 0, limit: int = MAX_SECRET) -> ReadResult:
        """The newest value of a secret, or in KV version 2 an older one; ``Oversize`` above ``limit`` bytes."""
        call = Call(
            "GET",
            await self._data(mount, path),
            query=f"version={version}" if version else "",
            limit=limit + _ENVELOPE,
        )
        try:
            answer = await self.request(call)
        except GaveUp as exc:
            return Refused(0, exc.trouble.clause)
        if answer.oversize:
            return Oversize()
        if answer.status == 404:
            return self._missing(mount, answer)
        if answer.status != 200:
            return _refused(answer)
        parse = answers.read_versioned if self._versions[mount] == 2 else answers.read_plain
        found = parse(answer.body) if len(answer.body) < _INLINE else await in_thread(parse, answer.body)
        return Oversize() if isinstance(found, Found) and len(found.value) > limit else found

    async def list(self, mount: str, folder: str) -> Names | Refused:
        """The names in a folder ("" or with a slash at its end); sub-folders have a slash at theirs."""
        try:
            pages = await self.pages(await self._metadata(mount, ""), folder)
        except GaveUp as exc:
            return Refused(0, exc.trouble.clause)
        answer = pages[-1]
        if answer.oversize:
            return Refused(200, f"more names than fit into {LIST_LIMIT >> 20} MiB")
        if answer.status == 404:
            nothing = self._missing(mount, answer)
            return nothing if isinstance(nothing, Refused) else Names()
        if answer.status != 200:
            return _refused(answer)
        return answers.read_names(answer.body) if len(pages) == 1 else answers.joined(each.body for each in pages)

    async def pages(self, prefix: str, folder: str, *, limit: int = LIST_LIMIT) -> Sequence[Answer]:
        """The answers that list a folder below ``prefix``: one, or where a policy sets ``pagination_limit`` one a page.

        All of several have names; so a page that cannot be had is the only one. Raises ``GaveUp``.
        """
        call = Call("GET", prefix + folder, query=WHOLE, limit=limit)
        if prefix not in self._paged:
            answer = await self.request(call)
            if answer.status not in {400, 403}:
                return [answer]
        answer = await self.request(replace(call, query=LIST))
        found, seen = [answer], set[str]()
        while new := [name for name in _names(answer) if name not in seen]:
            self._paged.add(prefix)
            seen.update(new)
            answer = await self.request(replace(call, query=f"{LIST}&after={quote(new[-1], safe='')}"))
            if answer.status == 404:
                break
            if answer.status != 200 or answer.oversize:
                return [answer]
            found.append(answer)
        return found

    async def write(self, mount: str, path: str, value: bytes, *, cas: int | None = None) -> WriteResult:
        """Write a value (JSON text) if the newest version is ``cas``; 0 when there must be none.

        ``cas`` None, and KV version 1, write whatever is there. An attempt whose answer was lost is repeated; when the
        server then says that the version has moved on, what it holds is read and compared.
        """
        url = await self._data(mount, path)
        body = value
        if self._versions[mount] == 2:
            options = b"" if cas is None else b',"options":{"cas":%d}' % cas
            body = b'{"data":' + value + options + b"}"
        try:
            answer = await self.request(Call("POST", url, body))
        except GaveUp as exc:
            return Refused(0, exc.trouble.clause)
        if answer.status in {200, 204}:
            return answers.written(answer.body)
        if answer.status == 404:
            nothing = self._missing(mount, answer)
            return nothing if isinstance(nothing, Refused) else Refused(404, "the server takes no write here")
        if answer.status == 400 and cas is not None and answer.says(MOVED_ON):
            now = await self.read(mount, path)
            if isinstance(now, Found) and now.version == cas + 1 and jsontext.same(now.value, value, as_float=True):
                return Written(now.version)
            return Conflict()
        return _refused(answer)

    async def delete(self, mount: str, path: str, *, all_versions: bool = False) -> Written | Refused:
        """Delete a secret: in KV version 2 its newest version, or with ``all_versions`` everything about it.

        Deleting what is not there succeeds.
        """
        url = await (self._metadata if all_versions else self._data)(mount, path)
        try:
            answer = await self.request(Call("DELETE", url))
        except GaveUp as exc:
            return Refused(0, exc.trouble.clause)
        if answer.status == 404:
            nothing = self._missing(mount, answer)
            return nothing if isinstance(nothing, Refused) else Written()
        return Written() if answer.status in {200, 204} else _refused(answer)

    def _missing(self, mount: str, answer: Answer) -> Deleted | Absent | Refused:
        result = answers.missing(answer.body)
        if isinstance(result, Refused) and answer.says(NO_MOUNT):
            raise no_mount(self.settings.address, mount)
        if isinstance(result, Refused) and answer.says(IS_VERSIONED):
            raise wrong_version(mount, 2, 1)
        return result


def _names(answer: Answer) -> list[str]:
    """The names in a page; none in what is something else."""
    names = Names() if answer.status != 200 or answer.oversize else answers.read_names(answer.body)
    with contextlib.suppress(ValueError):
        return [] if isinstance(names, Refused) else [*names]
    return []


def _refused(answer: Answer) -> Refused:
    return Refused(answer.status, answer.errors() or f"the server answers {answer.status}")

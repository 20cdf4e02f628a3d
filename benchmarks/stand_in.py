"""A stand-in for a vault with any number of secrets, which it makes up as asked: ``python stand_in.py COUNT MODE``.

``full`` answers every LIST and GET below the mount ``yubikeys`` with one folder a key, as the real layout has them, and
every LIST with metadata as OpenBao does;
``empty`` has no secret and takes every write. It speaks just enough HTTP/1.1, keeps nothing, and remembers when every
hundredth of the work was done: ``GET /progress`` gives these times. It prints its address on stdout.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from time import perf_counter

_FIRST = 10_000_000
_STEP = 7
_TIMES = b'"created_time":"2026-01-17T12:00:00.0Z","deletion_time":""'
_METADATA = b'"metadata":{%b,"custom_metadata":null,"destroyed":false,"version":1}' % _TIMES
#: A secret as a listing with metadata has it: with nothing that a new one has not.
_LISTED = (
    b'{"data":{"keys":["piv"],"key_info":{"piv":{"cas_required":false,"created_time":"2026-01-17T12:00:00.0Z",'
    b'"current_version":1,"custom_metadata":null,"delete_version_after":"0s","max_versions":0,"oldest_version":0,'
    b'"updated_time":"2026-01-17T12:00:00.0Z"}}}}'
)


class Vault:
    """What it answers."""

    def __init__(self, count: int, *, full: bool) -> None:
        self.count = count
        self.full = full
        self.done = 0
        self.times: list[float] = []
        # As large as a key's secret, and as hard to compress; made once, since time here is not ours.
        rng = random.Random(1)
        self.filler = [rng.randbytes(200).hex().encode() for _ in range(256)]

    def step(self) -> None:
        """One secret more was read or written."""
        self.done += 1
        if self.done % (self.count // 100) == 0:
            self.times.append(perf_counter())

    def answer(self, method: bytes, target: bytes) -> tuple[int, bytes]:
        """Status and body."""
        path, _, query = target.removeprefix(b"/v1/").partition(b"?")
        if path.startswith(b"yubikeys/data/"):
            return self.secret(method, path[14:])
        if path.startswith(b"yubikeys/metadata/") and query == b"list=true":
            return self.names(path[18:])
        if self.full and path.startswith(b"yubikeys/detailed-metadata/") and query == b"list=true":
            return 200, _LISTED
        other = {
            b"sys/seal-status": {"initialized": True, "sealed": False},
            b"sys/internal/ui/mounts": {"data": {"secret": {"yubikeys/": {"type": "kv", "options": {"version": "2"}}}}},
            b"auth/token/lookup-self": {"data": {"ttl": 0, "renewable": False}},
            b"sys/capabilities-self": {"data": {"yubikeys/data/kleidia-backup-check": ["root"]}},
            b"/progress": {"times": self.times, "done": self.done},
        }
        found = other.get(path)
        return (404, b'{"errors":[]}') if found is None else (200, json.dumps(found).encode())

    def names(self, folder: bytes) -> tuple[int, bytes]:
        if not self.full:
            return 404, b'{"errors":[]}'
        if folder:
            return 200, b'{"data":{"keys":["piv"]}}'
        names = ",".join(f'"{_FIRST + _STEP * number}/"' for number in range(self.count))
        return 200, f'{{"data":{{"keys":[{names}]}}}}'.encode()

    def secret(self, method: bytes, path: bytes) -> tuple[int, bytes]:
        if method == b"POST":
            self.step()
            return 200, b'{"data":{%b,"destroyed":false,"version":1}}' % _TIMES
        if not self.full:
            return 404, b'{"errors":[]}'
        self.step()
        serial = path.partition(b"/")[0]
        key = self.filler[self.done % 256]
        return 200, b'{"data":{"data":{"serial":"%b","management_key":"%b"},%b}}' % (serial, key, _METADATA)


class Connection(asyncio.Protocol):
    """One client's connection: requests in, answers out, one after the other."""

    def __init__(self, vault: Vault) -> None:
        self.vault = vault
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end]
            size, at = 0, head.lower().find(b"content-length:")
            if at >= 0:
                size = int(head[at + 15 :].partition(b"\r\n")[0])
            if len(self.buffer) < end + 4 + size:
                return
            self.buffer = self.buffer[end + 4 + size :]
            method, target, _ = head.split(b" ", 2)
            status, body = self.vault.answer(method, target)
            self.transport.write(
                b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
                % (status, len(body), body)
            )


async def serve(vault: Vault) -> None:
    """Serve until somebody ends us."""
    server = await asyncio.get_running_loop().create_server(lambda: Connection(vault), "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(Vault(int(sys.argv[1]), full=sys.argv[2] == "full")))

"""A proxy that lets through so many bytes a second of each connection: ``python proxy.py HOST PORT BYTES``.

It stands for a network, or for a server's disk, that one connection cannot use up. It prints its own port on stdout.
What comes from the server is limited, what goes there is not.
"""

from __future__ import annotations

import socket
import sys
import threading
import time

#: As small as needed for an even stream, as large as possible for little work.
_PIECE = 256 * 1024


def _copy(source: socket.socket, target: socket.socket, rate: float | None) -> None:
    """Until the end of one direction, which is told on."""
    buffer = memoryview(bytearray(_PIECE))
    due = time.monotonic()
    try:
        while size := source.recv_into(buffer):
            target.sendall(buffer[:size])
            if rate:
                now = time.monotonic()
                due = max(due, now - _PIECE / rate) + size / rate  # idle time is no credit, beyond one piece
                if due > now:
                    time.sleep(due - now)
        target.shutdown(socket.SHUT_WR)
    except OSError:  # one side has gone
        source.close()
        target.close()


def serve(host: str, port: int, rate: float) -> None:
    """Serve until somebody ends us."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        while True:
            client, _ = listener.accept()
            server = socket.create_connection((host, port))
            for source, target, limit in ((client, server, None), (server, client, rate)):
                threading.Thread(target=_copy, args=(source, target, limit), daemon=True).start()


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))

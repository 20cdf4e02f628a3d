"""Clients that poll a service, as a process of its own: connections and little else, for it has the same two cores.

``pollers.py PORT`` takes lines: a JSON list of tokens, one for each client, then numbers of jobs. Each client asks once
a second, in turns for the jobs that run and for the job that was named last, until its input ends; then the seconds of
every answer and the CPU time of this process are printed as JSON.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time

#: Seconds between two requests of one client.
EVERY = 1.0


class Client:
    """A connection that asks, and reads the answer when it is there."""

    def __init__(self, port: int, token: str, turn: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self._rest = f" HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n\r\n"
        self._turn = turn
        self._sent_at = 0.0
        self._read = b""

    def ask(self, job: str) -> None:
        """Send the next request."""
        assert not self._sent_at, "the last one is not answered yet"
        self._turn += 1
        self._sent_at = time.perf_counter()
        path = "running" if self._turn % 2 else job
        self.socket.send(f"GET /api/backup/jobs/{path}{self._rest}".encode())

    def take(self) -> float | None:
        """Read; the seconds of the answer once it is whole."""
        self._read += self.socket.recv(65536)
        head, found, body = self._read.partition(b"\r\n\r\n")
        if not found:
            return None
        assert head.startswith(b"HTTP/1.1 200 "), head
        if len(body) < int(head.partition(b"content-length: ")[2].partition(b"\r")[0]):
            return None
        seconds, self._sent_at, self._read = time.perf_counter() - self._sent_at, 0.0, b""
        return seconds


def main() -> None:
    """Ask until the input ends."""
    lines = sys.stdin.fileno()
    tokens, job = json.loads(sys.stdin.readline()), sys.stdin.readline().strip()
    clients = [Client(int(sys.argv[1]), token, number) for number, token in enumerate(tokens)]
    by_number = {each.socket.fileno(): each for each in clients}
    ready = select.epoll()
    for number in (lines, *by_number):
        ready.register(number, select.EPOLLIN)
    print("ready", flush=True)
    seconds: list[float] = []
    count, began, before = 0, time.perf_counter(), time.process_time()
    while True:
        due = began + count * EVERY / len(clients)
        while (left := due - time.perf_counter()) <= 0:  # one after another, not all in the same instant
            clients[count % len(clients)].ask(job)
            count += 1
            due = began + count * EVERY / len(clients)
        for number, _ in ready.poll(left):
            if number == lines:
                if not (line := sys.stdin.readline()):
                    print(json.dumps({"seconds": seconds, "cpu": time.process_time() - before}))
                    return
                job = line.strip()
            elif (taken := by_number[number].take()) is not None:
                seconds.append(taken)


if __name__ == "__main__":
    main()

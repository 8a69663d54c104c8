"""A load balancer between a client and its server, with the faults that balancers have."""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import threading
from collections.abc import Iterator

__all__ = ["Balancer", "balancer"]


class Balancer:
    """Address whose connections lead to `target`; after a change of `target`, new ones lead there.

    `forget` has every connection that is open by then answer what is sent on it with a "reset", the
    "end" or "nothing". With `swallow` the next reply is lost together with its connection, with
    `cut` its second half. With `drip` each byte of a reply comes so many seconds after the one
    before, with `delay` each reply comes so many seconds late. While `cut_off`, nothing passes
    in either direction.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self.swallow = False
        self.drip = 0.0
        self.delay = 0.0
        self.cut = False
        self.cut_off = False
        self.opened = 0
        self._forgotten: tuple[int, str] = (0, "")
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self._done = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def forget(self, how: str) -> None:
        self._forgotten = (self.opened, how)

    def close(self) -> None:
        self._done.set()
        self._server.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._server.accept()
                self.opened += 1
                thread = threading.Thread(
                    target=self._serve, args=(client, self.opened), daemon=True
                )
                thread.start()

    def _serve(self, client: socket.socket, number: int) -> None:
        with (
            contextlib.suppress(OSError),
            client,
            socket.create_connection(("127.0.0.1", self.target)) as server,
        ):
            while not self._done.is_set():
                if self.cut_off:
                    self._done.wait(0.1)
                    continue
                for ready in select.select([client, server], [], [], 0.1)[0]:
                    data = ready.recv(1 << 16)
                    if not data or not self._pass(client, server, ready, data, number):
                        return

    def _pass(
        self,
        client: socket.socket,
        server: socket.socket,
        ready: socket.socket,
        data: bytes,
        number: int,
    ) -> bool:
        before, how = self._forgotten
        if ready is server:
            if self.swallow:
                self.swallow = False
                return False
            if self.cut:
                self.cut = False
                client.sendall(data[: len(data) // 2])
                return False
            self._done.wait(self.delay)
            while self.drip and data:
                client.sendall(data[:1])
                data = data[1:]
                self._done.wait(self.drip)
            client.sendall(data)
        elif number > before:
            server.sendall(data)
        elif how == "reset":
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return False
        else:
            return how == "nothing"
        return True


@contextlib.contextmanager
def balancer(target: int) -> Iterator[Balancer]:
    made = Balancer(target)
    try:
        yield made
    finally:
        made.close()

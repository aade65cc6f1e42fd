"""A TCP proxy that loses the network on demand: cut, hold, delay."""

from __future__ import annotations

import socket
import struct
import threading
import time

_CHUNK = 65536


class TcpProxy:
    """Listens on a loopback port from its creation and passes connections on to `target`.

    cut()/restore(): every connection is reset and new ones are too, as when the server's host is gone.
    hold()/release(): connections stay, no byte passes, as when packets are lost on the way.
    `delay`: seconds that each chunk waits, in each direction.
    """

    def __init__(self, target: tuple[str, int]):
        self.target = target
        self.delay = 0.0
        self._open = threading.Event()
        self._open.set()
        self._cut = False
        self._closing = False
        self._lock = threading.Lock()
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._listener.settimeout(0.2)
        self.port: int = self._listener.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        self._accepter = threading.Thread(target=self._accept, daemon=True)
        self._accepter.start()

    def cut(self) -> None:
        """Resets every connection, and every new one until restore()."""
        self._cut = True
        self.drop_connections()

    def restore(self) -> None:
        """Undoes cut()."""
        self._cut = False

    def hold(self) -> None:
        """Lets nothing through until release(); nobody is told."""
        self._open.clear()

    def release(self) -> None:
        """Undoes hold(): what was held back arrives."""
        self._open.set()

    def drop_connections(self) -> None:
        """Resets the connections of this moment; new ones are welcome."""
        with self._lock:
            pairs, self._pairs = self._pairs, set()
        for pair in pairs:
            for end in pair:
                _reset(end)

    @property
    def connections(self) -> int:
        """How many connections pass through now."""
        with self._lock:
            return len(self._pairs)

    def close(self) -> None:
        """Ends it with all its connections."""
        self._closing = True
        self._open.set()
        self._accepter.join(5)
        self._listener.close()
        self.drop_connections()

    def __enter__(self) -> "TcpProxy":
        return self

    def __exit__(self, *_exception) -> None:
        self.close()

    def _accept(self) -> None:
        while not self._closing:
            try:
                client, _ = self._listener.accept()
            except TimeoutError:
                continue
            if self._cut:
                _reset(client)
                continue
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(self.target, timeout=10)
        except OSError:
            _reset(client)
            return
        pair = (client, server)
        for end in pair:
            end.settimeout(None)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self._pairs.add(pair)
        back = threading.Thread(target=self._pump, args=(server, client), daemon=True)
        back.start()
        self._pump(client, server)
        back.join()
        with self._lock:
            self._pairs.discard(pair)
        for end in pair:
            end.close()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        """Passes one direction on until it ends; an end is passed on as well."""
        try:
            while data := source.recv(_CHUNK):
                if self.delay:
                    time.sleep(self.delay)
                self._open.wait()
                sink.sendall(data)
            self._open.wait()
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            _reset(source)
            _reset(sink)


def _reset(end: socket.socket) -> None:
    """Ends a connection by RST, waking whoever waits on it."""
    try:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        end.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    end.close()

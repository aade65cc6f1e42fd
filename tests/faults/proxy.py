"""A TCP proxy that fails on purpose: it cuts, stalls, delays, and knows the frames of Kafka.

One thread with an event loop serves all connections; every public method may be called from any thread.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

UP, DOWN = "up", "down"  # from the client, to the client

# Kafka's numbers of requests
PRODUCE, METADATA, FIND_COORDINATOR = 0, 3, 10
INIT_PRODUCER_ID, ADD_PARTITIONS_TO_TXN, END_TXN = 22, 24, 26

_CHUNK = 65536


@dataclass(eq=False)
class Rule:
    """What happens to the next requests with this number.

    hold: the request, and what comes behind it on its connection, waits for `seconds`, or until it is
    let go, even when the client has gone meanwhile. late: the connection is reset, and the request
    arrives `seconds` later on a connection of its own. drop_reply: it arrives, its answer does not.
    """

    api: int
    action: str
    seconds: float = 1.0
    count: int = 1
    hits: int = 0
    let_go: asyncio.Event = field(default_factory=asyncio.Event)


class FaultProxy:
    """Listens on a loopback port and passes connections on to `target`; `framed` for Kafka's protocol.

    Plain values that may be set at any time: `delay` (seconds for each piece), `piece` (its bytes),
    `refusing` (new connections are reset), `answer` (sent to every new connection, which then ends).
    """

    def __init__(self, target: tuple[str, int], framed: bool = False):
        self.target, self.framed = target, framed
        self.delay, self.piece = 0.0, _CHUNK
        self.refusing = False
        self.answer: bytes | None = None
        self.rules: list[Rule] = []
        self.late: list[bytes] = []  # requests that arrived on a connection of their own
        self._cut_after: dict[str, int] = {}
        self._links: set[_Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._open = {UP: asyncio.Event(), DOWN: asyncio.Event()}
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,), daemon=True)
        self._thread.start()
        ready.wait(10)

    # -- faults

    def cut(self) -> None:
        """Resets the connections of this moment."""
        self._call(lambda: [link.reset() for link in list(self._links)])

    def cut_after(self, direction: str, count: int) -> None:
        """Resets a connection once that many more bytes have passed in one direction."""
        self._call(lambda: self._cut_after.__setitem__(direction, count))

    def stall(self, *directions: str) -> None:
        """Lets nothing through in these directions until heal(); nobody is told."""
        self._call(lambda: [self._open[direction].clear() for direction in directions])

    def add(self, rule: Rule) -> Rule:
        """Applies a rule from now on."""
        self._call(lambda: self.rules.append(rule))
        return rule

    def remove(self, rule: Rule) -> None:
        """Takes a rule back and lets go what it holds."""

        def gone() -> None:
            if rule in self.rules:
                self.rules.remove(rule)
            rule.let_go.set()

        self._call(gone)

    def heal(self) -> None:
        """Undoes every fault; what was held back arrives."""

        def healed() -> None:
            self.delay, self.piece, self.refusing, self.answer = 0.0, _CHUNK, False, None
            self._cut_after.clear()
            for gate in self._open.values():
                gate.set()

        self._call(healed)
        for rule in list(self.rules):
            self.remove(rule)

    @property
    def connections(self) -> int:
        """How many connections pass through now."""
        return len(self._links)

    def close(self) -> None:
        """Ends it with all its connections."""
        if self._thread.is_alive():
            self.cut()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(5)
        self._listener.close()

    def __enter__(self) -> "FaultProxy":
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    # -- its thread

    def _call(self, what: Callable[[], object]) -> None:
        async def run() -> None:
            what()

        asyncio.run_coroutine_threadsafe(run(), self._loop).result(10)

    def _run(self, ready: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        for gate in self._open.values():
            gate.set()
        server = asyncio.start_server(self._serve, sock=self._listener)
        self._loop.run_until_complete(server)
        ready.set()
        self._loop.run_forever()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0.01))
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refusing:
            _reset(writer)
            return
        if self.answer is not None:
            try:
                await asyncio.wait_for(reader.read(_CHUNK), 5)
                writer.write(self.answer)
                await writer.drain()
            except (OSError, TimeoutError):
                pass
            writer.close()
            return
        try:
            there = await asyncio.open_connection(*self.target)
        except OSError:
            _reset(writer)
            return
        link = _Link(self, (reader, writer), there)
        self._links.add(link)
        try:
            await link.run()
        finally:
            self._links.discard(link)

    def start_late(self, frame: bytes, seconds: float) -> None:
        """Sends a request after a while on a connection of its own and throws the answer away."""
        task = self._loop.create_task(self._send_late(frame, seconds))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send_late(self, frame: bytes, seconds: float) -> None:
        await asyncio.sleep(seconds)
        try:
            reader, writer = await asyncio.open_connection(*self.target)
            writer.write(frame)
            await writer.drain()
            self.late.append(frame)
            await asyncio.wait_for(reader.read(_CHUNK), 5)
            writer.close()
        except (OSError, TimeoutError):
            pass

    def rule_for(self, api: int) -> Rule | None:
        """The rule that a request falls under; counts it."""
        for rule in self.rules:
            if rule.api == api:
                rule.hits += 1
                if rule.hits >= rule.count:
                    self.rules.remove(rule)
                return rule
        return None

    def bytes_left(self, direction: str, count: int) -> int:
        """How many of the next bytes may pass before the cut that was asked for."""
        if direction not in self._cut_after:
            return count
        left = self._cut_after[direction]
        if left >= count:
            self._cut_after[direction] = left - count
            return count
        del self._cut_after[direction]
        return left

    async def gate(self, direction: str) -> None:
        """Waits as long as a direction is stalled."""
        await self._open[direction].wait()


class _Link:
    """One connection that passes through."""

    def __init__(self, proxy: FaultProxy, client, server):
        self.proxy = proxy
        self.client_in, self.client_out = client
        self.server_in, self.server_out = server
        self.unanswered: set[int] = set()  # requests whose answers get lost
        for writer in (self.client_out, self.server_out):
            writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def reset(self) -> None:
        """Ends it by RST on both sides."""
        _reset(self.client_out)
        _reset(self.server_out)

    async def run(self) -> None:
        """Passes both directions until both have ended; a client that is gone does not end the way up."""
        down = asyncio.create_task(self._pump(self.server_in, self.client_out, DOWN))
        up = asyncio.create_task(self._pump(self.client_in, self.server_out, UP))
        try:
            await asyncio.wait((down,))
        finally:
            up.cancel()
            down.cancel()
            self.reset()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, direction: str) -> None:
        try:
            if self.proxy.framed:
                await self._frames(source, sink, direction)
            else:
                while data := await source.read(min(_CHUNK, self.proxy.piece)):
                    await self._pass(sink, data, direction)
            await self.proxy.gate(direction)
            if sink.can_write_eof():
                sink.write_eof()
        except (OSError, RuntimeError, asyncio.IncompleteReadError):
            if direction == UP:  # no more will come; the server may still be working on what did
                _reset(self.client_out)
                _end(self.server_out)
            else:  # nobody listens; what is still on its way up has to arrive
                await _drain(source)

    async def _frames(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, direction: str) -> None:
        while True:
            head = await source.readexactly(4)
            frame = head + await source.readexactly(struct.unpack(">i", head)[0])
            if direction == DOWN:
                if struct.unpack(">i", frame[4:8])[0] in self.unanswered:
                    self.reset()
                    return
            elif await self._ruled(frame):
                return
            for at in range(0, len(frame), self.proxy.piece):
                await self._pass(sink, frame[at : at + self.proxy.piece], direction)

    async def _ruled(self, frame: bytes) -> bool:
        """Applies a rule to a request; True when the connection is gone."""
        api, _version, number = struct.unpack(">hhi", frame[4:12])
        rule = self.proxy.rule_for(api)
        if rule is None:
            return False
        if rule.action == "late":
            self.proxy.start_late(frame, rule.seconds)
            self.reset()
            return True
        if rule.action == "drop_reply":
            self.unanswered.add(number)
            return False
        try:
            await asyncio.wait_for(rule.let_go.wait(), rule.seconds)
        except TimeoutError:
            pass
        return False

    async def _pass(self, sink: asyncio.StreamWriter, data: bytes, direction: str) -> None:
        if self.proxy.delay:
            await asyncio.sleep(self.proxy.delay)
        await self.proxy.gate(direction)
        may = self.proxy.bytes_left(direction, len(data))
        sink.write(data[:may])
        await sink.drain()
        if may < len(data):
            self.reset()
            raise ConnectionResetError


def _reset(writer: asyncio.StreamWriter) -> None:
    """Ends a connection by RST."""
    end = writer.get_extra_info("socket")
    if end is not None and not writer.transport.is_closing():
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def _drain(source: asyncio.StreamReader) -> None:
    """Reads until the other side has ended."""
    try:
        while await source.read(_CHUNK):
            pass
    except OSError:
        pass


def _end(writer: asyncio.StreamWriter) -> None:
    """Tells the other side that no more comes."""
    try:
        writer.write_eof()
    except (OSError, RuntimeError):
        pass

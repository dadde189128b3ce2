"""A TCP proxy that can be cut: packets vanish (`silent`) or connections are reset (`reset`); a process of its own.

`python -m tests.chaos.proxy PORT...` prints the ports on which it stands in for those, and takes orders on stdin,
one a line: `<index> open|silent|reset`. It ends with its stdin.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import subprocess
import sys
import threading
from typing import Self

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class _Side(asyncio.Protocol):
    """One of the two connections of a pair; what it reads, its peer writes."""

    def __init__(self, line: _Line) -> None:
        self.line = line
        self.peer: _Side | None = None
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.line.sides.add(self)
        transport.pause_reading()
        if self.peer is None:
            self.line.meet(self)

    def data_received(self, data: bytes) -> None:
        if self.peer is not None and self.peer.transport is not None:
            self.peer.transport.write(data)

    def pause_writing(self) -> None:
        if self.peer is not None and self.peer.transport is not None:
            self.peer.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.line.mode == "open" and self.peer is not None and self.peer.transport is not None:
            self.peer.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self.line.sides.discard(self)
        if self.peer is not None and self.peer.transport is not None:
            self.peer.transport.close()

    def reset(self) -> None:
        """End it with an RST."""
        if self.transport is not None:
            plug: socket.socket | None = self.transport.get_extra_info("socket")
            if plug is not None:
                plug.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            self.transport.abort()


class _Line:
    """All connections to one server."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.mode = "open"
        self.sides: set[_Side] = set()
        self._waiting: list[_Side] = []
        self._meeting: set[asyncio.Task[None]] = set()

    def meet(self, side: _Side) -> None:
        """A client is there: connect on, unless the line is cut."""
        if self.mode == "reset":
            side.reset()
        elif self.mode == "silent":
            self._waiting.append(side)
        else:
            task = asyncio.get_running_loop().create_task(self._connect(side))
            self._meeting.add(task)
            task.add_done_callback(self._meeting.discard)

    async def _connect(self, side: _Side) -> None:
        far = _Side(self)
        far.peer = side
        try:
            await asyncio.get_running_loop().create_connection(lambda: far, "127.0.0.1", self.target)
        except OSError:
            side.reset()
            return
        side.peer = far
        if self.mode == "open":
            for one in (side, far):
                if one.transport is not None:
                    one.transport.resume_reading()

    def turn(self, mode: str) -> None:
        """Change what becomes of connections. What was held back in `silent` arrives late, as after a partition."""
        self.mode = mode
        for side in list(self.sides):
            if mode == "reset":
                side.reset()
            elif side.transport is not None and side.peer is not None:
                (side.transport.resume_reading if mode == "open" else side.transport.pause_reading)()
        if mode != "silent":
            waiting, self._waiting = self._waiting, []
            for side in waiting:
                self.meet(side)


async def _serve(targets: list[int]) -> None:
    loop = asyncio.get_running_loop()
    lines = [_Line(target) for target in targets]
    ports = []
    for line in lines:
        server = await loop.create_server(lambda line=line: _Side(line), "127.0.0.1", 0, backlog=256)  # type: ignore[misc]
        ports.append(server.sockets[0].getsockname()[1])
    sys.stdout.write(" ".join(str(port) for port in ports) + "\n")
    sys.stdout.flush()
    orders = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    while order := await orders.readline():
        index, mode = order.decode().split()
        lines[int(index)].turn(mode)
        sys.stdout.write("done\n")
        sys.stdout.flush()


class Wires:
    """The lines to several servers, cut by index."""

    def __init__(self, *targets: int) -> None:
        """Start the proxy; `ports` stand in for the targets, in the same order."""
        command = [sys.executable, "-m", "tests.chaos.proxy", *map(str, targets)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._lock = threading.Lock()
        self.ports = [int(port) for port in self._said().split()]

    def turn(self, index: int, mode: str) -> None:
        """Make a line `open`, `silent` or `reset`; returns when it is so."""
        assert self._process.stdin is not None
        with self._lock:
            self._process.stdin.write(f"{index} {mode}\n")
            self._process.stdin.flush()
            assert self._said() == "done"

    def close(self) -> None:
        """End the proxy."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process.wait(10)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _said(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


if __name__ == "__main__":
    asyncio.run(_serve([int(port) for port in sys.argv[1:]]))

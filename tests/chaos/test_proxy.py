"""The proxy that cuts the lines to Redis and Postgres."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.chaos.proxy import Wires


@pytest.fixture
def server() -> Iterator[socket.socket]:
    """A listening socket."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        listening.settimeout(10)
        yield listening


@pytest.fixture
def wires(server: socket.socket) -> Iterator[Wires]:
    """A proxy in front of it."""
    with Wires(server.getsockname()[1]) as proxy:
        yield proxy


def pair(wires: Wires, server: socket.socket) -> tuple[socket.socket, socket.socket]:
    """A client and its other end, through the proxy."""
    near = socket.create_connection(("127.0.0.1", wires.ports[0]), timeout=10)
    far, _ = server.accept()
    far.settimeout(10)
    return near, far


def test_proxy_carries_both_ways(wires: Wires, server: socket.socket) -> None:
    """What goes in comes out."""
    near, far = pair(wires, server)
    with near, far:
        near.sendall(b"there")
        assert far.recv(10) == b"there"
        far.sendall(b"back")
        assert near.recv(10) == b"back"


def test_silent_line_holds_everything_back_until_it_is_open(wires: Wires, server: socket.socket) -> None:
    """No byte, no end and no new connection passes; afterwards all of it arrives."""
    near, far = pair(wires, server)
    with near, far:
        wires.turn(0, "silent")
        near.sendall(b"late")
        far.settimeout(0.3)
        with pytest.raises(TimeoutError):
            far.recv(10)
        with socket.create_connection(("127.0.0.1", wires.ports[0]), timeout=10):
            server.settimeout(0.3)
            with pytest.raises(TimeoutError):
                server.accept()
            wires.turn(0, "open")
            server.settimeout(10)
            server.accept()[0].close()
        far.settimeout(10)
        assert far.recv(10) == b"late"


def test_reset_line_ends_old_and_new_connections(wires: Wires, server: socket.socket) -> None:
    """With an RST each; when it is open again they pass."""
    near, far = pair(wires, server)
    with near, far:
        wires.turn(0, "reset")
        with pytest.raises(ConnectionResetError):
            near.recv(10)
    assert _ends(wires)
    wires.turn(0, "open")
    for end in pair(wires, server):
        end.close()


def _ends(wires: Wires) -> bool:
    """Whether a new connection is ended before it carries anything."""
    try:
        with socket.create_connection(("127.0.0.1", wires.ports[0]), timeout=10) as near:
            near.sendall(b"x")
            return near.recv(10) == b""
    except ConnectionError:
        return True

"""The proxy that other tests rely on does what it says."""

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from tests.proxy import Proxy


@pytest.fixture
def echo() -> Iterator[int]:
    """The port of a server that sends back what it gets."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                one, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=_echo, args=(one,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    yield int(server.getsockname()[1])
    server.shutdown(socket.SHUT_RDWR)
    server.close()


def _echo(one: socket.socket) -> None:
    with one:
        try:
            while data := one.recv(1000):
                one.sendall(data)
        except OSError:
            pass


def _open(proxy: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=10)


def _said(connection: socket.socket, words: bytes) -> bytes:
    connection.sendall(words)
    return connection.recv(1000)


def test_it_passes_on_and_ends_with_its_client(echo: int) -> None:
    with Proxy(echo) as proxy:
        with _open(proxy) as one:
            assert _said(one, b"a") == b"a"
            one.shutdown(socket.SHUT_WR)
            assert one.recv(10) == b"", "the server's end is passed on too"
        _until(lambda: proxy.open_connections == 0)


def test_a_reset_is_passed_on(echo: int) -> None:
    with Proxy(echo) as proxy:
        one = _open(proxy)
        assert _said(one, b"a") == b"a"
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        one.close()  # as the kernel does for a process that was killed with something unread
        _until(lambda: proxy.open_connections == 0)


def test_cut_resets_and_takes_new_connections(echo: int) -> None:
    with Proxy(echo) as proxy, _open(proxy) as one:
        assert _said(one, b"a") == b"a"
        proxy.cut()
        with pytest.raises(ConnectionError):
            one.recv(10)
        with _open(proxy) as other:
            assert _said(other, b"c") == b"c"
        assert proxy.taken == 2


def test_refuse_frees_the_port_and_resume_takes_it_again(echo: int) -> None:
    with Proxy(echo) as proxy, _open(proxy) as one:
        assert _said(one, b"a") == b"a"
        proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            _open(proxy)
        proxy.resume()
        with _open(proxy) as other:
            assert _said(other, b"b") == b"b"


def test_blackhole_keeps_what_is_on_its_way(echo: int) -> None:
    with Proxy(echo) as proxy, _open(proxy) as one:
        assert _said(one, b"a") == b"a"
        proxy.blackhole()
        one.settimeout(0.3)
        with pytest.raises(TimeoutError):
            _said(one, b"b")
        with _open(proxy) as other:
            other.settimeout(0.3)
            with pytest.raises(TimeoutError):
                _said(other, b"c")
            proxy.resume()
            for connection, words in ((one, b"b"), (other, b"c")):
                connection.settimeout(10)
                assert connection.recv(10) == words


def test_delay_delays(echo: int) -> None:
    with Proxy(echo) as proxy, _open(proxy) as one:
        proxy.delay(0.2)
        started = time.monotonic()
        assert _said(one, b"a") == b"a"
        assert time.monotonic() - started >= 0.4, "there and back"


def test_without_a_server_a_connection_is_reset(echo: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = int(nobody.getsockname()[1])
    with Proxy(port) as proxy, pytest.raises(ConnectionError), _open(proxy) as one:
        one.recv(10)


def _until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)

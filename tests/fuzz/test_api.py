"""The API of the real status process: every request that its description allows, and many that it does not."""

import json
import os
import random
import socket
from collections.abc import Iterator

import httpx
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import openapi
from schemathesis.checks import not_a_server_error

from tests.fuzz.driver import MINUTES, SEED
from tests.fuzz.running import PATIENCE, Running, attack, free_port, started

MOST_MIB = 200
EXAMPLES = 2000 if MINUTES else 10


@pytest.fixture(scope="module")
def status(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    port = free_port()
    page = f'[status]\nhost = "127.0.0.1"\nport = {port}\n'
    with started("status", tmp_path_factory.mktemp("status"), page, port) as running:
        httpx.get(f"http://127.0.0.1:{port}/studies", timeout=PATIENCE).raise_for_status()
        running.before = running.taken()
        yield running


def test_no_request_that_the_description_allows_breaks_it(status: Running):
    base = f"http://127.0.0.1:{status.port}"
    schema = openapi.from_url(f"{base}/openapi.json").exclude(path="/events")  # never ends
    for operation in schema.get_all_operations():
        _try(operation.ok(), base)
    _still_well(status)


def _try(operation, base: str) -> None:
    @settings(
        max_examples=EXAMPLES,
        derandomize=not MINUTES,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @_given(operation)
    def one(case):
        response = case.call(base_url=base, timeout=PATIENCE)
        case.validate_response(response, checks=[not_a_server_error])

    one()


def _given(operation):
    return given(operation.as_strategy())


NASTY = [
    "%00",
    "..%2f..%2fetc%2fpasswd",
    "%ff%fe",
    "%ed%a0%80",
    "a" * 5000,
    "%0d%0aX: y",
    "'",
    "%F0%9F%92%A9",
    "1.2.3",
    "*",
    "%25",
    "\\",
]


def test_nasty_requests_are_refused_and_nothing_else(status: Running):
    rng = random.Random(f"api/{SEED}")
    with httpx.Client(base_url=f"http://127.0.0.1:{status.port}", timeout=PATIENCE) as client:
        for text in NASTY:
            for path in (
                "/studies/{}",
                "/studies/{}/journal",
                "/results/{}/x.png",
                "/results/x/{}.png",
                "/page/{}",
                "/studies?q={}",
                "/studies?since={}",
                "/studies?state={}",
            ):
                assert client.get(path.format(text)).status_code < 500, path.format(text)
            for button in ("complete", "replay", "cancel", "release"):
                assert client.post(f"/studies/{text}/{button}", json={}).status_code < 500
        for body in (
            b"",
            b"{",
            b"[" * 100_000,
            b'{"who": "\\ud800"}',
            b'{"who": "\\u0000", "why": "\\u0000"}',
            b"\xff",
            b"1e999",
            b'{"id": "\\ud800"}',
            json.dumps({"who": "x" * 10**6}).encode(),
            b"null",
            b'{"who": NaN}',
            rng.randbytes(500),
        ):
            for button in ("complete", "replay", "cancel", "release"):
                answer = client.post(
                    f"/studies/1.2.3/{button}", content=body, headers={"content-type": "application/json"}
                )
                assert answer.status_code in (400, 404, 409, 413, 422), (
                    body[:40],
                    answer.status_code,
                    answer.text[:200],
                )
        for since in (
            "0001-01-01T00:00:00Z",
            "0001-01-01T00:00:00+14:00",
            "9999-12-31T23:59:59-14:00",
            "1e9",
            "-62135596800",
        ):
            assert client.get("/studies", params={"since": since}).status_code < 500, since
    _still_well(status)


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        b"GET /studies HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil\r\n\r\n",
        b"GET /studies HTTP/1.1\r\nHost: \r\n\r\n",
        b"GET /page/../api.py HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /page/..%2fapi.py HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET //etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x00" * 100,
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 20_000 + b"\r\n",
        b"POST /studies/1/complete HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST /studies/1/complete HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffff\r\n",
    ],
    ids=str,
)
def test_raw_requests_never_reach_what_they_should_not(status: Running, head: bytes):
    answer = attack(status.port, [head], "half")
    assert b"def make_api" not in answer
    assert b"root:" not in answer
    assert not answer.startswith(b"HTTP/1.1 5"), answer[:300]
    _still_well(status)


def test_another_host_s_name_is_refused(status: Running):
    """A page of another site that has its name point here must get nothing (DNS rebinding)."""
    with socket.create_connection(("127.0.0.1", status.port), PATIENCE) as peer:
        peer.settimeout(PATIENCE)
        peer.sendall(b"GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n")
        assert peer.recv(65536).startswith(b"HTTP/1.1 400")


def test_a_body_of_half_a_gigabyte_takes_no_memory(status: Running):
    before = status.taken()["peak"]
    head = b"POST /studies/1/complete HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    for how in (b"Content-Length: 536870912\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", status.port), PATIENCE) as peer:
            peer.settimeout(PATIENCE)
            piece = b" " * 2**20
            piece = b"100000\r\n" + piece + b"\r\n" if b"chunked" in how else piece
            try:
                peer.sendall(head + how)
                for _ in range(512):
                    peer.sendall(piece)
            except OSError:
                continue  # it has had enough of us
    assert status.taken()["peak"] < before + 50
    _still_well(status)


def _still_well(status: Running) -> None:
    answer = httpx.get(f"http://127.0.0.1:{status.port}/studies", timeout=PATIENCE)
    assert answer.status_code == 200
    assert not status.faults(), status.faults()
    assert status.taken()["peak"] < status.before["peak"] + MOST_MIB
    assert {p.name for p in status.folder.iterdir()} == {"data", "isocenter.toml", "status.log"}
    assert not os.path.exists("/etc/evil")

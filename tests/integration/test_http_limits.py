"""The edge of the HTTP API, over a raw socket: what could be smuggled, and every limit at its bound
and one past it."""

from __future__ import annotations

import json
import re
import select
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.support.house import Api, Function, House
from tests.support.publish import spec
from tests.support.stack import wait_until

LIST = "/api/v1/functions"
HEADER_MAX, BODY_MAX, DEPTH_MAX = 16384, 1 << 20, 32


@contextmanager
def connected(api: Api) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", api.port), timeout=10) as sock:
        yield sock


def received(sock: socket.socket) -> bytes:
    """Everything until the server closes; a reset counts as closing."""
    got = b""
    try:
        while chunk := sock.recv(65536):
            got += chunk
    except ConnectionError:
        pass
    return got


def send_quietly(sock: socket.socket, data: bytes) -> None:
    """The server may close before it has all."""
    try:
        sock.sendall(data)
    except ConnectionError:
        pass


def exchange(api: Api, data: bytes) -> bytes:
    """What the server says to these bytes, to the end of the connection."""
    with connected(api) as sock:
        send_quietly(sock, data)
        return received(sock)


def parse(answer: bytes) -> tuple[int, dict[str, str], Any]:
    """The first answer of a connection."""
    head, _, rest = answer.partition(b"\r\n\r\n")
    line, *fields = head.decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
    body = rest[: int(headers.get("content-length", 0))]
    return int(line.split()[1]), headers, json.loads(body) if "json" in headers.get("content-type", "") else body


def statuses(answers: bytes) -> list[int]:
    return [int(code) for code in re.findall(rb"HTTP/1\.1 (\d{3}) ", answers)]


def check_refused(answer: bytes, status: int, code: str, message: str | None = None) -> None:
    got, headers, body = parse(answer)
    assert got == status, answer
    assert headers["content-type"] == "application/json; charset=utf-8" and "x-request-id" in headers
    assert body["success"] is False and body["error"]["code"] == code
    assert message is None or message in body["error"]["message"], body


def alive(api: Api) -> None:
    assert api.request("GET", "/livez")[0] == 200


# ---- what two servers could read differently ----

CHUNK = b"0\r\n\r\n"

# (name, what stands between "Host: a" and the empty line, body, what is said). Behind each comes a
# whole DELETE of somebody's function, which must not be seen.
SMUGGLED = [
    ("length and chunked", b"Content-Length: 5\r\nTransfer-Encoding: chunked", CHUNK, "Content-Length with Transfer-Encoding"),
    ("chunked and length", b"Transfer-Encoding: chunked\r\nContent-Length: 5", CHUNK, "Content-Length with Transfer-Encoding"),
    ("two lengths", b"Content-Length: 0\r\nContent-Length: 200", b"", "more than one Content-Length"),
    ("the same length twice", b"Content-Length: 0\r\nContent-Length: 0", b"", "more than one Content-Length"),
    ("a list of lengths", b"Content-Length: 0, 0", b"", None),
    ("a signed length", b"Content-Length: +0", b"", None),
    ("a length in hex", b"Content-Length: 0x0", b"", None),
    ("no length", b"Content-Length:", b"", None),
    ("two hosts", b"Host: b", b"", "more than one Host"),
    ("xchunked", b"Transfer-Encoding: xchunked", CHUNK, "Transfer-Encoding"),
    ("gzip, chunked", b"Transfer-Encoding: gzip, chunked", CHUNK, "Transfer-Encoding"),
    ("chunked, chunked", b"Transfer-Encoding: chunked, chunked", CHUNK, "Transfer-Encoding"),
    ("Chunked", b"Transfer-Encoding: Chunked", CHUNK, "Transfer-Encoding"),
    ("chunked twice", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", CHUNK, "more than one Transfer-Encoding"),
    ("identity", b"Transfer-Encoding: identity", CHUNK, "Transfer-Encoding"),
    ("space before the colon", b"Content-Length : 0", b"", "malformed field name"),
    ("tab before the colon", b"Transfer-Encoding\t: chunked", CHUNK, "malformed field name"),
    ("control byte in a name", b"X\x01Y: z", b"", "malformed field name"),
    ("control byte in a value", b"X: y\x0bz", b"", "control byte"),
    ("bare CR in a value", b"X: y\rContent-Length: 200", b"", None),
    ("NUL in a value", b"X: y\x00z", b"", None),
    ("bare LF behind a field", b"X: y\nContent-Length: 0", b"", None),
    ("a folded field", b"X: y\r\n Content-Length: 200", b"", None),
    ("a folded coding", b"Transfer-Encoding:\r\n chunked", CHUNK, None),
    ("no colon", b"X", b"", None),
]


@pytest.mark.parametrize("fields, body, message", [row[1:] for row in SMUGGLED], ids=[row[0] for row in SMUGGLED])
def test_smuggling(api: Api, house: House, fields: bytes, body: bytes, message: str | None) -> None:
    victim = house.function()
    key = api.key(victim.team).encode()
    auth = b"Host: a\r\nAuthorization: Bearer " + key + b"\r\n"
    front = f"POST {LIST}/{victim.id}/runtime/recycle HTTP/1.1\r\n".encode() + auth + fields + b"\r\n\r\n" + body
    behind = f"DELETE {LIST}/{victim.id} HTTP/1.1\r\n".encode() + auth + b"\r\n"
    answer = exchange(api, front + behind)
    # A length that is no number is refused by the HTTP library, which then writes its head twice.
    assert set(statuses(answer)) == {400}, answer
    if message:
        assert len(statuses(answer)) == 1
        check_refused(answer, 400, "bad_request", f"invalid request: {message}")
    untouched(house, victim)


def untouched(house: House, f: Function) -> None:
    assert set(house.states(f.ours).values()) == {"in_use"}
    assert house.stack.sql("SELECT count(*) FROM sandsweep.audit_log WHERE function_id = %s", (f.id,)) == [(0,)]


@pytest.mark.parametrize(
    "head",
    [
        b"POST %s HTTP/1.0\r\nTransfer-Encoding: chunked\r\n",  # chunked does not exist there
        b"POST %s HTTP/1.1\r\n",  # no Host
        b"POST %s HTTP/1.1\nHost: a\r\n",
        b"POST  %s HTTP/1.1\r\nHost: a\r\n",
        b"POST %s  HTTP/1.1\r\nHost: a\r\n",
        b"POST %s HTTP/1.1 \r\nHost: a\r\n",
        b"POST %s HTTP/1.2\r\nHost: a\r\n",
        b"PO\x01ST %s HTTP/1.1\r\nHost: a\r\n",
        b"POST %s\x00 HTTP/1.1\r\nHost: a\r\n",
        b"POST %s HTTP/1.1\r\n Host: a\r\n",
    ],
)
def test_smuggling_in_the_first_line(api: Api, house: House, head: bytes) -> None:
    victim = house.function()
    key = api.key(victim.team).encode()
    path = f"{LIST}/{victim.id}/runtime/recycle".encode()
    rest = b"Authorization: Bearer " + key + b"\r\n\r\n"
    behind = b"DELETE " + f"{LIST}/{victim.id}".encode() + b" HTTP/1.1\r\nHost: a\r\n" + rest
    answer = exchange(api, head % path + rest + behind)
    assert statuses(answer) == [400], answer
    untouched(house, victim)


def test_what_is_well_formed_is_taken(api: Api, house: House) -> None:
    """The counter-check: two requests on one connection, one with a length, one in chunks."""
    f = house.function()
    auth = f"Host: a\r\nAuthorization: Bearer {api.key(f.team)}\r\n".encode()
    put = f"PUT {LIST}/{f.id} HTTP/1.1\r\n".encode() + auth
    body = b'{"name":"plain"}'
    first = put + b"Content-Length: %d\r\n\r\n" % len(body) + body
    chunked = b"".join(b"%x\r\n%c\r\n" % (1, byte) for byte in b'{"name":"chunks"}') + CHUNK
    answer = exchange(api, first + put + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n" + chunked)
    assert statuses(answer) == [200, 200]
    assert b'"name":"plain"' in answer and b'"name":"chunks"' in answer


# ---- sizes ----


def padded_head(size: int, *, pad: str) -> bytes:
    """A whole GET of exactly `size` bytes, blown up in its target or in a field."""
    start, end = (b"GET /livez?", b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    if pad == "field":
        start, end = (b"GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX: ", b"\r\n\r\n")
    return start + b"x" * (size - len(start) - len(end)) + end


@pytest.mark.parametrize("pad", ["target", "field"])
def test_header_size(api: Api, pad: str) -> None:
    assert parse(exchange(api, padded_head(HEADER_MAX, pad=pad)))[0] == 200
    check_refused(exchange(api, padded_head(HEADER_MAX + 1, pad=pad)), 431, "bad_request")
    alive(api)


@pytest.mark.parametrize("pad", ["target", "field"])
def test_header_far_too_large(api: Api, pad: str) -> None:
    answer = exchange(api, padded_head(1 << 20, pad=pad))
    assert answer.startswith(b"HTTP/1.1 431 ") or answer.startswith(b"HTTP/1.1 414 "), answer[:200]
    alive(api)


def put_of(api: Api, house: House, size: int) -> tuple[bytes, bytes]:
    """The head of a PUT whose body has `size` bytes, and that body: valid JSON, ending in space."""
    f = house.function()
    body = b'{"name":"large"}'
    return (
        f"PUT {LIST}/{f.id} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {api.key(f.team)}\r\nConnection: close\r\n".encode(),
        body + b" " * (size - len(body)),
    )


@pytest.mark.parametrize("chunked", [False, True])
def test_body_size(api: Api, house: House, chunked: bool) -> None:
    for size, want in ((BODY_MAX, 200), (BODY_MAX + 1, 413)):
        head, body = put_of(api, house, size)
        if chunked:
            pieces = [body[i : i + 50000] for i in range(0, size, 50000)]
            sent = b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in pieces) + CHUNK
        else:
            sent = b"Content-Length: %d\r\n\r\n" % size + body
        answer = exchange(api, head + sent)
        if want == 200:
            assert parse(answer)[0] == 200, answer[:500]
        else:
            check_refused(answer, 413, "bad_request")
    alive(api)


def test_body_is_refused_before_it_is_sent(api: Api, house: House) -> None:
    """A length past the limit is answered at once; nobody has to upload it first."""
    head, _ = put_of(api, house, BODY_MAX + 1)
    check_refused(exchange(api, head + b"Content-Length: %d\r\n\r\n" % (BODY_MAX + 1)), 413, "bad_request")


@pytest.mark.parametrize("method, below", [("GET", ""), ("DELETE", ""), ("GET", "/runtime"), ("POST", "/runtime/recycle"), ("GET", "/revisions"), ("GET", "/revisions/1"), ("GET", "/aliases"), ("GET", "/cleanup")])
def test_bodies_that_nobody_reads(api: Api, house: House, method: str, below: str) -> None:
    f = house.function()
    key = api.key(f.team)
    assert api.request(method, f"{LIST}/{f.id}{below}", key, b"x" * 4097)[0] == 413
    assert api.request(method, f"{LIST}/{f.id}{below}", key, b"x" * 4096)[0] == 200


@pytest.mark.parametrize(
    "method, below, body, want",
    [
        ("POST", None, {"source": spec()}, 201),
        ("POST", "/revisions", {"source": spec()}, 201),
        ("PUT", "/aliases/canary", {"revision_number": 1}, 200),
    ],
)
def test_bodies_that_are_read(api: Api, house: House, method: str, below: str | None, body: Any, want: int) -> None:
    """At the bound, and one byte past it, in white space behind the JSON."""
    f = house.function()
    key = api.key(f.team)
    path = LIST if below is None else f"{LIST}/{f.id}{below}"
    text = json.dumps(body).encode()
    assert api.request(method, path, key, text + b" " * (BODY_MAX + 1 - len(text)))[0] == 413
    status, _, answer = api.request(method, path, key, text + b" " * (BODY_MAX - len(text)))
    assert status == want, answer


def nested(depth: int) -> bytes:
    return b'{"a":' * (depth - 1) + b"{}" + b"}" * (depth - 1)


def test_json_depth(api: Api, house: House) -> None:
    f = house.function()
    key = api.key(f.team)
    assert api.request("PUT", f"{LIST}/{f.id}", key, nested(DEPTH_MAX))[0] == 200
    for depth in (DEPTH_MAX + 1, 100000):
        status, _, body = api.request("PUT", f"{LIST}/{f.id}", key, nested(depth))
        assert status == 400 and "nested deeper than 32" in body["error"]["message"]
        for path in (LIST, f"{LIST}/{f.id}/revisions"):
            status, _, body = api.request("POST", path, key, nested(depth))
            assert (status, body["error"]["message"]) == (400, "invalid request: JSON is nested deeper than 32 levels")


# ---- connections ----


def is_closed(sock: socket.socket) -> bool:
    """True once the other side has closed; does not wait."""
    if not select.select([sock], [], [], 0)[0]:
        return False
    try:
        return sock.recv(1, socket.MSG_PEEK) == b""
    except ConnectionError:
        return True


@pytest.mark.parametrize("option", ["api.connections_max", "api.connections_per_address_max"])
def test_connections(house: House, option: str) -> None:
    limit = 5
    own = house.api({option: str(limit)})
    open_ones: list[socket.socket] = []
    ask = b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n"
    try:
        for _ in range(limit):
            sock = socket.create_connection(("127.0.0.1", own.port), timeout=10)
            open_ones.append(sock)
            sock.sendall(ask)
            assert sock.recv(4096).startswith(b"HTTP/1.1 200 ")
        assert exchange(own, ask) == b""
        for sock in open_ones:  # those that were here are not touched
            sock.sendall(ask)
            assert sock.recv(4096).startswith(b"HTTP/1.1 200 ")
        open_ones.pop().close()
        wait_until(lambda: exchange(own, ask.replace(b"Host", b"Connection: close\r\nHost")).startswith(b"HTTP/1.1 200 "), "a place to be free again")
    finally:
        for sock in open_ones:
            sock.close()


def test_connections_of_other_addresses(house: House) -> None:
    own = house.api({"api.connections_per_address_max": "2"})
    with connected(own), connected(own):
        with socket.create_connection(("127.0.0.1", own.port), timeout=10, source_address=("127.0.0.2", 0)) as other:
            other.sendall(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
            assert other.recv(4096).startswith(b"HTTP/1.1 200 ")


# ---- slow clients ----

SLOW = {"api.request_ms": "1000", "api.idle_ms": "60000"}


@pytest.mark.parametrize(
    "start, drip",
    [
        (b"GET /live", b"z"),
        (b"GET /livez HTTP/1.1\r\nHost: a\r\nX: ", b"x"),
        (b"PUT /api/v1/functions/x HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n", b" "),
        (b"PUT /api/v1/functions/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    ],
    ids=["request line", "header", "body", "chunks"],
)
def test_slow_request(house: House, start: bytes, drip: bytes) -> None:
    """A byte now and then does not keep a request alive; meanwhile others are served."""
    own = house.api(SLOW)
    with connected(own) as sock:
        began = time.monotonic()
        sock.sendall(start)
        while not is_closed(sock):
            assert time.monotonic() - began < 30, "still open"
            send_quietly(sock, drip)
            alive(own)
            time.sleep(0.1)
        assert time.monotonic() - began > 0.8


def test_idle_connection(house: House) -> None:
    own = house.api({"api.idle_ms": "1000", "api.request_ms": "60000"})
    with connected(own) as silent, connected(own) as kept:
        kept.sendall(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
        assert kept.recv(4096).startswith(b"HTTP/1.1 200 ")
        began = time.monotonic()
        wait_until(lambda: is_closed(silent) and is_closed(kept), "both connections to be closed")
        assert time.monotonic() - began > 0.5


def test_slow_reader(api: Api, house: House) -> None:
    """Who does not read its answers holds up nobody else."""
    team = str(uuid.uuid4())
    key = api.key(team)
    house.stack.sql(
        """INSERT INTO shared_gateway.functions (id, team_id, name, slug, domain_label)
           SELECT gen_random_uuid(), %s, repeat('n', 200), 'f-' || n, %s || n FROM generate_series(1, 2000) n""",
        (team, f"{team}-"),
    )
    with connected(api) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        for _ in range(3):
            sock.sendall(f"GET {LIST} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {key}\r\n\r\n".encode())
        for _ in range(10):
            alive(api)


# ---- requests per key ----


def burst(api: Api, key: str, count: int) -> list[tuple[int, dict[str, str], Any]]:
    return [api.request("GET", LIST, key) for _ in range(count)]


def test_requests_per_key(house: House) -> None:
    own = house.api({"api.rate_burst_ms": "5000"})
    team = str(uuid.uuid4())
    key, other = own.key(team, "*", "--rate", "1"), own.key(team, "*", "--rate", "1")
    began = time.monotonic()
    answers = burst(own, key, 6)
    if time.monotonic() - began < 0.9:  # otherwise the machine was too slow to tell
        assert [status for status, _, _ in answers] == [200] * 5 + [429]
        status, headers, body = answers[-1]
        assert body == {"success": False, "error": {"code": "quota_exceeded", "message": "rate limit exceeded"}}
        assert headers["retry-after"] == "1" and headers["x-ratelimit-limit"] == "1"
        assert headers["x-ratelimit-remaining"] == "0" and 4 <= int(headers["x-ratelimit-reset"]) <= 5
    assert own.request("GET", LIST, other)[0] == 200
    wait_until(lambda: own.request("GET", LIST, key)[0] == 200, "a request to be allowed again")


def test_rate_of_the_configuration(house: House) -> None:
    own = house.api({"api.rate_per_second": "2", "api.rate_burst_ms": "1000"})
    key, fast = own.key(str(uuid.uuid4())), own.key(str(uuid.uuid4()), "*", "--rate", "1000")
    began = time.monotonic()
    statuses = [status for status, _, _ in burst(own, key, 3)]
    if time.monotonic() - began < 0.4:
        assert statuses == [200, 200, 429]
    assert {status for status, _, _ in burst(own, fast, 50)} == {200}


def test_no_rate_at_all(house: House) -> None:
    own = house.api({"api.rate_per_second": "0"})
    assert {status for status, _, _ in burst(own, own.key(str(uuid.uuid4())), 300)} == {200}


def test_a_refusal_has_no_effect(house: House) -> None:
    own = house.api({"api.rate_burst_ms": "0"})
    f = house.function()
    key = own.key(f.team, "*", "--rate", "1")
    assert own.request("GET", f"{LIST}/{f.id}", key)[0] == 200
    if own.request("POST", f"{LIST}/{f.id}/runtime/recycle", key)[0] == 429:
        untouched(house, f)

"""The HTTP API: every route with every answer that it documents, on a real PostgreSQL."""

from __future__ import annotations

import http.client
import json
import re
import signal
import socket
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.support.house import Api, Function, House, holding, metric
from tests.support.publish import service, spec
from tests.support.stack import Stack, wait_until

LIST = "/api/v1/functions"
FOREVER = {"api.key_cache_ms": "3600000"}  # a key is forgotten only when somebody says so
UNLIMITED = {"api.rate_per_second": "0"}
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")

Answer = tuple[int, dict[str, str], Any]

# (method, path below a function, the permission that it needs)
FUNCTION_ROUTES = [
    ("GET", "", "function:read"),
    ("PUT", "", "function:write"),
    ("DELETE", "", "function:delete"),
    ("GET", "/runtime", "function:read"),
    ("POST", "/runtime/restart", "function:write"),
    ("POST", "/runtime/recycle", "function:write"),
    ("GET", "/revisions", "function:read"),
    ("POST", "/revisions", "function:write"),
    ("GET", "/revisions/1", "function:read"),
    ("PUT", "/aliases/production", "function:write"),
    ("GET", "/aliases", "function:read"),
    ("GET", "/aliases/production", "function:read"),
    ("GET", "/cleanup", "function:read"),
]
# Bodies that nothing is wrong with.
BODIES: dict[tuple[str, str], dict[str, Any]] = {
    ("PUT", ""): {},
    ("POST", "/revisions"): {"source": spec()},
    ("PUT", "/aliases/production"): {"revision_number": 1},
}


def body_of(method: str, below: str) -> dict[str, Any] | None:
    return BODIES.get((method, below))


def url(f: Function | str, below: str = "") -> str:
    return f"{LIST}/{f if isinstance(f, str) else f.id}{below}"


def check_headers(answer: Answer) -> None:
    _, headers, _ = answer
    assert headers["content-type"] == "application/json; charset=utf-8"
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,64}", headers["x-request-id"])


def data_of(answer: Answer, want: int = 200) -> Any:
    status, _, body = answer
    assert status == want, body
    check_headers(answer)
    assert set(body) == {"success", "data"} and body["success"] is True
    assert "null" not in json.dumps(body)
    return body["data"]


def check_error(answer: Answer, status: int, code: str, message: str | None = None) -> None:
    got, _, body = answer
    assert got == status, body
    check_headers(answer)
    assert set(body) == {"success", "error"} and body["success"] is False
    assert set(body["error"]) == {"code", "message"}
    assert body["error"]["code"] == code and body["error"]["message"]
    assert message is None or body["error"]["message"] == message, body


def check_function(got: dict[str, Any], f: Function) -> None:
    """Every required field of the contract, and nothing that it does not know."""
    texts = {"id": f.id, "team_id": f.team, "slug": f.slug, "active_revision_id": f.active.id}
    assert {name: got[name] for name in texts} == texts
    optional = {"deleted_at", "created_by"}
    assert set(got) - optional == {
        "id", "team_id", "name", "slug", "domain_label", "active_revision_id", "enabled",
        "autoscaling", "created_at", "updated_at", "host", "url",
    }
    assert isinstance(got["enabled"], bool)
    assert set(got["autoscaling"]) == {"min_warm", "max_active", "target_concurrency", "scale_down_after_seconds"}
    assert all(type(n) is int for n in got["autoscaling"].values())
    assert all(TIME.fullmatch(got[name]) for name in ("created_at", "updated_at"))
    assert got["host"] == f"{f.slug}-dl.sandbox0.site" and got["url"] == f"https://{got['host']}"


def check_history(runtime: dict[str, Any], f: Function, sandbox: str | None) -> None:
    """Takes what GET shows besides off the runtime: the sandbox that is mapped, if the function is enabled, and
    what became of the last ones, newest first."""
    names = {"team_id": f.team, "function_id": f.id, "revision_id": f.active.id}
    instances = runtime.pop("instances", [])
    assert [i["sandbox_id"] for i in instances] == ([sandbox] if sandbox and runtime["state"] == "active" else [])
    for instance in instances:
        assert set(instance) == {"id", *names, "sandbox_id", "context_id", "state", "readiness_state", "created_at", "updated_at"}
        assert {name: instance[name] for name in names} == names
        assert (instance["state"], instance["readiness_state"], instance["context_id"]) == ("ready", "ready", "ctx")
    told = runtime.pop("recent_events", [])
    assert [e["created_at"] for e in told] == sorted((e["created_at"] for e in told), reverse=True) and len(told) <= 20
    for event in told:
        assert set(event) - {"message"} == {"id", *names, "runtime_sandbox_id", "phase", "readiness_state", "reason", "created_at"}
        assert {name: event[name] for name in names} == names
        assert (event["reason"], event["phase"]) in {("runtime_ready", "ready"), ("runtime_cleared", "idle"), ("runtime_deleted", "idle")}
    ids = [thing["id"] for thing in instances + told]
    assert len(set(ids)) == len(ids) and all(str(uuid.UUID(i)) == i for i in ids)
    assert all(TIME.fullmatch(thing[name]) for thing in instances + told for name in ("created_at", "updated_at") if name in thing)


def check_runtime(got: dict[str, Any], f: Function, state: str, sandbox: str | None = None) -> None:
    """`got` is as it came; nothing is left of it."""
    check_history(got, f, sandbox)
    phase, readiness = {"disabled": ("disabled", "unknown"), "idle": ("idle", "unknown"), "active": ("ready", "ready")}[state]
    want = {
        "function_id": f.id, "revision_id": f.active.id, "revision_number": f.active.number, "state": state,
        "phase": phase, "readiness_state": readiness,
        "autoscaling": {"min_warm": 0, "max_active": 20, "target_concurrency": 80, "scale_down_after_seconds": 300},
    }
    if sandbox:
        want |= {"runtime_sandbox_id": sandbox, "runtime_context_id": "ctx"}
        assert TIME.fullmatch(got.pop("runtime_updated_at"))
    assert got == want


def events(stack: Stack, f: Function) -> list[tuple[str, dict[str, Any]]]:
    """What waits in the outbox. No worker runs in these tests, so that it stays there."""
    return stack.sql("SELECT type, data FROM sandsweep.outbox WHERE function_id = %s ORDER BY id", (f.id,))


def audits(stack: Stack, f: Function) -> list[str]:
    return [row[0] for row in stack.sql("SELECT action FROM sandsweep.audit_log WHERE function_id = %s ORDER BY id", (f.id,))]


@pytest.fixture
def team(api: Api) -> str:
    return str(uuid.uuid4())


@pytest.fixture
def key(api: Api, team: str) -> str:
    return api.key(team)


# ---- the service itself ----


@pytest.mark.parametrize("path, want", [("/livez", {"status": "alive"}), ("/readyz", {"status": "ready"}), ("/version", {"version": "0.1.0"})])
def test_public_routes(api: Api, path: str, want: dict[str, str]) -> None:
    assert data_of(api.request("GET", path)) == want
    assert data_of(api.request("GET", path, key="not-a-key")) == want
    status, headers, body = api.request("HEAD", path)
    assert (status, body) == (200, "") and int(headers["content-length"]) > 0


@pytest.mark.parametrize(
    "path",
    ["/", "/api/v1", "/api/v1/functions/a/b", "/api/v1/functions/%00", "/api/v1/functions/%zz", "/metrics",
     "/api/v1/functions/a/revisions/1/x", "/api/v1/functions/a/aliases/b/c", "/api/v1/functions/a/aliases/%00", "/api/v1/functions/a/cleanup/b",
     "/api/v1/functions/a/revisions//", "/api/v1/functions/a/aliases/" + "x" * 256],
)
def test_unknown_paths(api: Api, path: str) -> None:
    check_error(api.request("GET", path), 404, "not_found", "no such path")
    check_error(api.request("POST", path, body={}), 404, "not_found", "no such path")


@pytest.mark.parametrize(
    "method, path, allow",
    [
        ("PUT", LIST, "GET, HEAD, POST"),
        ("DELETE", LIST + "/", "GET, HEAD, POST"),
        ("POST", LIST + "/x", "GET, HEAD, PUT, DELETE"),
        ("PATCH", LIST + "/x", "GET, HEAD, PUT, DELETE"),
        ("OPTIONS", LIST + "/x", "GET, HEAD, PUT, DELETE"),
        ("GET", LIST + "/x/runtime/restart", "POST"),
        ("HEAD", LIST + "/x/runtime/recycle", "POST"),
        ("PUT", LIST + "/x/revisions", "GET, HEAD, POST"),
        ("DELETE", LIST + "/x/revisions/1", "GET, HEAD"),
        ("POST", LIST + "/x/aliases", "GET, HEAD"),
        ("DELETE", LIST + "/x/aliases/production", "GET, HEAD, PUT"),
        ("POST", LIST + "/x/cleanup", "GET, HEAD"),
        ("DELETE", "/livez", "GET, HEAD"),
    ],
)
def test_other_methods(api: Api, method: str, path: str, allow: str) -> None:
    answer = api.request(method, path)
    assert answer[0] == 405 and answer[1]["allow"] == allow
    if method != "HEAD":
        check_error(answer, 405, "bad_request")


def cache_counts(own: Api) -> tuple[float, float]:
    """Misses and hits. There may be one miss more: the cache is flushed once when notices begin to be heard."""
    return metric(own.metrics_port, 'sandsweep_key_cache_total{outcome="miss"}'), metric(own.metrics_port, 'sandsweep_key_cache_total{outcome="hit"}')


def test_metrics(house: House) -> None:
    own = house.api()
    key = own.key(str(uuid.uuid4()))
    own.request("GET", LIST, key)
    own.request("GET", LIST, key)
    own.request("GET", LIST)
    own.request("GET", url("x", "/revisions/1"), key)
    own.request("GET", "/nowhere")
    route = 'method="GET",route="/api/v1/functions"'
    assert metric(own.metrics_port, f'sandsweep_http_requests_total{{{route},status="2xx"}}') == 2
    assert metric(own.metrics_port, f'sandsweep_http_requests_total{{{route},status="4xx"}}') == 1
    revision = 'method="GET",route="/api/v1/functions/{id}/revisions/{number}"'
    assert metric(own.metrics_port, f'sandsweep_http_requests_total{{{revision},status="4xx"}}') == 1
    assert metric(own.metrics_port, 'sandsweep_http_requests_total{method="",route="none",status="4xx"}') == 1
    assert metric(own.metrics_port, f"sandsweep_http_request_seconds_count{{{route}}}") == 3
    misses, hits = cache_counts(own)
    assert misses in (1, 2) and misses + hits == 3
    assert metric(own.metrics_port, "sandsweep_http_open_requests") == 0
    conn = http.client.HTTPConnection("127.0.0.1", own.metrics_port, timeout=10)
    conn.request("GET", "/")
    assert conn.getresponse().status == 404


# ---- request ids ----


@pytest.mark.parametrize("given, kept", [("abc-1._X", True), ("x" * 64, True), ("x" * 65, False), ("a b", False), ('a"b', False)])
def test_request_id(api: Api, given: str, kept: bool) -> None:
    got = api.request("GET", "/livez", headers={"X-Request-Id": given})[1]["x-request-id"]
    assert (got == given) is kept


def test_request_ids_differ(api: Api) -> None:
    assert len({api.request("GET", "/livez")[1]["x-request-id"] for _ in range(20)}) == 20


# ---- who may ----

HEX = "0123456789abcdef" * 3
BAD_AUTHORIZATION = [
    None, "", "Bearer", "Bearer ", HEX, f"Basic s0_local_{HEX}", "Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln",
    f"Bearer s0_local_{HEX.upper()}", f"Bearer s0_local_{HEX}0", f"Bearer s0_LOCAL_{HEX}", f"Bearer s0__{HEX}",
    f"Bearer s0_local_{HEX}",
]


@pytest.mark.parametrize("text", BAD_AUTHORIZATION)
def test_unauthorized_never_says_why(api: Api, text: str | None) -> None:
    answer = api.request("GET", LIST, headers={"Authorization": text} if text is not None else {})
    check_error(answer, 401, "unauthorized", "a valid API key is required")
    assert answer[1]["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("method, below, permission", FUNCTION_ROUTES)
def test_every_route_wants_a_key(api: Api, house: House, method: str, below: str, permission: str) -> None:
    f = house.function()
    check_error(api.request(method, url(f, below), body=body_of(method, below)), 401, "unauthorized")
    assert audits(house.stack, f) == []


@pytest.mark.parametrize("scheme", ["bearer", "BEARER", "Bearer  "])
def test_scheme_in_any_case(api: Api, key: str, scheme: str) -> None:
    data_of(api.request("GET", LIST, headers={"Authorization": f"{scheme} {key}"}))


def test_creating_wants_a_key(api: Api, house: House) -> None:
    before = house.stack.sql("SELECT count(*) FROM shared_gateway.functions")
    check_error(api.request("POST", LIST, body={"source": spec()}), 401, "unauthorized", "a valid API key is required")
    assert house.stack.sql("SELECT count(*) FROM shared_gateway.functions") == before


@pytest.mark.parametrize("granted", ["function:read", "function:create", "function:write", "function:delete", "function:*", "*", "*:*"])
def test_permissions(api: Api, house: House, granted: str) -> None:
    f = house.function()
    house.stack.sql("INSERT INTO shared_gateway.functions_aliases (function_id, alias, revision_id) VALUES (%s, 'production', %s)", (f.id, f.active.id))
    key = api.key(f.team, granted)

    def check(answer: Answer, needed: str, want: int) -> None:
        if granted == needed or "*" in granted:
            data_of(answer, want)
        else:
            check_error(answer, 403, "forbidden", "insufficient permissions")

    for method, below, needed in [*FUNCTION_ROUTES[3:], *FUNCTION_ROUTES[:3]]:
        check(api.request(method, url(f, below), key, body_of(method, below)), needed, 201 if (method, below) == ("POST", "/revisions") else 200)
    check(api.request("GET", LIST, key), "function:read", 200)
    check(api.request("POST", LIST, key, {"source": spec()}), "function:create", 201)
    made = house.stack.sql("SELECT count(*) FROM shared_gateway.functions WHERE team_id = %s AND id <> %s", (f.team, f.id))
    assert made == [(1 if granted == "function:create" or "*" in granted else 0,)]


@pytest.mark.parametrize("role, writes", [("admin", True), ("developer", True), ("builder", False), ("viewer", False)])
def test_roles(api: Api, house: House, role: str, writes: bool) -> None:
    f = house.function()
    key = house.run("keys", "create", "--team", f.team, "--role", role).stdout.strip()
    for below in ("", "/runtime", "/revisions", "/revisions/1", "/aliases", "/cleanup"):
        data_of(api.request("GET", url(f, below), key))
    assert api.request("POST", LIST, key, {"source": spec()})[0] == (201 if writes else 403)
    assert api.request("POST", url(f, "/revisions"), key, {"source": spec()})[0] == (201 if writes else 403)
    assert api.request("PUT", url(f, "/aliases/canary"), key, {"revision_number": 1})[0] == (200 if writes else 403)
    assert api.request("POST", url(f, "/runtime/recycle"), key)[0] == (200 if writes else 403)
    assert api.request("DELETE", url(f), key)[0] == (200 if writes else 403)


def test_selected_team(api: Api, team: str, key: str) -> None:
    for same in (team, team.upper(), team.replace("-", "")):
        data_of(api.request("GET", LIST, key, headers={"X-Team-ID": same}))
    for other in (str(uuid.uuid4()), "x", team + "0", "00000000-0000-0000-0000-000000000000"):
        answer = api.request("GET", LIST, key, headers={"X-Team-ID": other})
        check_error(answer, 401, "unauthorized", "not a member of selected team")


def test_platform_key(api: Api, house: House) -> None:
    mine, other = house.function(), house.function()
    key = api.key(None)
    for headers in ({}, {"X-Team-ID": "x"}, {"X-Team-ID": "00000000-0000-0000-0000-000000000000"}):
        check_error(api.request("GET", LIST, key, headers=headers), 400, "bad_request")
    found = data_of(api.request("GET", LIST, key, headers={"X-Team-ID": mine.team}))["functions"]
    assert [f["id"] for f in found] == [mine.id]
    for below in ("", "/runtime", "/revisions", "/revisions/1", "/aliases", "/cleanup"):
        check_error(api.request("GET", url(other, below), key, headers={"X-Team-ID": mine.team}), 404, "not_found", "function not found")
    check_error(api.request("POST", LIST, key, {"source": spec()}), 400, "bad_request")
    made = data_of(api.request("POST", LIST, key, {"source": spec()}, {"X-Team-ID": mine.team}), 201)
    assert {thing["team_id"] for thing in (made["function"], made["revision"])} == {mine.team}
    data_of(api.request("DELETE", url(mine), key, headers={"X-Team-ID": mine.team}))


def test_revoked_key_is_heard_of(house: House) -> None:
    own = house.api(FOREVER)
    made = json.loads(house.run("keys", "create", "--team", str(uuid.uuid4()), "--role", "viewer", "--output", "json").stdout)
    data_of(own.request("GET", LIST, made["key"]))
    house.run("keys", "revoke", made["id"])
    wait_until(lambda: own.request("GET", LIST, made["key"])[0] == 401, "the revoked key to be refused")


def test_revoked_while_nobody_listened(house: House) -> None:
    """The notice is lost with the connection; after a reconnect nothing that was known counts."""
    own = house.api(FOREVER)
    made = json.loads(house.run("keys", "create", "--team", str(uuid.uuid4()), "--role", "viewer", "--output", "json").stdout)
    data_of(own.request("GET", LIST, made["key"]))
    house.stack.sql(
        """WITH cut AS (SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'sandsweep')
           UPDATE sandsweep.api_keys SET revoked_at = now() FROM (SELECT count(*) FROM cut) c WHERE id = %s""",
        (made["id"],),
    )
    wait_until(lambda: own.request("GET", LIST, made["key"])[0] == 401, "the revoked key to be refused")


def test_key_expires(house: House) -> None:
    own = house.api(FOREVER)
    key = house.run("keys", "create", "--team", str(uuid.uuid4()), "--role", "viewer", "--expires", "2s").stdout.strip()
    began = time.monotonic()
    data_of(own.request("GET", LIST, key))
    wait_until(lambda: own.request("GET", LIST, key)[0] == 401, "the key to expire")
    assert time.monotonic() - began > 1


def test_cached_keys_end_without_a_notice(house: House) -> None:
    own = house.api({"api.key_cache_ms": "3000"})
    made = json.loads(house.run("keys", "create", "--team", str(uuid.uuid4()), "--role", "viewer", "--output", "json").stdout)
    data_of(own.request("GET", LIST, made["key"]))
    house.stack.sql("UPDATE sandsweep.api_keys SET revoked_at = now() WHERE id = %s", (made["id"],))
    data_of(own.request("GET", LIST, made["key"]))
    wait_until(lambda: own.request("GET", LIST, made["key"])[0] == 401, "the cache to end")


def test_garbage_keys_are_remembered(house: House) -> None:
    own = house.api()
    for _ in range(5):
        check_error(own.request("GET", LIST, f"s0_local_{HEX}"), 401, "unauthorized")
    misses, hits = cache_counts(own)
    assert misses in (1, 2) and misses + hits == 5


# ---- functions ----


def test_list(api: Api, house: House, team: str, key: str) -> None:
    assert data_of(api.request("GET", LIST, key)) == {"functions": []}
    first, second, gone = house.function(team), house.function(team), house.function(team)
    house.function()
    data_of(api.request("DELETE", url(gone), key))
    data_of(api.request("PUT", url(first), key, {"name": "touched"}))
    for path in (LIST, LIST + "/"):
        functions = data_of(api.request("GET", path, key))["functions"]
        assert [f["id"] for f in functions] == [first.id, second.id]
        check_function(functions[1], second)


def test_long_list(api: Api, house: House, team: str, key: str) -> None:
    house.stack.sql(
        """INSERT INTO shared_gateway.functions (id, team_id, name, slug, domain_label)
           SELECT gen_random_uuid(), %s, repeat('n', 200), 'f-' || n, %s || n FROM generate_series(1, 3000) n""",
        (team, f"{team}-"),
    )
    assert len(data_of(api.request("GET", LIST, key))["functions"]) == 3000


def test_get(api: Api, house: House) -> None:
    f = house.function()
    key = api.key(f.team)
    plain = f.id.replace("-", "")
    for name in (f.id, f.id.upper(), plain, plain.upper(), f"%7B{f.id}%7D", f"urn:uuid:{f.id}", f.slug, f.slug.replace("-", "%2d"), f.slug + "/"):
        check_function(data_of(api.request("GET", url(name), key))["function"], f)
    for name in (str(uuid.uuid4()), f.slug + "x", f.slug.upper(), f"{{{f.id}", "..", "a%2Fb", "x" * 255):
        check_error(api.request("GET", url(name), key), 404, "not_found", "function not found")
    status, headers, body = api.request("HEAD", url(f), key)
    assert (status, body) == (200, "") and int(headers["content-length"]) > 100


def test_a_slug_that_reads_as_a_uuid(api: Api, house: House, team: str, key: str) -> None:
    """The id wins where both match; otherwise the slug is found."""
    first, second = house.function(team), house.function(team)
    slug = str(uuid.uuid4())
    house.stack.sql("UPDATE shared_gateway.functions SET slug = %s WHERE id = %s", (slug, first.id))
    assert data_of(api.request("GET", url(slug), key))["function"]["id"] == first.id
    house.stack.sql("UPDATE shared_gateway.functions SET slug = %s WHERE id = %s", (second.id, first.id))
    assert data_of(api.request("GET", url(second.id), key))["function"]["id"] == second.id


def test_names_that_need_escapes(api: Api, house: House) -> None:
    f = house.function()
    key = api.key(f.team)
    name = 'a "b" \\ \n \x01 \x7f ü € 😀 </script>'
    assert data_of(api.request("PUT", url(f), key, {"name": name}))["function"]["name"] == name
    assert data_of(api.request("GET", url(f), key))["function"]["name"] == name


@pytest.mark.parametrize("display_name", ["x" * 254 + "é", "x" * 253 + "€€", " " + "é" * 200, "x" * 250 + " " * 10 + "x"], ids=["two", "three", "many", "space"])
def test_a_name_from_a_long_display_name(api: Api, key: str, display_name: str) -> None:
    """A name has 255 bytes; what is cut off is whole characters."""
    source = {"revision_spec": {"template_id": "tpl", "runtime_service": service(display_name=display_name)}}
    name = data_of(api.request("POST", LIST, key, {"source": source}), 201)["function"]["name"]
    assert name == display_name.strip().encode()[:255].decode(errors="ignore").strip()


SCALE = {"min_warm": 0, "max_active": 20, "target_concurrency": 80, "scale_down_after_seconds": 300}


@pytest.mark.parametrize(
    "body, changed",
    [
        ({}, {}),
        ({"name": "New"}, {"name": "New"}),
        ({"name": "x" * 255}, {"name": "x" * 255}),
        ({"name": " \t"}, {}),
        ({"name": None, "enabled": None, "autoscaling": None}, {}),
        ({"enabled": False}, {"enabled": False}),
        ({"enabled": True}, {}),
        ({"slug": "other", "host": "other", "unknown": [1]}, {}),
        ({"autoscaling": {"min_warm": 2}}, {"autoscaling": SCALE | {"min_warm": 2}}),
        ({"autoscaling": {"min_warm": 101, "max_active": 9999, "target_concurrency": -1, "scale_down_after_seconds": 1}},
         {"autoscaling": {"min_warm": 100, "max_active": 1000, "target_concurrency": 80, "scale_down_after_seconds": 30}}),
        ({"name": "All", "enabled": False, "autoscaling": {}}, {"name": "All", "enabled": False}),
    ],
)
def test_put(api: Api, house: House, body: dict[str, Any], changed: dict[str, Any]) -> None:
    f = house.function()
    key = api.key(f.team)
    before = data_of(api.request("GET", url(f), key))["function"]
    got = data_of(api.request("PUT", url(f), key, body))["function"]
    check_function(got, f)
    assert got == before | changed | {"updated_at": got["updated_at"]}
    assert data_of(api.request("GET", url(f), key))["function"] == got
    assert audits(house.stack, f) == ["function.update"]


@pytest.mark.parametrize(
    "body, message",
    [
        (b"", "the body is empty"),
        (b"{", "'}' expected"),
        (b"[]", "a JSON object is expected"),
        (b"null", "a JSON object is expected"),
        (b'{"name":1}', "name must be a string"),
        (b'{"name":"' + b"x" * 256 + b'"}', "name must have 0 to 255 bytes"),
        (b'{"name":"\xff\xfe"}', "unable to decode byte"),
        (b'{"name":"\\u0000"}', "\\u0000"),
        (b'{"enabled":"yes"}', "enabled must be true or false"),
        (b'{"autoscaling":[]}', "autoscaling must be an object"),
        (b'{"autoscaling":{"min_warm":1.5}}', "min_warm must be a whole number"),
        (b'{"name":"a","name":"b"}', "duplicate object key"),
        (b"{} x", "end of file expected"),
    ],
)
def test_put_refused(api: Api, house: House, body: bytes, message: str) -> None:
    f = house.function()
    answer = api.request("PUT", url(f), api.key(f.team), body)
    check_error(answer, 400, "bad_request")
    assert answer[2]["error"]["message"].startswith("invalid request: ")
    assert message in answer[2]["error"]["message"]
    assert audits(house.stack, f) == []


@pytest.mark.parametrize(
    "stored, shown",
    [
        ({}, SCALE),
        ([], SCALE),
        ("x", SCALE),
        (None, SCALE),
        ({"min_warm": 1.5, "max_active": "x", "target_concurrency": None, "scale_down_after_seconds": {}}, SCALE),
        ({"min_warm": 10**18, "max_active": 10**19, "target_concurrency": 10**300, "scale_down_after_seconds": -(10**40)},
         {"min_warm": 100, "max_active": 1000, "target_concurrency": 1000, "scale_down_after_seconds": 300}),
        ({"min_warm": 7, "max_active": 5, "target_concurrency": 0, "scale_down_after_seconds": 1, "more": 1},
         {"min_warm": 5, "max_active": 5, "target_concurrency": 80, "scale_down_after_seconds": 30}),
    ],
)  # fmt: skip
def test_whatever_is_stored_as_autoscaling(api: Api, house: House, stored: Any, shown: dict[str, int]) -> None:
    f = house.function()
    key = api.key(f.team)
    house.stack.sql("UPDATE shared_gateway.functions SET autoscaling = %s WHERE id = %s", (json.dumps(stored), f.id))
    assert data_of(api.request("GET", LIST, key))["functions"][0]["autoscaling"] == shown
    assert data_of(api.request("GET", f"{LIST}?limit=1", key))["functions"][0]["autoscaling"] == shown
    assert data_of(api.request("GET", url(f, "/runtime"), key))["runtime"]["autoscaling"] == shown
    for _ in range(2):  # done, and said again
        again = {"Idempotency-Key": "recycle"}
        assert data_of(api.request("POST", url(f, "/runtime/recycle"), key, headers=again))["runtime"]["autoscaling"] == shown
    for method, body in [("GET", None), ("PUT", {"name": "Renamed"}), ("PUT", {"name": "Renamed"}), ("DELETE", None), ("DELETE", None)]:
        again = {"Idempotency-Key": method}
        assert data_of(api.request(method, url(f), key, body, again))["function"]["autoscaling"] == shown
    assert house.stack.sql("SELECT autoscaling FROM shared_gateway.functions WHERE id = %s", (f.id,)) == [(stored,)], "it is not ours to correct"


def test_duplicate_names_are_allowed(api: Api, house: House, team: str, key: str) -> None:
    for f in (house.function(team), house.function(team)):
        assert data_of(api.request("PUT", url(f), key, {"name": "Same"}))["function"]["name"] == "Same"


def test_disable(api: Api, house: House) -> None:
    """Every runtime of every revision is released, with one event; once."""
    f = house.function(revisions=2, volumes=1)
    key = api.key(f.team)
    got = data_of(api.request("PUT", url(f), key, {"enabled": False}))["function"]
    assert got["enabled"] is False and "deleted_at" not in got
    check_runtime(data_of(api.request("GET", url(f, "/runtime"), key))["runtime"], f, "disabled")
    assert house.states([r.sandbox for r in f.revisions if r.sandbox]) == {r.sandbox: "released" for r in f.revisions}
    assert set(house.states([v for r in f.revisions for v in r.volumes]).values()) == {"in_use"}
    assert [(kind, d["function_id"]) for kind, d in events(house.stack, f)] == [("io.sandsweep.function.disabled", f.id)]
    data_of(api.request("PUT", url(f), key, {"enabled": False}))
    assert len(events(house.stack, f)) == 1
    data_of(api.request("PUT", url(f), key, {"enabled": True}))
    check_runtime(data_of(api.request("GET", url(f, "/runtime"), key))["runtime"], f, "idle")
    assert len(events(house.stack, f)) == 1
    assert audits(house.stack, f) == ["function.update"] * 3


def test_delete(api: Api, house: House) -> None:
    f = house.function(revisions=2)
    key = api.key(f.team)
    data = data_of(api.request("DELETE", url(f), key))
    assert set(data) == {"function", "message"} and data["message"] == "function deleted"
    check_function(data["function"], f)
    assert data["function"]["enabled"] is False and TIME.fullmatch(data["function"]["deleted_at"])
    assert set(house.states(f.ours).values()) == {"released"}
    assert [(kind, d["function_id"]) for kind, d in events(house.stack, f)] == [("io.sandsweep.function.deleted", f.id)]
    for method, below, _ in FUNCTION_ROUTES:
        for name in (f.id, f.slug):
            if (below, name) != ("/cleanup", f.id):  # of a deleted function too, while it is named by its id
                check_error(api.request(method, url(name, below), key, body_of(method, below)), 404, "not_found", "function not found")
    assert data_of(api.request("GET", url(f, "/cleanup"), key))["cleanup"]["deleted"] is True
    assert data_of(api.request("GET", LIST, key)) == {"functions": []}
    assert len(events(house.stack, f)) == 1 and audits(house.stack, f) == ["function.delete"]
    kept = house.stack.sql("SELECT count(*) FROM shared_gateway.functions_revisions WHERE function_id = %s", (f.id,))
    assert kept == [(2,)]


@pytest.mark.parametrize("method, below, permission", FUNCTION_ROUTES)
def test_another_team_sees_nothing(api: Api, house: House, method: str, below: str, permission: str) -> None:
    """S4: the same 404 as for a function that does not exist, and nothing happens."""
    f = house.function()
    key = api.key(str(uuid.uuid4()))
    for name in (f.id, f.slug):
        check_error(api.request(method, url(name, below), key, body_of(method, below)), 404, "not_found", "function not found")
    assert set(house.states(f.ours).values()) == {"in_use"}
    assert audits(house.stack, f) == [] and events(house.stack, f) == []


def test_another_teams_deleted_function(api: Api, house: House) -> None:
    f = house.function()
    data_of(api.request("DELETE", url(f), api.key(f.team)))
    check_error(api.request("GET", url(f, "/cleanup"), api.key(str(uuid.uuid4()))), 404, "not_found", "function not found")


# ---- runtimes ----

CLEARS = [("recycle", "io.sandsweep.runtime.recycled", "runtime.recycled"), ("restart", "io.sandsweep.runtime.restarted", "runtime.restarted")]


def test_runtime(api: Api, house: House) -> None:
    f = house.function(mapped=False)
    key = api.key(f.team)
    check_runtime(data_of(api.request("GET", url(f, "/runtime"), key))["runtime"], f, "idle")
    house.map(f.active, "sb-runtime-" + f.slug)
    for name in (f.id, f.slug):
        got = data_of(api.request("GET", url(name, "/runtime"), key))["runtime"]
        check_runtime(got, f, "active", "sb-runtime-" + f.slug)


@pytest.mark.parametrize("verb, event, action", CLEARS)
def test_clear(api: Api, house: House, verb: str, event: str, action: str) -> None:
    """Only the active revision's runtime goes; older ones stay."""
    f = house.function(revisions=2)
    key = api.key(f.team)
    got = data_of(api.request("POST", url(f, f"/runtime/{verb}"), key))["runtime"]
    check_runtime(got, f, "idle")
    shown = data_of(api.request("GET", url(f, "/runtime"), key))["runtime"]
    assert [(e["reason"], e["runtime_sandbox_id"], e.get("message")) for e in shown["recent_events"]] == [
        ("runtime_cleared", f.active.sandbox, {"recycle": "recycled", "restart": "restarted"}[verb]), ("runtime_ready", f.active.sandbox, None)]
    check_runtime(shown, f, "idle")
    assert house.states([r.sandbox for r in f.revisions]) == {f.revisions[0].sandbox: "in_use", f.active.sandbox: "released"}
    [(kind, told)] = events(house.stack, f)
    assert kind == event
    assert (told["team_id"], told["function_id"], told["revision_id"], told["sandbox_id"]) == (f.team, f.id, f.active.id, f.active.sandbox)
    assert audits(house.stack, f) == [action]


@pytest.mark.parametrize("verb, event, action", CLEARS)
def test_clear_of_nothing(api: Api, house: House, verb: str, event: str, action: str) -> None:
    f = house.function(mapped=False)
    key = api.key(f.team)
    for _ in range(2):
        check_runtime(data_of(api.request("POST", url(f, f"/runtime/{verb}"), key))["runtime"], f, "idle")
    assert events(house.stack, f) == [] and audits(house.stack, f) == [action] * 2


@pytest.mark.parametrize("verb, event, action", CLEARS)
def test_clear_of_disabled(api: Api, house: House, verb: str, event: str, action: str) -> None:
    """Allowed: what another program had left mapped is released all the same."""
    f = house.function()
    key = api.key(f.team)
    house.stack.sql("UPDATE shared_gateway.functions SET enabled = false WHERE id = %s", (f.id,))
    got = data_of(api.request("GET", url(f, "/runtime"), key))["runtime"]
    if "runtime_sandbox_id" in got:
        check_runtime(got, f, "disabled", f.active.sandbox)
    check_runtime(data_of(api.request("POST", url(f, f"/runtime/{verb}"), key))["runtime"], f, "disabled")
    assert house.states([f.active.sandbox]) == {f.active.sandbox: "released"}


def test_no_active_revision(api: Api, house: House) -> None:
    f = house.function()
    key = api.key(f.team)
    house.stack.sql("UPDATE shared_gateway.functions SET active_revision_id = NULL WHERE id = %s", (f.id,))
    for method, below in (("GET", "/runtime"), ("POST", "/runtime/restart"), ("POST", "/runtime/recycle")):
        check_error(api.request(method, url(f, below), key), 404, "not_found", "function revision not found")
    assert "active_revision_id" not in data_of(api.request("GET", url(f), key))["function"]


@pytest.mark.parametrize("body", [b"", b"{}", b"not JSON", b"x" * 4096])
def test_clear_reads_no_body(api: Api, house: House, body: bytes) -> None:
    f = house.function()
    data_of(api.request("POST", url(f, "/runtime/recycle"), api.key(f.team), body))


def test_many_at_once_clear_once(house: House) -> None:
    """The lock on the revision decides: one event, whoever of twenty it was."""
    own = house.api(UNLIMITED)
    f = house.function()
    key = own.key(f.team)
    answers: list[Answer] = []
    threads = [threading.Thread(target=lambda: answers.append(own.request("POST", url(f, "/runtime/recycle"), key))) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [status for status, _, _ in answers] == [200] * 20
    assert len(events(house.stack, f)) == 1 and len(audits(house.stack, f)) == 20


# ---- what a write leaves behind ----

WRITES = [
    ("POST", "/runtime/recycle", None),
    ("POST", "/runtime/restart", None),
    ("PUT", "", {"enabled": False}),
    ("DELETE", "", None),
]


@pytest.mark.parametrize("method, below, body", WRITES)
def test_one_transaction(api: Api, house: House, method: str, below: str, body: Any) -> None:
    """State, ledger, audit and outbox carry the same transaction id."""
    f = house.function()
    data_of(api.request(method, url(f, below), api.key(f.team), body))
    ids = house.stack.sql(
        """SELECT xmin::text FROM sandsweep.audit_log WHERE function_id = %(f)s
           UNION SELECT xmin::text FROM sandsweep.outbox WHERE function_id = %(f)s
           UNION SELECT xmin::text FROM sandsweep.owned_resources WHERE resource_id = %(s)s
           UNION SELECT xmin::text FROM shared_gateway.functions_revisions WHERE id = %(r)s""",
        {"f": f.id, "s": f.active.sandbox, "r": f.active.id},
    )
    assert len(ids) == 1


@pytest.mark.parametrize("method, below, body", WRITES)
def test_who_and_why(api: Api, house: House, method: str, below: str, body: Any) -> None:
    f = house.function()
    user = str(uuid.uuid4())
    key = api.key(f.team, "*", "--user", user)
    trace = "0af7651916cd43dd8448eb211c80319c"
    headers = {"X-Request-Id": f"req-{f.slug}", "traceparent": f"00-{trace}-b7ad6b7169203331-01"}
    data_of(api.request(method, url(f, below), key, body, headers))
    assert house.stack.sql("SELECT actor, request_id FROM sandsweep.audit_log WHERE function_id = %s", (f.id,)) == [(user, f"req-{f.slug}")]
    [(parent, actor)] = house.stack.sql("SELECT traceparent, data->>'actor' FROM sandsweep.outbox WHERE function_id = %s", (f.id,))
    assert re.fullmatch(f"00-{trace}-[0-9a-f]{{16}}-01", parent) and "b7ad6b7169203331" not in parent
    assert actor == user


@pytest.mark.parametrize("given", [None, "", "x", "00-" + "0" * 32 + "-b7ad6b7169203331-01", "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"])
def test_a_new_trace(api: Api, house: House, given: str | None) -> None:
    f = house.function()
    data_of(api.request("POST", url(f, "/runtime/recycle"), api.key(f.team), headers={} if given is None else {"traceparent": given}))
    [(parent,)] = house.stack.sql("SELECT traceparent FROM sandsweep.outbox WHERE function_id = %s", (f.id,))
    assert re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-01", parent) and parent[3:35] != "0" * 32 and given not in (parent, parent[3:35])


def test_a_key_without_a_user_is_its_own_actor(api: Api, house: House) -> None:
    f = house.function()
    made = json.loads(house.run("keys", "create", "--team", f.team, "--role", "admin", "--output", "json").stdout)
    data_of(api.request("DELETE", url(f), made["key"]))
    assert house.stack.sql("SELECT actor FROM sandsweep.audit_log WHERE function_id = %s", (f.id,)) == [(made["id"],)]


def test_relays_are_woken_together(house: House) -> None:
    own = house.api(UNLIMITED)
    team = str(uuid.uuid4())
    key = own.key(team)
    functions = [house.function(team, volumes=0) for _ in range(30)]
    conn = house.stack.connect()
    try:
        conn.cursor().execute("LISTEN sandsweep_outbox")
        began = time.monotonic()
        threads = [threading.Thread(target=own.request, args=("POST", url(f, "/runtime/recycle"), key)) for f in functions]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        took = time.monotonic() - began

        def heard() -> int:
            conn.poll()
            return sum(n.channel == "sandsweep_outbox" for n in conn.notifies)

        wait_until(heard, "the relays to be woken")
        time.sleep(0.2)
        assert 1 <= heard() <= took / 0.005 + 2
    finally:
        conn.close()


# ---- when Postgres is away ----


def everything(own: Api, f: Function, key: str) -> list[Answer]:
    return [own.request(method, url(f, below), key, body_of(method, below)) for method, below, _ in FUNCTION_ROUTES] + [own.request("GET", LIST, key)]


@pytest.mark.parametrize("how", ["stop", "kill"])
@pytest.mark.parametrize("options", [FOREVER, {"api.key_cache_ms": "0"}])
def test_w21_an_outage_is_never_not_found(house: House, how: str, options: dict[str, str]) -> None:
    own = house.api({**options, **UNLIMITED})
    f = house.function()
    key, unknown = own.key(f.team), f"s0_local_{uuid.uuid4().hex}{'0' * 16}"
    data_of(own.request("GET", url(f), key))
    house.stack.pg(how)  # type: ignore[arg-type]
    try:
        for answer in everything(own, f, key) + [own.request("GET", url("no-such-function"), key), own.request("GET", LIST, unknown)]:
            check_error(answer, 500, "internal_error")
        data_of(own.request("GET", "/livez"))
        check_error(own.request("GET", "/readyz"), 503, "unavailable")
        check_error(own.request("GET", LIST), 401, "unauthorized")
        check_error(own.request("PUT", LIST), 405, "bad_request")
    finally:
        house.stack.pg("start")
    wait_until(lambda: own.request("GET", "/readyz")[0] == 200, "the front to be ready again")
    data_of(own.request("GET", url(f), key))
    check_error(own.request("GET", url("no-such-function"), key), 404, "not_found")
    check_error(own.request("GET", LIST, unknown), 401, "unauthorized")
    assert audits(house.stack, f) == []
    assert own.process.log.count("api.store_failed") < 20
    assert key not in own.process.log


@contextmanager
def frozen(house: House) -> Iterator[None]:
    """Every server process of Postgres stands still: connections stay, answers do not come."""
    pids = [row[0] for row in house.stack.sql("SELECT pid FROM pg_stat_activity WHERE application_name = 'sandsweep'")]
    for pid in pids:
        subprocess.run(["kill", "-STOP", str(pid)], check=True)
    try:
        yield
    finally:
        for pid in pids:
            subprocess.run(["kill", "-CONT", str(pid)], check=False)


def test_a_database_that_hangs(house: House) -> None:
    """The answer's deadline is 503; who waits gets it in time, and the front recovers by itself."""
    own = house.api({**FOREVER, "api.answer_ms": "500"})
    f = house.function()
    key = own.key(f.team)
    data_of(own.request("GET", url(f), key))
    with frozen(house):
        began = time.monotonic()
        check_error(own.request("GET", url(f), key), 503, "unavailable", "no answer in time")
        assert time.monotonic() - began > 0.4
        assert own.request("GET", "/readyz")[0] == 503
        data_of(own.request("GET", "/livez"))
    wait_until(lambda: own.request("GET", url(f), key)[0] == 200, "the front to answer again")
    wait_until(lambda: metric(own.metrics_port, "sandsweep_http_open_requests") == 0, "nothing to stay open")
    wait_until(lambda: metric(own.metrics_port, "sandsweep_http_connections") == 0, "no connection to stay")


def test_a_late_write_still_counts(house: House) -> None:
    own = house.api({"api.answer_ms": "300"})
    f = house.function()
    key = own.key(f.team)
    with holding(house.stack, f"SELECT FROM shared_gateway.functions_revisions WHERE id = '{f.active.id}' FOR UPDATE"):
        check_error(own.request("POST", url(f, "/runtime/recycle"), key), 503, "unavailable", "no answer in time")
        assert audits(house.stack, f) == []
    wait_until(lambda: audits(house.stack, f), "the recycle to happen all the same")
    check_runtime(data_of(own.request("GET", url(f, "/runtime"), key))["runtime"], f, "idle")
    assert len(events(house.stack, f)) == 1


# ---- starting and stopping ----


def lock_of(f: Function) -> str:
    return f"SELECT FROM shared_gateway.functions_revisions WHERE id = '{f.active.id}' FOR UPDATE"


def test_drain_answers_what_is_here(house: House) -> None:
    own = house.api()
    f = house.function()
    key = own.key(f.team)
    answers: list[Answer] = []
    with holding(house.stack, lock_of(f)):
        thread = threading.Thread(target=lambda: answers.append(own.request("POST", url(f, "/runtime/recycle"), key)))
        thread.start()
        wait_until(lambda: metric(own.metrics_port, "sandsweep_http_open_requests") == 1, "the request to arrive")
        own.process.popen.send_signal(signal.SIGTERM)

        def refused() -> bool:
            with socket.socket() as sock:
                return sock.connect_ex(("127.0.0.1", own.port)) != 0

        wait_until(refused, "the listener to close")
        assert own.process.running() and not answers
    assert own.process.wait_exit() == 0
    thread.join()
    check_runtime(data_of(answers[0])["runtime"], f, "idle")


def test_drain_has_an_end(house: House) -> None:
    own = house.api({"api.drain_ms": "300"})
    f = house.function()
    key = own.key(f.team)
    with holding(house.stack, lock_of(f)):
        thread = threading.Thread(target=lambda: pytest.raises(OSError, own.request, "POST", url(f, "/runtime/recycle"), key))
        thread.start()
        wait_until(lambda: metric(own.metrics_port, "sandsweep_http_open_requests") == 1, "the request to arrive")
        assert own.process.stop() == 0
        assert 'unanswered="1"' in own.process.log
    thread.join()


def test_hangup_changes_nothing(house: House) -> None:
    own = house.api()
    own.process.popen.send_signal(signal.SIGHUP)
    own.process.wait_log("api.hangup")
    data_of(own.request("GET", "/livez"))


def serve(house: House, *options: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return house.run("-o", "api.listen=127.0.0.1:0", "-o", "api.metrics_listen=", *options, "api", check=False, env=env)


def test_refuses_another_schema(house: House) -> None:
    house.stack.sql("UPDATE sandsweep.schema_migrations SET sha256 = 'x' || sha256 WHERE version = 2")
    try:
        done = serve(house)
    finally:
        house.stack.sql("UPDATE sandsweep.schema_migrations SET sha256 = substr(sha256, 2) WHERE version = 2")
    assert done.returncode == 65 and done.stderr.startswith("sandsweep api: ")


def test_refuses_to_start_without_postgres(house: House) -> None:
    done = serve(house, env={"SANDSWEEP_POSTGRES_DSN": "host=127.0.0.1 port=1 user=x dbname=x"})
    assert done.returncode == 69 and "PostgreSQL" in done.stderr


def test_refuses_a_taken_address(house: House, api: Api) -> None:
    done = serve(house, "-o", f"api.listen=127.0.0.1:{api.port}")
    assert done.returncode == 1 and f"127.0.0.1:{api.port}" in done.stderr


@pytest.mark.parametrize("option, code", [("api.listen=nowhere", 78), ("api.body_max_bytes=1", 78), ("api.nothing=1", 78), ("api.root_domain=" + "x" * 255, 78)])
def test_refuses_a_bad_setting(house: House, option: str, code: int) -> None:
    assert serve(house, "-o", option).returncode == code


def test_shares_a_port(house: House) -> None:
    first = house.api({"api.reuse_port": "true"})
    second = house.api({"api.reuse_port": "true", "api.listen": f"127.0.0.1:{first.port}"})
    assert second.port == first.port
    first.process.stop()
    data_of(second.request("GET", "/livez"))


# ---- keys ----


def test_a_key_is_shown_once_and_kept_nowhere(house: House) -> None:
    team = str(uuid.uuid4())
    done = house.run("keys", "create", "--team", team, "--name", "ci", "--region", "aws-us-east-1", "--permissions", "function:read,function:write")
    key = done.stdout.strip()
    assert re.fullmatch("s0_aws-us-east-1_[0-9a-f]{48}", key) and key not in done.stderr
    [row] = [k for k in json.loads(house.run("keys", "list", "--output", "json").stdout) if k.get("team_id") == team]
    assert (row["name"], row["region"], row["scope"]) == ("ci", "aws-us-east-1", "team")
    assert row["permissions"] == ["function:read", "function:write"] and "revoked_at" not in row and "expires_at" not in row
    table = house.run("keys", "list").stdout
    assert row["id"] in table and key not in table and key[-48:] not in table
    [(stored,)] = house.stack.sql("SELECT row_to_json(k)::text FROM sandsweep.api_keys k WHERE id = %s", (row["id"],))
    assert key[-48:] not in stored
    assert house.run("keys", "revoke", row["id"]).returncode == 0
    first = house.stack.sql("SELECT revoked_at FROM sandsweep.api_keys WHERE id = %s", (row["id"],))
    assert house.run("keys", "revoke", row["id"]).returncode == 0
    assert house.stack.sql("SELECT revoked_at FROM sandsweep.api_keys WHERE id = %s", (row["id"],)) == first
    assert row["id"] in house.run("keys", "list").stdout


TEAM = "22222222-2222-4222-8222-222222222222"


@pytest.mark.parametrize(
    "words, code",
    [
        ([], 64),
        (["make"], 64),
        (["list", "extra"], 64),
        (["list", "--output", "xml"], 64),
        (["revoke"], 64),
        (["revoke", "x"], 64),
        (["revoke", str(uuid.uuid4())], 65),
        (["create"], 64),
        (["create", "--team", TEAM, "--platform"], 64),
        (["create", "--team", "x"], 64),
        (["create", "--team", "00000000-0000-0000-0000-000000000000"], 64),
        (["create", "--team", TEAM, "--permissions", "function:fly"], 64),
        (["create", "--team", TEAM, "--permissions", ""], 64),
        (["create", "--team", TEAM, "--permissions", "function:read,"], 64),
        (["create", "--team", TEAM, "--role", "king"], 64),
        (["create", "--team", TEAM, "--role", "admin", "--permissions", "*"], 64),
        (["create", "--platform", "--permissions", "function:read"], 64),
        (["create", "--team", TEAM, "--user", "me"], 64),
        (["create", "--team", TEAM, "--expires", "30"], 64),
        (["create", "--team", TEAM, "--expires", "0d"], 64),
        (["create", "--team", TEAM, "--expires", "3651d"], 64),
        (["create", "--team", TEAM, "--expires", "d"], 64),
        (["create", "--team", TEAM, "--rate", "0"], 64),
        (["create", "--team", TEAM, "--rate", "1000001"], 64),
        (["create", "--team", TEAM, "--region", "US_1"], 64),
        (["create", "--team", TEAM, "--region", "x" * 65], 64),
        (["create", "--team", TEAM, "--name", "x" * 256], 64),
        (["create", "--team", TEAM, "--output", "yaml"], 64),
        (["create", "--team", TEAM, "--colour", "red"], 64),
    ],
)
def test_keys_refused(house: House, words: list[str], code: int) -> None:
    before = house.stack.sql("SELECT count(*) FROM sandsweep.api_keys")
    done = house.run("keys", *words, check=False)
    assert done.returncode == code and done.stdout == "" and done.stderr.startswith("sandsweep keys: ")
    assert house.stack.sql("SELECT count(*) FROM sandsweep.api_keys") == before


@pytest.mark.parametrize("text, seconds", [("90s", 90), ("30m", 1800), ("12h", 43200), ("30d", 2592000), ("8w", 4838400), ("3650d", 315360000)])
def test_expiry_is_stored(house: House, text: str, seconds: int) -> None:
    made = json.loads(house.run("keys", "create", "--team", TEAM, "--expires", text, "--output", "json").stdout)
    assert made["expires_in_s"] == seconds
    [(left,)] = house.stack.sql("SELECT extract(epoch FROM expires_at - created_at)::bigint FROM sandsweep.api_keys WHERE id = %s", (made["id"],))
    assert left == seconds


def test_keys_without_postgres(house: House) -> None:
    done = house.run("keys", "list", check=False, env={"SANDSWEEP_POSTGRES_DSN": "host=127.0.0.1 port=1 user=x dbname=x"})
    assert done.returncode == 69

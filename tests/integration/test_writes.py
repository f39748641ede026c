"""Writes that are sent again, versions that are meant, pages, what is still to be removed, the runtime's past."""

from __future__ import annotations

import http.client
import json
import re
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.support.house import Api, House
from tests.support.publish import LIST, audits, create, has_null, ledger, made, source, spec
from tests.support.sim import Sim
from tests.support.stack import wait_until


@pytest.fixture
def team() -> str:
    return str(uuid.uuid4())


@pytest.fixture
def key(api: Api, team: str) -> str:
    return api.key(team, "*", "--rate", "1000000")


def error(answer: tuple[int, dict[str, str], Any]) -> tuple[int, str, str]:
    return answer[0], answer[2]["error"]["code"], answer[2]["error"]["message"]


# ---- Idempotency-Key ----

# (method, path below the list, body): every write there is, on a function called {slug} with two revisions.
WRITES: list[tuple[str, str, Any]] = [
    ("POST", "", {"name": "again {slug}", "source": spec()}),
    ("PUT", "/{slug}", {"enabled": False}),
    ("DELETE", "/{slug}", None),
    ("POST", "/{slug}/revisions", {"source": spec(), "promote": True}),
    ("POST", "/{slug}/revisions", {"source": spec(), "promote": False}),
    ("PUT", "/{slug}/aliases/canary", {"revision_number": 1}),
    ("POST", "/{slug}/runtime/restart", None),
    ("POST", "/{slug}/runtime/recycle", None),
]
IDS = [f"{m} {p}" for m, p, _ in WRITES]


def filled(slug: str, path: str, body: Any) -> tuple[str, Any]:
    return LIST + path.replace("{slug}", slug), json.loads(json.dumps(body).replace("{slug}", slug))


def effects(house: House, team: str) -> list[Any]:
    """Everything that a write leaves."""
    return [
        house.stack.sql(f"SELECT count(*) FROM {table} WHERE team_id = %s", (team,))[0][0]
        for table in ("shared_gateway.functions", "shared_gateway.functions_revisions", "sandsweep.audit_log", "sandsweep.outbox", "sandsweep.idempotency_keys")
    ] + house.stack.sql("SELECT id, updated_at FROM shared_gateway.functions WHERE team_id = %s ORDER BY id", (team,))


@pytest.mark.parametrize("method, path, body", WRITES, ids=IDS)
def test_the_same_write_again(house: House, api: Api, team: str, key: str, method: str, path: str, body: Any) -> None:
    f = house.function(team=team, revisions=2)
    url, sent = filled(f.slug, path, body)
    again = {"Idempotency-Key": f'"{uuid.uuid4()}"'}
    first = api.request(method, url, key, sent, again)
    assert first[0] in (200, 201) and "idempotency-replayed" not in first[1]
    left = effects(house, team)
    for _ in range(2):
        status, headers, got = api.request(method, url, key, sent, again)
        assert (status, got) == (first[0], first[2]) and headers["idempotency-replayed"] == "true"
        assert {h: headers.get(h) for h in ("etag", "location")} == {h: first[1].get(h) for h in ("etag", "location")}
    assert effects(house, team) == left
    # The key without quotes is the same key; another request under it is not.
    assert api.request(method, url, key, sent, {"Idempotency-Key": again["Idempotency-Key"].strip('"')})[1]["idempotency-replayed"] == "true"
    other = api.request("PUT", f"{LIST}/{f.slug}", key, {"name": "other"}, again)
    assert error(other) == (422, "bad_request", "this Idempotency-Key was used for another request")
    assert effects(house, team) == left
    # It is the team's: another one's request of the same key is its own.
    assert api.request(method, url, api.key(str(uuid.uuid4())), sent, again)[0] in (201, 404)


@pytest.mark.parametrize("method, path, body", WRITES, ids=IDS)
def test_the_same_write_at_once(house: House, api: Api, team: str, key: str, method: str, path: str, body: Any) -> None:
    f = house.function(team=team, revisions=2)
    url, sent = filled(f.slug, path, body)
    before = len(audits_of(house, team))
    again = {"Idempotency-Key": uuid.uuid4().hex}
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: api.request(method, url, key, sent, again), range(8)))
    assert len({(status, json.dumps(got)) for status, _, got in answers}) == 1 and answers[0][0] in (200, 201), answers
    assert sum("idempotency-replayed" not in headers for _, headers, _ in answers) == 1
    assert len(audits_of(house, team)) == before + 1


def audits_of(house: House, team: str) -> list[Any]:
    return house.stack.sql("SELECT id FROM sandsweep.audit_log WHERE team_id = %s", (team,))


def test_publishes_from_a_sandbox_at_once_under_one_key(house: House, sim: Sim, api: Api, team: str, key: str) -> None:
    """Each has made its volumes by then; one is published, the others' go, and all get the one answer."""
    user = source(sim, team, volumes=1)
    sim.fault("latency", op="volume_create", team=team, latency_ms=300)
    again = {"Idempotency-Key": uuid.uuid4().hex}
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: api.request("POST", LIST, key, {"name": "once", **user.body}, again), range(4)))
    assert {status for status, _, _ in answers} == {201} and len({json.dumps(got) for _, _, got in answers}) == 1, answers
    mount = answers[0][2]["data"]["revision"]["restore_mounts"][0]
    house.worker()
    wait_until(lambda: made(sim, user) == ({mount["sandboxvolume_id"]}, {mount["snapshot_id"]}), "what the others made to go")


def test_failures_are_not_kept(house: House, api: Api, team: str, key: str) -> None:
    f = house.function(team=team)
    again = {"Idempotency-Key": "retry-me"}
    assert error(api.request("PUT", f"{LIST}/{f.id}/aliases/x", key, {"revision_number": 2}, again))[0] == 404
    assert api.request("POST", f"{LIST}/{f.id}/revisions", key, {"source": spec()})[0] == 201
    status, headers, _ = api.request("PUT", f"{LIST}/{f.id}/aliases/x", key, {"revision_number": 2}, again)
    assert status == 200 and "idempotency-replayed" not in headers


@pytest.mark.parametrize("bad", ["", '""', "x" * 256, "a b", "\x7f", "ü"])
@pytest.mark.parametrize("method, path, body", WRITES, ids=IDS)
def test_keys_that_are_refused(house: House, api: Api, team: str, key: str, method: str, path: str, body: Any, bad: str) -> None:
    f = house.function(team=team)
    url, sent = filled(f.slug, path, body)
    left = effects(house, team)
    answer = api.request(method, url, key, sent, {"Idempotency-Key": bad.encode("latin-1").decode("latin-1")})
    assert answer[0] == 400 and (bad == "\x7f" or error(answer)[2] == "Idempotency-Key must be 1 to 255 visible ASCII characters")
    assert effects(house, team) == left


@pytest.mark.parametrize("point", ["api.received", "api.committed"])
@pytest.mark.parametrize("method, path, body", [w for w in WRITES if "source" not in (w[2] or {})], ids=[i for i in IDS if i not in ("POST ", "POST /{slug}/revisions")])
def test_a_crash_around_the_commit(house: House, team: str, method: str, path: str, body: Any, point: str) -> None:
    """The client cannot know whether it was done, and need not: the same again is done once in all."""
    f = house.function(team=team, revisions=2)
    url, sent = filled(f.slug, path, body)
    again = {"Idempotency-Key": "crash"}
    dying = house.api(kill_at=point)
    key = dying.key(team)
    with pytest.raises((OSError, http.client.HTTPException)):
        dying.request(method, url, key, sent, again)
    dying.process.expected_codes.add(-9)
    assert dying.process.wait_exit() == -9
    status, headers, _ = house.api().request(method, url, key, sent, again)
    assert status == 200 and headers.get("idempotency-replayed") == ("true" if point == "api.committed" else None)
    assert len(audits(house, f.id)) == 1


def test_old_keys_are_forgotten(house: House, api: Api, team: str, key: str) -> None:
    f = house.function(team=team)
    assert api.request("PUT", f"{LIST}/{f.id}", key, {}, {"Idempotency-Key": "old"})[0] == 200
    assert api.request("PUT", f"{LIST}/{f.id}", key, {}, {"Idempotency-Key": "new"})[0] == 200
    house.stack.sql("UPDATE sandsweep.idempotency_keys SET created_at = now() - interval '25 hours' WHERE team_id = %s AND key = 'old'", (team,))
    house.api({"api.idempotency_expire_ms": "50"})
    left = "SELECT key FROM sandsweep.idempotency_keys WHERE team_id = %s"
    wait_until(lambda: house.stack.sql(left, (team,)) == [("new",)], "the old key to be forgotten")


# ---- If-Match ----


@pytest.mark.parametrize("method, body, want", [("PUT", {"name": "n"}, 200), ("DELETE", None, 200)])
def test_versions_of_a_function(house: House, api: Api, team: str, key: str, method: str, body: Any, want: int) -> None:
    f = house.function(team=team)
    url = f"{LIST}/{f.id}"
    tag = api.request("GET", url, key)[1]["etag"]
    assert re.fullmatch(r'"[0-9a-f]{16}"', tag) and tag == api.request("GET", url, key)[1]["etag"]
    newer = api.request("PUT", url, key, {"name": "newer"})[1]["etag"]
    assert newer != tag
    left = effects(house, team)
    for given in (tag, f"W/{newer}", '"other"', f'"x", {tag}'):
        assert error(api.request(method, url, key, body, {"If-Match": given})) == (412, "conflict", "the function has changed")
    for given in ("x", '"open', newer + " " + tag, ",", ", ".join(['"a"'] * 15 + [tag] * 17)):
        assert error(api.request(method, url, key, body, {"If-Match": given}))[:2] == (400, "bad_request")
    assert error(api.request(method, f"{LIST}/nothing", key, body, {"If-Match": newer})) == (404, "not_found", "function not found")
    assert error(api.request(method, f"{LIST}/nothing", key, body, {"If-Match": "*"})) == (404, "not_found", "function not found")
    assert effects(house, team) == left
    assert api.request(method, url, key, body, {"If-Match": f'"x" , {newer}'})[0] == want


def test_any_version_of_a_function(house: House, api: Api, team: str, key: str) -> None:
    f = house.function(team=team)
    assert api.request("PUT", f"{LIST}/{f.id}", key, {}, {"If-Match": " * "})[0] == 200


def test_versions_of_an_alias(api: Api, key: str) -> None:
    create(api, key, name="tags")
    url = f"{LIST}/tags/aliases/canary"
    one = {"revision_number": 1}
    assert error(api.request("PUT", url, key, one, {"If-Match": "*"})) == (412, "conflict", "the alias has changed"), "it is not there yet"
    tag = api.request("PUT", url, key, one)[1]["etag"]
    assert api.request("GET", url, key)[1]["etag"] == tag
    assert "etag" not in api.request("GET", f"{LIST}/tags/aliases", key)[1], "a list is no version of one of them"
    newer = api.request("PUT", url, key, one, {"If-Match": tag})[1]["etag"]
    assert error(api.request("PUT", url, key, one, {"If-Match": tag}))[0] == 412
    assert api.request("PUT", url, key, one, {"If-Match": f"{newer}, {tag}"})[0] == 200
    assert api.request("PUT", url, key, one, {"If-Match": "*"})[0] == 200


def test_of_many_who_mean_the_same_version_one_wins(house: House, api: Api, team: str, key: str) -> None:
    f = house.function(team=team)
    tag = {"If-Match": api.request("GET", f"{LIST}/{f.id}", key)[1]["etag"]}
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda i: api.request("PUT", f"{LIST}/{f.id}", key, {"name": f"n{i}"}, tag)[0], range(16)))
    assert sorted(answers) == [200] + [412] * 15


# ---- pages ----


def test_pages(house: House, api: Api, team: str, key: str) -> None:
    """Every function once, newest first, while they are being changed."""
    made = [create(api, key)["function"]["id"] for _ in range(23)]
    house.stack.sql("UPDATE shared_gateway.functions SET created_at = date_trunc('second', created_at) WHERE team_id = %s", (team,))  # many of one time
    seen: list[str] = []
    url = f"{LIST}?limit=5"
    while url:
        status, _, body = api.request("GET", url, key)
        page = [f["id"] for f in body["data"]["functions"]]
        assert status == 200 and len(page) == min(5, 23 - len(seen))
        seen += page
        for id in made[::4]:
            api.request("PUT", f"{LIST}/{id}", key, {"name": "moved"})
        cursor = body["data"].get("next_cursor")
        url = f"{LIST}?limit=5&cursor={cursor}" if cursor else ""
    assert sorted(seen) == sorted(made) and len(set(seen)) == 23
    order = [r[0] for r in house.stack.sql("SELECT id::text FROM shared_gateway.functions WHERE team_id = %s ORDER BY created_at DESC, id DESC", (team,))]
    assert seen == order
    everything = api.request("GET", LIST, key)[2]["data"]
    assert len(everything["functions"]) == 23 and "next_cursor" not in everything
    exactly = api.request("GET", f"{LIST}?limit=23", key)[2]["data"]
    assert len(exactly["functions"]) == 23 and "next_cursor" not in exactly
    assert api.request("GET", f"{LIST}?limit=1000", api.key(str(uuid.uuid4())))[2]["data"] == {"functions": []}


@pytest.mark.parametrize("query, message", [
    ("limit=0", "limit must be between 1 and 1000"), ("limit=1001", "limit must be between 1 and 1000"), ("limit=", "limit must be between 1 and 1000"),
    ("limit=x", "limit must be between 1 and 1000"), ("cursor=", "cursor is not one of ours"), ("cursor=abc", "cursor is not one of ours"),
    ("cursor=" + "f" * 48, "cursor is not one of ours"), ("cursor=" + "0" * 48, "cursor is not one of ours"), ("limit=5&cursor=" + "g" * 48, "cursor is not one of ours"),
])
def test_pages_that_are_refused(api: Api, key: str, query: str, message: str) -> None:
    assert error(api.request("GET", f"{LIST}?{query}", key)) == (400, "bad_request", message)


# ---- what is still to be removed ----


def cleanup(api: Api, key: str, id: str) -> Any:
    status, _, body = api.request("GET", f"{LIST}/{id}/cleanup", key)
    assert status == 200 and not has_null(body), body
    return body["data"]["cleanup"]


def test_cleanup_can_be_watched(house: House, sim: Sim, api: Api, team: str, key: str) -> None:
    f = house.function(team=team, volumes=1, sim=sim)
    none = {"released": 0, "doomed": 0, "deleting": 0, "dead": 0, "refused": 0}
    assert cleanup(api, key, f.slug) == {"function_id": f.id, "deleted": False, "done": True, "counts": none, "resources": []}
    assert api.request("DELETE", f"{LIST}/{f.id}", key)[0] == 200
    got = cleanup(api, key, f.id)
    assert (got["deleted"], got["done"], got["counts"]) == (True, False, {**none, "released": 3}) and got["deleted_at"]
    assert {(r["kind"], r["id"], r["state"], r["attempts"]) for r in got["resources"]} == {
        ("sandbox", f.active.sandbox, "released", 0), ("volume", f.active.volumes[0], "released", 0), ("snapshot", f.active.snapshots[0], "released", 0)}
    assert all(r["revision_id"] == f.active.id and r["reason"] == "function_deleted" and r["released_at"] for r in got["resources"])
    assert error(api.request("GET", f"{LIST}/{f.slug}/cleanup", key)) == (404, "not_found", "function not found"), "a deleted one by its id alone"

    sim.fault("status", op="sandbox_delete", id=f.active.sandbox, status=500)
    house.worker({"worker.attempts_max": "2"})
    wait_until(lambda: cleanup(api, key, f.id)["counts"]["dead"] == 1, "the sandbox to be given up")
    got = cleanup(api, key, f.id)
    (dead,) = [r for r in got["resources"] if r["state"] == "dead"]
    assert (dead["attempts"], dead["last_status"]) == (2, 500) and dead["error_class"] and dead["last_error"]
    waiting = [r for r in got["resources"] if r["state"] == "doomed"]
    assert all(r["next_attempt_at"] and r["doomed_at"] for r in waiting) and not got["done"]
    sim.clear_faults()
    house.run("targets", "redrive", "--state", "dead", "--team", team)
    wait_until(lambda: cleanup(api, key, f.id)["done"], "everything to be gone")
    assert cleanup(api, key, f.id)["counts"] == none


def test_cleanup_of_much(house: House, api: Api, team: str, key: str) -> None:
    f = house.function(team=team, volumes=210)
    assert api.request("DELETE", f"{LIST}/{f.id}", key)[0] == 200
    got = cleanup(api, key, f.id)
    assert got["counts"]["released"] == 421 == len(ledger(house, team)) and len(got["resources"]) == 200


# ---- the runtime's past ----


def test_the_runtimes_history(house: House, sim: Sim, api: Api, team: str, key: str) -> None:
    f = house.function(team=team, sim=sim)
    runtime = api.request("GET", f"{LIST}/{f.id}/runtime", key)[2]["data"]["runtime"]
    (instance,) = runtime["instances"]
    assert {k: instance[k] for k in ("team_id", "function_id", "revision_id", "sandbox_id", "state", "readiness_state")} == {
        "team_id": team, "function_id": f.id, "revision_id": f.active.id, "sandbox_id": f.active.sandbox, "state": "ready", "readiness_state": "ready"}
    assert [e["reason"] for e in runtime["recent_events"]] == ["runtime_ready"]
    assert api.request("POST", f"{LIST}/{f.id}/runtime/recycle", key)[0] == 200
    runtime = api.request("GET", f"{LIST}/{f.id}/runtime", key)[2]["data"]["runtime"]
    assert "instances" not in runtime and not has_null(runtime)
    assert [(e["reason"], e["phase"], e["readiness_state"], e.get("message")) for e in runtime["recent_events"]] == [
        ("runtime_cleared", "idle", "unknown", "recycled"), ("runtime_ready", "ready", "ready", None)]
    assert all((e["team_id"], e["function_id"], e["revision_id"], e["runtime_sandbox_id"]) == (team, f.id, f.active.id, f.active.sandbox) for e in runtime["recent_events"])
    house.worker()
    house.wait_states([f.active.sandbox], "gone")
    ids = [e["id"] for e in runtime["recent_events"]]
    events = api.request("GET", f"{LIST}/{f.id}/runtime", key)[2]["data"]["runtime"]["recent_events"]
    assert [e["reason"] for e in events] == ["runtime_deleted", "runtime_cleared", "runtime_ready"] and [e["id"] for e in events[1:]] == ids
    for i in range(25):
        house.map(f.active, f"next-{uuid.uuid4().hex[:8]}")
    events = api.request("GET", f"{LIST}/{f.id}/runtime", key)[2]["data"]["runtime"]["recent_events"]
    assert len(events) == 20 and len({e["id"] for e in events}) == 20
    assert [e["created_at"] for e in events] == sorted((e["created_at"] for e in events), reverse=True)


# ---- allowances ----


def test_every_answer_tells_the_allowance(house: House) -> None:
    api = house.api({"api.rate_per_second": "2", "api.rate_burst_ms": "1000"})
    key = api.key(str(uuid.uuid4()))
    first = api.request("GET", LIST, key)[1]
    assert (first["x-ratelimit-limit"], first["x-ratelimit-remaining"], first["x-ratelimit-reset"]) == ("2", "1", "1")
    missing = api.request("GET", f"{LIST}/nothing", key)
    assert missing[0] in (404, 429) and missing[1]["x-ratelimit-limit"] == "2"
    refused = next(a for a in (api.request("GET", LIST, key) for _ in range(50)) if a[0] == 429)
    assert refused[1]["retry-after"] == "1" and refused[1]["x-ratelimit-remaining"] == "0"
    assert "x-ratelimit-limit" not in api.request("GET", "/livez")[1]
    free = house.api({"api.rate_per_second": "0"})
    assert "x-ratelimit-limit" not in free.request("GET", LIST, key)[1]

"""Publishing: functions and revisions from sandboxes and from specifications, on a real PostgreSQL and the simulator."""

from __future__ import annotations

import hashlib
import http.client
import json
import re
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.support.house import SERVICE, Api, House
from tests.support.publish import LIST, audits, create, has_null, ledger, made, service, source, spec
from tests.support.sim import Sim
from tests.support.stack import wait_until

UNLIMITED = {"api.rate_per_second": "0"}


@pytest.fixture
def team() -> str:
    return str(uuid.uuid4())


@pytest.fixture
def key(api: Api, team: str) -> str:
    return api.key(team, "*", "--rate", "1000000")


def error(answer: tuple[int, dict[str, str], Any]) -> tuple[int, str, str]:
    status, _, body = answer
    assert body["success"] is False, body
    return status, body["error"]["code"], body["error"]["message"]


def attempts(house: House, team: str) -> list[str | None]:
    return [row[0] for row in house.stack.sql("SELECT outcome FROM sandsweep.publish_attempts WHERE team_id = %s ORDER BY started_at", (team,))]


def all_gone(house: House, team: str) -> None:
    """Everything that the ledger has of the team, if anything."""
    if ids := [id for _, id in ledger(house, team)]:
        house.wait_states(ids, "gone")


def count(house: House, table: str, team: str) -> int:
    return house.stack.sql(f"SELECT count(*) FROM shared_gateway.{table} WHERE team_id = %s", (team,))[0][0]


# ---- from a sandbox ----


def test_from_a_sandbox(house: House, sim: Sim, api: Api, team: str, key: str) -> None:
    user = source(sim, team, volumes=2)
    status, headers, body = api.request("POST", LIST, key, {"name": "  My App! ", **user.body, "autoscaling": {"max_active": 5000}})
    assert status == 201 and not has_null(body)
    function, revision, alias = (body["data"][name] for name in ("function", "revision", "alias"))
    label = "my-app-" + hashlib.sha1(team.encode()).hexdigest()[:8]
    assert headers["location"] == f"{LIST}/{function['id']}"
    assert (function["name"], function["slug"], function["domain_label"]) == ("My App!", "my-app", label)
    assert function["url"] == f"https://{function['host']}" and function["host"].startswith(label + ".")
    assert function["active_revision_id"] == revision["id"] and function["enabled"] is True
    assert function["autoscaling"] == {"min_warm": 0, "max_active": 1000, "target_concurrency": 80, "scale_down_after_seconds": 300}
    assert (revision["revision_number"], revision["source_type"]) == (1, "sandbox_service")
    assert (revision["source_sandbox_id"], revision["source_service_id"], revision["source_template_id"]) == (user.id, "web", "tpl")
    assert revision["service_snapshot"] == service() == revision["revision_spec"]["runtime_service"]
    assert revision["created_by"] == function["created_by"] == alias["updated_by"]
    assert (alias["alias"], alias["revision_id"], alias["revision_number"]) == ("production", revision["id"], 1)

    volumes, snapshots = made(sim, user)
    mounts = revision["restore_mounts"]
    assert [m["mount_point"] for m in mounts] == ["/data0", "/data1"]
    assert [m["source_sandboxvolume_id"] for m in mounts] == user.volumes
    assert {m["sandboxvolume_id"] for m in mounts} == volumes and {m["snapshot_id"] for m in mounts} == snapshots
    assert revision["revision_spec"]["mounts"][0]["source"] == {"type": "sandbox_volume", **{k: v for k, v in mounts[0].items() if k != "mount_point"}}
    for snapshot in snapshots:
        state = sim.state("snapshot", snapshot)
        assert (state["name"], state["description"]) == (f"function-{user.id}", "Function revision volume snapshot")
    assert ledger(house, team) == {**{("volume", v): "in_use" for v in volumes}, **{("snapshot", s): "in_use" for s in snapshots}}
    assert house.stack.sql("SELECT DISTINCT function_id::text, revision_id::text FROM sandsweep.owned_resources WHERE team_id = %s", (team,)) == [(function["id"], revision["id"])]
    assert attempts(house, team) == ["published"] and audits(house, function["id"]) == ["function.create"]
    assert api.request("GET", f"{LIST}/my-app", key)[2]["data"]["function"] == function
    assert api.request("GET", f"{LIST}/my-app/revisions/1", key)[2]["data"]["revision"] == revision
    assert api.request("GET", f"{LIST}/my-app/aliases/production", key)[2]["data"]["alias"] == alias


def test_the_nested_form_and_the_name_of_the_service(sim: Sim, api: Api, team: str, key: str) -> None:
    user = source(sim, team, 0, [service("web", display_name=" Shop "), service("back")])
    for id, name, slug in (("web", "Shop", "shop"), ("back", "back", "back")):
        body = {"source": {"type": "sandbox_service", "sandbox_service": {"sandbox_id": user.id, "service_id": id}, "provenance": {"commit": "abc"}}}
        status, _, got = api.request("POST", LIST, key, body)
        assert status == 201 and (got["data"]["function"]["name"], got["data"]["function"]["slug"]) == (name, slug)
        assert got["data"]["revision"]["provenance"] == {"commit": "abc"} and "restore_mounts" not in got["data"]["revision"]


PRIVATE = {"ingress": {"public": False}}


@pytest.mark.parametrize(
    "more, blockers",
    [
        (PRIVATE, ["not_public"]),
        ({"ingress": {"public": True, "routes": []}}, ["not_public"]),
        ({"runtime": None}, ["missing_runtime"]),
        ({"runtime": {"type": "manual"}}, ["manual_runtime"]),
        ({"runtime": {"type": "cmd", "command": []}}, ["missing_command"]),
        ({"runtime": {"type": "warm_process", "warm_process_name": " "}}, ["missing_warm_process_name"]),
        ({**PRIVATE, "runtime": {"type": "manual"}}, ["not_public", "manual_runtime"]),
    ],
)
def test_blockers(house: House, sim: Sim, api: Api, team: str, key: str, more: dict[str, Any], blockers: list[str]) -> None:
    shown = {k: v for k, v in {**service(), **more}.items() if v is not None}
    user = source(sim, team, services=[shown])
    answer = api.request("POST", LIST, key, user.body)
    assert error(answer) == (400, "bad_request", "sandbox service is not publishable")
    assert answer[2]["error"]["details"] == {"blockers": blockers}
    answer = api.request("POST", LIST, key, {"source": spec(runtime_service=shown)})
    assert error(answer) == (400, "bad_request", "revision_spec.runtime_service is not publishable")
    assert answer[2]["error"]["details"] == {"blockers": blockers}
    assert made(sim, user) == (set(), set()) and attempts(house, team) == [] and count(house, "functions", team) == 0


def test_what_cannot_be_found(house: House, sim: Sim, api: Api, team: str, key: str) -> None:
    user, other = source(sim, team), source(sim, str(uuid.uuid4()))
    for source_of, want in (
        ({"sandbox_id": "nowhere", "service_id": "web"}, (404, "not_found", "sandbox not found")),
        ({"sandbox_id": "..", "service_id": "web"}, (404, "not_found", "sandbox not found")),
        ({"sandbox_id": user.id, "service_id": "none"}, (404, "not_found", "sandbox service not found")),
        ({"sandbox_id": other.id, "service_id": "web"}, (403, "forbidden", "sandbox belongs to a different team")),
        ({"sandbox_id": " ", "service_id": "web"}, (400, "bad_request", "source.sandbox_id is required")),
        ({"sandbox_id": user.id}, (400, "bad_request", "source.service_id is required")),
    ):
        assert error(api.request("POST", LIST, key, {"source": source_of})) == want
    assert error(api.request("POST", f"{LIST}/nothing/revisions", key, user.body)) == (404, "not_found", "function not found")
    assert made(sim, user) == (set(), set()) == made(sim, other) and attempts(house, team) == []


@pytest.mark.parametrize(
    "op, effect, rule, status, retry_after",
    [
        ("sandbox_get", "status", {"status": 500}, 503, None),
        ("sandbox_get", "status", {"status": 503, "retry_after": 7}, 503, "7"),
        ("sandbox_get", "malformed", {}, 503, None),
        ("sandbox_get", "reset", {}, 503, None),
        ("sandbox_get", "hang", {}, 503, None),
        ("snapshot_create", "status", {"status": 409}, 409, None),
        ("snapshot_create", "status", {"status": 404, "code": "not_found"}, 404, None),
        ("snapshot_create", "status", {"status": 503, "retry_after": 3}, 503, "3"),
        ("snapshot_create", "truncated", {}, 503, None),
        ("volume_create", "status", {"status": 500}, 503, None),
        ("volume_create", "status", {"status": 429, "retry_after": 2, "plain": True}, 503, "2"),
        ("volume_create", "malformed", {}, 503, None),
        ("volume_create", "reset", {}, 503, None),
    ],
)
def test_a_platform_that_fails(house: House, sim: Sim, api: Api, team: str, key: str, op: str, effect: str, rule: dict[str, Any], status: int, retry_after: str | None) -> None:
    """The second mount fails: what the first had made is deleted by the worker, without a reconciliation."""
    user = source(sim, team, volumes=2)
    if effect == "hang":
        api = house.api({"platform.timeout_ms": "1000"})
    once = {"skip": 1, "count": 1} if op != "sandbox_get" else {}  # a look that breaks off is taken again
    sim.fault(effect, op=op, team=team, **once, **rule)
    answer = api.request("POST", LIST, key, {"name": "failing", **user.body})
    assert error(answer)[0] == status, answer
    assert answer[1].get("retry-after") == retry_after
    assert count(house, "functions", team) == 0 and set(attempts(house, team)) <= {"failed"}
    known = [id for _, id in ledger(house, team)]
    assert len(known) == {"sandbox_get": 0, "snapshot_create": 2, "volume_create": 3}[op]
    house.worker()
    all_gone(house, team)
    volumes, snapshots = made(sim, user)
    lost = {e["made"] for e in sim.journal(team=team) if e.get("made")} - set(known)
    assert volumes | snapshots == lost, "only what an answer was lost of may be left, for the reconciler"
    assert user.volumes[0] in sim.live("volume", team) and user.id in sim.live("sandbox", team)
    # Nothing stands in the way of the next try.
    sim.clear_faults()
    assert api.request("POST", LIST, key, {"name": "failing", **user.body})[0] == 201


# ---- from a specification ----


def test_w18_from_a_specification(house: House, sim: Sim, api: Api, team: str, key: str) -> None:
    """A volume that a specification names is the user's: it never enters the ledger, and outlives the function."""
    user = source(sim, team, volumes=2)
    got = create(api, key, {**spec(user.volumes), "provenance": {"by": "ci"}}, "spec")
    revision = got["revision"]
    assert (revision["source_type"], revision["source_sandbox_id"], revision["source_template_id"]) == ("revision_spec", "", "tpl")
    assert revision["source_service_id"] == "web" and revision["service_snapshot"] == service()
    assert revision["revision_spec"] == spec(user.volumes)["revision_spec"] and revision["provenance"] == {"by": "ci"}
    assert revision["restore_mounts"] == [{"sandboxvolume_id": v, "mount_point": f"/data{i}"} for i, v in enumerate(user.volumes)]
    assert ledger(house, team) == {} and attempts(house, team) == [] and list(sim.journal(team=team)) == []
    # The same volumes in another revision, and then everything goes.
    assert api.request("POST", f"{LIST}/spec/revisions", key, {"source": spec(user.volumes)})[0] == 201
    assert api.request("DELETE", f"{LIST}/spec", key)[0] == 200
    house.worker()
    other = house.function(team=team, sim=sim)
    assert api.request("DELETE", f"{LIST}/{other.id}", key)[0] == 200
    house.wait_states(other.active.ours, "gone")
    assert set(user.volumes) <= sim.live("volume", team)
    assert not [e for e in sim.journal(team=team) if e["id"] in user.volumes]


@pytest.mark.parametrize(
    "change, message",
    [
        ({"template_id": None}, "revision_spec: template_id is missing"),
        ({"template_id": " "}, "revision_spec: template_id is blank"),
        ({"runtime_service": {}}, "revision_spec.runtime_service: service: id is missing"),
        ({"runtime_service": {**service(), "port": "80"}}, "revision_spec.runtime_service: service: port must be a whole number from 1 to 65535"),
        ({"mounts": [{"mount_point": "/a", "source": {"type": "volume_snapshot", "snapshot_id": "s"}}]}, "revision_spec.mounts.source: only the type sandbox_volume can be mounted here"),
        ({"mounts": [{"mount_point": "/", "source": {"type": "sandbox_volume", "sandboxvolume_id": "v"}}]}, "revision_spec.mounts: mount_point must have 2 to 1024 bytes"),
        ({"mounts": [{"mount_point": "/a/../b", "source": {"type": "sandbox_volume", "sandboxvolume_id": "v"}}]}, "revision_spec.mounts: mount_point must be an absolute path below the root"),
        ({"static_assets": [{"artifact_id": "a", "route_prefix": "/"}]}, "revision_spec: static_assets and env_refs cannot be restored here"),
    ],
)
def test_specifications_that_are_refused(api: Api, key: str, change: dict[str, Any], message: str) -> None:
    assert error(api.request("POST", LIST, key, {"source": spec(**change)})) == (400, "bad_request", f"invalid request: {message}")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b'{"source":1}', b'{"source":{"type":"artifact"}}', b'{"source":{},"name":7}', b'{"source":{},"autoscaling":[]}'])
def test_bodies_that_are_refused(api: Api, key: str, body: bytes) -> None:
    assert error(api.request("POST", LIST, key, body))[:2] == (400, "bad_request")


def test_fields_of_the_other_route_are_unknown(api: Api, key: str) -> None:
    """What a route does not take is ignored, of whatever type it is."""
    status, _, made = api.request("POST", LIST, key, {"name": "shop", "source": spec(), "promote": "no"})
    assert status == 201 and made["data"]["alias"]["alias"] == "production"
    status, _, added = api.request("POST", f"{LIST}/shop/revisions", key, {"source": spec(), "promote": False, "name": 7, "autoscaling": []})
    assert status == 201 and added["data"]["promoted"] is False


# ---- names ----


def test_names_are_taken_for_ever(house: House, api: Api, team: str, key: str) -> None:
    create(api, key, name="Shop")
    taken = (409, "conflict", "function name already exists")
    assert error(api.request("POST", LIST, key, {"name": "shop!", "source": spec()})) == taken
    assert api.request("DELETE", f"{LIST}/shop", key)[0] == 200
    assert error(api.request("POST", LIST, key, {"name": "SHOP", "source": spec()})) == taken
    assert api.request("POST", LIST, api.key(str(uuid.uuid4())), {"name": "Shop", "source": spec()})[0] == 201, "another team's names are its own"
    assert count(house, "functions", team) == 1


@pytest.mark.parametrize("name", ["x" * 48, "x" * 49, "A" * 38 + "- " + "b" * 20, "Ünï cödé"])
def test_slugs(api: Api, team: str, key: str, name: str) -> None:
    function = create(api, key, name=name)["function"]
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    want = plain if len(plain) <= 48 else plain[:39].rstrip("-") + "-" + hashlib.sha1(name.encode()).hexdigest()[:8]
    assert function["slug"] == want and function["domain_label"] == f"{want}-{hashlib.sha1(team.encode()).hexdigest()[:8]}"


# ---- more than one at once ----


def test_w14_publishes_of_one_function_at_once(house: House, sim: Sim, api: Api, team: str, key: str) -> None:
    """All end well, the numbers are dense and unique, and the last to promote is the active one."""
    user = source(sim, team, volumes=1)
    function = create(api, key, name="busy")["function"]

    def one(i: int) -> tuple[int, dict[str, str], Any]:
        body = user.body if i % 2 else {"source": spec()}
        return api.request("POST", f"{LIST}/busy/revisions", key, {**body, "promote": i % 3 == 0})

    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(one, range(24)))
    assert {status for status, _, _ in answers} == {201}, answers
    numbers = sorted(body["data"]["revision"]["revision_number"] for _, _, body in answers)
    assert numbers == list(range(2, 26))
    assert {body["data"]["promoted"] for i, (_, _, body) in enumerate(answers) if i % 3} == {False}
    listed = api.request("GET", f"{LIST}/busy/revisions", key)[2]["data"]["revisions"]
    assert [r["revision_number"] for r in listed] == list(range(25, 0, -1))
    active = api.request("GET", f"{LIST}/busy", key)[2]["data"]["function"]["active_revision_id"]
    alias = api.request("GET", f"{LIST}/busy/aliases/production", key)[2]["data"]["alias"]
    promoted = {body["data"]["revision"]["id"] for i, (_, _, body) in enumerate(answers) if i % 3 == 0}
    assert active == alias["revision_id"] and active in promoted
    assert set(ledger(house, team).values()) == {"in_use"} and len(ledger(house, team)) == 24
    assert function["id"] == alias["function_id"]


def test_creates_of_one_name_at_once(house: House, sim: Sim, api: Api, team: str, key: str) -> None:
    """One gets the name; what the others had made is deleted."""
    user = source(sim, team, volumes=1)
    sim.fault("latency", op="volume_create", team=team, latency_ms=300)  # all are past the first look at the name
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: api.request("POST", LIST, key, {"name": "same", **user.body}), range(6)))
    assert sorted(status for status, _, _ in answers) == [201] + [409] * 5
    assert {error(a) for a in answers if a[0] == 409} == {(409, "conflict", "function name already exists")}
    (winner,) = [body["data"] for status, _, body in answers if status == 201]
    mount = winner["revision"]["restore_mounts"][0]
    house.worker()
    wait_until(lambda: made(sim, user) == ({mount["sandboxvolume_id"]}, {mount["snapshot_id"]}), "what the losers made to go")
    assert sorted(filter(None, attempts(house, team))) == ["failed"] * 5 + ["published"]


def test_w14_a_delete_in_the_middle_of_a_publish(house: House, sim: Sim, api: Api, team: str, key: str) -> None:
    user = source(sim, team, volumes=1)
    create(api, key, name="doomed")
    sim.fault("latency", op="volume_create", team=team, latency_ms=1500)
    with ThreadPoolExecutor(1) as pool:
        publish = pool.submit(api.request, "POST", f"{LIST}/doomed/revisions", key, user.body)
        wait_until(lambda: any(e["op"] == "volume_create" for e in sim.journal(team=team)), "the publish to be at its volume")
        assert api.request("DELETE", f"{LIST}/doomed", key)[0] == 200
        assert error(publish.result()) == (404, "not_found", "function not found")
    house.worker()
    all_gone(house, team)
    assert made(sim, user) == (set(), set()) and count(house, "functions_revisions", team) == 1


def test_a_publish_that_was_given_up_meanwhile(house: House, sim: Sim, api: Api, team: str, key: str) -> None:
    """The reconciler took it for dead: nothing is published, and everything that it made goes, also what comes later."""
    user = source(sim, team, volumes=1)
    sim.fault("latency", op="volume_create", team=team, latency_ms=2000)
    with ThreadPoolExecutor(1) as pool:
        publish = pool.submit(api.request, "POST", LIST, key, {"name": "late", **user.body})
        wait_until(lambda: any(e["op"] == "volume_create" for e in sim.journal(team=team)), "the publish to be at its volume")
        house.stack.sql("UPDATE sandsweep.publish_attempts SET closed_at = now(), outcome = 'abandoned' WHERE team_id = %s", (team,))
        assert error(publish.result())[:2] == (503, "unavailable")
    house.worker()
    all_gone(house, team)
    assert made(sim, user) == (set(), set()) and count(house, "functions", team) == 0


def test_w4_a_client_that_goes_away(house: House, sim: Sim, api: Api, team: str, key: str) -> None:
    user = source(sim, team, volumes=2)
    sim.fault("latency", op="snapshot_create", team=team, latency_ms=300)
    conn = http.client.HTTPConnection("127.0.0.1", api.port)
    conn.request("POST", LIST, json.dumps({"name": "gone", **user.body}), {"Authorization": f"Bearer {key}"})
    wait_until(lambda: any(e["op"] == "snapshot_create" for e in sim.journal(team=team)), "the publish to begin")
    conn.close()
    wait_until(lambda: api.request("GET", f"{LIST}/gone", key)[0] == 200, "the publish to end without its client")
    volumes, snapshots = made(sim, user)
    assert len(volumes) == len(snapshots) == 2 and attempts(house, team) == ["published"]


# ---- crashes ----


@pytest.mark.parametrize("point", ["api.preparing", "api.preparing:2", "api.preparing:4", "api.made", "api.made:2", "api.made:3", "api.made:4", "api.publishing", "api.published"])
def test_w3_killed_in_the_middle(house: House, sim: Sim, team: str, point: str) -> None:
    """Whatever the moment: the function is there whole, or nothing of it once a reconciliation has been."""
    user = source(sim, team, volumes=2)
    dying = house.api(UNLIMITED, kill_at=point)
    key = dying.key(team)
    with pytest.raises((OSError, http.client.HTTPException)):
        dying.request("POST", LIST, key, {"name": "crash", **user.body})
    dying.process.expected_codes.add(-9)
    assert dying.process.wait_exit() == -9
    api = house.api(UNLIMITED)
    there = api.request("GET", f"{LIST}/crash", key)[0] == 200
    assert there == (point == "api.published")
    house.worker()
    wait_until(lambda: house.reconcile("--team", team).code in (0, 3), "the run to repair")
    volumes, snapshots = made(sim, user)
    if there:
        assert len(volumes) == len(snapshots) == 2
        return
    all_gone(house, team)
    volumes, snapshots = made(sim, user)
    # What the platform was making at that very moment: api.made is before it was written down.
    lost = {e["made"] for e in sim.journal(team=team) if e.get("made")} - {id for _, id in ledger(house, team)}
    assert volumes | snapshots == lost and len(lost) <= 1
    assert api.request("POST", LIST, key, {"name": "crash", **user.body})[0] == 201


# ---- what a promotion leaves ----


def test_a_moved_alias_leaves_its_runtime_to_the_reconciler(house: House, sim: Sim, api: Api) -> None:
    f = house.function(revisions=2, sim=sim)
    key = api.key(f.team)
    old, new = f.revisions
    assert api.request("PUT", f"{LIST}/{f.id}/aliases/production", key, {"revision_number": 1})[0] == 200
    assert api.request("GET", f"{LIST}/{f.id}", key)[2]["data"]["function"]["active_revision_id"] == old.id
    assert house.states([new.sandbox]) == {new.sandbox: "in_use"}, "moving an alias lets go of nothing by itself"
    house.worker()
    assert house.reconcile("--function", f.id, grace_ms=3600000).code == 0, "within the grace"
    assert house.reconcile("--function", f.id).code == 3
    house.wait_states([new.sandbox], "gone")
    assert house.states([old.sandbox, *old.volumes, *new.volumes]) == {id: "in_use" for id in [old.sandbox, *old.volumes, *new.volumes]}


# ---- aliases, revisions ----


def test_aliases(house: House, api: Api, team: str, key: str) -> None:
    function = create(api, key, name="al")["function"]
    assert api.request("POST", f"{LIST}/al/revisions", key, {"source": spec(), "promote": False})[0] == 201
    first = api.request("GET", f"{LIST}/al", key)[2]["data"]["function"]["active_revision_id"]
    status, headers, got = api.request("PUT", f"{LIST}/al/aliases/canary", key, {"revision_number": 2})
    assert status == 200 and got["data"]["alias"]["revision_number"] == 2 and headers["etag"]
    assert api.request("GET", f"{LIST}/al", key)[2]["data"]["function"]["active_revision_id"] == first, "only production moves the function"
    listed = api.request("GET", f"{LIST}/al/aliases", key)[2]["data"]["aliases"]
    assert [a["alias"] for a in listed] == ["canary", "production"] and listed[0] == got["data"]["alias"]
    assert api.request("PUT", f"{LIST}/al/aliases/production", key, {"revision_number": 2})[0] == 200
    assert api.request("GET", f"{LIST}/al", key)[2]["data"]["function"]["active_revision_id"] == listed[0]["revision_id"]
    assert audits(house, function["id"]) == ["function.create", "revision.create", "alias.set", "alias.set"]
    for path, body, want in (
        ("aliases/canary", {"revision_number": 9}, (404, "not_found", "function revision not found")),
        ("aliases/canary", {"revision_number": 2**40}, (404, "not_found", "function revision not found")),
        ("aliases/canary", {"revision_number": 0}, (400, "bad_request", "revision_number must be greater than zero")),
        ("aliases/canary", {}, (400, "bad_request", "invalid request: revision_number is missing")),
        ("aliases/canary", {"revision_number": "1"}, (400, "bad_request", None)),
        ("aliases/Not-a-label", {"revision_number": 1}, (400, "bad_request", "alias must be a DNS label")),
        ("aliases/-x", {"revision_number": 1}, (400, "bad_request", "alias must be a DNS label")),
    ):
        got_error = error(api.request("PUT", f"{LIST}/al/{path}", key, body))
        assert got_error[:2] == want[:2] and want[2] in (None, got_error[2])
    assert error(api.request("PUT", f"{LIST}/none/aliases/x", key, {"revision_number": 1})) == (404, "not_found", "function not found")
    assert error(api.request("GET", f"{LIST}/al/aliases/none", key)) == (404, "not_found", "function alias not found")
    assert error(api.request("GET", f"{LIST}/none/aliases", key)) == (404, "not_found", "function not found")


def test_revisions(house: House, api: Api, team: str, key: str) -> None:
    f = house.function(team=team, revisions=2)
    listed = api.request("GET", f"{LIST}/{f.id}/revisions", key)[2]["data"]["revisions"]
    assert [r["revision_number"] for r in listed] == [2, 1] and not has_null(listed)
    # One from before specifications were kept shows what it amounts to.
    assert listed[0]["revision_spec"]["template_id"] == "tpl" and listed[0]["revision_spec"]["runtime_service"] == SERVICE
    assert listed[0]["revision_spec"]["mounts"][0]["source"]["snapshot_id"] == f.active.snapshots[0]
    assert listed[0]["runtime_sandbox_id"] == f.active.sandbox and "provenance" not in listed[0]
    assert api.request("GET", f"{LIST}/{f.slug}/revisions/1", key)[2]["data"]["revision"] == listed[1]
    for number in ("0", "-1", "x", "1.5", "99999999999"):
        assert error(api.request("GET", f"{LIST}/{f.id}/revisions/{number}", key)) == (400, "bad_request", "revision number must be greater than zero")
    assert error(api.request("GET", f"{LIST}/{f.id}/revisions/3", key)) == (404, "not_found", "function revision not found")
    assert error(api.request("GET", f"{LIST}/none/revisions", key)) == (404, "not_found", "function not found")
    house.stack.sql("INSERT INTO shared_gateway.functions (id, team_id, name, slug, domain_label) VALUES (gen_random_uuid(), %s, 'e', 'empty', %s)", (team, f"e-{team}"))
    assert api.request("GET", f"{LIST}/empty/revisions", key)[2]["data"] == {"revisions": []}
    assert api.request("GET", f"{LIST}/empty/aliases", key)[2]["data"] == {"aliases": []}

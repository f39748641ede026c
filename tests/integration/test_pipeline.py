"""The main job: what people ask for travels from HTTP through Postgres and Kafka to the platform."""

from __future__ import annotations

import json
import uuid
from typing import Any

from tests.support.house import Api, Function, House
from tests.support.sim import Sim
from tests.support.stack import wait_until


def recycle(api: Api, f: Function, verb: str = "recycle") -> Any:
    status, _, body = api.request("POST", f"/api/v1/functions/{f.id}/runtime/{verb}", api.key(f.team))
    assert status == 200, body
    return body["data"]["runtime"]


def test_recycle_to_gone(house: House, sim: Sim, api: Api) -> None:
    house.worker()
    f = house.function(revisions=2, sim=sim)
    assert recycle(api, f)["state"] == "idle"
    house.wait_states([f.active.sandbox], "gone")
    row = house.row(f.active.sandbox)
    assert row["release_reason"] == "recycled" and row["doom_reason"] == "event:runtime" and row["evidence"]["release_reason"] == "recycled"
    for earlier, later in (("released_at", "doomed_at"), ("doomed_at", "deleting_at"), ("deleting_at", "ended_at")):
        assert row[earlier] <= row[later]
    sim.assert_gone("sandbox", [f.active.sandbox])
    rest = [thing for thing in f.ours if thing != f.active.sandbox]
    assert set(house.states(rest).values()) == {"in_use"}
    sim.assert_never_deleted(rest + f.users)


def test_delete_takes_sandboxes_then_volumes_then_snapshots(house: House, sim: Sim, api: Api) -> None:
    sim.settings(finalizer_ms=300, mount_linger_ms=300)
    house.worker()
    f = house.function(revisions=3, volumes=2, sim=sim)
    key = api.key(f.team)
    status, _, body = api.request("DELETE", f"/api/v1/functions/{f.slug}", key)
    assert status == 200 and body["data"]["message"] == "function deleted"
    assert api.request("GET", f"/api/v1/functions/{f.id}", key)[0] == 404
    house.wait_states(f.ours, "gone")
    for kind, things in (("sandbox", [r.sandbox for r in f.revisions]), ("volume", [v for r in f.revisions for v in r.volumes]), ("snapshot", [s for r in f.revisions for s in r.snapshots])):
        sim.assert_gone(kind, things)
    sim.assert_never_deleted(f.users)
    for r in f.revisions:
        ended = [house.row(x)["ended_at"] for x in [r.sandbox, r.volumes[0], r.snapshots[0]]]
        assert ended == sorted(ended)
        begun = [house.row(x)["deleting_at"] for x in r.volumes]
        assert min(begun) >= ended[0], "a volume was claimed before its sandbox was gone"


def test_disable_releases_every_runtime_but_no_volume(house: House, sim: Sim, api: Api) -> None:
    house.worker()
    f = house.function(revisions=2, sim=sim)
    status, _, body = api.request("PUT", f"/api/v1/functions/{f.id}", api.key(f.team), {"enabled": False})
    assert status == 200 and body["data"]["function"]["enabled"] is False
    house.wait_states([r.sandbox for r in f.revisions], "gone")
    sim.assert_never_deleted([v for r in f.revisions for v in r.volumes + r.snapshots] + f.users)


def test_traceparent_reaches_the_platform(house: House, sim: Sim, api: Api) -> None:
    house.worker()
    f = house.function(sim=sim)
    trace = uuid.uuid4().hex
    headers = {"traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
    assert api.request("POST", f"/api/v1/functions/{f.id}/runtime/restart", api.key(f.team), headers=headers)[0] == 200
    house.wait_states([f.active.sandbox], "gone")
    calls = [e for e in sim.journal(id=f.active.sandbox)]
    assert calls and all(e["traceparent"].split("-")[1] == trace for e in calls)
    assert all(e["team"] == f.team for e in calls)
    spans = {e["traceparent"] for e in calls}
    assert len(spans) == len(calls), "every call is a span of its own"


def test_results_topic(house: House, sim: Sim, api: Api) -> None:
    house.worker()
    f = house.function(sim=sim)
    recycle(api, f)
    house.wait_states([f.active.sandbox], "gone")

    def results() -> list[dict[str, Any]]:
        got = [m for m in house.stack.kcat_consume("sandsweep.results") if m["key"] == f.id]
        return [dict(m["headers"]) | json.loads(m["value"]) for m in got]

    wait_until(lambda: len(results()) == 1, "the result")
    result = results()[0]
    assert result["ce_type"] == "io.sandsweep.resource.gone" and result["ce_specversion"] == "1.0"
    assert result["resource_id"] == f.active.sandbox and result["kind"] == "sandbox" and result["team_id"] == f.team


def test_dead_letters(house: House, sim: Sim) -> None:
    """What cannot be read or is refused goes aside with its reason, and what stands behind it goes on."""
    house.worker()
    f, other = house.function(sim=sim), house.function(sim=sim)
    house.map(f.active, None)

    def send(value: str, function: str = f.id, kind: str = "runtime.recycled", **ce: str) -> str:
        marker = str(uuid.uuid4())
        headers = {"ce_specversion": "1.0", "ce_id": marker, "ce_source": "/test", "ce_type": f"io.sandsweep.{kind}", "content-type": "application/json"} | ce
        house.stack.kcat_produce("sandsweep.events", function, value, headers, partition=0)
        return marker

    def data(target: Function, sandbox: str, team: str | None = None) -> str:
        return json.dumps({"team_id": team or target.team, "function_id": target.id, "revision_id": target.active.id, "sandbox_id": sandbox})

    want = {
        send("not json"): "bad_json",
        send("{}"): "bad_data",
        send(data(f, "sb-nobody-knows")): "unknown_resource",
        send(data(f, f.active.sandbox, team=other.team)): "not_owner",
        send(data(other, other.active.sandbox), function=other.id): "in_use",
        send(json.dumps({"team_id": other.team, "function_id": other.id}), function=other.id, kind="function.deleted"): "not_deleted",
        send("{}", kind="something.else"): "unknown_type",
    }
    send(data(f, f.active.sandbox))  # a good one behind all of them
    house.wait_states([f.active.sandbox], "gone")

    def letters() -> dict[str, dict[str, str]]:
        every = [dict(m["headers"]) for m in house.stack.kcat_consume("sandsweep.deadletters")]
        return {letter["ce_id"]: letter for letter in every if letter.get("ce_id") in want}

    aside = wait_until(lambda: len(found := letters()) == len(want) and found, "every dead letter")
    assert {marker: letter["sandsweep_reason"] for marker, letter in aside.items()} == want
    one = aside[next(iter(want))]
    assert one["sandsweep_topic"] == "sandsweep.events" and one["sandsweep_partition"] == "0" and int(one["sandsweep_offset"]) >= 0
    assert house.states(other.ours) == {thing: "in_use" for thing in other.ours}
    sim.assert_never_deleted(other.ours + other.users)


def test_events_while_no_worker_runs(house: House, sim: Sim, api: Api) -> None:
    functions = [house.function(sim=sim) for _ in range(5)]
    for f in functions:
        recycle(api, f)
    assert set(house.states([f.active.sandbox for f in functions]).values()) == {"released"}
    house.worker()
    house.wait_states([f.active.sandbox for f in functions], "gone")


def test_two_workers_share(house: House, sim: Sim, api: Api) -> None:
    house.worker()
    house.worker()
    f = [house.function(sim=sim) for _ in range(20)]
    key = {x.team: api.key(x.team) for x in f}
    for x in f:
        assert api.request("DELETE", f"/api/v1/functions/{x.id}", key[x.team])[0] == 200
    house.wait_states([t for x in f for t in x.ours], "gone")
    sim.assert_never_deleted([t for x in f for t in x.users])

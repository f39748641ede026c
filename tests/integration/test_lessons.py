"""How the system before this one leaked and destroyed: each of its weaknesses, lived through here."""

from __future__ import annotations

import json
import uuid

import pytest

from tests.support.house import Api, House, metric, metrics_port
from tests.support.sim import Sim
from tests.support.stack import wait_until


def delete(api: Api, *functions) -> None:
    for f in functions:
        assert api.request("DELETE", f"/api/v1/functions/{f.id}", api.key(f.team))[0] == 200


def test_w1_a_crash_after_the_soft_delete_loses_nothing(house: House, sim: Sim) -> None:
    """The front dies right after it committed a delete: the intent is in the outbox, not in a thread."""
    sim.settings(mount_linger_ms=100)
    f = house.function(revisions=2, volumes=2, sim=sim)
    front = house.api(kill_at="api.committed")
    with pytest.raises((ConnectionError, OSError)):
        front.request("DELETE", f"/api/v1/functions/{f.id}", front.key(f.team))
    assert front.process.wait_exit() == -9
    house.worker()
    house.wait_states(f.ours, "gone")
    sim.assert_never_deleted(f.users)


def test_w5_a_volume_that_is_still_mounted_is_later_not_failed(house: House, sim: Sim, api: Api) -> None:
    """409 is the normal case after a sandbox's delete: it uses up no attempt and is never forced."""
    sim.settings(mount_linger_ms=2500)
    house.worker({"worker.attempts_max": "2"})
    f = house.function(volumes=1, sim=sim)
    delete(api, f)
    house.wait_states(f.ours, "gone")
    calls = sim.deletes_of(f.active.volumes[0])
    assert [e["status"] for e in calls].count("409") >= 3 or [e["status"] for e in calls].count(409) >= 3, calls
    assert not any(e["force"] for e in calls)
    assert house.row(f.active.volumes[0])["attempts"] == 0


def test_w6_no_budget_is_shared_by_all_revisions(house: House, sim: Sim, api: Api) -> None:
    """A function of sixty revisions whose first ones hang: the others do not wait for them."""
    sim.settings(mount_linger_ms=50)
    f = house.function(revisions=60, volumes=1, sim=sim)
    for r in f.revisions[:5]:
        sim.fault("hang", op="sandbox_delete", id=r.sandbox)
    house.worker({"worker.attempts_max": "100"})
    delete(api, f)
    rest = [x for r in f.revisions[5:] for x in r.ours]
    house.wait_states(rest, "gone")
    assert "gone" not in house.states([r.sandbox for r in f.revisions[:5]]).values()
    sim.clear_faults()
    house.wait_states(f.ours, "gone")


@pytest.mark.parametrize("verb", ["restart", "recycle"])
def test_w10_a_sandbox_that_is_gone_already(house: House, sim: Sim, api: Api, verb: str) -> None:
    """404 is done, not an error: the mapping is cleared, the answer is 200, and again 200."""
    house.worker()
    f = house.function()  # the platform never had it
    key = api.key(f.team)
    for _ in range(2):
        status, _, body = api.request("POST", f"/api/v1/functions/{f.id}/runtime/{verb}", key)
        assert (status, body["data"]["runtime"]["state"]) == (200, "idle")
    house.wait_states([f.active.sandbox], "gone")
    assert house.row(f.active.sandbox)["attempts"] == 0


def test_w17_one_404_is_not_proof(house: House, sim: Sim, api: Api) -> None:
    """The DELETE and the first look are answered 404 though the sandbox lives: it is not taken for gone."""
    house.worker()
    f = house.function(sim=sim)
    sandbox = f.active.sandbox
    sim.fault("status", op="sandbox_delete", id=sandbox, status=404, count=1)
    assert api.request("POST", f"/api/v1/functions/{f.id}/runtime/recycle", api.key(f.team))[0] == 200
    house.wait_states([sandbox], "gone")
    sim.assert_gone("sandbox", [sandbox])
    assert len(sim.deletes_of(sandbox)) >= 2, "the lagging 404 was followed by a real delete"


def test_w17_a_proxys_404_page_is_not_proof(house: House, sim: Sim, api: Api) -> None:
    house.worker({"worker.attempts_max": "50"})
    f = house.function(sim=sim)
    sandbox = f.active.sandbox
    rule = sim.fault("html404", id=sandbox)
    assert api.request("POST", f"/api/v1/functions/{f.id}/runtime/recycle", api.key(f.team))[0] == 200
    wait_until(lambda: house.row(sandbox)["attempts"] >= 2, "attempts to be used up by a page that proves nothing")
    assert house.states([sandbox])[sandbox] in ("doomed", "deleting")
    sim.clear_faults(rule)
    house.wait_states([sandbox], "gone")
    sim.assert_gone("sandbox", [sandbox])


def test_w17_a_volume_that_is_not_shown_is_not_gone(house: House, sim: Sim, api: Api) -> None:
    """DELETE of a volume answers 404 only for one that is hidden from us: that is no deletion."""
    sim.settings(mount_linger_ms=50)
    house.worker({"worker.attempts_max": "3"})
    f = house.function(sim=sim)
    sim.fault("status", op="volume_delete", id=f.active.volumes[0], status=404)
    delete(api, f)
    house.wait_states(f.active.volumes, "dead")
    assert house.row(f.active.volumes[0])["error_class"] == "not_visible"
    sim.assert_all_live("volume", f.active.volumes)


def test_w18_a_users_volume_survives_the_delete(house: House, sim: Sim, api: Api) -> None:
    """Mounts that a revision_spec names are copied into restore_mounts, and stay the user's."""
    sim.settings(mount_linger_ms=50)
    house.worker()
    f = house.function(sim=sim)
    mine = f"users-{uuid.uuid4().hex}"
    sim.seed(volumes=[{"id": mine, "team_id": f.team}])
    house.stack.sql(
        """INSERT INTO shared_gateway.functions_revisions (id, function_id, team_id, revision_number, source_sandbox_id, source_service_id,
               source_template_id, restore_mounts, service_snapshot, source_type)
           VALUES (gen_random_uuid(), %s, %s, 9, '', '', 'tpl', %s, '{}', 'revision_spec')""",
        (f.id, f.team, json.dumps([{"sandboxvolume_id": mine, "mount_point": "/u"}])),
    )
    delete(api, f)
    house.wait_states(f.ours, "gone")
    assert house.states([mine]) == {}
    sim.assert_all_live("volume", [mine, *f.active.source_volumes])
    sim.assert_never_deleted([mine])


def test_w18_a_volume_that_two_functions_share(house: House, sim: Sim, api: Api) -> None:
    """The ledger says it is ours, but a revision of a live function names it: refused, with the reason (S2)."""
    sim.settings(mount_linger_ms=50)
    house.worker()
    f, other = house.function(sim=sim), house.function(volumes=0, sim=sim)
    shared = f.active.volumes[0]
    house.stack.sql(
        "UPDATE shared_gateway.functions_revisions SET restore_mounts = %s WHERE id = %s",
        (json.dumps([{"sandboxvolume_id": shared, "mount_point": "/s"}]), other.active.id),
    )
    delete(api, f)
    house.wait_states([shared], "refused")
    assert house.row(shared)["error_class"] == "referenced"
    sim.assert_never_deleted([shared])
    delete(api, other)  # now nobody needs it; an operator says: check again
    house.run("targets", "redrive", str(house.row(shared)["id"]), "--state", "refused", "--canary", "0")
    house.wait_states([shared], "gone")


def test_s1_a_source_sandbox_is_refused(house: House, sim: Sim, api: Api) -> None:
    """Somebody published from a restored runtime: it has become a source and is not deleted any more."""
    house.worker()
    f = house.function(sim=sim)
    house.stack.sql(
        """INSERT INTO shared_gateway.functions_revisions (id, function_id, team_id, revision_number, source_sandbox_id, source_service_id,
               source_template_id, service_snapshot) VALUES (gen_random_uuid(), %s, %s, 9, %s, 'web', 'tpl', '{}')""",
        (f.id, f.team, f.active.sandbox),
    )
    assert api.request("POST", f"/api/v1/functions/{f.id}/runtime/recycle", api.key(f.team))[0] == 200
    house.wait_states([f.active.sandbox], "refused")
    assert house.row(f.active.sandbox)["error_class"] == "source_sandbox"
    sim.assert_never_deleted([f.active.sandbox])


def test_s1_a_mapping_that_the_triggers_did_not_see(house: House, sim: Sim, api: Api) -> None:
    """Even a mapping that was written around the triggers is found by the check inside the claim."""
    f = house.function(sim=sim)
    assert api.request("POST", f"/api/v1/functions/{f.id}/runtime/recycle", api.key(f.team))[0] == 200
    conn = house.stack.connect()
    with conn.cursor() as cur:
        cur.execute("SET session_replication_role = replica")
        cur.execute("UPDATE shared_gateway.functions_revisions SET runtime_sandbox_id = %s WHERE id = %s", (f.active.sandbox, f.active.id))
    conn.close()
    house.worker()
    house.wait_states([f.active.sandbox], "refused")
    assert house.row(f.active.sandbox)["error_class"] == "mapped"
    sim.assert_never_deleted([f.active.sandbox])


def test_s1_the_claim_waits_for_no_lock_and_takes_none_that_is_held(house: House, sim: Sim, api: Api) -> None:
    """A revision that is being changed right now keeps its rows from being claimed, and nobody else's."""
    f, other = house.function(sim=sim), house.function(sim=sim)
    for x in (f, other):
        assert api.request("POST", f"/api/v1/functions/{x.id}/runtime/recycle", api.key(x.team))[0] == 200
    conn = house.stack.connect()
    conn.autocommit = False
    with conn.cursor() as cur:
        cur.execute("UPDATE shared_gateway.functions_revisions SET runtime_sandbox_id = 'sb-next' WHERE id = %s", (f.active.id,))
        house.worker()
        house.wait_states([other.active.sandbox], "gone")
        assert house.states([f.active.sandbox]) == {f.active.sandbox: "doomed"}
        assert sim.deletes_of(f.active.sandbox) == []
    conn.rollback()
    conn.close()
    house.wait_states([f.active.sandbox], "gone")


def test_w20_one_teams_failing_backlog_delays_nobody(house: House, sim: Sim, api: Api) -> None:
    """Thousands of sandboxes of one team fail for ever; another team's one, doomed after them all, is deleted
    before each of them was as much as tried (L4)."""
    sick, well = str(uuid.uuid4()), house.function(sim=sim)
    f = house.function(team=sick, volumes=0, sim=sim)
    sandboxes = [f"sick-{uuid.uuid4().hex[:8]}-{i}" for i in range(3000)]
    sim.seed(sandboxes=[{"id": s, "team_id": sick, "template_id": "tpl", "mounts": []} for s in sandboxes])
    sim.fault("status", op="sandbox_delete", team=sick, status=500, latency_ms=100)
    house.stack.sql(
        """INSERT INTO sandsweep.owned_resources (kind, resource_id, team_id, function_id, revision_id)
           SELECT 'sandbox', s, %s, %s, %s FROM unnest(%s) s""", (sick, f.id, f.active.id, sandboxes))
    house.stack.sql("UPDATE sandsweep.owned_resources SET state = 'released', released_at = now() WHERE resource_id = ANY(%s)", (sandboxes,))
    house.stack.sql("UPDATE sandsweep.owned_resources SET state = 'doomed', doomed_at = now(), due_at = now() WHERE resource_id = ANY(%s)", (sandboxes,))
    worker = house.worker({"worker.attempts_max": "1000", "worker.in_flight_max": "32", "worker.in_flight_start": "32"})
    wait_until(lambda: len([e for e in sim.journal(team=sick) if e["op"] == "sandbox_delete"]) > 64, "the sick team to be tried")
    assert api.request("POST", f"/api/v1/functions/{well.id}/runtime/recycle", api.key(well.team))[0] == 200
    house.wait_states([well.active.sandbox], "gone")
    first_us = sim.deletes_of(well.active.sandbox)[0]["at_us"]
    tried = {e["id"] for e in sim.journal(team=sick) if e["op"] == "sandbox_delete" and e["at_us"] < first_us}
    assert len(tried) < len(sandboxes), "the well team waited for the whole backlog of the sick team"
    assert set(house.states(sandboxes[:50]).values()) <= {"doomed", "deleting"}
    assert metric(metrics_port(worker), "sandsweep_breaker_state") == 0, "one team's failures are not the platform's"


def test_w20_hanging_calls_of_one_team_leave_room_for_others(house: House, sim: Sim, api: Api) -> None:
    """One team's calls hang until their deadline; another team's sandbox is gone before any of them has met it."""
    sick, well = str(uuid.uuid4()), house.function(sim=sim)
    hanging = [house.function(team=sick, volumes=0, sim=sim) for _ in range(12)]
    sim.fault("hang", team=sick)
    house.worker({"worker.in_flight_max": "8", "worker.in_flight_start": "8", "platform.timeout_ms": "50000", "worker.lease_ms": "120000"})
    delete(api, *hanging)
    wait_until(lambda: sum(e["status"] in ("pending", "hang") for e in sim.journal(team=sick)) >= 4, "calls to hang")
    assert api.request("POST", f"/api/v1/functions/{well.id}/runtime/recycle", api.key(well.team))[0] == 200
    house.wait_states([well.active.sandbox], "gone")
    rows = [house.row(f.active.sandbox) for f in hanging]
    assert {r["attempts"] for r in rows} == {0}, "the well team waited for hanging calls to time out"
    assert {r["state"] for r in rows} <= {"doomed", "deleting"}

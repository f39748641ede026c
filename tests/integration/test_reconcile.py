"""The reconciler against what leaked before it, class by class; and what it must never touch."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator

import psycopg2
import pytest

from tests.support.drift import DRIFT, Drift, behind, claim, deletes, forget_all, mappings, publish, untouched, wait_old
from tests.support.house import Function, House, Reconciled
from tests.support.sim import USER, Sim
from tests.support.stack import wait_until

HOUR_MS = 3600000


@pytest.fixture(autouse=True)
def alone(house: House, sim: Sim) -> None:
    forget_all(house)
    sim.settings(finalizer_ms=20, mount_linger_ms=20)


@pytest.fixture
def bystander(house: House, sim: Sim) -> Iterator[Function]:
    """A function with everything in order, and users' own things: none of it may ever be touched."""
    f = house.function(revisions=1, volumes=1, sim=sim)
    theirs = [sim.sandbox(f"user-{uuid.uuid4().hex[:10]}", f.team, "tpl") for _ in range(3)]
    sim.seed(sandboxes=theirs)
    yield f
    sim.assert_never_deleted(f.ours + f.users + [s["id"] for s in theirs])
    sim.assert_all_live("sandbox", [f.active.sandbox, f.active.source_sandbox] + [s["id"] for s in theirs])
    assert set(house.states(f.ours).values()) == {"in_use"}


def repaired(house: House, sim: Sim, *drifts: Drift) -> Reconciled:
    """One run repairs it, the worker ends it, and a second run finds nothing."""
    run = house.reconcile()
    assert (run.code, run.verdict) == (3, "repaired"), (run.summary, run.findings, run.stderr)
    for d in drifts:
        found = run.of(*d.found)
        assert [(f["class"], f["verdict"], f["result"]) for f in found] == [(d.name, "proved", "done")] * len(d.found), run.findings
        assert all(f["evidence"] and f["team"] == d.team for f in found)
    house.worker()
    for d in drifts:
        house.wait_states(d.gone, "gone")
    for kind in ("sandbox", "volume", "snapshot"):
        sim.assert_gone(kind, [id for d in drifts for id in d.gone])
    again = house.reconcile()
    assert (again.code, again.verdict, again.drift()) == (0, "in_sync", []), again.findings
    return run


@pytest.mark.parametrize("name", DRIFT)
def test_each_class_is_repaired(house: House, sim: Sim, bystander: Function, name: str) -> None:
    repaired(house, sim, DRIFT[name](house, sim))


@pytest.mark.parametrize("crowd", [0, 4000])
def test_all_classes_in_one_run(house: House, sim: Sim, bystander: Function, crowd: int) -> None:
    """Beside a long listing, which takes turns with what is looked for meanwhile, as beside a short one."""
    sim.seed_range(bystander.team, "other-", crowd)
    drifts = [make(house, sim) for make in DRIFT.values()]
    run = repaired(house, sim, *drifts)
    assert {name: c["acted"] for name, c in run.summary["classes"].items()} == dict.fromkeys(DRIFT, 1)
    evidence = house.stack.sql("SELECT count(*) FROM sandsweep.owned_resources WHERE doom_reason LIKE 'reconcile:%' AND finding IS NULL")
    assert evidence[0][0] == 0
    with pytest.raises(psycopg2.errors.CheckViolation):  # no delete without evidence
        house.stack.sql("UPDATE sandsweep.owned_resources SET finding = NULL WHERE doom_reason LIKE 'reconcile:%'")


def test_no_drift_costs_no_look(house: House, sim: Sim, bystander: Function) -> None:
    """Nothing beyond the listing is asked, however many sandboxes of users there are, and with restores that ended well."""
    house.function(team=bystander.team, revisions=2, sim=sim)
    sim.seed_range(bystander.team, "other-", 450, template="tpl")
    superseded = house.function(mapped=False, volumes=2, sim=sim)
    house.stack.sql(
        "INSERT INTO sandsweep.restore_attempts (id, team_id, function_id, revision_id, template_id, closed_at, outcome) VALUES (%s, %s, %s, %s, 'tpl', now(), 'mapped')",
        (str(uuid.uuid4()), superseded.team, superseded.id, superseded.active.id),
    )
    house.map(house_revision(house, bystander.team), None)
    behind(house, "DELETE FROM sandsweep.owned_resources WHERE state = 'released'")
    run = house.reconcile()
    assert (run.code, run.summary["gets"], run.summary["incomplete"]) == (0, 0, 0), (run.summary, run.findings)
    assert run.summary["rows"] >= 450 and run.summary["pages"] >= 3
    asked = {e["op"] for e in sim.journal()}
    assert asked == {"sandbox_list", "volume_list"}


def house_revision(house: House, team: str):  # the superseded one of the two-revision function
    from tests.support.house import Revision

    rows = house.stack.sql(
        "SELECT r.id::text, r.runtime_sandbox_id FROM shared_gateway.functions_revisions r JOIN shared_gateway.functions f ON f.id = r.function_id WHERE f.team_id = %s AND f.active_revision_id <> r.id",
        (team,),
    )
    return Revision(rows[0][0], 1, rows[0][1], "")


def test_w2_a_claim_that_was_never_written_down(house: House, sim: Sim, bystander: Function) -> None:
    """Proved by its marker, or by a mount of our volume; its neighbours, with no mark or another's, are not ours."""
    f = house.function(volumes=1, mapped=False, sim=sim)
    _, marked = claim(house, sim, f)
    _, mounting = claim(house, sim, f, marker=False, volumes=(f.active.volumes[0],))
    foreign = [f"near-{uuid.uuid4().hex[:8]}" for _ in range(3)]
    sim.seed(sandboxes=[
        sim.sandbox(foreign[0], f.team, "tpl"),
        sim.sandbox(foreign[1], f.team, "tpl", env={"SANDSWEEP_RUNTIME": str(uuid.uuid4())}),
        sim.sandbox(foreign[2], bystander.team, "tpl", env={"SANDSWEEP_RUNTIME": house.stack.sql("SELECT id::text FROM sandsweep.restore_attempts LIMIT 1")[0][0]}),
    ])  # fmt: skip
    with untouched(house, sim):  # as long as the restore may still be going on
        young = house.reconcile(grace_ms=HOUR_MS)
        assert (young.code, {x["verdict"] for x in young.findings}) == (0, {"young"}), young.findings
    run = house.reconcile()
    assert run.code == 3 and run.done() == {marked, mounting}, run.findings
    assert {x["id"]: x["verdict"] for x in run.findings if x["id"] in foreign} == {foreign[0]: "disproved", foreign[1]: "disproved"}
    house.worker()
    house.wait_states([marked, mounting], "gone")
    sim.assert_all_live("sandbox", foreign)
    sim.assert_never_deleted(foreign)
    assert not list(sim.journal(id=foreign[2], op="sandbox_get")), "where no restore is open nothing is looked at"
    end = house.reconcile()
    assert (end.code, end.drift()) == (0, []), end.findings


def test_w2_a_restore_in_flight(house: House, sim: Sim, bystander: Function) -> None:
    """Claimed, answered to a client, not yet recorded: runs pass before, between and after, and it serves on."""
    f = house.function(volumes=1, mapped=False, sim=sim)
    house.worker()

    def passes() -> None:
        run = house.reconcile(grace_ms=HOUR_MS)
        assert (run.code, run.done()) == (0, set()), run.findings

    passes()
    attempt, sandbox = claim(house, sim, f, volumes=(f.active.volumes[0],))
    passes()
    house.map(f.active, sandbox)
    passes()
    house.stack.sql("UPDATE sandsweep.restore_attempts SET closed_at = now(), outcome = 'mapped', sandbox_id = %s WHERE id = %s", (sandbox, attempt))
    passes()
    end = house.reconcile()  # even without any grace
    assert (end.code, end.done()) == (0, set()), end.findings
    assert dict(mappings(house))[f.active.id] == sandbox and house.states([sandbox]) == {sandbox: "in_use"}
    sim.assert_never_deleted([sandbox])


def test_w2_a_restore_that_is_too_late(house: House, sim: Sim, bystander: Function) -> None:
    """Taken for an orphan after its grace: the mapping is then refused, so nothing that serves is ever deleted."""
    f = house.function(volumes=0, mapped=False, sim=sim)
    attempt, sandbox = claim(house, sim, f)
    assert house.reconcile().done() == {sandbox}
    with pytest.raises(psycopg2.Error, match="cannot be mapped again"):
        house.map(f.active, sandbox)
    assert house.stack.sql("SELECT outcome FROM sandsweep.restore_attempts WHERE id = %s", (attempt,)) == [("abandoned",)]
    assert dict(mappings(house))[f.active.id] is None


def test_w2_two_sandboxes_of_one_revision(house: House, sim: Sim, bystander: Function) -> None:
    """One is known only by its mount, and may be taken for the other's: both are found, in one run or in two."""
    f = house.function(volumes=1, mapped=False, sim=sim)
    _, mounting = claim(house, sim, f, marker=False, volumes=(f.active.volumes[0],))
    _, marked = claim(house, sim, f)
    sim.settings(f.team, list_cluster_cap=1)  # the listing shows one of them, and says that this is all
    house.reconcile()
    sim.clear_team_settings()
    house.reconcile()
    house.worker()
    house.wait_states([mounting, marked], "gone")


def test_w3_a_publish_that_died(house: House, sim: Sim, bystander: Function) -> None:
    """What it had made is in the ledger before its revision is; what it could not write down is known by who made it."""
    f = house.function(volumes=0, mapped=False, sim=sim)
    attempt, revision, volume, snapshot = publish(house, sim, f, lost="volume")
    unknown, theirs = (f"vol-{uuid.uuid4().hex[:10]}" for _ in range(2))
    sim.seed(volumes=[sim.volume(unknown, f.team, user_id=USER), sim.volume(theirs, f.team)])
    with untouched(house, sim):
        young = house.reconcile(grace_ms=HOUR_MS)
        found = young.of(unknown)[0]
        assert (young.code, found["class"], found["action"], found["verdict"], found["result"]) == (0, "orphan_volume", "adopt", "young", None)
    wait_old(house, f.team, 1000)
    run = house.reconcile(options={"reconcile.orphan_volume_grace_ms": "900"})
    assert (run.code, run.done()) == (3, {volume, snapshot, unknown}), run.findings
    with pytest.raises(psycopg2.Error, match="given up"):  # too late
        house.stack.sql(
            """INSERT INTO shared_gateway.functions_revisions (id, function_id, team_id, revision_number, source_sandbox_id, source_service_id,
                   source_template_id, service_snapshot) VALUES (%s, %s, %s, 9, 'src', 'web', 'tpl', '{}')""", (revision, f.id, f.team))  # fmt: skip
    house.worker()
    house.wait_states([volume, snapshot, unknown], "gone")
    sim.assert_never_deleted([theirs])
    sim.assert_all_live("volume", [theirs])
    assert not list(sim.journal(id=theirs)), "it is not even looked at"


def test_w3_a_publish_that_goes_on(house: House, sim: Sim, bystander: Function) -> None:
    f = house.function(volumes=0, mapped=False, sim=sim)
    attempt, revision, volume, snapshot = publish(house, sim, f)
    assert house.reconcile(grace_ms=HOUR_MS).code == 0
    mounts = [{"sandboxvolume_id": volume, "source_sandboxvolume_id": f"src{volume[3:]}", "snapshot_id": snapshot, "mount_point": "/d"}]
    house.stack.sql(
        """INSERT INTO shared_gateway.functions_revisions (id, function_id, team_id, revision_number, source_sandbox_id, source_service_id,
               source_template_id, restore_mounts, service_snapshot) VALUES (%s, %s, %s, 9, 'src', 'web', 'tpl', %s, '{}')""",
        (revision, f.id, f.team, json.dumps(mounts)))  # fmt: skip
    assert house.stack.sql("SELECT outcome FROM sandsweep.publish_attempts WHERE id = %s", (attempt,)) == [("published",)]
    run = house.reconcile()
    assert (run.code, run.done()) == (0, set()), run.findings
    assert set(house.states([volume, snapshot]).values()) == {"in_use"}


def test_w8_a_superseded_revision(house: House, sim: Sim, bystander: Function) -> None:
    """Its runtime goes after the grace; its volumes stay while the function lives."""
    f = house.function(revisions=3, volumes=1, sim=sim)
    with untouched(house, sim):
        assert house.reconcile(grace_ms=HOUR_MS).code == 0
    old = [r.sandbox for r in f.revisions[:2]]
    repaired(house, sim, Drift("unreleased", f, old, old))
    assert set(house.states([x for r in f.revisions for x in r.volumes + r.snapshots] + [f.active.sandbox]).values()) == {"in_use"}
    sim.assert_all_live("sandbox", [f.active.sandbox])


def test_w9_snapshots_of_a_deleted_function(house: House, sim: Sim, bystander: Function) -> None:
    """Deleted by another program, in SQL, and no event: all of it goes, snapshots too."""
    f = house.function(revisions=2, volumes=2, sim=sim)
    house.stack.sql("UPDATE shared_gateway.functions SET deleted_at = now() WHERE id = %s", (f.id,))
    repaired(house, sim, Drift("missed_event", f, f.ours, f.ours))
    sim.assert_never_deleted(f.users)


def test_w9_snapshots_that_nothing_released(house: House, sim: Sim, bystander: Function) -> None:
    f = house.function(volumes=2, mapped=False, sim=sim)
    behind(house, "UPDATE shared_gateway.functions SET deleted_at = now() WHERE id = %(id)s", params={"id": f.id})
    repaired(house, sim, Drift("orphan_volume", f, f.active.volumes, f.active.volumes), Drift("orphan_snapshot", f, f.active.snapshots, f.active.snapshots))
    sim.assert_never_deleted(f.users)


@pytest.mark.parametrize("what", ["deleted_at = now()", "enabled = false"])
def test_w13_a_restore_that_ends_after_the_delete(house: House, sim: Sim, bystander: Function, what: str) -> None:
    """The host did not look again before it wrote: the mapping is taken, the sandbox goes."""
    f = house.function(volumes=0, mapped=False, sim=sim)
    attempt, sandbox = claim(house, sim, f)
    house.stack.sql(f"UPDATE shared_gateway.functions SET {what} WHERE id = %s", (f.id,))
    house.map(f.active, sandbox)
    with untouched(house, sim):
        assert house.reconcile(grace_ms=HOUR_MS).code == 0
    repaired(house, sim, Drift("unreleased", f, [sandbox], [sandbox]))
    assert dict(mappings(house))[f.active.id] is None


def test_w13_enabled_again_in_time(house: House, sim: Sim) -> None:
    """Found while it was disabled, enabled before the act: the mapping is left alone."""
    f = house.function(volumes=0, sim=sim)
    house.stack.sql("UPDATE shared_gateway.functions SET enabled = false WHERE id = %s", (f.id,))
    conn = house.stack.connect()
    conn.autocommit = False
    with conn.cursor() as cur:
        cur.execute("UPDATE shared_gateway.functions SET enabled = true WHERE id = %s", (f.id,))
        run = house.reconciling()
        wait_waiting(house)
        conn.commit()
    conn.close()
    assert run.wait_exit() == 4, run.log
    assert "serves a live, enabled function again" in run.log
    assert dict(mappings(house))[f.active.id] == f.active.sandbox and house.states([f.active.sandbox]) == {f.active.sandbox: "in_use"}


def wait_waiting(house: House) -> None:
    """Until some session of the reconciler waits for a lock."""
    ask = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%reconcile_act%'"
    wait_until(lambda: house.stack.sql(ask)[0][0] > 0, "an act to wait for a lock")


def test_a_mapping_that_is_set_between_finding_and_act(house: House, sim: Sim, bystander: Function) -> None:
    """Proved stale, then restored by the host: compare-and-set leaves the new one alone; the rest is repaired."""
    f, other = house.function(volumes=0, sim=sim), DRIFT["stale_mapping"](house, sim)
    sim.remove("sandbox", f.active.sandbox)
    fresh = f"fresh-{uuid.uuid4().hex[:8]}"
    sim.seed(sandboxes=[sim.sandbox(fresh, f.team, "tpl")])
    conn = house.stack.connect()
    conn.autocommit = False
    with conn.cursor() as cur:
        cur.execute("UPDATE shared_gateway.functions_revisions SET runtime_sandbox_id = %s, runtime_updated_at = now() WHERE id = %s", (fresh, f.active.id))
        run = house.reconciling()
        wait_waiting(house)
        conn.commit()
    conn.close()
    assert run.wait_exit() == 4, run.log
    assert dict(mappings(house))[f.active.id] == fresh and house.states([fresh]) == {fresh: "in_use"}
    assert house.states(other.found) == {other.found[0]: "doomed"}
    house.worker()
    house.wait_states(other.gone, "gone")
    sim.assert_never_deleted([fresh])


def test_what_changed_since_the_run_began(house: House, sim: Sim) -> None:
    """Mapped and recycled while the prover hangs: the run leaves alone what is younger than itself."""
    f, new = house.function(volumes=0, sim=sim), house.function(volumes=0, mapped=False, sim=sim)
    sim.remove("sandbox", f.active.sandbox)
    hang = sim.fault("latency", op="sandbox_get", latency_ms=1500)
    run = house.reconciling()
    wait_until(lambda: list(sim.journal(op="sandbox_get")), "the prover to look")
    late = f"late-{uuid.uuid4().hex[:8]}"
    house.map(new.active, late)  # not live at all
    house.map(f.active, None)  # recycled meanwhile, by its owner
    sim.clear_faults(hang)
    assert run.wait_exit() == 4, run.log
    assert dict(mappings(house))[new.active.id] == late and house.states([late, f.active.sandbox]) == {late: "in_use", f.active.sandbox: "released"}
    assert "the mapping is another one now" in run.log


def test_w14_a_revision_that_came_during_the_delete(house: House, sim: Sim, bystander: Function) -> None:
    """Its volumes were made after the delete had looked: they are released at birth, and no event names them."""
    f = house.function(volumes=1, sim=sim)
    house.stack.sql("UPDATE shared_gateway.functions SET deleted_at = now() WHERE id = %s", (f.id,))
    late = house.revision(f, 9, volumes=1, mapped=False)
    sim.seed(
        volumes=[sim.volume(v, f.team) for v in late.volumes + late.source_volumes],
        snapshots=[sim.snapshot(s, v, f.team) for s, v in zip(late.snapshots, late.source_volumes)],
    )
    ours = f.ours + late.volumes + late.snapshots
    repaired(house, sim, Drift("missed_event", f, ours, ours))
    sim.assert_never_deleted(f.users + late.source_volumes)


def test_w17_one_404_is_not_proof(house: House, sim: Sim) -> None:
    """The listing shows nothing, the first look says 404, the second shows it: it lives."""
    f = house.function(volumes=0, sim=sim)
    sim.settings(list_empty=True)
    sim.fault("status", op="sandbox_get", id=f.active.sandbox, status=404, count=1)
    with untouched(house, sim):
        run = house.reconcile()
    assert run.code == 6 and run.of(f.active.sandbox)[0]["verdict"] == "disproved", run.findings
    assert run.summary["gets"] == 2


@pytest.mark.parametrize("effect", ["html404", "truncated", "malformed", "reset", "hang"])
def test_w17_what_is_no_answer_is_no_proof(house: House, sim: Sim, effect: str) -> None:
    d = DRIFT["stale_mapping"](house, sim)
    sim.fault(effect, op="sandbox_get")
    with untouched(house, sim):
        run = house.reconcile(options={"platform.timeout_ms": "300", "reconcile.call_attempts": "2"})
    assert run.code == 6 and run.of(*d.found)[0]["verdict"] == "unproved", run.findings


def test_w17_another_teams_answer_is_no_proof(house: House, sim: Sim) -> None:
    """403: it is there, and another team's. Neither gone nor ours."""
    f, other = house.function(volumes=0, sim=sim), str(uuid.uuid4())
    sim.remove("sandbox", f.active.sandbox)
    sim.fault("status", op="sandbox_get", id=f.active.sandbox, status=403)
    with untouched(house, sim):
        run = house.reconcile()
    assert run.code == 6 and run.of(f.active.sandbox)[0]["verdict"] == "unproved", run.findings


def test_w22_the_source_is_gone_and_its_cluster_too(house: House, sim: Sim, bystander: Function) -> None:
    """Nothing is found through the source sandbox: a function whose source is lost is cleaned like any other."""
    f = house.function(volumes=2, sim=sim)
    sim.remove("sandbox", f.active.source_sandbox)
    sim.settings(list_drop_cluster="lost")
    house.stack.sql("UPDATE shared_gateway.functions SET deleted_at = now() WHERE id = %s", (f.id,))
    repaired(house, sim, Drift("missed_event", f, f.ours, f.ours))


def test_it_works_without_kafka(house: House, sim: Sim, bystander: Function) -> None:
    """The broker is away for reconciler and worker alike: what is found is doomed, and deleted."""
    drifts = [make(house, sim) for make in DRIFT.values()]
    run = house.reconcile(options={"kafka.bootstrap_servers": "127.0.0.1:1"})
    assert run.code == 3, run.summary
    assert set(house.states([x for d in drifts for x in d.gone]).values()) == {"doomed"}


def test_dead_or_refused_for_good_stays(house: House, sim: Sim) -> None:
    """Dead and still there is a person's matter; what a person refused stays refused; a cause that passed does not."""
    from tests.support.drift import in_state, missed_event

    dead, refused, passed = (missed_event(house, sim) for _ in range(3))
    in_state(house, dead.found[0], "dead")
    in_state(house, refused.found[0], "refused")
    in_state(house, passed.found[0], "refused")
    behind(house, "UPDATE sandsweep.owned_resources SET error_class = 'operator' WHERE resource_id = %(id)s", params={"id": refused.found[0]})
    run = house.reconcile()
    assert (run.code, run.done()) == (3, {passed.found[0]}), run.findings
    assert house.states(dead.found + refused.found) == {dead.found[0]: "dead", refused.found[0]: "refused"}
    assert run.summary["pipeline"]["dead"]["count"] == 1
    house.worker()
    house.wait_states(passed.found, "gone")
    assert set(deletes(sim)) == {passed.found[0]}


def test_a_volume_in_use_that_is_gone_is_told(house: House, sim: Sim) -> None:
    f = house.function(volumes=1, sim=sim)
    sim.remove("volume", f.active.volumes[0])
    with untouched(house, sim):
        run = house.reconcile()
    note = run.of(f.active.volumes[0])[0]
    assert (run.code, note["class"], note["action"], note["result"]) == (0, "ghost", "note", None), run.findings


def test_a_users_own_sandbox_that_was_mapped(house: House, sim: Sim) -> None:
    """The mapping of a deleted function names the source sandbox: the mapping goes, the sandbox stays."""
    f = house.function(volumes=0, mapped=False, sim=sim)
    house.map(f.active, f.active.source_sandbox)
    behind(house, "UPDATE shared_gateway.functions SET deleted_at = now() WHERE id = %(id)s", params={"id": f.id})
    run = house.reconcile()
    assert (run.code, dict(mappings(house))[f.active.id]) == (3, None), run.findings
    house.worker()
    assert house.reconcile().code == 0
    sim.assert_all_live("sandbox", [f.active.source_sandbox])
    sim.assert_never_deleted([f.active.source_sandbox])

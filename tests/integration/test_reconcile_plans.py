"""Plans, history, explanations, narrowed runs, and observing before acting."""

from __future__ import annotations

import hashlib
import json
import uuid
from pathlib import Path
from typing import Any

import pytest

from tests.support.drift import DRIFT, behind, forget_all, ledger, mappings, missed_event, stale_mapping, untouched
from tests.support.house import RECONCILE, House, Reconciled, graces
from tests.support.sim import Sim


@pytest.fixture(autouse=True)
def alone(house: House, sim: Sim) -> None:
    forget_all(house)
    sim.settings(finalizer_ms=20, mount_linger_ms=20)


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    return tmp_path / "drift.plan"


def lines(plan: Path) -> list[Any]:
    return [json.loads(line) for line in plan.read_text().splitlines()]


def seal(plan: Path, rows: list[Any]) -> None:
    """Writes it again, with a seal that fits: a forgery."""
    body = "".join(json.dumps(row, sort_keys=True, separators=(",", ":"), ensure_ascii=False) + "\n" for row in rows)
    plan.write_text(body + json.dumps({"sha256": hashlib.sha256(body.encode()).hexdigest()}, separators=(",", ":")) + "\n")


# ---- plans ----


def test_a_plan_does_exactly_that(house: House, sim: Sim, plan: Path) -> None:
    """All that it holds, and nothing that came later; the guards are asked, and --allow says how much was agreed to."""
    drifts = [make(house, sim) for make in DRIFT.values()]
    with untouched(house, sim):
        made = house.reconcile("--plan-out", str(plan))
        assert made.code == 2, made.summary
    later = stale_mapping(house, sim)
    found = {x for d in drifts for x in d.found}
    assert {row["id"] for row in lines(plan)[1:-2]} == found and all(row["evidence"] for row in lines(plan)[1:-2])
    few = {"reconcile.max_acts": "1"}
    with untouched(house, sim):
        assert house.reconcile("apply", str(plan), options=few).code == 5
    done = house.reconcile("apply", str(plan), "--allow", str(len(found)), options=few)
    assert (done.code, done.done()) == (3, found), done.findings
    assert dict(mappings(house))[later.function.active.id] == later.found[0]
    house.worker()
    house.wait_states([x for d in drifts for x in d.gone], "gone")
    again = house.reconcile("apply", str(plan))  # all of it has happened
    assert (again.code, again.done()) == (4, set()) and {f["result"] for f in again.findings} <= {"stale", "skipped"}, again.findings


def test_a_plan_is_canonical(house: House, sim: Sim, plan: Path) -> None:
    stale_mapping(house, sim)
    house.reconcile("--plan-out", str(plan))
    text, rows = plan.read_text(), lines(plan)
    seal(plan, rows[:-1])
    assert plan.read_text() == text
    assert rows[0]["version"] == 1 and "incomplete" in rows[-2]


def test_a_plan_proves_anew(house: House, sim: Sim, plan: Path) -> None:
    """One came back, one was mapped anew, one cannot be looked at, one is as it was."""
    back, mapped, unseen, same = (stale_mapping(house, sim) for _ in range(4))
    house.reconcile("--plan-out", str(plan))
    sim.seed(sandboxes=[sim.sandbox(back.found[0], back.team, "tpl")])
    fresh = f"fresh-{uuid.uuid4().hex[:8]}"
    sim.seed(sandboxes=[sim.sandbox(fresh, mapped.team, "tpl")])
    house.map(mapped.function.active, fresh)
    sim.fault("status", op="sandbox_get", id=unseen.found[0], status=500)
    done = house.reconcile("apply", str(plan), options={"reconcile.call_attempts": "2"})
    assert done.done() == set(same.found), done.findings
    results = {f["id"]: f["result"] for f in done.findings}
    assert results == {back.found[0]: "skipped", mapped.found[0]: "stale", unseen.found[0]: "skipped", same.found[0]: "done"}
    assert all(f["why"] for f in done.findings if f["result"] != "done")
    assert done.code in (4, 6)
    maps = dict(mappings(house))
    assert [maps[d.function.active.id] for d in (back, mapped, unseen, same)] == [back.found[0], fresh, unseen.found[0], None]


FORGERIES = {
    "a byte": lambda rows: None,
    "an item more": lambda rows: rows.insert(1, {**rows[1], "id": "users-own"}),
    "too old": lambda rows: rows[-1].update(made_at="2001-01-01T00:00:00.000000Z"),
    "another database": lambda rows: rows[-1].update(database="elsewhere"),
    "another cluster": lambda rows: rows[-1].update(system_id="1"),
    "another version": lambda rows: rows[0].update(version=2),
    "another format": lambda rows: rows[0].update(format="shopping"),
    "an unknown class": lambda rows: rows[1].update({"class": "nonsense"}),
    "no evidence": lambda rows: rows[1].pop("evidence"),
}


@pytest.mark.parametrize("what", FORGERIES)
def test_a_plan_is_refused(house: House, sim: Sim, plan: Path, what: str) -> None:
    stale_mapping(house, sim)
    house.reconcile("--plan-out", str(plan))
    rows = lines(plan)[:-1]
    if what == "a byte":
        text = plan.read_text()
        at = text.index('"id":"') + 8
        plan.write_text(text[:at] + ("x" if text[at] != "x" else "y") + text[at + 1 :])
    else:
        FORGERIES[what](rows)
        seal(plan, rows)
    with untouched(house, sim):
        done = house.run(*flags(), "reconcile", "apply", str(plan), check=False)
    assert done.returncode == 65 and "plan" in done.stderr, done


@pytest.mark.parametrize("cut", [0, 10, 200, -1])
def test_a_plan_that_is_cut_off(house: House, sim: Sim, plan: Path, cut: int) -> None:
    stale_mapping(house, sim)
    house.reconcile("--plan-out", str(plan))
    plan.write_bytes(plan.read_bytes()[:cut])
    with untouched(house, sim):
        assert house.run(*flags(), "reconcile", "apply", str(plan), check=False).returncode == 65


def test_a_plan_of_a_users_thing(house: House, sim: Sim, plan: Path) -> None:
    """Sealed as it should be, and naming what is in use: each act looks for itself."""
    f, d = house.function(volumes=1, sim=sim), stale_mapping(house, sim)
    house.reconcile("--plan-out", str(plan))
    rows = lines(plan)[:-1]
    item = rows[1]
    forged = [
        {**item, "id": f.active.sandbox, "function": f.id, "revision": f.active.id, "team": f.team},
        {**item, "class": "missed_event", "action": "doom", "proof": "none", "id": f.active.sandbox, "function": f.id, "revision": f.active.id, "team": f.team},
        {**item, "class": "orphan_volume", "action": "doom", "proof": "none", "kind": "volume", "id": f.active.volumes[0], "function": f.id, "revision": f.active.id, "team": f.team},
        {**item, "class": "unreleased", "action": "clear", "proof": "none", "id": f.active.sandbox, "function": f.id, "revision": f.active.id, "team": f.team},
        {**item, "class": "resurrected", "action": "doom", "proof": "present", "id": f.active.source_sandbox, "function": f.id, "revision": f.active.id, "team": f.team},
    ]
    for one in forged:
        seal(plan, [rows[0], one, {**rows[-1], "items": 1}])
        with untouched(house, sim):
            done = house.run(*flags(), "reconcile", "apply", str(plan), "--output", "json", check=False)
        assert done.returncode in (4, 6, 65), (one, done)
    assert d


def flags() -> list[str]:
    return [word for key, value in {**RECONCILE, **graces(0)}.items() for word in ("-o", f"{key}={value}")]


# ---- narrowed ----


def test_narrowed(house: House, sim: Sim) -> None:
    """To a team, a function by id and by slug, a class: nobody else's drift is seen, nobody else is listed."""
    a, b, c, d = (missed_event(house, sim) for _ in range(4))
    same = stale_mapping(house, sim, a.team)
    other = missed_event(house, sim, a.team)
    assert house.reconcile("--team", a.team, "--class", "stale_mapping").done() == set(same.found)
    assert house.reconcile("--function", a.function.id).done() == set(a.found)
    assert house.reconcile("--team", a.team).done() == set(other.found)
    begun = sim.journal_end()
    assert house.reconcile("--function", b.function.slug, "--team", b.team).done() == set(b.found)
    assert {e["team"] for e in sim.journal(since=begun)} == {b.team}
    assert house.reconcile("--class", "stale_mapping,ghost").done() == set()
    assert house.reconcile("--class", "unreleased,missed_event").done() == set(c.found + d.found)


def test_a_slug_of_two_teams(house: House, sim: Sim) -> None:
    f, g = house.function(volumes=0, sim=sim), house.function(volumes=0, sim=sim)
    house.stack.sql("UPDATE shared_gateway.functions SET slug = %s WHERE id = %s", (f.slug, g.id))
    done = house.run("reconcile", "--function", f.slug, check=False)
    assert done.returncode == 65 and "several teams" in done.stderr, done
    assert house.reconcile("--function", f.slug, "--team", g.team).code == 0
    wrong = house.run("reconcile", "--function", f.id, "--team", g.team, check=False)
    assert wrong.returncode == 65, wrong


def test_a_narrowed_run_closes_no_others_drift(house: House, sim: Sim) -> None:
    """What is known of other teams stays known."""
    a, b = missed_event(house, sim), missed_event(house, sim)
    house.reconcile("--dry-run")
    house.reconcile("--team", a.team)
    open_drift = house.stack.sql("SELECT resource_id FROM sandsweep.drift WHERE closed_at IS NULL")
    assert open_drift == [(b.found[0],)]


# ---- observing ----


def observe(house: House) -> Reconciled:
    run = house.reconcile(options={"reconcile.mode": "observe"})
    assert run.code in (0, 2), run.summary
    return run


def test_observing_measures_false_alarms(house: House, sim: Sim) -> None:
    """Of three that would have been taken, one was used again, one went by itself, one is drift still."""
    again, passed, still = (house.function(volumes=0, sim=sim) for _ in range(3))
    for f in (again, passed, still):
        house.stack.sql("UPDATE shared_gateway.functions SET enabled = false WHERE id = %s", (f.id,))
    with untouched(house, sim):
        assert len(observe(house).drift()) == 3
    house.stack.sql("UPDATE shared_gateway.functions SET enabled = true WHERE id = %s", (again.id,))
    house.map(passed.active, None)
    behind(house, "UPDATE sandsweep.owned_resources SET state = 'gone', doomed_at = now(), ended_at = now() WHERE resource_id = %(id)s", params={"id": passed.active.sandbox})
    sim.remove("sandbox", passed.active.sandbox)
    assert len(observe(house).drift()) == 1
    drift = dict(house.stack.sql("SELECT resource_id, outcome FROM sandsweep.drift"))
    assert drift == {again.active.sandbox: "reused", passed.active.sandbox: "passed", still.active.sandbox: None}
    shown = house.run("reconcile", "history").stdout
    assert "observe" in shown
    listed = json.loads(house.run("reconcile", "history", "--output", "json").stdout)
    runs = listed["runs"] if isinstance(listed, dict) else listed
    assert sum(r["reused"] for r in runs) == 1, runs
    assert house.reconcile().done() == {still.active.sandbox}


# ---- history and explanations ----


def test_history_and_show(house: House, sim: Sim) -> None:
    d = stale_mapping(house, sim)
    run = house.reconcile()
    number = str(run.summary["run_id"])
    table = house.run("reconcile", "history").stdout
    assert number in table and "repaired" in table
    listed = json.loads(house.run("reconcile", "history", "--output", "json", "--limit", "1").stdout)
    runs = listed["runs"] if isinstance(listed, dict) else listed
    assert [(r["run_id"], r["outcome"], r["found"], r["acted"]) for r in runs] == [(run.summary["run_id"], "repaired", 1, 1)]
    shown = json.loads(house.run("reconcile", "show", number, "--output", "json").stdout)
    assert [(f["class"], f["id"], f["result"]) for f in shown["findings"]] == [("stale_mapping", d.found[0], "done")]
    assert shown["summary"]["verdict"] == "repaired"
    assert d.found[0] in house.run("reconcile", "show", number).stdout
    assert house.run("reconcile", "show", "999999999", check=False).returncode == 65
    audit = house.stack.sql("SELECT actor, details ->> 'outcome' FROM sandsweep.audit_log WHERE action = 'reconcile.run' AND details ->> 'run' = %s", (number,))
    assert len(audit) == 1 and audit[0][0] and audit[0][1] == "repaired"


@pytest.mark.parametrize("name", DRIFT)
def test_explain_drift(house: House, sim: Sim, name: str) -> None:
    """Before a run, after it, and when it is gone: what it is, whose, what becomes of it and why."""
    d = DRIFT[name](house, sim)
    thing = d.found[0]
    house.reconcile("--dry-run")
    before = house.run("explain", thing).stdout
    assert d.team in before and name in before, before
    house.reconcile()
    doomed = house.run("explain", thing).stdout
    assert "reconcil" in doomed, doomed
    house.worker()
    house.wait_states(d.gone, "gone")
    gone = house.run("explain", thing).stdout
    assert "proved absent" in gone, gone


def test_explain_what_stays(house: House, sim: Sim) -> None:
    """A runtime in use, its volume and snapshot, the source and the user's volume, a function, and nothing at all."""
    f = house.function(volumes=1, sim=sim)
    for thing in [f.active.sandbox, f.active.volumes[0], f.active.snapshots[0], f.active.source_sandbox]:
        text = house.run("explain", thing).stdout
        assert f.id in text or f.slug in text, (thing, text)
    function = house.run("explain", f.id).stdout
    assert f.slug in function and f.active.sandbox in function
    assert json.loads(house.run("explain", f.active.sandbox, "--output", "json").stdout)
    assert "Nothing here knows no-such-thing" in house.run("explain", "no-such-thing").stdout


def test_output_forms(house: House, sim: Sim) -> None:
    """The same findings in every form, and nothing else on stdout."""
    drifts = [make(house, sim) for make in DRIFT.values()]
    found = {x for d in drifts for x in d.found}
    as_json = house.reconcile("--dry-run")
    assert {f["id"] for f in as_json.findings} == found
    text = house.run(*flags(), "reconcile", "--dry-run", "--output", "jsonl", check=False).stdout
    rows = [json.loads(line) for line in text.splitlines()]
    assert {r["id"] for r in rows if r["type"] == "finding"} == found and [r["type"] for r in rows][-1] == "summary"
    table = house.run(*flags(), "reconcile", "--dry-run", check=False)
    assert table.returncode == 2 and all(x in table.stdout for x in found) and "\033" not in table.stdout
    assert ledger(house)

"""What a reconciliation does in Postgres: what it finds, how a finding is proved, every act on every state, and that
no two writers that meet get past each other."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import psycopg2
import pytest

from tests.support.drift import step
from tests.support.house import Function, House
from tests.support.reconcile_sql import CLASSES, OWN, PAST, Beside, Run, evidence_of, lost_call, parts, place, query, statement, tell

STATES = ["in_use", "released", "doomed", "deleting", "gone", "dead", "refused"]
HOUR = 3_600_000


def new(prefix: str = "sb") -> str:
    return f"{prefix}-{uuid.uuid4().hex}"


def new_id() -> str:
    return str(uuid.uuid4())


@pytest.fixture
def team() -> str:
    return new_id()


@pytest.fixture
def run(house: House, team: str) -> Iterator[Run]:
    """A run over this test's team alone."""
    with Run(house.stack, team) as run:
        yield run


def age(house: House, f: Function, interval: str = "1 day") -> None:
    """Makes a function and all that is mapped and owned as old as this."""
    conn = house.stack.connect()
    with conn.cursor() as cur:
        cur.execute("SET session_replication_role = replica")
        cur.execute("UPDATE shared_gateway.functions SET created_at = now() - %s::interval, updated_at = now() - %s::interval WHERE id = %s", (interval, interval, f.id))
        cur.execute(
            "UPDATE shared_gateway.functions_revisions SET created_at = now() - %s::interval, runtime_updated_at = CASE WHEN runtime_sandbox_id <> '' THEN now() - %s::interval END WHERE function_id = %s",
            (interval, interval, f.id),
        )
        cur.execute("UPDATE sandsweep.owned_resources SET created_at = now() - %s::interval WHERE function_id = %s", (interval, f.id))
    conn.close()


def old_function(house: House, team: str, **options: Any) -> Function:
    f = house.function(team, **options)
    age(house, f)
    return f


def disable(house: House, f: Function, when: str = PAST) -> None:
    """As another service does it that leaves the mapping."""
    house.stack.sql("ALTER TABLE shared_gateway.functions DISABLE TRIGGER sandsweep_touch")
    house.stack.sql(f"UPDATE shared_gateway.functions SET enabled = false, updated_at = {when} WHERE id = %s", (f.id,))
    house.stack.sql("ALTER TABLE shared_gateway.functions ENABLE TRIGGER sandsweep_touch")


def attempt(house: House, team: str, *, function: str | None = None, revision: str | None = None, started: str = "-1 hour", table: str = "restore_attempts") -> str:
    number = new_id()
    template = ", 'tpl'" if table == "restore_attempts" else ""
    house.stack.sql(
        f"""INSERT INTO sandsweep.{table} (id, team_id, function_id, revision_id, started_at{', template_id' if template else ''})
            VALUES (%s, %s, %s, %s, now() + %s::interval{template})""",
        (number, team, function or new_id(), revision or new_id(), started),
    )
    return number


def mapped(house: House, revision: str) -> str | None:
    return house.stack.sql("SELECT runtime_sandbox_id FROM shared_gateway.functions_revisions WHERE id = %s", (revision,))[0][0]


# ---- what is found ----


def test_teams(house: House) -> None:
    """Every team that anything may be left of, each once, and what of its listings must not be empty."""
    live, deleted, only_ledger, restoring, publishing = (new_id() for _ in range(5))
    house.function(live)
    f = house.function(deleted, volumes=0)
    house.stack.sql("UPDATE shared_gateway.functions SET deleted_at = now() WHERE id = %s", (f.id,))
    place(house, "volume", new("vol"), "gone", team=only_ledger)
    attempt(house, restoring)
    attempt(house, publishing, table="publish_attempts")
    with Run(house.stack, None) as run:
        run.ask("reconcile_gather")
        rows = run.ask("reconcile_teams", None, "1000000")
        assert [r[0] for r in rows] == sorted(r[0] for r in rows) and len({r[0] for r in rows}) == len(rows)
        there = {r[0]: r[1:] for r in rows}
        assert {t: there.get(t) for t in (live, deleted, only_ledger, restoring, publishing)} == {
            live: (True, True), deleted: (False, False), only_ledger: (False, False), restoring: (False, False), publishing: (False, False)}
        first = run.ask("reconcile_teams", None, "2")
        assert first + run.ask("reconcile_teams", first[-1][0], "2") == rows[:4]


@pytest.mark.parametrize("narrow", ["team", "function", "both", "unknown"])
def test_teams_of_a_narrowed_run(house: House, team: str, narrow: str) -> None:
    f = house.function(team)
    house.function()
    by_team, by_function = narrow in ("team", "both"), narrow in ("function", "both")
    with Run(house.stack, team if by_team else None, function=f.id if by_function else new_id() if narrow == "unknown" else None) as run:
        run.ask("reconcile_gather")
        assert run.ask("reconcile_teams", None, "10") == ([] if narrow == "unknown" else [(team, True, True)])


def test_a_repeated_id_spoils_its_listing(run: Run, team: str) -> None:
    other = new_id()
    run.seen("sandbox", team, "a", "b", "a")
    run.seen("volume", team, "a", template=None)
    run.seen("sandbox", other, "a")
    run.ask("reconcile_listings", [other, team], ["sandbox", "volume"], [True, False], [None, "count"], ["1", "1"], ["1", "1"])
    assert sorted(run.listed(team)) == sorted([(team, "sandbox", False, "repeat", 1, 1), (team, "volume", False, "count", 1, 1)])


# Per class: what makes it so (`since` counts from the beginning of the run) and the thing that is found.
def make_unreleased_disabled(house: House, run: Run, team: str, since: str) -> str:
    f = old_function(house, team, volumes=0)
    disable(house, f, f"'{run.t0.isoformat()}'::timestamptz + interval '{since}'")
    return f.active.sandbox or ""


def make_unreleased_superseded(house: House, run: Run, team: str, since: str) -> str:
    f = old_function(house, team, volumes=0, revisions=2)
    house.stack.sql("ALTER TABLE shared_gateway.functions DISABLE TRIGGER sandsweep_touch")
    house.stack.sql("UPDATE shared_gateway.functions SET updated_at = %s::timestamptz + %s::interval WHERE id = %s", (run.t0, since, f.id))
    house.stack.sql("ALTER TABLE shared_gateway.functions ENABLE TRIGGER sandsweep_touch")
    return f.revisions[0].sandbox or ""


def make_unreleased_unmapped(house: House, run: Run, team: str, since: str) -> str:
    thing = new()
    place(house, "sandbox", thing, "in_use", team=team, created_at=f"'{run.t0.isoformat()}'::timestamptz + interval '{since}'")
    return thing


def make_in_ledger(kind: str, state: str, column: str, **columns: str) -> Any:
    def make(house: House, run: Run, team: str, since: str) -> str:
        thing = new(kind)
        place(house, kind, thing, state, team=team, **{column: f"'{run.t0.isoformat()}'::timestamptz + interval '{since}'"}, **columns)
        if state == "gone":
            run.seen(kind, team, thing)
        return thing

    return make


def make_stale(house: House, run: Run, team: str, since: str) -> str:
    f = old_function(house, team, volumes=0)
    run.sql("UPDATE shared_gateway.functions_revisions SET runtime_updated_at = %s::timestamptz + %s::interval WHERE id = %s", (run.t0, since, f.active.id))
    return f.active.sandbox or ""


def make_ghost_volume(house: House, run: Run, team: str, since: str) -> str:
    f = old_function(house, team, mapped=False)
    run.sql("UPDATE sandsweep.owned_resources SET created_at = %s::timestamptz + %s::interval WHERE resource_id = %s", (run.t0, since, f.active.volumes[0]))
    return f.active.volumes[0]


def make_orphan_sandbox(house: House, run: Run, team: str, since: str) -> str:
    attempt(house, team)
    house.stack.sql("UPDATE sandsweep.restore_attempts SET started_at = %s::timestamptz + %s::interval WHERE team_id = %s", (run.t0, since, team))
    thing = new()
    run.seen("sandbox", team, thing, created=since)
    return thing


def make_never_published(kind: str) -> Any:
    def make(house: House, run: Run, team: str, since: str) -> str:
        revision, thing = new_id(), new(kind)
        attempt(house, team, revision=revision, table="publish_attempts")
        house.stack.sql("UPDATE sandsweep.publish_attempts SET started_at = %s::timestamptz + %s::interval WHERE team_id = %s", (run.t0, since, team))
        place(house, kind, thing, "in_use", team=team, revision=revision, created_at=f"'{run.t0.isoformat()}'::timestamptz + interval '{since}'")
        return thing

    return make


def make_lost(house: House, run: Run, team: str, since: str) -> str:
    tell(house, (OWN, "-2 days"))
    lost_call(house, team, run.sql("SELECT t0 + %s::interval FROM pg_temp.this_run", (since,))[0][0])
    thing = new("vol")
    run.seen("volume", team, thing, template=None, created=since, user=OWN)
    return thing


MAKERS = [
    ("unreleased", "disabled", make_unreleased_disabled, "clear", "none"),
    ("unreleased", "superseded", make_unreleased_superseded, "clear", "none"),
    ("unreleased", "unmapped", make_unreleased_unmapped, "doom", "none"),
    ("missed_event", "sandbox", make_in_ledger("sandbox", "released", "released_at"), "doom", "none"),
    ("missed_event", "volume", make_in_ledger("volume", "released", "released_at"), "doom", "none"),
    ("missed_event", "refused", make_in_ledger("sandbox", "refused", "ended_at", error_class="'mapped'"), "doom", "none"),
    ("stale_mapping", "", make_stale, "clear", "absent"),
    ("ghost", "dead", make_in_ledger("sandbox", "dead", "ended_at"), "doom", "absent"),
    ("ghost", "volume", make_ghost_volume, "note", "absent"),
    ("resurrected", "sandbox", make_in_ledger("sandbox", "gone", "ended_at"), "doom", "present"),
    ("resurrected", "volume", make_in_ledger("volume", "gone", "ended_at"), "doom", "present"),
    ("stuck_lease", "", make_in_ledger("sandbox", "deleting", "due_at"), "doom", "none"),
    ("orphan_sandbox", "", make_orphan_sandbox, "adopt", "owner"),
    ("orphan_volume", "never published", make_never_published("volume"), "doom", "none"),
    ("orphan_volume", "lost call", make_lost, "adopt", "maker"),
    ("orphan_snapshot", "never published", make_never_published("snapshot"), "doom", "none"),
]
IDS = [f"{m[0]} {m[1]}".strip() for m in MAKERS]


@pytest.mark.parametrize("class_,_,make,action,proof", MAKERS, ids=IDS)
@pytest.mark.parametrize("since,want", [("-1 hour", "old"), ("-3599.999 seconds", "young"), ("-1 microsecond", "young"), ("1 microsecond", None)])
def test_found_by_age(house: House, run: Run, team: str, class_: str, _: str, make: Any, action: str, proof: str, since: str, want: str | None) -> None:
    """At the bounds: as old as its grace is old enough. What changed after the run began is not seen at all (or, where
    its age is remembered from run to run, young)."""
    thing = make(house, run, team, since)
    run.listed(team, "sandbox")
    run.listed(team, "volume")
    found = run.find(class_, HOUR)
    if want is None and class_ != "orphan_sandbox" and make not in (make_unreleased_disabled, make_unreleased_superseded, make_lost):
        assert thing not in found
        return
    assert list(found) == [thing]
    row = found[thing]
    verdict = "young" if want != "old" else "proved" if proof == "none" else None
    assert (row["action"], row["proof"], row["verdict"], row["team_id"]) == (action, proof, verdict, team)
    assert row["evidence"]["rule"]
    assert run.findings("to_prove") == ([row] if verdict is None else [])
    assert run.findings("to_act") == ([row] if verdict == "proved" else [])


@pytest.mark.parametrize("class_,_,make,action,proof", MAKERS, ids=IDS)
def test_one_finding_for_a_thing_in_a_run(house: House, run: Run, team: str, class_: str, _: str, make: Any, action: str, proof: str) -> None:
    """All classes in their order: each world is one finding, of its class; and none of another team's run."""
    thing = make(house, run, team, "-2 hours")
    if action == "note":
        run.seen("sandbox", team, *[r[0] for r in house.stack.sql("SELECT resource_id FROM sandsweep.owned_resources WHERE team_id = %s AND kind = 'sandbox'", (team,))])
    for row in house.stack.sql("SELECT kind::text, resource_id FROM sandsweep.owned_resources WHERE team_id = %s AND state = 'in_use' AND resource_id <> %s", (team, thing)):
        run.seen(row[0], team, row[1])
    run.listed(team, "sandbox")
    run.listed(team, "volume")
    for name in CLASSES:
        run.find(name, HOUR)
    assert [(f["class"], f["resource_id"]) for f in run.findings()] == [(class_, thing)]
    with Run(house.stack, new_id()) as other:
        other.listed(team, "sandbox")
        other.listed(team, "volume")
        assert [other.find(name, HOUR) for name in CLASSES] == [{}] * len(CLASSES)


@pytest.mark.parametrize("class_", CLASSES)
def test_nothing_is_found_in_order(house: House, run: Run, team: str, class_: str) -> None:
    """A live function, a disabled one without a runtime, a deleted one that is being cleaned up."""
    f = old_function(house, team)
    idle = old_function(house, team, mapped=False)
    disable(house, idle)
    for state in ("doomed", "deleting"):
        place(house, "sandbox", new(), state, team=team, due_at="now() + interval '1 hour'")
    place(house, "sandbox", new(), "gone", team=team)
    place(house, "sandbox", new(), "refused", team=team, error_class="'operator'")
    run.seen("sandbox", team, f.active.sandbox or "", *f.users, new())
    run.seen("volume", team, *f.active.volumes, *idle.active.volumes, *f.active.source_volumes)
    run.listed(team, "sandbox")
    run.listed(team, "volume")
    assert run.find(class_) == {}


@pytest.mark.parametrize("class_,make", [("stale_mapping", make_stale), ("ghost", MAKERS[7][2]), ("ghost", make_ghost_volume)], ids=["stale_mapping", "dead", "volume"])
def test_no_listing_no_conclusion(house: House, run: Run, team: str, class_: str, make: Any) -> None:
    make(house, run, team, "-2 hours")
    assert run.find(class_) == {}


def test_an_incomplete_listing_is_said_in_the_evidence(house: House, run: Run, team: str) -> None:
    thing = make_stale(house, run, team, "-2 hours")
    run.listed(team, "sandbox", False, "short")
    evidence = run.find("stale_mapping")[thing]["evidence"]
    assert (evidence["listing_complete"], evidence["listing_flaw"]) == (False, "short")


@pytest.mark.parametrize("cause", ["mapped", "source_sandbox", "referenced", "source_volume", "operator"])
@pytest.mark.parametrize("passed", [True, False])
def test_refused_is_found_when_its_cause_has_passed(house: House, run: Run, team: str, cause: str, passed: bool) -> None:
    f = old_function(house, team)
    kind = "volume" if "volume" in cause or cause == "referenced" else "sandbox"
    things = {"mapped": f.active.sandbox, "source_sandbox": f.active.source_sandbox, "referenced": f.active.volumes[0], "source_volume": f.active.source_volumes[0], "operator": f.active.sandbox}
    thing = new(kind) if passed or cause == "operator" else things[cause]
    conn = house.stack.connect()
    with conn.cursor() as cur:
        cur.execute("SET session_replication_role = replica")
        cur.execute("DELETE FROM sandsweep.owned_resources WHERE resource_id = %s", (thing,))
    conn.close()
    place(house, kind, thing or "", "refused", team=team, error_class=f"'{cause}'")
    assert list(run.find("missed_event")) == ([thing] if passed and cause != "operator" else [])


def test_a_function_that_changes_often_does_not_stay_young(house: House, team: str) -> None:
    """Every change touches updated_at: the age counts from the first run that saw it."""
    with Run(house.stack, team) as first:
        thing = make_unreleased_superseded(house, first, team, "-1 second")
        assert first.find("unreleased", HOUR)[thing]["verdict"] == "young"
        first.finish()
    house.stack.sql("UPDATE sandsweep.drift SET first_seen_at = now() - interval '2 hours' WHERE resource_id = %s", (thing,))
    with Run(house.stack, team) as second:
        assert second.find("unreleased", HOUR)[thing]["verdict"] == "proved"


@pytest.mark.parametrize(
    "change,found",
    [("", True), ("template", False), ("before", False), ("after", False), ("closed", False), ("mapped", False), ("source", False), ("known", False), ("repeated", True)],
)
def test_orphans_are_looked_for_in_the_window_of_an_open_restore(house: House, run: Run, team: str, change: str, found: bool) -> None:
    thing = new()
    number = attempt(house, team, started="-3 hours")
    created = {"before": "-4 hours -1 second", "after": "-2 hours 61 seconds"}.get(change, "-170 minutes")
    run.seen("sandbox", team, thing, template="other" if change == "template" else "tpl", created=created)
    if change == "closed":
        house.stack.sql("UPDATE sandsweep.restore_attempts SET closed_at = now(), outcome = 'failed' WHERE id = %s", (number,))
    elif change == "mapped":
        f = house.function(team, mapped=False)
        house.map(f.active, thing)
    elif change == "source":
        f = house.function(team)
        house.stack.sql("UPDATE shared_gateway.functions_revisions SET source_sandbox_id = %s WHERE id = %s", (thing, f.active.id))
    elif change == "known":
        place(house, "sandbox", thing, "doomed", team=team)
    elif change == "repeated":
        run.seen("sandbox", team, thing, created="-169 minutes")
    run.listed(team)
    rows = run.find("orphan_sandbox", HOUR)
    assert list(rows) == ([thing] if found else [])
    if found:
        assert rows[thing]["evidence"]["attempts"] == [number]


# ---- proofs ----


@pytest.mark.parametrize("class_,make,seen,verdict,why", [
    ("stale_mapping", make_stale, "absent", "proved", None),
    ("stale_mapping", make_stale, "present", "disproved", "it is there"),
    ("stale_mapping", make_stale, "unknown", "unproved", "a 500"),
    ("ghost", MAKERS[7][2], "absent", "proved", None),
    ("ghost", MAKERS[7][2], "present", "disproved", "it is there"),
    ("ghost", MAKERS[7][2], "unknown", "unproved", "a 500"),
    ("resurrected", MAKERS[9][2], "present", "proved", None),
    ("resurrected", MAKERS[9][2], "absent", "disproved", "it is not there any more"),
    ("resurrected", MAKERS[9][2], "unknown", "unproved", "a 500"),
])
def test_proofs(house: House, run: Run, team: str, class_: str, make: Any, seen: str, verdict: str, why: str | None) -> None:
    thing = make(house, run, team, "-2 hours")
    run.listed(team)
    run.find(class_, HOUR)
    row = run.prove(thing, seen, "a 500" if seen == "unknown" else None, status=404)
    assert (row["verdict"], row["why"], row["evidence"]["proof"]) == (verdict, why, {"status": 404})
    again = run.prove(thing, "absent" if seen == "present" else "present")
    assert again == row, "a verdict is final"


@pytest.mark.parametrize("seen,marker,mount,verdict,by", [
    ("present", "own", None, "proved", "marker"),
    ("present", "own", "own", "proved", "marker"),
    ("present", "", "own", "proved", "mount"),
    ("present", None, "own", "proved", "mount"),
    ("present", "foreign", "own", "disproved", None),
    ("present", "foreign", None, "disproved", None),
    ("present", None, "foreign", "disproved", None),
    ("present", None, "other team", "disproved", None),
    ("present", None, None, "disproved", None),
    ("present", "closed", None, "disproved", None),
    ("absent", "own", "own", "disproved", None),
    ("unknown", "own", "own", "unproved", None),
])
def test_proofs_of_ownership(house: House, run: Run, team: str, seen: str, marker: str | None, mount: str | None, verdict: str, by: str | None) -> None:
    f = house.function(team, mapped=False)
    number = attempt(house, team, function=f.id, revision=f.active.id)
    volumes = {"own": f.active.volumes[0], "foreign": f.active.source_volumes[0], "other team": house.function().active.volumes[0]}
    thing = new()
    run.seen("sandbox", team, thing)
    run.find("orphan_sandbox", 60_000)
    if marker == "closed":
        house.stack.sql("UPDATE sandsweep.restore_attempts SET closed_at = now(), outcome = 'mapped' WHERE id = %s", (number,))
    markers = {"own": number, "closed": number, "foreign": new_id()}
    details = {"marker": markers.get(marker or "", marker), "mounts": [volumes[mount]] if mount else []}
    row = run.prove(thing, seen, "a 500" if seen == "unknown" else None, **details)
    assert (row["verdict"], row["evidence"].get("owned_by")) == (verdict, by)
    assert (row["function_id"], row["revision_id"]) == ((f.id, f.active.id) if by else (None, None))
    run.act_all()
    assert house.states([thing]) == ({thing: "doomed"} if by else {})


# ---- acts: every one on every state ----

ACTS = {
    ("unreleased", "clear"): "sandbox", ("stale_mapping", "clear"): "sandbox", ("unreleased", "doom"): "sandbox",
    ("missed_event", "doom"): "sandbox", ("ghost", "doom"): "sandbox", ("resurrected", "doom"): "sandbox",
    ("stuck_lease", "doom"): "sandbox", ("orphan_sandbox", "adopt"): "sandbox", ("orphan_volume", "doom"): "volume",
    ("orphan_volume", "adopt"): "volume", ("orphan_snapshot", "doom"): "snapshot",
}
DOOMED_FROM = {
    "unreleased": ["in_use"], "orphan_volume": ["in_use"], "orphan_snapshot": ["in_use"], "missed_event": ["released", "refused"],
    "ghost": ["dead"], "resurrected": ["gone"], "stuck_lease": ["deleting"],
}


def expected(class_: str, action: str, state: str | None, used: bool) -> tuple[str, str | None]:
    """What must come out: the result, and the state of the row."""
    if action == "clear":
        return ("done", "doomed" if state in ("in_use", "released") else state) if used else ("stale", state)
    if action == "adopt":
        return ("done", "doomed") if state is None and not used else ("stale", state)
    if state not in DOOMED_FROM[class_] or used and state in ("in_use", "refused"):
        return "stale", state
    return "done", "doomed"


def unfinished(house: House, team: str, kind: str, action: str, f: Function) -> tuple[str | None, dict[str, Any]]:
    """What an adoption needs: the attempt, and what the finding says of it."""
    if action != "adopt":
        return None, {}
    if kind == "sandbox":
        return attempt(house, team, function=f.id, revision=f.active.id), {}
    tell(house, (OWN, "-2 days"))
    number = lost_call(house, team, "-1 day")
    return number, evidence_of(house, number)


@pytest.mark.parametrize("class_,action", ACTS)
@pytest.mark.parametrize("used", [True, False], ids=["used", "unused"])
def test_every_act_on_every_state(house: House, run: Run, team: str, class_: str, action: str, used: bool) -> None:
    kind = ACTS[(class_, action)]
    for state in [None, *STATES]:
        f = old_function(house, team, mapped=False)
        thing = new(kind)
        if used:
            mounts = json.dumps([{"sandboxvolume_id": thing, "snapshot_id": thing}])
            conn = house.stack.connect()
            with conn.cursor() as cur:
                cur.execute("SET session_replication_role = replica")
                cur.execute("UPDATE shared_gateway.functions_revisions SET runtime_sandbox_id = %s, runtime_updated_at = now() - interval '1 day', restore_mounts = %s WHERE id = %s",
                            (thing if kind == "sandbox" else None, mounts, f.active.id))
            conn.close()
        if (class_, action) == ("unreleased", "clear"):
            disable(house, f)
        if state:
            extra = {"error_class": "'mapped'"} if state == "refused" else {}
            place(house, kind, thing, state, team=team, function=f.id, revision=f.active.id, **extra)
        number, more = unfinished(house, team, kind, action, f)
        run.put(class_, action, kind, thing, team=team, function=f.id, revision=f.active.id, attempt=number, **more)
        assert run.act_all() == 1
        result, row_state = expected(class_, action, state, used)
        assert (state, run.result(thing)[0]) == (state, result), run.result(thing)
        assert (run.result(thing)[1] is None) == (result == "done")
        assert house.states([thing]) == ({thing: row_state} if row_state else {})
        if kind == "sandbox":
            assert mapped(house, f.active.id) == (thing if used and action != "clear" else None)
        if result == "done" and row_state == "doomed" and state != "doomed":
            row = house.row(thing)
            assert (row["doom_reason"], row["finding"]["class"], row["finding"]["run"], row["finding"]["term"], row["finding"]["seen"]) == (f"reconcile:{class_}", class_, run.id, run.term, 1)
            assert (row["attempts"], row["lease"], row["ended_at"], row["deleting_at"], row["error_class"]) == (0, None, None, None, None)
            assert row["released_at"] and row["due_at"]


@pytest.mark.parametrize("class_,action", ACTS)
def test_another_teams_thing_is_left_alone(house: House, run: Run, team: str, class_: str, action: str) -> None:
    """S4, though the finding says otherwise."""
    kind = ACTS[(class_, action)]
    other = old_function(house, new_id())
    thing = {"sandbox": other.active.sandbox, "volume": new("vol"), "snapshot": new("snap")}[kind] if action == "clear" or kind != "sandbox" else new()
    if action == "doom":
        place(house, kind, thing or "", DOOMED_FROM[class_][0], team=other.team)
    before = house.states([thing or ""])
    number, more = unfinished(house, other.team, kind, action, other)
    run.put(class_, action, kind, thing or "", team=team, function=other.id, revision=other.active.id, attempt=number, **more)
    run.act_all()
    assert run.result(thing or "")[0] == "stale" and "another team's" in (run.result(thing or "")[1] or "")
    assert house.states([thing or ""]) == before
    assert mapped(house, other.active.id) == other.active.sandbox


@pytest.mark.parametrize("class_,state,column", [
    ("unreleased", "in_use", "created_at"), ("orphan_volume", "in_use", "created_at"), ("orphan_snapshot", "in_use", "created_at"),
    ("missed_event", "released", "released_at"), ("missed_event", "refused", "ended_at"), ("ghost", "dead", "ended_at"),
    ("resurrected", "gone", "ended_at"), ("stuck_lease", "deleting", "due_at"),
])
@pytest.mark.parametrize("since,result", [("0", "done"), ("1 microsecond", "stale")])
def test_what_changed_after_the_run_began_is_left_alone(house: House, run: Run, team: str, class_: str, state: str, column: str, since: str, result: str) -> None:
    kind = ACTS[(class_, "doom")]
    thing = new(kind)
    extra = {"error_class": "'mapped'"} if state == "refused" else {}
    place(house, kind, thing, state, team=team, **{column: f"'{run.t0.isoformat()}'::timestamptz + interval '{since}'"}, **extra)
    run.put(class_, "doom", kind, thing, team=team)
    run.act_all()
    assert run.result(thing) == (result, None if result == "done" else "it has changed since the run began")
    assert house.states([thing]) == {thing: "doomed" if result == "done" else state}


@pytest.mark.parametrize("change,why", [
    ("mapped anew", "the mapping is another one now"), ("recycled", "the mapping is another one now"), ("mapped later", "it was mapped after the run began"),
    ("mapped later, untimed", "it was mapped after the run began"), ("enabled", "it serves a live, enabled function again"),
    ("touched", "its function has changed since the run began"), ("removed", "the mapping is another one now"),
])
def test_s3_a_mapping_that_changed_between_finding_and_act(house: House, run: Run, team: str, change: str, why: str) -> None:
    f = old_function(house, team)
    thing = f.active.sandbox or ""
    disable(house, f)
    run.put("unreleased", "clear", "sandbox", thing, team=team, function=f.id, revision=f.active.id)
    if change == "mapped anew":
        house.map(f.active, new())
    elif change == "recycled":
        house.map(f.active, None)
    elif change == "mapped later":
        house.stack.sql("UPDATE shared_gateway.functions_revisions SET runtime_updated_at = now() WHERE id = %s", (f.active.id,))
    elif change == "mapped later, untimed":
        house.stack.sql("UPDATE sandsweep.owned_resources SET created_at = now() WHERE resource_id = %s", (thing,))
    elif change == "removed":
        house.stack.sql("DELETE FROM shared_gateway.functions WHERE id = %s", (f.id,))
    else:
        house.stack.sql("UPDATE shared_gateway.functions SET enabled = %s WHERE id = %s", (change == "enabled", f.id))
    before = house.states([thing])
    run.act_all()
    assert run.result(thing) == ("stale", why)
    assert house.states([thing]) == before


def test_a_users_own_sandbox_is_unmapped_and_lives(house: House, run: Run, team: str) -> None:
    f = old_function(house, team, mapped=False)
    house.map(f.active, f.active.source_sandbox)
    age(house, f)
    run.put("stale_mapping", "clear", "sandbox", f.active.source_sandbox, team=team, function=f.id, revision=f.active.id)
    run.act_all()
    assert run.result(f.active.source_sandbox) == ("done", None)
    assert mapped(house, f.active.id) is None and house.states([f.active.source_sandbox]) == {}


def test_what_a_person_refused_is_left_alone(house: House, run: Run, team: str) -> None:
    thing = new()
    place(house, "sandbox", thing, "refused", team=team, error_class="'operator'")
    run.put("missed_event", "doom", "sandbox", thing, team=team)
    run.act_all()
    assert run.result(thing) == ("stale", "a person refused it")


def test_two_sandboxes_of_one_restore(house: House, run: Run, team: str) -> None:
    number = attempt(house, team)
    first, second = new(), new()
    for thing in (first, second):
        run.put("orphan_sandbox", "adopt", "sandbox", thing, team=team, attempt=number)
    run.act_all()
    assert house.states([first, second]) == {first: "doomed", second: "doomed"}
    assert house.stack.sql("SELECT outcome, sandbox_id FROM sandsweep.restore_attempts WHERE id = %s", (number,)) == [("abandoned", first)]


@pytest.mark.parametrize("outcome", ["mapped", "failed"])
def test_a_restore_that_ended_is_left_alone(house: House, run: Run, team: str, outcome: str) -> None:
    number = attempt(house, team)
    thing = new()
    run.put("orphan_sandbox", "adopt", "sandbox", thing, team=team, attempt=number)
    house.stack.sql("UPDATE sandsweep.restore_attempts SET closed_at = now(), outcome = %s WHERE id = %s", (outcome, number))
    run.act_all()
    assert run.result(thing) == ("stale", "the restore attempt is closed") and house.states([thing]) == {}


@pytest.mark.parametrize("class_,action,proof", [("unreleased", "adopt", "none"), ("stale_mapping", "clear", "none"), ("ghost", "doom", "none"), ("orphan_sandbox", "adopt", "none"), ("resurrected", "clear", "present"), ("nonsense", "doom", "none")])
def test_a_finding_cannot_ask_for_more_than_its_class_allows(run: Run, team: str, class_: str, action: str, proof: str) -> None:
    with pytest.raises(psycopg2.errors.CheckViolation):
        run.ask("reconcile_load", [class_], ["sandbox"], ["x"], [None], [team], [None], [None], ["2026-01-01T00:00:00Z"], [proof], [action], ["{}"])


def test_a_plan_is_loaded_in_its_order_and_proved_again(run: Run, team: str) -> None:
    run.ask("reconcile_load", ["ghost", "missed_event"], ["sandbox", "snapshot"], ["b", "a"], [None, "parent"], [team] * 2, [None] * 2, [None] * 2,
            ["2026-01-01T00:00:00Z"] * 2, ["absent", "none"], ["doom"] * 2, ['{"x": 1}', '{"y": "\\u00e9\\""}'])
    rows = [(r["id"], r["class"], r["kind"], r["resource_id"], r["parent_id"], r["verdict"], r["evidence"]) for r in run.findings()]
    assert rows == [(1, "ghost", "sandbox", "b", None, None, {"x": 1}), (2, "missed_event", "snapshot", "a", "parent", "proved", {"y": 'é"'})]


@pytest.mark.parametrize("mode,dry", [("observe", False), ("repair", True)])
def test_a_run_that_only_looks_cannot_act(house: House, team: str, mode: str, dry: bool) -> None:
    thing = new()
    place(house, "sandbox", thing, "released", team=team)
    with Run(house.stack, team, mode=mode, dry=dry) as run:
        run.find("missed_event")
        with pytest.raises(psycopg2.Error) as refused:
            run.act()
        assert refused.value.pgcode == "SW006"
    assert house.states([thing]) == {thing: "released"}


def test_no_doom_of_ours_without_evidence(house: House, team: str) -> None:
    thing = new()
    place(house, "sandbox", thing, "released", team=team)
    with pytest.raises(psycopg2.errors.CheckViolation):
        house.stack.sql("UPDATE sandsweep.owned_resources SET state = 'doomed', doomed_at = now(), due_at = now(), doom_reason = 'reconcile:missed_event' WHERE resource_id = %s", (thing,))


def test_a_failed_act_changes_nothing_and_does_not_stop_the_next(house: House, run: Run, team: str) -> None:
    """The CHECK of the history and of the ledger stand behind the act: here the evidence is lost."""
    bad, good = new(), new()
    for thing in (bad, good):
        place(house, "sandbox", thing, "released", team=team)
    run.put("missed_event", "doom", "sandbox", bad, team=team)
    run.put("missed_event", "doom", "sandbox", good, team=team)
    run.sql("UPDATE pg_temp.findings SET evidence = jsonb_build_object('event', jsonb_build_object('id', 'no uuid')) WHERE resource_id = %s", (bad,))
    assert run.act_all() == 2
    assert run.result(bad)[0] == "failed" and "uuid" in (run.result(bad)[1] or "")
    assert house.states([bad, good]) == {bad: "released", good: "doomed"}


# ---- the event that was missed goes out again ----


def clear_runtime(stack: Any, f: Function, word: str = "recycled") -> None:
    with stack.connect() as conn, conn.cursor() as cur:
        query(cur, "runtime_clear", f.team, f.id, f.id, f"io.sandsweep.runtime.{word}", word, new_id(), "req", "", None, None)


def delete_function(stack: Any, f: Function) -> None:
    with stack.connect() as conn, conn.cursor() as cur:
        query(cur, "function_delete", f.team, f.id, f.id, new_id(), "req", "", None, None, None)


def disable_function(stack: Any, f: Function) -> None:
    with stack.connect() as conn, conn.cursor() as cur:
        query(cur, "function_update", f.team, f.id, f.id, None, "f", None, new_id(), "req", "", None, None, None)


def outbox(house: House, f: Function) -> list[tuple[Any, ...]]:
    return house.stack.sql("SELECT event_id, team_id, function_id, channel, type, data FROM sandsweep.outbox WHERE function_id = %s ORDER BY id", (f.id,))


@pytest.mark.parametrize("tell", [clear_runtime, delete_function, disable_function])
@pytest.mark.parametrize("waiting", [True, False])
def test_a_lost_event_is_sent_again_once_as_it_was(house: House, run: Run, team: str, tell: Any, waiting: bool) -> None:
    """Whoever else listens has missed it too. One that still waits to be published is not lost."""
    f = house.function(team, volumes=2)
    tell(house.stack, f)
    sent = outbox(house, f)
    assert len(sent) == 1
    if not waiting:
        house.stack.sql("DELETE FROM sandsweep.outbox WHERE function_id = %s", (f.id,))
    with Run(house.stack, team) as run:
        found = run.find("missed_event")
        assert len(found) == (5 if tell is delete_function else 1)
        assert run.act_all() == len(found)
        assert {run.result(thing) for thing in found} == {("done", None)}
    assert outbox(house, f) == sent
    assert house.states(list(found)) == {thing: "doomed" for thing in found}


def test_the_events_of_two_recycles_are_told_apart(house: House, team: str) -> None:
    f = house.function(team)
    first = f.active.sandbox
    clear_runtime(house.stack, f)
    second = new()
    house.map(f.active, second)
    clear_runtime(house.stack, f, "restarted")
    ids = {row[5]["sandbox_id"]: row[0] for row in outbox(house, f)}
    house.stack.sql("DELETE FROM sandsweep.outbox WHERE function_id = %s", (f.id,))
    with Run(house.stack, team) as run:
        run.find("missed_event")
        run.act_all()
    assert {row[5]["sandbox_id"]: row[0] for row in outbox(house, f)} == ids and set(ids) == {first, second}


def test_what_no_event_told_is_doomed_alone(house: House, team: str) -> None:
    f = house.function(team)
    house.map(f.active, None)  # another service
    with Run(house.stack, team) as run:
        run.find("missed_event")
        run.act_all()
    assert outbox(house, f) == [] and house.states([f.active.sandbox or ""]) == {f.active.sandbox: "doomed"}


# ---- two that meet ----


@pytest.fixture
def other(house: House) -> Iterator[Any]:
    """Another session, in a transaction that it has not committed."""
    conn = house.stack.connect()
    conn.autocommit = False
    yield conn
    conn.close()


def close_attempt(cur: Any, number: str) -> int:
    cur.execute("UPDATE sandsweep.restore_attempts SET closed_at = clock_timestamp(), outcome = 'mapped' WHERE id = %s AND closed_at IS NULL", (number,))
    return cur.rowcount


def set_mapping(cur: Any, revision: str, sandbox: str) -> None:
    cur.execute("UPDATE shared_gateway.functions_revisions SET runtime_sandbox_id = %s, runtime_updated_at = now() WHERE id = %s", (sandbox, revision))


class Orphan:
    """A restore that is at its end: its sandbox is there, its attempt is open, and a run has proved it an orphan."""

    def __init__(self, house: House, run: Run, team: str) -> None:
        self.f = old_function(house, team, mapped=False)
        self.attempt = attempt(house, team, function=self.f.id, revision=self.f.active.id)
        self.sandbox = new()
        run.put("orphan_sandbox", "adopt", "sandbox", self.sandbox, team=team, attempt=self.attempt)


@pytest.mark.parametrize("end", ["commit", "rollback"])
@pytest.mark.parametrize("traced", [True, False], ids=["traced", "untraced"])
def test_adopt_comes_while_its_host_maps(house: House, run: Run, other: Any, team: str, traced: bool, end: str) -> None:
    """With its attempt, or (another service) without: the act waits for it."""
    o = Orphan(house, run, team)
    with other.cursor() as host:
        assert not traced or close_attempt(host, o.attempt) == 1
        set_mapping(host, o.f.active.id, o.sandbox)
        act = Beside(house.stack, run.pid, run.act)
        act.wait_blocked()
        getattr(other, end)()
    act.join()
    if end == "commit":
        assert run.result(o.sandbox) == ("stale", "the restore attempt is closed" if traced else "the ledger knows it now")
        assert house.states([o.sandbox]) == {o.sandbox: "in_use"} and mapped(house, o.f.active.id) == o.sandbox
    else:
        assert run.result(o.sandbox) == ("done", None)
        assert house.states([o.sandbox]) == {o.sandbox: "doomed"} and mapped(house, o.f.active.id) is None


@pytest.mark.parametrize("end", ["commit", "rollback"])
@pytest.mark.parametrize("traced", [True, False], ids=["traced", "untraced"])
def test_a_host_maps_while_adopt_is_at_work(house: House, run: Run, other: Any, team: str, traced: bool, end: str) -> None:
    o = Orphan(house, run, team)
    run.conn.autocommit = False
    run.act()
    host = other.cursor()
    work = (lambda: close_attempt(host, o.attempt)) if traced else (lambda: set_mapping(host, o.f.active.id, o.sandbox))
    beside = Beside(house.stack, other.get_backend_pid(), work)
    beside.wait_blocked()
    getattr(run.conn, end)()
    if end == "rollback":
        assert beside.join() in (1, None)
    elif traced:
        assert beside.join() == 0, "the host sees that it must not map"
    else:
        with pytest.raises(psycopg2.Error) as refused:
            beside.join()
        assert refused.value.pgcode == "SW003"
    other.rollback()
    assert house.states([o.sandbox]) == ({o.sandbox: "doomed"} if end == "commit" else {})
    assert mapped(house, o.f.active.id) is None


@pytest.mark.parametrize("code", ["40P01", "40001", "22000"])
def test_only_a_deadlock_is_tried_again(house: House, run: Run, team: str, code: str) -> None:
    """It is raised, and the finding stays open; the last try, or any other failure, is its result."""
    thing = new()
    place(house, "sandbox", thing, "released", team=team)
    run.find("missed_event")
    run.sql(f"CREATE FUNCTION pg_temp.fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'on purpose' USING ERRCODE = '{code}'; END $$")
    run.sql(f"CREATE TRIGGER fail BEFORE UPDATE ON sandsweep.owned_resources FOR EACH ROW WHEN (NEW.resource_id = '{thing}') EXECUTE FUNCTION pg_temp.fail()")
    try:
        if code != "22000":
            with pytest.raises(psycopg2.Error) as failed:
                run.act()
            assert failed.value.pgcode == code and run.result(thing) == (None, None)
        assert run.act(0, code != "22000") == 1
        assert run.result(thing) == ("failed", "on purpose") and house.states([thing]) == {thing: "released"}
    finally:
        run.sql("DROP TRIGGER fail ON sandsweep.owned_resources")


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_clear_comes_while_a_recycle_is_at_work(house: House, run: Run, other: Any, team: str, end: str) -> None:
    f = old_function(house, team)
    run.put("stale_mapping", "clear", "sandbox", f.active.sandbox or "", team=team, function=f.id, revision=f.active.id)
    with other.cursor() as api:
        query(api, "runtime_clear", team, f.id, f.id, "io.sandsweep.runtime.recycled", "recycled", new_id(), "req", "", None, None)
        act = Beside(house.stack, run.pid, run.act)
        act.wait_blocked()
        getattr(other, end)()
    act.join()
    assert run.result(f.active.sandbox or "")[0] == ("stale" if end == "commit" else "done")
    assert house.row(f.active.sandbox or "")["release_reason"] == ("recycled" if end == "commit" else "reconcile:stale_mapping")


def test_a_recycle_comes_while_clear_is_at_work(house: House, run: Run, other: Any, team: str) -> None:
    f = old_function(house, team)
    run.put("stale_mapping", "clear", "sandbox", f.active.sandbox or "", team=team, function=f.id, revision=f.active.id)
    run.conn.autocommit = False
    run.act()
    cur = other.cursor()
    beside = Beside(house.stack, other.get_backend_pid(), lambda: query(cur, "runtime_clear", team, f.id, f.id, "io.sandsweep.runtime.recycled", "recycled", new_id(), "req", "", None, None))
    beside.wait_blocked()
    run.conn.commit()
    beside.join()
    other.commit()
    assert outbox(house, f) == [], "it named nothing, for there was nothing"
    assert house.states([f.active.sandbox or ""]) == {f.active.sandbox: "doomed"}


@pytest.mark.parametrize("change,want", [("enabled = true", "it serves a live, enabled function again"), ("deleted_at = now()", "the mapping is another one now"), ("name = 'x'", "its function has changed since the run began")])
def test_clear_comes_while_its_function_changes(house: House, run: Run, other: Any, team: str, change: str, want: str) -> None:
    f = old_function(house, team)
    disable(house, f)
    run.put("unreleased", "clear", "sandbox", f.active.sandbox or "", team=team, function=f.id, revision=f.active.id)
    with other.cursor() as api:
        api.execute(f"UPDATE shared_gateway.functions SET {change} WHERE id = %s", (f.id,))
        act = Beside(house.stack, run.pid, run.act)
        act.wait_blocked()
        other.commit()
    act.join()
    assert run.result(f.active.sandbox or "") == ("stale", want)


@pytest.mark.parametrize("first", ["host", "act"])
def test_doom_of_an_unmapped_sandbox_meets_its_mapping(house: House, run: Run, other: Any, team: str, first: str) -> None:
    """In use by the ledger, mapped by nobody; and now its revision maps it."""
    f = old_function(house, team, mapped=False)
    thing = new()
    place(house, "sandbox", thing, "in_use", team=team, function=f.id, revision=f.active.id)
    run.put("unreleased", "doom", "sandbox", thing, team=team, function=f.id, revision=f.active.id)
    host = other.cursor()
    if first == "host":
        set_mapping(host, f.active.id, thing)
        act = Beside(house.stack, run.pid, run.act)
        act.wait_blocked()
        other.commit()
        act.join()
        assert run.result(thing) == ("stale", "it is in use now") and house.states([thing]) == {thing: "in_use"}
        return
    run.conn.autocommit = False
    run.act()
    beside = Beside(house.stack, other.get_backend_pid(), lambda: set_mapping(host, f.active.id, thing))
    beside.wait_blocked()
    run.conn.commit()
    with pytest.raises(psycopg2.Error) as refused:
        beside.join()
    assert refused.value.pgcode == "SW003"
    assert house.states([thing]) == {thing: "doomed"} and mapped(house, f.active.id) is None


PUBLISH = """INSERT INTO shared_gateway.functions_revisions (id, function_id, team_id, revision_number, source_sandbox_id, source_service_id,
    source_template_id, restore_mounts, service_snapshot) VALUES (%s, %s, %s, 9, %s, 'web', 'tpl', %s, '{}')"""


class Publish:
    """A publish that has made its volume and its snapshot, and has not inserted its revision."""

    def __init__(self, house: House, team: str, started: str = "-1 day") -> None:
        self.f = old_function(house, team)
        self.revision, self.volume, self.snapshot, self.source = new_id(), new("vol"), new("snap"), new("srcvol")
        self.attempt = attempt(house, team, function=self.f.id, revision=self.revision, started=started, table="publish_attempts")
        step(house, self.attempt, 0, None, None, "snapshot", self.source)
        step(house, self.attempt, 1, self.snapshot, None, "volume", self.snapshot)
        step(house, self.attempt, 2, self.volume, "u-1")
        house.stack.sql(f"UPDATE sandsweep.owned_resources SET created_at = {PAST} WHERE revision_id = %s", (self.revision,))

    def insert(self, cur: Any) -> None:
        mounts = [{"sandboxvolume_id": self.volume, "mount_point": "/d", "source_sandboxvolume_id": self.source, "snapshot_id": self.snapshot}]
        cur.execute(PUBLISH, (self.revision, self.f.id, self.f.team, new("src"), json.dumps(mounts)))


def test_a_publish_from_its_beginning_to_its_end(house: House, team: str) -> None:
    p = Publish(house, team)
    assert house.states([p.volume, p.snapshot]) == {p.volume: "in_use", p.snapshot: "in_use"}
    with house.stack.connect() as conn, conn.cursor() as cur:
        p.insert(cur)
    assert house.stack.sql("SELECT outcome FROM sandsweep.publish_attempts WHERE id = %s", (p.attempt,)) == [("published",)]
    with Run(house.stack, team) as run:
        assert run.find("orphan_volume") == {} and run.find("orphan_snapshot") == {}


@pytest.mark.parametrize("first", ["publish", "act"])
@pytest.mark.parametrize("kind", ["volume", "snapshot"])
def test_doom_of_what_a_publish_made_meets_its_revision(house: House, run: Run, other: Any, team: str, kind: str, first: str) -> None:
    p = Publish(house, team)
    thing = p.volume if kind == "volume" else p.snapshot
    found = run.find(f"orphan_{kind}", HOUR)
    assert found[thing]["verdict"] == "proved" and found[thing]["evidence"]["cause"] == "never_published"
    cur = other.cursor()
    if first == "publish":
        p.insert(cur)
        act = Beside(house.stack, run.pid, run.act)
        act.wait_blocked()
        other.commit()
        act.join()
        assert run.result(thing) == ("stale", "it is in use now") and house.states([thing]) == {thing: "in_use"}
        return
    run.conn.autocommit = False
    run.act()
    beside = Beside(house.stack, other.get_backend_pid(), lambda: p.insert(cur))
    beside.wait_blocked()
    run.conn.commit()
    with pytest.raises(psycopg2.Error) as refused:
        beside.join()
    assert refused.value.pgcode == "SW005"
    other.rollback()
    assert house.states([thing]) == {thing: "doomed"}
    assert house.stack.sql("SELECT outcome FROM sandsweep.publish_attempts WHERE id = %s", (p.attempt,)) == [("abandoned",)]
    later = new("vol")  # and what it makes after that
    house.stack.sql("INSERT INTO sandsweep.publish_steps (attempt_id, number, team_id, kind, parent_id) VALUES (%s, 3, %s, 'volume', 's')", (p.attempt, team))
    assert step(house, p.attempt, 3, later, "u-1") is False and house.states([later]) == {later: "doomed"}


def test_a_publish_that_is_going_on_is_left_alone(house: House, run: Run, team: str) -> None:
    p = Publish(house, team, started="-10 minutes")
    assert run.find("orphan_volume", HOUR)[p.volume]["verdict"] == "young"
    run.sql("UPDATE pg_temp.findings SET verdict = 'proved'")
    run.act()
    assert run.result(p.volume) == ("stale", "its publish is going on")


def test_a_row_that_lost_its_place_in_the_queue(house: House, run: Run, team: str) -> None:
    """Doomed, and no claim would ever see it; one that is queued waits for its worker."""
    lost, queued, found_again = new(), new(), new()
    place(house, "sandbox", lost, "doomed", team=team, queued=False)
    place(house, "sandbox", queued, "doomed", team=team)
    place(house, "sandbox", found_again, "doomed", team=team, queued=False)
    assert {t: f["verdict"] for t, f in run.find("stuck_lease", HOUR).items()} == {lost: "proved", found_again: "proved"}
    house.stack.sql("INSERT INTO sandsweep.due (team_id, due_at, id) SELECT team_id, due_at, id FROM sandsweep.owned_resources WHERE resource_id = %s", (found_again,))
    run.act_all()
    assert (run.result(lost), run.result(found_again)) == (("done", None), ("stale", "it has changed since the run began"))
    assert house.stack.sql("SELECT count(*) FROM sandsweep.due q JOIN sandsweep.owned_resources o USING (id, team_id, due_at) WHERE o.resource_id = %s AND o.state = 'doomed'", (lost,)) == [(1,)]


@pytest.mark.parametrize("first", ["claim", "act"])
def test_an_act_meets_a_claim(house: House, run: Run, other: Any, team: str, first: str) -> None:
    """A lapsed lease that a worker takes over at this moment. The claim waits for nobody."""
    thing = new()
    place(house, "sandbox", thing, "deleting", team=team)
    run.put("stuck_lease", "doom", "sandbox", thing, team=team)
    before = str(uuid.UUID(int=uuid.UUID(team).int - 1))
    claim = ["worker", "60000", "10", "1", "10", before, "{}", "1000", "0", "100", "1"]
    cur = other.cursor()
    if first == "claim":
        assert [row[3] for row in query(cur, "claim", *claim)] == [thing]
        act = Beside(house.stack, run.pid, run.act)
        act.wait_blocked()
        other.commit()
        act.join()
        assert run.result(thing) == ("stale", "it has changed since the run began") and house.states([thing]) == {thing: "deleting"}
        return
    run.conn.autocommit = False
    run.act()
    assert [row[3] for row in query(cur, "claim", *claim)] == [None]
    other.commit()
    run.conn.commit()
    assert house.states([thing]) == {thing: "doomed"}
    assert [row[3] for row in query(cur, "claim", *claim)] == [thing]
    other.commit()


def test_an_act_holds_up_a_claim_of_other_things_of_its_revision_only_for_itself(house: House, run: Run, other: Any, team: str) -> None:
    """The claim passes over a revision that is being changed, and comes back."""
    f = old_function(house, team)
    doomed = new()
    place(house, "sandbox", doomed, "doomed", team=team, function=f.id, revision=f.active.id)
    run.put("stale_mapping", "clear", "sandbox", f.active.sandbox or "", team=team, function=f.id, revision=f.active.id)
    claim = ["worker", "60000", "10", "1", "10", str(uuid.UUID(int=uuid.UUID(team).int - 1)), "{}", "1000", "0", "100", "1"]
    run.conn.autocommit = False
    run.act()
    cur = other.cursor()
    assert [row[3] for row in query(cur, "claim", *claim)] == [None]
    other.commit()
    run.conn.commit()
    assert sorted(row[3] for row in query(cur, "claim", *claim)) == sorted([doomed, f.active.sandbox])
    other.commit()


# ---- one run at a time ----


def test_a_second_run_is_told_who_is_at_it(house: House, team: str) -> None:
    with Run(house.stack, team) as first, Run(house.stack, team, shard=first.shard) as second, Run(house.stack, team) as elsewhere:
        assert (first.acquired, second.acquired, elsewhere.acquired) == (True, False, True)
        assert (second.term, second.holder) == (first.term, "host:1")
        first.ask("reconcile_end")
        with Run(house.stack, team, shard=first.shard) as third:
            assert (third.acquired, third.term) == (True, first.term + 1)
    outcomes = house.stack.sql("SELECT id, outcome FROM sandsweep.reconcile_runs WHERE shard = %s ORDER BY id", (first.shard,))
    assert outcomes == [(first.id, "interrupted"), (third.id, None)]


def test_w16_a_run_that_lost_its_lock_acts_no_more(house: House, team: str) -> None:
    things = [new(), new()]
    for thing in things:
        place(house, "sandbox", thing, "released", team=team)
    with Run(house.stack, team) as first:
        first.find("missed_event")
        assert first.act(0) == 1
        first.ask("reconcile_end")  # as if the connection had been lost, and nobody had noticed
        with Run(house.stack, team, shard=first.shard) as second:
            assert second.acquired
            for late in (lambda: first.act(1), first.finish):
                with pytest.raises(psycopg2.Error) as refused:
                    late()
                assert refused.value.pgcode == "SW004"
            assert sorted(house.states(things).values()) == ["doomed", "released"]
            second.find("missed_event")
            assert second.act_all() == 1
            second.finish()
    assert set(house.states(things).values()) == {"doomed"}


def test_the_next_run_begins_after_an_act_that_is_going_on(house: House, team: str) -> None:
    thing = new()
    place(house, "sandbox", thing, "released", team=team)
    with Run(house.stack, team) as first:
        first.find("missed_event")
        first.ask("reconcile_end")
        first.conn.autocommit = False
        first.act()
        conn = house.stack.connect()
        with conn.cursor() as cur:
            beside = Beside(house.stack, conn.get_backend_pid(), lambda: query(cur, "reconcile_begin", first.shard, "tester", "host:2", "repair", "f", team, None, "t"))
            beside.wait_blocked()
            first.conn.commit()
            assert beside.join()[0][2] == first.term + 1
        conn.close()
    assert house.states([thing]) == {thing: "doomed"}


# ---- the end of a run ----


def drift(house: House, team: str) -> dict[tuple[str, str], tuple[Any, ...]]:
    rows = house.stack.sql("SELECT class, resource_id, young, observed, outcome, run_id FROM sandsweep.drift WHERE team_id = %s", (team,))
    return {(r[0], r[1]): r[2:] for r in rows}


def test_the_life_of_a_known_drift(house: House, team: str) -> None:
    """Seen, seen again, repaired; and what went by itself."""
    repaired, passes = new(), new()
    for thing in (repaired, passes):
        place(house, "sandbox", thing, "released", team=team)
    with Run(house.stack, team, dry=True) as first:
        first.find("missed_event")
        first.finish()
    assert drift(house, team) == {("missed_event", t): (False, False, None, first.id) for t in (repaired, passes)}
    since = house.stack.sql("SELECT resource_id, since, first_seen_at FROM sandsweep.drift WHERE team_id = %s", (team,))
    with Run(house.stack, team) as second:  # stopped by a guard
        second.find("missed_event")
        second.finish("guarded")
    assert house.stack.sql("SELECT resource_id, since, first_seen_at FROM sandsweep.drift WHERE team_id = %s", (team,)) == since
    house.stack.sql("UPDATE sandsweep.owned_resources SET state = 'doomed', doomed_at = now(), due_at = now() WHERE resource_id = %s", (passes,))
    with Run(house.stack, team) as third:
        third.find("missed_event")
        third.act_all()
        third.finish()
    assert drift(house, team) == {("missed_event", repaired): (False, False, "repaired", second.id), ("missed_event", passes): (False, False, "passed", second.id)}


def test_drift_that_comes_back_is_new(house: House, team: str) -> None:
    f = old_function(house, team, volumes=0)
    thing = f.active.sandbox or ""
    for shown in (False, True, False):
        with Run(house.stack, team, dry=True) as run:
            if shown:
                run.seen("sandbox", team, thing)
            run.listed(team)
            run.find("stale_mapping")
            if not shown:
                run.prove(thing, "absent")
            run.finish()
    assert drift(house, team) == {("stale_mapping", thing): (False, False, None, run.id)}
    assert house.stack.sql("SELECT first_seen_at = %s FROM sandsweep.drift WHERE resource_id = %s", (run.t0, thing)) == [(True,)]


# What a later run must have seen before "not found" means "over".
OVER_WHEN = {
    "orphan_sandbox": "complete", "resurrected": "complete", "orphan_volume": "complete",
    "stale_mapping": "incomplete", "ghost": "incomplete",
}


@pytest.mark.parametrize("class_,_,make,action,proof", MAKERS, ids=IDS)
def test_when_drift_is_over(house: House, team: str, class_: str, _: str, make: Any, action: str, proof: str) -> None:
    """Runs that know more and more find nothing; one of them knows enough."""
    with Run(house.stack, team, dry=True) as first:
        thing = make(house, first, team, "-2 hours")
        first.listed(team, "sandbox")
        first.listed(team, "volume")
        first.find(class_, HOUR)
        if proof != "none":
            first.prove(thing, "unknown", "a 500")
        first.finish()
    key = (class_, thing)
    assert drift(house, team) == {key: (False, False, None, first.id)}
    over = False
    for looked in ("another team", "another function", "not asked", "not listed", "incomplete", "complete"):
        narrow = {"function": new_id()} if looked == "another function" else {}
        with Run(house.stack, new_id() if looked == "another team" else team, dry=True, **narrow) as run:
            if looked in ("complete", "incomplete"):
                run.listed(team, "sandbox", looked == "complete", None)
                run.listed(team, "volume", looked == "complete", None)
            if looked != "not asked":
                run.sql("INSERT INTO pg_temp.ran VALUES (%s, '1 hour')", (class_,))
            run.finish()
        over = over or looked == OVER_WHEN.get(class_, "not listed")
        assert (looked, drift(house, team)[key][2]) == (looked, "passed" if over else None)


def test_what_is_young_is_no_drift(house: House, team: str) -> None:
    """But for what changes its own date: that is remembered, as young."""
    with Run(house.stack, team) as run:
        released = make_in_ledger("sandbox", "released", "released_at")(house, run, team, "-1 second")
        superseded = make_unreleased_superseded(house, run, team, "-1 second")
        for name in CLASSES:
            run.find(name, HOUR)
        assert {f["resource_id"]: f["verdict"] for f in run.findings()} == {released: "young", superseded: "young"}
        run.finish()
    assert drift(house, team) == {("unreleased", superseded): (True, False, None, run.id)}


@pytest.mark.parametrize("again", [True, False], ids=["used again", "not used again"])
def test_shadow_mode_tells_what_would_have_been_a_mistake(house: House, team: str, again: bool) -> None:
    f = old_function(house, team, volumes=0)
    disable(house, f)
    thing = f.active.sandbox or ""
    with Run(house.stack, team, mode="observe") as first:
        assert first.find("unreleased")[thing]["verdict"] == "proved"
        first.finish()
    assert drift(house, team) == {("unreleased", thing): (False, True, None, first.id)}
    house.stack.sql("UPDATE shared_gateway.functions SET enabled = %s WHERE id = %s", (again, f.id))
    if not again:
        house.map(f.active, None)
    with Run(house.stack, team, mode="observe") as second:
        second.find("unreleased")
        second.finish()
    assert drift(house, team)[("unreleased", thing)][2] == ("reused" if again else "passed")


@pytest.mark.parametrize("case,closed", [
    ("long ago", True), ("not so long ago", False), ("incomplete", False), ("not listed", False), ("unproved", False), ("vanished", False),
    ("disproved", True), ("adopted", True), ("not repaired", False), ("dry", False), ("observed", False), ("class off", False), ("another function", False),
])
def test_a_restore_that_led_nowhere_is_closed(house: House, team: str, case: str, closed: bool) -> None:
    function = new_id()
    number = attempt(house, team, function=function, started="-1 hour" if case != "not so long ago" else "-119 seconds")
    narrow = {"function": new_id()} if case == "another function" else {}
    with Run(house.stack, team, mode="observe" if case == "observed" else "repair", dry=case == "dry", **narrow) as run:
        thing = new()
        if case in ("unproved", "vanished", "disproved", "adopted", "not repaired"):
            run.seen("sandbox", team, thing, created="-1 hour")
        if case != "not listed":
            run.listed(team, "sandbox", case != "incomplete")
        if case != "class off":
            found = run.find("orphan_sandbox", 60_000)
            seen = {"unproved": "unknown", "vanished": "absent"}.get(case, "present")
            for name in found:
                run.prove(name, seen, marker=number if case in ("adopted", "not repaired") else "")
        if case == "adopted":
            run.act_all()
        run.finish()
    rows = house.stack.sql("SELECT outcome FROM sandsweep.restore_attempts WHERE id = %s", (number,))
    assert rows == [("abandoned" if closed else None,)]


def test_history_says_everything(house: House, team: str) -> None:
    done, young = new(), new()
    place(house, "sandbox", done, "released", team=team)
    with Run(house.stack, team) as run:
        place(house, "sandbox", young, "released", team=team, released_at=f"'{run.t0.isoformat()}'::timestamptz - interval '1 second'")
        run.find("missed_event", 60_000)
        run.act_all()
        run.ask("reconcile_finish", "repaired", '{"acted": 1}', "30")
    assert house.stack.sql("SELECT outcome, counts, finished_at IS NOT NULL, actor, holder, team_id FROM sandsweep.reconcile_runs WHERE id = %s", (run.id,)) == [
        ("repaired", {"acted": 1}, True, "tester", "host:1", team)]
    rows = house.stack.sql("SELECT resource_id, class, verdict, result, evidence ->> 'rule' <> '' FROM sandsweep.reconcile_findings WHERE run_id = %s", (run.id,))
    assert sorted(rows) == sorted([(done, "missed_event", "proved", "done", True), (young, "missed_event", "young", None, True)])
    assert house.stack.sql("SELECT actor, action, details ->> 'outcome' FROM sandsweep.audit_log WHERE team_id = %s", (team,)) == [("tester", "reconcile.run", "repaired")]
    with pytest.raises(psycopg2.errors.CheckViolation):
        house.stack.sql("UPDATE sandsweep.reconcile_findings SET verdict = 'unproved' WHERE run_id = %s AND result = 'done'", (run.id,))


def test_retention(house: House, team: str) -> None:
    """A sandbox's row is the memory that its id was used up, and stays."""
    old, recent, sandbox = new("vol"), new("vol"), new()
    place(house, "volume", old, "gone", team=team, ended_at="now() - interval '31 days'")
    place(house, "volume", recent, "gone", team=team, ended_at="now() - interval '29 days'")
    place(house, "sandbox", sandbox, "gone", team=team, ended_at="now() - interval '31 days'")
    runs = []
    for days in (31, 29):
        with Run(house.stack, team) as run:
            place(house, "sandbox", new(), "released", team=team)
            run.find("missed_event")
            run.finish(days=1000)
            runs.append(run.id)
        house.stack.sql("UPDATE sandsweep.reconcile_runs SET finished_at = now() - make_interval(days => %s) WHERE id = %s", (days, run.id))
    numbers = [attempt(house, team, table=t) for t in ("restore_attempts", "publish_attempts") for _ in range(2)]
    for number, days, table in zip(numbers, (31, 29, 31, 29), ("restore_attempts",) * 2 + ("publish_attempts",) * 2):
        house.stack.sql(f"UPDATE sandsweep.{table} SET closed_at = now() - make_interval(days => %s), outcome = 'failed' WHERE id = %s", (days, number))
    with Run(house.stack, team, dry=True) as run:
        run.finish()
    assert len(house.states([old, recent, sandbox])) == 3, "a dry run removes nothing"
    with Run(house.stack, team) as run:
        run.finish(days=30)
    assert set(house.states([old, recent, sandbox])) == {recent, sandbox}
    assert house.stack.sql("SELECT id FROM sandsweep.reconcile_runs WHERE id = ANY(%s)", (runs,)) == [(runs[1],)]
    assert house.stack.sql("SELECT count(*) FROM sandsweep.reconcile_findings WHERE run_id = %s", (runs[0],)) == [(0,)]
    left = house.stack.sql("SELECT id FROM sandsweep.restore_attempts WHERE team_id = %s UNION SELECT id FROM sandsweep.publish_attempts WHERE team_id = %s", (team, team))
    assert {r[0] for r in left} == {numbers[1], numbers[3]}


# ---- what stands beside ----


def test_blast(house: House, team: str) -> None:
    other, quiet = new_id(), new_id()
    for t, count in ((team, 2), (other, 3)):
        for _ in range(count):
            place(house, "sandbox", new(), "released", team=t)
    place(house, "sandbox", new(), "gone", team=team)
    place(house, "sandbox", new(), "in_use", team=quiet)
    with Run(house.stack, None) as run:
        for t, count in ((team, 2), (other, 1)):
            for n in range(count):
                run.put("missed_event", "doom", "sandbox", f"{t}-{n}", team=t)
        run.put("ghost", "note", "volume", "noted", team=quiet)
        run.put("missed_event", "doom", "sandbox", "done already", team=quiet)
        run.sql("UPDATE pg_temp.findings SET result = 'done' WHERE resource_id = 'done already'")
        total = house.stack.sql("SELECT count(*) FROM sandsweep.owned_resources WHERE state <> 'gone'")[0][0]
        assert run.ask("reconcile_blast", "10") == [(None, 3, total), (team, 2, 2), (other, 1, 3)]
        assert run.ask("reconcile_blast", "1") == [(None, 3, total), (team, 2, 2)]
    with Run(house.stack, team) as run:
        run.ask("reconcile_gather")
        run.put("missed_event", "doom", "sandbox", "x", team=team)
        assert run.ask("reconcile_blast", "10") == [(None, 1, 2), (team, 1, 2)]


def test_pipeline(house: House, team: str) -> None:
    for state, column in (("released", "released_at"), ("doomed", "due_at"), ("dead", "ended_at")):
        for when in ("now() - interval '2 hours'", "now() - interval '1 day'", "now() - interval '1 minute'"):
            place(house, "sandbox", new(), state, team=team, **{column: when})
    place(house, "sandbox", new(), "doomed", team=team, deleting_at=PAST)
    place(house, "sandbox", new(), "refused", team=team)
    for when in ("1 minute", "3 hours"):
        house.stack.sql("INSERT INTO sandsweep.outbox (team_id, function_id, channel, type, data, created_at) VALUES (%s, %s, 'events', 't', '{}', now() - %s::interval)", (team, new_id(), when))
    with Run(house.stack, team) as run:
        run.sql("BEGIN")
        row = run.ask("reconcile_pipeline", str(HOUR))[0]
        now = run.sql("SELECT now()")[0][0]
        ages = [None if t is None else round((now - t).total_seconds() / 3600) for t in (row[1], row[3], row[5], row[7])]
    assert (row[0], row[2], row[4], row[6], row[8]) == (1, 2, 2, 3, 1) and ages == [3, 24, 24, 24]
    with Run(house.stack, new_id()) as empty:
        assert empty.ask("reconcile_pipeline", str(HOUR)) == [(0, None, 0, None, 0, None, 0, None, 0)]


def test_resolve(house: House) -> None:
    a, b = house.function(), house.function()
    house.stack.sql("UPDATE shared_gateway.functions SET slug = %s WHERE id = %s", (a.slug, b.id))
    only_slug = house.function()
    house.stack.sql("UPDATE shared_gateway.functions SET slug = %s WHERE id = %s", (a.id, only_slug.id))  # a slug that looks like an id
    removed, team = new_id(), new_id()
    place(house, "volume", new("vol"), "doomed", team=team, function=removed)
    with house.stack.connect() as conn, conn.cursor() as cur:
        def ask(text: str, number: str | None = None, team: str | None = None) -> list[tuple[Any, ...]]:
            return sorted(query(cur, "reconcile_resolve", text, number, team))

        assert ask(a.slug) == sorted([(a.id, a.team), (b.id, b.team)])
        assert ask(a.slug, None, b.team) == [(b.id, b.team)]
        assert ask(a.id, a.id) == [(a.id, a.team)]
        assert ask(a.id, a.id, b.team) == []
        assert ask(removed, removed) == [(removed, team)]
        assert ask("nothing") == []


# ---- in bulk ----


@pytest.fixture
def filled(house: House) -> Iterator[list[str]]:
    """5,000 functions of 20 teams, all live and mapped, but for every thousandth: not listed. Gone at the end."""
    teams = [new_id() for _ in range(20)]
    conn = house.stack.connect()
    with conn.cursor() as cur:
        cur.execute("SET session_replication_role = replica")
        cur.execute(
            """CREATE TEMPORARY TABLE f AS SELECT i, gen_random_uuid() AS id, gen_random_uuid() AS rev, (%s::uuid[])[i %% 20 + 1] AS team FROM generate_series(0, 4999) i;
               INSERT INTO shared_gateway.functions (id, team_id, name, slug, domain_label, active_revision_id) SELECT id, team, 'f', 'f' || i, id, rev FROM f;
               INSERT INTO shared_gateway.functions_revisions (id, function_id, team_id, revision_number, source_sandbox_id, source_service_id, source_template_id,
                       restore_mounts, service_snapshot, runtime_sandbox_id, runtime_updated_at)
                   SELECT rev, id, team, 1, 'src-' || id, 'web', 'tpl', jsonb_build_array(jsonb_build_object('sandboxvolume_id', 'vol-' || id, 'snapshot_id', 'snap-' || id,
                       'source_sandboxvolume_id', 'srcvol-' || id)), '{}', 'sb-' || id, now() - interval '1 hour' FROM f;
               INSERT INTO sandsweep.owned_resources (kind, resource_id, parent_id, team_id, function_id, revision_id, created_at)
                   SELECT k.kind::sandsweep.resource_kind, k.prefix || id, CASE k.kind WHEN 'snapshot' THEN 'p' END, team, id, rev, now() - interval '1 hour'
                   FROM f, (VALUES ('sandbox', 'sb-'), ('volume', 'vol-'), ('snapshot', 'snap-')) k (kind, prefix);
               INSERT INTO sandsweep.restore_attempts (id, team_id, function_id, revision_id, template_id, started_at)
                   SELECT gen_random_uuid(), team, id, rev, 'tpl', now() - interval '2 hours' FROM f WHERE i < 100;
               ANALYZE shared_gateway.functions, shared_gateway.functions_revisions, sandsweep.owned_resources""",
            (teams,),
        )
        yield teams
        cur.execute(
            """DELETE FROM sandsweep.owned_resources WHERE team_id = ANY(%(t)s::uuid[]); DELETE FROM shared_gateway.functions_revisions WHERE team_id = ANY(%(t)s::uuid[]);
               DELETE FROM shared_gateway.functions WHERE team_id = ANY(%(t)s::uuid[]); DELETE FROM sandsweep.restore_attempts WHERE team_id = ANY(%(t)s::uuid[]);
               ANALYZE shared_gateway.functions, shared_gateway.functions_revisions, sandsweep.owned_resources""",
            {"t": teams},
        )
    conn.close()


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", []):
        yield from nodes(part)


def test_a_diff_goes_through_the_listing_once(house: House, filled: list[str]) -> None:
    """In the role that a run has; and it goes through no index that leaves nearly everything to its filter."""
    with Run(house.stack, None, dry=True, role="sandsweep_reconcile") as run:
        run.sql("""INSERT INTO pg_temp.seen (kind, team_id, id, template_id, source_volume_id, status, created_at) SELECT o.kind, o.team_id, o.resource_id, 'tpl', NULL, 'running', o.created_at - interval '2 hours' FROM sandsweep.owned_resources o
                   WHERE o.team_id = ANY(%s::uuid[]) AND o.kind <> 'snapshot' AND o.id %% 1000 <> 0""", (filled,))
        for kind in ("sandbox", "volume"):
            run.ask("reconcile_listings", filled, [kind] * 20, [True] * 20, [None] * 20, ["1"] * 20, ["1"] * 20)
        run.ask("reconcile_analyze")
        missing = {r[0] for r in run.sql("SELECT o.resource_id FROM sandsweep.owned_resources o WHERE o.team_id = ANY(%s::uuid[]) AND o.kind <> 'snapshot' AND o.id %% 1000 = 0", (filled,))}
        assert missing
        large = {"seen", "owned_resources", "functions", "functions_revisions"}
        for name in CLASSES:
            for part in parts(name):
                run.cur.execute("EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) " + statement(f"reconcile_find_{name}"), {"p1": "60000", "p2": "".join(part)})
                plan = run.cur.fetchone()[0][0]["Plan"]
                reads = [node for node in nodes(plan) if node.get("Relation Name") in large]
                assert reads, name
                again = [node for node in reads if node["Node Type"] == "Seq Scan" and node["Actual Loops"] > 1]
                wasted = [node for node in reads if "Index" in node["Node Type"] and node.get("Rows Removed by Filter", 0) > 1000]
                assert not again and not wasted, (name, json.dumps([again, wasted], indent=1))
        assert missing <= {f["resource_id"] for f in run.findings() if f["class"] in ("stale_mapping", "ghost")}

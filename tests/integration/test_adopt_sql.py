"""Volumes that a publish asked for and never heard of, in Postgres: what is found, how it is proved, and what the act needs."""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Iterator
from typing import Any

import psycopg2
import pytest

from tests.support.drift import step
from tests.support.house import House
from tests.support.reconcile_sql import FORMER, OWN, Beside, Run, evidence_of, lost_call, place, query, tell

HOUR = 3_600_000
MORE = "there are more such volumes than calls without an answer"


def new(prefix: str = "vol") -> str:
    return f"{prefix}-{uuid.uuid4().hex}"


def new_id() -> str:
    return str(uuid.uuid4())


@pytest.fixture
def team() -> str:
    return new_id()


@pytest.fixture(autouse=True)
def told(house: House) -> None:
    """Nothing of other tests counts; the platform has said whose Sandsweep's volumes are."""
    house.stack.sql("TRUNCATE sandsweep.publish_attempts CASCADE")
    tell(house, (OWN, "-2 days"))


@pytest.fixture
def run(house: House, team: str) -> Iterator[Run]:
    with Run(house.stack, team) as run:
        yield run


@pytest.fixture
def other(house: House) -> Iterator[Any]:
    conn = house.stack.connect()
    conn.autocommit = False
    yield conn
    conn.close()


def at(run: Run, seconds: float) -> Any:
    return run.sql("SELECT t0 + %s * interval '1 second' FROM pg_temp.this_run", (seconds,))[0][0]


def seen(run: Run, team: str, seconds: float, user: str | None = OWN) -> str:
    """A live volume of that age."""
    thing = new()
    run.seen("volume", team, thing, template=None, created=f"{seconds} seconds", user=user)
    return thing


def find(run: Run, team: str, complete: bool = True) -> dict[str, dict[str, Any]]:
    run.listed(team, "volume", complete, None if complete else "moved")
    return run.find("orphan_volume", HOUR)


def attempt_of(house: House, number: str) -> tuple[Any, ...]:
    return house.stack.sql(
        """SELECT p.outcome, p.closed_at IS NOT NULL, s.answered_at IS NOT NULL, s.resource_id, s.user_id
           FROM sandsweep.publish_attempts p JOIN sandsweep.publish_steps s ON s.attempt_id = p.id WHERE p.id = %s ORDER BY s.number DESC LIMIT 1""", (number,))[0]  # fmt: skip


# ---- whose volumes Sandsweep makes ----


@pytest.mark.parametrize("tellings,ago,want", [
    ([], "-1 day", None),
    ([(OWN, "-2 days")], "-1 day", OWN),
    ([(OWN, "-2 days")], "-3 days", OWN),
    ([(FORMER, "-4 days"), (OWN, "-2 days")], "-1 day", OWN),
    ([(FORMER, "-4 days"), (OWN, "-2 days")], "-3 days", FORMER),
    ([(FORMER, "-4 days"), (OWN, "-2 days")], "-5 days", FORMER),
    ([(FORMER, "-4 days"), (OWN, "-2 days")], "infinity", OWN),
])  # fmt: skip
def test_whose_volumes_they_are_at_a_time(house: House, tellings: list[tuple[str, str]], ago: str, want: str | None) -> None:
    tell(house, *tellings)
    when = "'infinity'" if ago == "infinity" else f"now() + interval '{ago}'"
    assert house.stack.sql(f"SELECT sandsweep.own_user({when})") == [(want,)]


def test_only_the_platforms_word_on_a_volume_tells(house: House, team: str) -> None:
    tell(house)
    number = lost_call(house, team, "-1 hour", kind="snapshot")
    step(house, number, 2, new("snap"), "a-snapshots-user", "volume", "snap")
    step(house, number, 3, new(), None)
    assert house.stack.sql("SELECT sandsweep.own_user('infinity')") == [(None,)]


@pytest.mark.parametrize("field", ["sandboxvolume_id", "source_sandboxvolume_id", "snapshot_id", "parent", None])
def test_what_is_named(house: House, team: str, field: str | None) -> None:
    f, thing = house.function(team, mapped=False), new()
    if field == "parent":
        step(house, lost_call(house, team, "-1 hour", kind="snapshot"), 2, new("snap"), None)
        house.stack.sql("UPDATE sandsweep.publish_steps SET parent_id = %s WHERE kind = 'snapshot'", (thing,))
    elif field:
        house.stack.sql("UPDATE shared_gateway.functions_revisions SET restore_mounts = %s WHERE id = %s", (json.dumps([{"mount_point": "/a"}, {field: thing}]), f.active.id))
        house.stack.sql("UPDATE shared_gateway.functions SET deleted_at = now() WHERE id = %s", (f.id,))
    assert house.stack.sql("SELECT sandsweep.is_named(%s)", (thing,)) == [(field is not None,)]


# ---- what is found ----


@pytest.mark.parametrize("outcome", [None, "failed", "abandoned", "published"])
def test_found_in_every_publish_that_died(house: House, run: Run, team: str, outcome: str | None) -> None:
    function, revision = new_id(), new_id()
    number = lost_call(house, team, at(run, -7200), outcome=outcome, function=function, revision=revision)
    thing = seen(run, team, -7199)
    found = find(run, team)
    if outcome == "published":
        assert found == {}
        return
    row = found[thing]
    assert (row["action"], row["proof"], row["verdict"], row["why"]) == ("adopt", "maker", None, None)
    assert (row["function_id"], row["revision_id"]) == (function, revision)
    evidence = row["evidence"]
    assert (evidence["publish"], evidence["publish_outcome"], evidence["step"], evidence["made_from"]) == (number, outcome, 2, "snap")
    assert (evidence["user"], evidence["candidates"], evidence["unanswered"]) == (OWN, 1, 1)
    assert run.findings("to_prove") == [row]


@pytest.mark.parametrize("offset,found", [(-60.000001, False), (-60, True), (0, True), (3600, True), (3600.000001, False)])
def test_the_window_of_a_call(house: House, run: Run, team: str, offset: float, found: bool) -> None:
    lost_call(house, team, at(run, -36000))
    thing = new()
    run.sql("INSERT INTO pg_temp.seen (kind, team_id, id, user_id, created_at) SELECT 'volume', %s, %s, %s, t0 + (-36000 + %s::numeric) * interval '1 second' FROM pg_temp.this_run",
            (team, thing, OWN, str(offset)))
    assert list(find(run, team)) == ([thing] if found else [])


@pytest.mark.parametrize("case", ["another user", "no user", "another team", "mount", "source", "answered", "refused", "snapshot call"])
def test_what_is_not_even_noted(house: House, run: Run, team: str, case: str) -> None:
    number = lost_call(house, team, at(run, -7200), outcome="failed", kind="snapshot" if case == "snapshot call" else "volume")
    thing = seen(run, new_id() if case == "another team" else team, -7199, {"another user": "somebody", "no user": None}.get(case, OWN))
    if case in ("mount", "source"):
        mount = {"sandboxvolume_id" if case == "mount" else "source_sandboxvolume_id": thing}
        f = house.function(team, mapped=False, volumes=0)
        house.stack.sql("UPDATE shared_gateway.functions_revisions SET restore_mounts = %s WHERE id = %s", (json.dumps([mount]), f.active.id))
    elif case == "answered":
        step(house, number, 2, new(), OWN)
    elif case == "refused":
        house.stack.sql("SELECT sandsweep.publish_fail(%s, true)", (number,))
    assert thing not in find(run, team)


@pytest.mark.parametrize("state", ["in_use", "released", "doomed", "deleting", "gone", "dead", "refused"])
def test_what_the_ledger_knows_is_not_unknown(house: House, run: Run, team: str, state: str) -> None:
    lost_call(house, team, at(run, -7200))
    thing = seen(run, team, -7199)
    place(house, "volume", thing, state, team=team)
    assert [f for f in find(run, team).values() if f["proof"] == "maker"] == []


@pytest.mark.parametrize("case,user,why", [
    ("nothing told", "anybody", "no publish has been told yet which user its volumes are of"),
    ("nothing told", None, "no publish has been told yet which user its volumes are of"),
    ("key changed since", OWN, "the platform knows Sandsweep as another user since"),
    ("off", OWN, "reconcile.adopt_volumes is off"),
    ("one too many", OWN, MORE),
])  # fmt: skip
def test_what_is_told_to_people(house: House, team: str, case: str, user: str | None, why: str) -> None:
    if case == "nothing told":
        tell(house)
    elif case == "key changed since":
        tell(house, (OWN, "-2 days"), ("the-new-key", "-1 minute"))
    with Run(house.stack, team, adopt=case != "off") as run:
        lost_call(house, team, at(run, -7200))
        things = {seen(run, team, -7199, user) for _ in range(2 if case == "one too many" else 1)}
        seen(run, team, -7199, "somebody") if case != "nothing told" else None
        found = find(run, team)
        assert {(f["resource_id"], f["action"], f["proof"], f["verdict"], f["why"]) for f in found.values()} == {(thing, "note", "none", "proved", why) for thing in things}
        assert run.findings("to_prove") == run.findings("to_act") == []


def test_the_new_keys_user_is_a_stranger_to_an_old_call(house: House, run: Run, team: str) -> None:
    """Whose key it is now may have been a person's then."""
    tell(house, (FORMER, "-2 days"), (OWN, "-1 minute"))
    lost_call(house, team, at(run, -7200))
    seen(run, team, -7199, OWN)
    theirs = seen(run, team, -7199, FORMER)
    assert {(f["resource_id"], f["action"]) for f in find(run, team).values()} == {(theirs, "note")}


def test_an_incomplete_listing_proves_no_number(house: House, run: Run, team: str) -> None:
    lost_call(house, team, at(run, -7200))
    thing = seen(run, team, -7199)
    row = find(run, team, complete=False)[thing]
    assert (row["action"], row["verdict"]) == ("adopt", "unproved") and "not complete" in row["why"]
    assert run.findings("to_prove") == run.findings("to_act") == []


def test_a_listing_that_repeats_it_proves_no_number(house: House, run: Run, team: str) -> None:
    lost_call(house, team, at(run, -7200))
    thing = seen(run, team, -7199)
    run.seen("volume", team, thing, template=None, created="-7199 seconds", user=OWN)
    assert find(run, team)[thing]["verdict"] == "unproved"


@pytest.mark.parametrize("asked,created", [(-3599.9, -3601), (-3601, -3599.9), (-3630, -3590)])
def test_young_as_long_as_either_is(house: House, run: Run, team: str, asked: float, created: float) -> None:
    lost_call(house, team, at(run, asked))
    thing = seen(run, team, created)
    assert find(run, team)[thing]["verdict"] == "young"


def test_a_run_over_one_function(house: House, team: str) -> None:
    """All calls and volumes of the team count; what is found is of its own publish."""
    mine, function = new_id(), house.function(team, volumes=0).id
    with Run(house.stack, None, function=function) as run:
        lost_call(house, team, at(run, -20000))
        lost_call(house, team, at(run, -7200), function=function, revision=mine)
        first, second = seen(run, team, -19999), seen(run, team, -7199)
        found = find(run, team)
        assert list(found) == [second] and found[second]["revision_id"] == mine
    with Run(house.stack, None, function=function) as run:
        seen(run, team, -19999), seen(run, team, -7199), seen(run, team, -7198)
        assert {f["why"] for f in find(run, team).values()} == {MORE}


# Seconds ago: calls, volumes, and whether each volume can have a call of its own.
LAYOUTS: list[tuple[list[float], list[float], bool]] = [
    ([7200, 7200], [7199, 7199], True),
    ([7200, 7200], [7199], True),
    ([9000, 7200], [8999, 7199], True),
    ([9000, 7200], [8999, 7199, 7198], False),
    ([9000, 7200], [7199, 7198], True),  # the first may have taken its time
    ([9000, 7200], [8999, 8998], False),  # two of the first
    ([12000, 9000, 7200], [8999, 8998, 7199], True),
    ([12000, 9000, 7200], [11999, 11998], False),
    ([30000, 7200], [29999, 29998], False),
    ([12000, 12000, 12000], [11000, 10000, 9000], True),
]


@pytest.mark.parametrize("calls,volumes,fits", LAYOUTS)
def test_every_volume_needs_a_call_of_its_own(house: House, run: Run, team: str, calls: list[float], volumes: list[float], fits: bool) -> None:
    asked = {lost_call(house, team, at(run, -ago)): ago for ago in calls}
    made = {seen(run, team, -ago): ago for ago in volumes}
    found = find(run, team)
    assert set(found) == set(made)
    assert {(f["action"], f["why"]) for f in found.values()} == {("adopt", None) if fits else ("note", MORE)}
    if fits:
        given = {thing: f["evidence"]["publish"] for thing, f in found.items()}
        assert len(set(given.values())) == len(given)
        assert all(-60 <= asked[call] - made[thing] <= 3600 for thing, call in given.items())


def test_another_time_of_the_team_is_another_matter(house: House, run: Run, team: str) -> None:
    """Too many in one place spoil only what overlaps with it."""
    for ago in (90000, 50000):
        lost_call(house, team, at(run, -ago))
    doubtful = {seen(run, team, -89999), seen(run, team, -89998)}
    clear = seen(run, team, -49999)
    found = find(run, team)
    assert {thing: f["action"] for thing, f in found.items()} == {**dict.fromkeys(doubtful, "note"), clear: "adopt"}


def shared_out(calls: list[float], volumes: list[float]) -> bool:
    """Whether every volume can have a call of its own, by trying."""
    taken: dict[int, int] = {}

    def give(v: int, tried: set[int]) -> bool:
        for c, asked in enumerate(calls):
            if c not in tried and -60 <= volumes[v] - asked <= 3600:
                tried.add(c)
                if c not in taken or give(taken[c], tried):
                    taken[c] = v
                    return True
        return False

    return all(give(v, set()) for v in range(len(volumes)))


def parts(calls: list[float]) -> list[list[float]]:
    out: list[list[float]] = []
    for asked in sorted(calls):
        if out and asked - out[-1][-1] <= 3660:
            out[-1].append(asked)
        else:
            out.append([asked])
    return out


def test_random_layouts(house: House) -> None:
    """Against a search through all ways to share them out: 300 teams, some with more volumes than calls, some with fewer."""
    rng = random.Random(20260109)
    want: dict[str, str] = {}
    with Run(house.stack, None) as run:
        for _ in range(300):
            team, calls = new_id(), [-rng.randint(3700, 30000) - rng.random() / 2 for _ in range(rng.randint(1, 6))]
            volumes = [rng.choice(calls) + rng.choice([rng.uniform(-59, 3599), rng.uniform(-3, 3), 7000]) for _ in range(rng.randint(0, 6))]
            for asked in calls:
                lost_call(house, team, at(run, asked))
            for part in parts(calls):
                mine = [v for v in volumes if any(-60 <= v - asked <= 3600 for asked in part)]
                action = "adopt" if shared_out(part, mine) else "note"
                want |= {seen(run, team, v): action for v in mine}
            run.ask("reconcile_listings", [team], ["volume"], [True], [None], ["1"], ["1"])
        run.ask("reconcile_analyze")
        run.ask("reconcile_find_orphan_volume", "3600000")
        found = [f for f in run.findings() if f["resource_id"] in want]
        assert {f["resource_id"]: f["action"] for f in found} == want
        assert {"adopt", "note"} == set(want.values())
        calls_given = [f["evidence"]["publish"] for f in found if f["action"] == "adopt"]
        assert len(set(calls_given)) == len(calls_given), "a call explains one volume"


# ---- proofs ----


@pytest.mark.parametrize("case,verdict,why", [
    ("", "proved", None),
    ("unknown", "unproved", "a 500"),
    ("absent", "disproved", "it is not there any more"),
    ("another user", "disproved", "it is not of Sandsweep's own user"),
    ("no user", "disproved", "it is not of Sandsweep's own user"),
    ("the key changed", "disproved", "it is not of Sandsweep's own user"),
    ("another time", "disproved", "it is not the one that was listed"),
    ("no time", "disproved", "it is not the one that was listed"),
    ("answered", "disproved", "the call of its publish is answered"),
    ("published", "disproved", "the call of its publish is answered"),
    ("mounted", "disproved", "a sandbox mounts it"),
    ("mounted, seen before", "disproved", "a sandbox mounts it"),
    ("switched off", "disproved", "reconcile.adopt_volumes is off"),
])  # fmt: skip
def test_proofs(house: House, run: Run, team: str, case: str, verdict: str, why: str | None) -> None:
    number = lost_call(house, team, at(run, -7200))
    thing = seen(run, team, -7199)
    row = find(run, team)[thing]
    details = {"user": OWN, "created_at": row["evidence"]["created_at"]}
    ids, states, whys, all_details = [str(row["id"])], [{"unknown": "unknown", "absent": "absent"}.get(case, "present")], ["a 500" if case == "unknown" else None], [details]
    if case in ("another user", "no user"):
        details["user"] = "somebody" if case == "another user" else None
    elif case in ("another time", "no time"):
        details["created_at"] = at(run, -7198).isoformat() if case == "another time" else None
    elif case == "the key changed":
        tell(house, (OWN, "-2 days"), ("another", "-1 second"))
    elif case == "answered":
        step(house, number, 2, new(), OWN)
    elif case == "published":
        house.stack.sql("UPDATE sandsweep.publish_attempts SET closed_at = now(), outcome = 'published' WHERE id = %s", (number,))
    elif case.startswith("mounted"):
        run.sql("INSERT INTO pg_temp.findings (class, kind, resource_id, team_id, since, proof, action, evidence) SELECT 'orphan_sandbox', 'sandbox', 'user-sandbox', %s, t0, 'owner', 'adopt', '{}' FROM pg_temp.this_run", (team,))
        looked = [str(run.finding("user-sandbox")["id"]), "present", None, {"marker": None, "mounts": ["x", thing]}]
        if case == "mounted":
            for column, value in zip((ids, states, whys, all_details), looked):
                column.append(value)  # type: ignore[arg-type]
        else:
            run.ask("reconcile_proofs", *[[v] if n < 3 else [json.dumps(v)] for n, v in enumerate(looked)])
    elif case == "switched off":
        run.sql("UPDATE pg_temp.this_run SET adopt = false")
    run.ask("reconcile_proofs", ids, states, whys, [json.dumps(d) for d in all_details])
    row = run.finding(thing)
    assert (row["verdict"], row["why"], row["evidence"]["proof"]) == (verdict, why, details)
    assert run.act_all() == (1 if verdict == "proved" else 0)
    assert house.states([thing]) == ({thing: "doomed"} if verdict == "proved" else {})


def test_from_the_call_to_the_queue(house: House, run: Run, team: str) -> None:
    """Everything that a proved one gets: the ledger's row under its publish, the call's answer, the end of the publish."""
    function, revision = new_id(), new_id()
    number = lost_call(house, team, at(run, -7200), function=function, revision=revision)
    thing = seen(run, team, -7199)
    row = find(run, team)[thing]
    run.prove(thing, "present", user=OWN, created_at=row["evidence"]["created_at"])
    assert run.act_all() == 1 and run.result(thing) == ("done", None)
    owned = house.row(thing)
    assert (owned["kind"], owned["state"], owned["team_id"], owned["function_id"], owned["revision_id"]) == ("volume", "doomed", team, function, revision)
    assert (owned["release_reason"], owned["doom_reason"]) == ("reconcile:orphan_volume",) * 2
    assert (owned["finding"]["publish"], owned["finding"]["run"], owned["finding"]["proof"]["user"]) == (number, run.id, OWN)
    assert attempt_of(house, number) == ("abandoned", True, True, thing, None), "what was concluded is not the platform's word"
    assert house.stack.sql("SELECT count(*) FROM sandsweep.due WHERE team_id = %s", (team,)) == [(1,)]
    run.finish()
    with Run(house.stack, team) as again:
        seen_again = again.seen("volume", team, thing, template=None, created="-7199 seconds", user=OWN)
        assert seen_again is None and find(again, team) == {}
    refused = house.stack.sql("SELECT sandsweep.publish_step(%s, 2, %s, %s, NULL, NULL)", (number, thing, OWN))
    assert refused == [(False,)] and house.states([thing]) == {thing: "doomed"}


# ---- acts ----


@pytest.mark.parametrize("case,why", [
    ("", None), ("failed", None), ("abandoned", None),
    ("published", "there is no such publish that died"), ("no attempt", "there is no such publish that died"),
    ("answered", "the call of its publish is answered"), ("snapshot call", "the call of its publish is answered"),
    ("going on", "its publish is going on"),
    ("before it", "it was not made in the time of that call"), ("after it", "it was not made in the time of that call"), ("no time", "it was not made in the time of that call"),
    ("another user", "it is not of Sandsweep's own user"), ("no user", "it is not of Sandsweep's own user"), ("nothing told", "it is not of Sandsweep's own user"),
    ("the key changed", "it is not of Sandsweep's own user"), ("the key was another's", "it is not of Sandsweep's own user"),
    ("named", "it is in use now"), ("too many", MORE), ("no number", MORE), ("known", "the ledger knows it now"),
])  # fmt: skip
def test_what_the_act_needs(house: House, run: Run, team: str, case: str, why: str | None) -> None:
    """Whatever the finding says: looked at once more, in the transaction of the act."""
    asked = at(run, -1800 if case == "going on" else -7200)
    number = lost_call(house, team, asked, outcome=case if case in ("failed", "abandoned", "published") else None, kind="snapshot" if case == "snapshot call" else "volume")
    thing, created = new(), {"before it": -7261, "after it": -3599}.get(case, -7199)
    evidence = evidence_of(house, number, at(run, created).isoformat(), candidates=2 if case == "too many" else 1)
    run.sql("INSERT INTO pg_temp.ran VALUES ('orphan_volume', interval '1 hour')")
    if case == "answered":
        step(house, number, 2, new(), OWN)
    elif case == "no time":
        evidence["created_at"] = None
    elif case in ("another user", "no user"):
        evidence["proof"] = {"user": "somebody"} if case == "another user" else {}
    elif case in ("nothing told", "the key changed", "the key was another's"):
        tell(house, *{"nothing told": [], "the key changed": [(OWN, "-2 days"), ("x", "-1 second")], "the key was another's": [("x", "-2 days"), (OWN, "-1 second")]}[case])
    elif case == "named":
        f = house.function(team, mapped=False, volumes=0)
        house.stack.sql("UPDATE shared_gateway.functions_revisions SET restore_mounts = %s WHERE id = %s", (json.dumps([{"sandboxvolume_id": thing}]), f.active.id))
    elif case == "no number":
        del evidence["candidates"]
    elif case == "known":
        place(house, "volume", thing, "in_use", team=team)
    before = attempt_of(house, number)
    run.put("orphan_volume", "adopt", "volume", thing, team=team, attempt=None if case == "no attempt" else number, **evidence)
    assert run.act_all() == 1
    assert run.result(thing) == ("done" if why is None else "stale", why)
    assert house.states([thing]) == ({thing: "doomed"} if why is None else {thing: "in_use"} if case == "known" else {})
    assert attempt_of(house, number) == (("abandoned" if not before[0] else before[0], True, True, thing, None) if why is None else before)


def two(house: House, run: Run, team: str) -> tuple[list[str], list[str]]:
    """Two proved findings that were found together: the publishes, the volumes."""
    numbers = [lost_call(house, team, at(run, ago)) for ago in (-7200, -7180)]
    things = [seen(run, team, ago) for ago in (-7199, -7179)]
    for thing, row in find(run, team).items():
        run.prove(thing, "present", user=OWN, created_at=row["evidence"]["created_at"])
    return numbers, things


def test_two_that_were_found_together(house: House, run: Run, team: str) -> None:
    numbers, things = two(house, run, team)
    assert run.act_all() == 2
    assert [run.result(thing) for thing in things] == [("done", None)] * 2
    assert [attempt_of(house, n)[3] for n in numbers] == things


@pytest.mark.parametrize("first", [0, 1])
def test_one_call_of_two_turns_out_to_have_made_nothing(house: House, run: Run, team: str, first: int) -> None:
    """Two volumes are left with one call: which of them is its own nobody can tell."""
    numbers, things = two(house, run, team)
    house.stack.sql("SELECT sandsweep.publish_fail(%s, true)", (numbers[first],))
    assert run.act_all() == 2
    assert {run.result(thing)[0] for thing in things} == {"stale"} and house.states(things) == {}
    with Run(house.stack, team) as again:
        for thing, ago in zip(things, (-7199, -7179)):
            again.seen("volume", team, thing, template=None, created=f"{ago} seconds", user=OWN)
        assert {(f["action"], f["why"]) for f in find(again, team).values()} == {("note", MORE)}


@pytest.mark.parametrize("class_,kind,action,proof", [
    ("orphan_volume", "volume", "adopt", "none"), ("orphan_volume", "volume", "adopt", "owner"), ("orphan_volume", "volume", "adopt", "present"),
    ("orphan_volume", "volume", "note", "maker"), ("orphan_volume", "volume", "doom", "maker"), ("orphan_snapshot", "snapshot", "adopt", "maker"),
    ("orphan_volume", "sandbox", "adopt", "maker"), ("orphan_sandbox", "volume", "adopt", "owner"), ("orphan_sandbox", "sandbox", "adopt", "maker"),
    ("resurrected", "volume", "adopt", "maker"),
])  # fmt: skip
def test_a_finding_cannot_ask_for_more_than_its_class_allows(run: Run, team: str, class_: str, kind: str, action: str, proof: str) -> None:
    with pytest.raises(psycopg2.errors.CheckViolation):
        run.ask("reconcile_load", [class_], [kind], ["x"], [None], [team], [None], [None], ["2026-01-01T00:00:00Z"], [proof], [action], ["{}"])


@pytest.mark.parametrize("publish", ["lost", "somebody's", "no id", "no such"])
def test_a_plan_is_proved_anew(house: House, run: Run, team: str, publish: str) -> None:
    number, thing = lost_call(house, team, at(run, -7200)), new()
    evidence = evidence_of(house, number, at(run, -7199).isoformat())
    evidence["publish"] = {"lost": number, "somebody's": lost_call(house, new_id(), at(run, -7200)), "no id": "x", "no such": new_id()}[publish]
    run.ask("reconcile_load", ["orphan_volume"], ["volume"], [thing], [None], [team], [None], [None], ["2026-01-01T00:00:00Z"], ["maker"], ["adopt"], [json.dumps(evidence)])
    assert run.finding(thing)["verdict"] is None
    row = run.prove(thing, "present", user=OWN, created_at=evidence["created_at"])
    assert row["verdict"] == ("proved" if publish == "lost" else "disproved")
    run.act_all()
    assert house.states([thing]) == ({thing: "doomed"} if publish == "lost" else {})


# ---- two that meet ----


class Lost:
    """A publish at its lost call, and a run that has proved that a volume is of it."""

    def __init__(self, house: House, run: Run, team: str) -> None:
        self.revision, self.volume = new_id(), new()
        self.attempt = lost_call(house, team, at(run, -7200), revision=self.revision)
        run.put("orphan_volume", "adopt", "volume", self.volume, team=team, attempt=self.attempt, **evidence_of(house, self.attempt))


def record(cur: Any, number: str, volume: str) -> bool:
    return query(cur, "publish_step", None, number, "2", volume, OWN, None, None)[0][0]


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_adopt_comes_while_the_answer_is_written_down(house: House, run: Run, other: Any, team: str, end: str) -> None:
    lost = Lost(house, run, team)
    with other.cursor() as api:
        assert record(api, lost.attempt, lost.volume) is True
        act = Beside(house.stack, run.pid, run.act)
        act.wait_blocked()
        getattr(other, end)()
    act.join()
    if end == "commit":
        assert run.result(lost.volume) == ("stale", "the call of its publish is answered")
        assert house.states([lost.volume]) == {lost.volume: "in_use"} and attempt_of(house, lost.attempt) == (None, False, True, lost.volume, OWN)
    else:
        assert run.result(lost.volume) == ("done", None) and house.states([lost.volume]) == {lost.volume: "doomed"}


@pytest.mark.parametrize("end", ["commit", "rollback"])
@pytest.mark.parametrize("same", [True, False], ids=["this volume", "another"])
def test_the_answer_comes_while_adopt_is_at_work(house: House, run: Run, other: Any, team: str, same: bool, end: str) -> None:
    lost = Lost(house, run, team)
    made = lost.volume if same else new()
    run.conn.autocommit = False
    run.act()
    api = other.cursor()
    beside = Beside(house.stack, other.get_backend_pid(), lambda: record(api, lost.attempt, made))
    beside.wait_blocked()
    getattr(run.conn, end)()
    assert beside.join() is (end == "rollback")
    other.commit()
    if end == "rollback":
        assert house.states([made]) == {made: "in_use"}
        return
    assert house.states([lost.volume, made]) == dict.fromkeys([lost.volume, made], "doomed"), "one row each, and all of it goes"
    assert attempt_of(house, lost.attempt)[:2] == ("abandoned", True)
    with pytest.raises(psycopg2.Error) as refused, other.cursor() as cur:
        cur.execute(
            """INSERT INTO shared_gateway.functions_revisions (id, function_id, team_id, revision_number, source_sandbox_id, source_service_id,
                   source_template_id, service_snapshot) VALUES (%s, %s, %s, 9, 's', 'web', 'tpl', '{}')""", (lost.revision, house.function(team).id, team))  # fmt: skip
    assert refused.value.pgcode == "SW005"


@pytest.mark.parametrize("first", ["adopt", "answer"])
def test_the_answer_comes_to_another_publish_than_it_was_taken_for(house: House, run: Run, other: Any, team: str, first: str) -> None:
    """Two publishes lost a call at about the same time, and the volume was given to the wrong one."""
    lost, its_own = Lost(house, run, team), lost_call(house, team, at(run, -7200))
    api = other.cursor()
    if first == "adopt":
        run.conn.autocommit = False
        run.act()
        beside = Beside(house.stack, other.get_backend_pid(), lambda: record(api, its_own, lost.volume))
        beside.wait_blocked()
        run.conn.commit()
        assert beside.join() is False
        other.commit()
        assert house.states([lost.volume]) == {lost.volume: "doomed"} and attempt_of(house, its_own)[:2] == ("abandoned", True)
        return
    assert record(api, its_own, lost.volume) is True
    act = Beside(house.stack, run.pid, run.act)
    act.wait_blocked()
    other.commit()
    act.join()
    assert run.result(lost.volume) == ("stale", "the ledger knows it now")
    assert house.states([lost.volume]) == {lost.volume: "in_use"} and attempt_of(house, lost.attempt) == (None, False, False, None, None)


@pytest.mark.parametrize("refused", [True, False])
@pytest.mark.parametrize("first", ["adopt", "fail"])
def test_adopt_meets_the_end_of_its_publish(house: House, run: Run, other: Any, team: str, first: str, refused: bool) -> None:
    lost = Lost(house, run, team)
    api = other.cursor()
    fail = lambda: query(api, "publish_fail", None, lost.attempt, "t" if refused else "f")  # noqa: E731
    if first == "adopt":
        run.conn.autocommit = False
        run.act()
        beside = Beside(house.stack, other.get_backend_pid(), fail)
        beside.wait_blocked()
        run.conn.commit()
        beside.join()
        other.commit()
        assert house.states([lost.volume]) == {lost.volume: "doomed"} and attempt_of(house, lost.attempt) == ("abandoned", True, True, lost.volume, None)
        return
    fail()
    act = Beside(house.stack, run.pid, run.act)
    act.wait_blocked()
    other.commit()
    act.join()
    assert house.states([lost.volume]) == ({} if refused else {lost.volume: "doomed"}), "what made nothing explains nothing"
    assert attempt_of(house, lost.attempt)[0] == "failed"


def test_doom_of_what_a_publish_made_meets_its_end(house: House, run: Run, other: Any, team: str) -> None:
    """Both take the publish first, then its rows: they wait for each other, and not in a circle."""
    number, made = lost_call(house, team, at(run, -7200)), new()
    step(house, number, 2, made, OWN)
    house.stack.sql("UPDATE sandsweep.owned_resources SET created_at = now() - interval '1 day' WHERE resource_id = %s", (made,))
    assert find(run, team)[made]["action"] == "doom"
    api = other.cursor()
    run.conn.autocommit = False
    run.act()
    beside = Beside(house.stack, other.get_backend_pid(), lambda: query(api, "publish_fail", None, number, "f"))
    beside.wait_blocked()
    run.conn.commit()
    beside.join()
    other.commit()
    assert house.row(made)["doom_reason"] == "reconcile:orphan_volume" and attempt_of(house, number)[0] == "abandoned"


# ---- the end of a run ----


@pytest.mark.parametrize("case,outcome", [("", "abandoned"), ("young", None), ("holds something", None), ("another team", None), ("observed", None), ("dry", None), ("class off", None)])
def test_publishes_that_led_nowhere(house: House, team: str, case: str, outcome: str | None) -> None:
    """Nothing of it is in the ledger: it can publish no more, and what a lost call of it made is looked for all the same."""
    with Run(house.stack, team, mode="observe" if case == "observed" else "repair", dry=case == "dry") as run:
        mine = new_id() if case == "another team" else team
        number = lost_call(house, mine, at(run, -7100 if case == "young" else -7300))
        if case == "holds something":
            revision = house.stack.sql("SELECT function_id::text, revision_id::text FROM sandsweep.publish_attempts WHERE id = %s", (number,))[0]
            place(house, "snapshot", new("snap"), "in_use", team=team, function=revision[0], revision=revision[1])
        if case != "class off":
            run.find("orphan_volume", HOUR)
        run.finish()
    assert attempt_of(house, number)[0] == outcome
    with Run(house.stack, mine) as run:
        thing = seen(run, mine, -7250 if case != "young" else -7050)
        assert thing in find(run, mine)


def test_whose_volumes_they_are_is_not_forgotten(house: House, team: str) -> None:
    """Of publishes that are long over, the one that told it last stays."""
    tell(house, (OWN, "-90 days"), (FORMER, "-80 days"), (OWN, "-70 days"))
    old, recent = lost_call(house, team, "-60 days", outcome="failed"), lost_call(house, team, "-1 day", outcome="failed")
    with Run(house.stack, team) as run:
        run.finish()
    assert house.stack.sql("SELECT user_id FROM sandsweep.publish_steps WHERE user_id IS NOT NULL") == [(OWN,)]
    assert house.stack.sql("SELECT id::text FROM sandsweep.publish_attempts WHERE id = ANY(%s::uuid[])", ([old, recent],)) == [(recent,)]


def test_teams_with_a_lost_call_are_listed(house: House) -> None:
    lost, only_a_snapshot, answered = new_id(), new_id(), new_id()
    lost_call(house, lost, "-1 day", outcome="failed")
    lost_call(house, only_a_snapshot, "-1 day", outcome="failed", kind="snapshot")
    house.stack.sql("SELECT sandsweep.publish_fail(%s, true)", (lost_call(house, answered, "-1 day", outcome="failed"),))
    with Run(house.stack, None) as run:
        run.ask("reconcile_gather")
        teams = {row[0] for row in run.ask("reconcile_teams", None, "1000000")}
    assert teams & {lost, only_a_snapshot, answered} == {lost}


def test_one_call_of_a_publish_is_without_an_answer(house: House, team: str) -> None:
    number = lost_call(house, team, "-1 day")
    with pytest.raises(psycopg2.errors.UniqueViolation):
        house.stack.sql("INSERT INTO sandsweep.publish_steps (attempt_id, number, team_id, kind, parent_id) VALUES (%s, 3, %s, 'volume', 's')", (number, team))

"""What stops the reconciler: every guard, every exit code, every way in which a listing is wrong."""

from __future__ import annotations

import os
import re
import signal
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.drift import DRIFT, Drift, behind, claim, deletes, forget_all, mappings, missed_event, stale_mapping, untouched
from tests.support.house import CLASSES, Function, House, holding
from tests.support.sim import Sim
from tests.support.stack import wait_until

HOUR_MS = 3600000
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%reconcile_act%'"


@pytest.fixture(autouse=True)
def alone(house: House, sim: Sim) -> None:
    forget_all(house)
    sim.settings(finalizer_ms=20, mount_linger_ms=20)


def drifted(house: House, sim: Sim, count: int, team: str | None = None) -> list[Drift]:
    return [missed_event(house, sim, team) for _ in range(count)]


# ---- the guards, each with a try to break it ----

GUARDS: list[tuple[str, dict[str, str], str]] = [
    ("acts of a run", {"reconcile.max_acts": "3"}, "max_acts"),
    ("acts in a team", {"reconcile.max_acts_team": "3"}, "max_acts_team"),
    ("share of a run", {"reconcile.max_share": "20", "reconcile.min_acts": "3"}, "max_share"),
    ("share of a team", {"reconcile.max_share_team": "20", "reconcile.min_acts": "3"}, "max_share_team"),
    ("no act at all", {"reconcile.max_acts": "0"}, "max_acts"),
]


@pytest.mark.parametrize("what, options, name", GUARDS, ids=[g[0] for g in GUARDS])
def test_blast_radius(house: House, sim: Sim, what: str, options: dict[str, str], name: str) -> None:
    """Four acts where three are allowed: not three are done but none, it says how to allow it, and then it does."""
    team = str(uuid.uuid4())
    drifts = drifted(house, sim, 4, team)
    for _ in range(6):
        house.function(team=team, volumes=0, sim=sim)
    house.worker()
    with untouched(house, sim):
        run = house.reconcile(options=options)
        assert (run.code, run.verdict, run.done()) == (5, "guarded", set()), run.summary
        assert name in run.summary["text"] and "--allow 4" in run.summary["text"], run.summary["text"]
        assert house.reconcile("--allow", "3", options=options).code == 5
        assert house.reconcile("--dry-run", options=options).code == 2, "a dry run is never stopped"
    again = house.reconcile("--allow", "4", options=options)
    assert (again.code, len(again.done())) == (3, 4), again.summary
    house.wait_states([d.gone[0] for d in drifts], "gone")


@pytest.mark.parametrize("what, options, name", GUARDS[:4], ids=[g[0] for g in GUARDS[:4]])
def test_blast_radius_at_its_edge(house: House, sim: Sim, what: str, options: dict[str, str], name: str) -> None:
    """Exactly as many as are allowed."""
    team = str(uuid.uuid4())
    drifted(house, sim, 3, team)
    for _ in range(12):
        house.function(team=team, volumes=0, sim=sim)
    run = house.reconcile(options=options)
    assert (run.code, len(run.done())) == (3, 3), run.summary


def test_share_below_min_acts(house: House, sim: Sim) -> None:
    """Of two things one is half: a small installation can be repaired."""
    drifted(house, sim, 2)
    house.function(volumes=0, sim=sim)
    share = {"reconcile.max_share": "1", "reconcile.max_share_team": "1"}
    assert house.reconcile(options={**share, "reconcile.min_acts": "1"}).code == 5
    assert house.reconcile(options={**share, "reconcile.min_acts": "2"}).code == 3


def test_one_teams_guard_stops_the_run(house: House, sim: Sim) -> None:
    """Before the first act, whichever team comes first."""
    drifted(house, sim, 4, str(uuid.uuid4()))
    drifted(house, sim, 1)
    with untouched(house, sim):
        assert house.reconcile(options={"reconcile.max_acts_team": "3"}).code == 5


def test_an_outage_that_looks_like_absence(house: House, sim: Sim) -> None:
    """The platform answers, and has nothing at all, not even by its look-ups: the defaults stop it."""
    functions = [house.function(volumes=0, sim=sim) for _ in range(12)]
    sim.settings(list_empty=True, get_404_percent=100)
    defaults = {"reconcile.max_share": "10", "reconcile.max_share_team": "50", "reconcile.min_acts": "10", "reconcile.max_acts": "500"}
    with untouched(house, sim):
        run = house.reconcile(options=defaults)
    assert run.code == 5, run.summary
    assert {f["verdict"] for f in run.of(*[f.active.sandbox for f in functions])} == {"proved"}


@pytest.mark.parametrize("name", DRIFT)
def test_grace(house: House, sim: Sim, name: str) -> None:
    """Young by the grace of its own class alone: reported, not touched."""
    d = DRIFT[name](house, sim)
    with untouched(house, sim):
        run = house.reconcile(options={f"reconcile.{name}_grace_ms": str(HOUR_MS)})
    assert (run.code, run.done()) == (0, set()), run.summary
    assert [(f["class"], f["verdict"]) for f in run.of(*d.found)] == [(name, "young")]
    assert house.reconcile(grace_ms=HOUR_MS, options={f"reconcile.{name}_grace_ms": "0"}).done() == set(d.found)


@pytest.mark.parametrize("name", DRIFT)
def test_switch(house: House, sim: Sim, name: str) -> None:
    """A class that is switched off is not looked for."""
    d = DRIFT[name](house, sim)
    with untouched(house, sim):
        run = house.reconcile(options={f"reconcile.{name}_enabled": "false"})
    assert not [f for f in run.of(*d.found) if f["class"] == name], run.findings
    named = house.run("-o", f"reconcile.{name}_enabled=false", "reconcile", "--class", name, check=False)
    assert named.returncode == 64 and "switched off" in named.stderr


def test_gets_max(house: House, sim: Sim) -> None:
    """Looks run out: what is left over is unproved and untouched, and the next run goes on."""
    drifts = [stale_mapping(house, sim) for _ in range(4)]
    ids = [d.found[0] for d in drifts]
    with untouched(house, sim):
        none = house.reconcile(options={"reconcile.gets_max": "0"})
        assert (none.code, none.summary["gets"]) == (6, 0), none.summary
    some = house.reconcile(options={"reconcile.gets_max": "4"})
    assert some.code == 6 and some.summary["gets"] <= 4 and len(some.done()) == 2, some.summary
    assert {f["verdict"] for f in some.of(*ids)} == {"proved", "unproved"}
    rest = house.reconcile()
    assert (rest.code, some.done() | rest.done()) == (3, set(ids))


def test_a_lost_lock_ends_the_acts(house: House, sim: Sim) -> None:
    """Another run got the lock while this one was looking: its term is over, and nothing that it found is done."""
    d = stale_mapping(house, sim)
    sim.fault("latency", op="sandbox_get", latency_ms=1000)
    run = house.reconciling()
    wait_until(lambda: list(sim.journal(op="sandbox_get")), "the prover to look")
    with untouched(house, sim):
        house.stack.sql("UPDATE sandsweep.reconcile_shards SET term = term + 1")
        assert run.wait_exit() == 1, run.log
    assert "term" in run.log
    sim.clear_faults()
    assert house.reconcile().done() == set(d.found)


def test_a_lost_connection_ends_the_run(house: House, sim: Sim) -> None:
    stale_mapping(house, sim)
    sim.fault("latency", op="sandbox_get", latency_ms=1000)
    run = house.reconciling()
    wait_until(lambda: list(sim.journal(op="sandbox_get")), "the prover to look")
    with untouched(house, sim):
        house.stack.sql("SELECT pg_terminate_backend(l.pid) FROM pg_locks l WHERE l.locktype = 'advisory' AND l.granted")
        assert run.wait_exit() == 1, run.log
    sim.clear_faults()
    assert house.reconcile().code == 3


def test_two_runs_at_once(house: House, sim: Sim) -> None:
    """The second says who holds the lock and since when; another shard is another matter."""
    d = stale_mapping(house, sim)
    with holding(house.stack, f"SELECT FROM shared_gateway.functions_revisions WHERE id = '{d.function.active.id}' FOR UPDATE"):
        first = house.reconciling()
        wait_until(lambda: house.stack.sql(WAITING)[0][0] > 0, "an act to wait for the row")
        second = house.reconcile()
        assert (second.code, second.verdict, second.findings) == (7, "locked", []), second.summary
        holder = f"{os.uname().nodename}/{first.popen.pid}"
        assert holder in second.summary["text"] and re.search(r"since \d{4}-\d\d-\d\dT", second.summary["text"]), second.summary
        assert house.reconcile("--dry-run", options={"reconcile.shard": "other"}).code == 2
    assert first.wait_exit() == 3, first.log
    assert house.reconcile().code == 0


def test_mode_and_dry_never_act(house: House, sim: Sim) -> None:
    drifts = [make(house, sim) for make in DRIFT.values()]
    with untouched(house, sim):
        for run in (house.reconcile("--dry-run"), house.reconcile(options={"reconcile.mode": "observe"})):
            assert (run.code, run.verdict) == (2, "drift"), run.summary
            assert {f["result"] for f in run.of(*[x for d in drifts for x in d.found])} == {"dry"}


# ---- exit codes ----


def test_exit_codes(house: House, sim: Sim) -> None:
    """The same verdict as the exit code stands in the JSON. (4: test_reconcile.py; 7: above.)"""
    house.function(volumes=0, sim=sim)
    seen = {}
    seen[0] = house.reconcile()
    d = stale_mapping(house, sim)
    seen[2] = house.reconcile("--dry-run")
    seen[5] = house.reconcile(options={"reconcile.max_acts": "0"})
    rule = sim.fault("status", op="sandbox_get", status=503)
    seen[6] = house.reconcile(options={"reconcile.call_attempts": "2"})
    sim.clear_faults(rule)
    seen[3] = house.reconcile()
    assert {code: (run.code, run.summary["exit_code"], run.verdict) for code, run in seen.items()} == {
        0: (0, 0, "in_sync"), 2: (2, 2, "drift"), 3: (3, 3, "repaired"), 5: (5, 5, "guarded"), 6: (6, 6, "incomplete"),
    }  # fmt: skip
    assert seen[3].done() == set(d.found)
    recorded = house.stack.sql("SELECT outcome, counts ->> 'verdict' FROM sandsweep.reconcile_runs ORDER BY id")
    assert recorded == [(v, v) for v in ("in_sync", "drift", "guarded", "incomplete", "repaired")]


@pytest.mark.parametrize(
    "args, code, text",
    [
        (["--no-such"], 64, "--no-such"),
        (["--class", "nonsense"], 64, "nonsense"),
        (["--team", "x"], 64, "UUID"),
        (["--allow", "0"], 64, "--allow"),
        (["--allow", "many"], 64, "--allow"),
        (["--output", "xml"], 64, "--output"),
        (["--dry-run", "--allow", "3"], 64, "--allow"),
        (["nonsense"], 64, "reconcile"),
        (["show", "x"], 64, "number"),
        (["--function", "no-such-function"], 65, "no-such-function"),
        (["apply", "/no/such/file"], 65, "/no/such/file"),
    ],
)
def test_what_is_refused(house: House, sim: Sim, args: list[str], code: int, text: str) -> None:
    stale_mapping(house, sim)
    with untouched(house, sim):
        done = house.run("reconcile", *args, check=False)
    assert done.returncode == code and text in done.stderr, done


@pytest.mark.parametrize(
    "option, code",
    [("postgres.dsn=host=127.0.0.1 port=1 dbname=x", 69), ("reconcile.mode=perhaps", 78), ("reconcile.page_rows=201", 78), ("reconcile.nonsense=1", 78)],
)
def test_what_cannot_begin(house: House, sim: Sim, option: str, code: int) -> None:
    done = house.run("-o", option, "reconcile", check=False)
    assert done.returncode == code and done.stdout == "", done


# ---- listings that are wrong ----

# name, settings or fault, whether it must be noticed (False: GETs alone protect what lives; None: by chance)
LISTINGS: list[tuple[str, dict[str, Any], bool | None]] = [
    ("rows skipped", {"list_skip_percent": 40}, True),
    ("all rows skipped", {"list_skip_percent": 100}, True),
    ("empty", {"list_empty": True}, True),
    ("half a page", {"list_half_page": True}, True),
    ("count too high", {"list_count_delta": 3}, True),
    ("count too low", {"list_count_delta": -3}, True),
    ("rows went while paging", {"list_shift": 2}, True),
    ("rows came while paging", {"list_shift": -2}, True),
    ("200 of a cluster", {"list_cluster_cap": 200}, True),
    ("a cluster dropped", {"list_drop_cluster": "c1"}, False),
    ("more at the end", {"list_has_more_at_end": True}, False),
    ("no volumes", {"volume_list_empty": True}, True),
    ("volumes skipped", {"volume_list_skip_percent": 60}, None),
    ("errors", {"effect": "status", "status": 500, "op": "sandbox_list"}, True),
    ("401", {"effect": "status", "status": 401, "op": "sandbox_list"}, True),
    ("a proxy's page", {"effect": "html404", "op": "sandbox_list"}, True),
    ("resets", {"effect": "reset", "op": "sandbox_list"}, True),
    ("truncated", {"effect": "truncated", "op": "sandbox_list"}, True),
    ("malformed", {"effect": "malformed", "op": "volume_list"}, True),
    ("the last page fails", {"effect": "status", "status": 500, "op": "sandbox_list", "skip": 2}, True),
    ("429 for a while", {"effect": "status", "status": 429, "op": "sandbox_list", "count": 3, "retry_after": 0}, False),
    ("503 for a while", {"effect": "status", "status": 503, "count": 4}, False),
    ("late", {"effect": "latency", "latency_ms": 30}, False),
]


@pytest.fixture
def town(house: House, sim: Sim) -> Iterator[list[Function]]:
    """One team with much in order, on two clusters, and with drift here and there."""
    team = str(uuid.uuid4())
    functions = [house.function(team=team, volumes=1) for _ in range(8)]
    for n, f in enumerate(functions):
        r = f.active
        sim.seed(
            volumes=[sim.volume(v, team) for v in r.volumes + r.source_volumes],
            sandboxes=[sim.sandbox(r.sandbox, team, "tpl", r.volumes, cluster_id=f"c{n % 2}"), sim.sandbox(r.source_sandbox, team, "tpl", cluster_id="c0")],
            snapshots=[sim.snapshot(s, v, team) for s, v in zip(r.snapshots, r.source_volumes)],
        )
    yield functions
    sim.assert_never_deleted([x for f in functions for x in f.ours + f.users])
    assert set(house.states([x for f in functions for x in f.ours]).values()) == {"in_use"}


@pytest.mark.parametrize("what, how, noticed", LISTINGS, ids=[x[0] for x in LISTINGS])
def test_listings_that_are_wrong(house: House, sim: Sim, town: list[Function], what: str, how: dict[str, Any], noticed: bool | None) -> None:
    """Whatever is not shown: nothing that lives is touched, what is proved is repaired, and the flaw is said."""
    team = town[0].team
    if what == "200 of a cluster":
        sim.call("POST", "/seed", {"sandboxes": [sim.sandbox(f"fill-{team}-{n}", team, "tpl", cluster_id="c1") for n in range(205)]})
    lost = missed_event(house, sim, team)
    stale = stale_mapping(house, sim, team)
    house.worker()
    values = dict(how)
    if effect := values.pop("effect", None):
        sim.fault(effect, team=team, **values)
    else:
        sim.settings(team, **values)
    page = {"reconcile.page_rows": "5" if what != "200 of a cluster" else "200", "reconcile.call_attempts": "3" if "while" not in what else "8"}
    before = dict(mappings(house))
    run = house.reconcile(options=page)
    noticed = run.summary["incomplete"] > 0 if noticed is None else noticed
    assert (run.summary["incomplete"] > 0) == noticed, run.summary
    assert run.code == (6 if noticed else 3), run.summary
    assert lost.found[0] in run.done() and run.done() <= {lost.found[0], stale.found[0]}, run.findings
    after = dict(mappings(house))
    assert {r for r in before if after[r] != before[r]} <= {stale.function.active.id}
    sim.clear_faults()
    sim.clear_team_settings()
    house.wait_states(lost.gone, "gone")  # or the next listing moves while it is read
    mended = house.reconcile(options={**page, "reconcile.page_rows": "200" if what != "200 of a cluster" else "150"})
    assert mended.code in (0, 3), mended.summary
    house.wait_states(lost.gone + stale.gone, "gone")
    assert house.reconcile(options={"reconcile.page_rows": "150"}).code == 0


def test_nothing_is_concluded_where_nothing_was_listed(house: House, sim: Sim) -> None:
    """An orphan that no listing shows is not given up: its restore stays open until a whole listing was seen."""
    f = house.function(volumes=0, mapped=False, sim=sim)
    _, sandbox = claim(house, sim, f)
    sim.settings(list_empty=True)
    house.function(team=f.team, volumes=0)  # the ledger knows of something live, so empty is no truth
    run = house.reconcile()
    assert run.code in (4, 6), run.summary
    sim.settings(list_empty=False)
    assert sandbox in house.reconcile().done()


@pytest.mark.parametrize("cluster", ["lost"])
def test_a_cluster_that_is_away_for_days(house: House, sim: Sim, cluster: str) -> None:
    """Dropped in silence, the listing is whole by its own word: the orphan is found when the cluster is back."""
    f = house.function(volumes=0, mapped=False, sim=sim)
    attempt = str(uuid.uuid4())
    house.stack.sql("INSERT INTO sandsweep.restore_attempts (id, team_id, function_id, revision_id, template_id) VALUES (%s, %s, %s, %s, 'tpl')", (attempt, f.team, f.id, f.active.id))
    sim.seed(sandboxes=[sim.sandbox("lost-" + attempt, f.team, "tpl", env={"SANDSWEEP_RUNTIME": attempt}, cluster_id=cluster)])
    sim.settings(list_drop_cluster=cluster)
    for _ in range(3):
        assert house.reconcile().code == 0
    sim.settings(list_drop_cluster="")
    assert house.reconcile().done() == {"lost-" + attempt}


def test_foreign_ones_are_looked_at_once(house: House, sim: Sim) -> None:
    """A user's sandbox in the window of a restore that led nowhere costs a look, but not for ever."""
    f = house.function(volumes=0, mapped=False, sim=sim)
    house.stack.sql("INSERT INTO sandsweep.restore_attempts (id, team_id, function_id, revision_id, template_id) VALUES (%s, %s, %s, %s, 'tpl')", (str(uuid.uuid4()), f.team, f.id, f.active.id))
    sim.seed(sandboxes=[sim.sandbox("near-" + f.id, f.team, "tpl")])
    runs = [house.reconcile() for _ in range(4)]
    assert [r.code for r in runs] == [0] * 4 and [r.summary["gets"] for r in runs][-2:] == [0, 0], [r.summary for r in runs]


# ---- a run that is killed ----


@pytest.mark.parametrize("point", ["reconcile.after_list", "reconcile.after_find", "reconcile.after_prove", "reconcile.after_act"])
def test_killed(house: House, sim: Sim, point: str) -> None:
    """At any moment: the next run finds the lock free and ends what was begun."""
    drifts = [make(house, sim) for make in DRIFT.values()]
    found = {x for d in drifts for x in d.found}
    victim = house.reconcile(kill_at=point)
    assert victim.code == -signal.SIGKILL
    run = house.reconcile()
    assert (run.code, run.done()) == ((0, set()) if point == "reconcile.after_act" else (3, found)), run.summary
    outcomes = [o for o, in house.stack.sql("SELECT outcome FROM sandsweep.reconcile_runs ORDER BY id")]
    assert outcomes == ["interrupted", run.verdict]
    house.worker()
    house.wait_states([x for d in drifts for x in d.gone], "gone")


def test_killed_between_two_acts(house: House, sim: Sim) -> None:
    """It hangs at a row that somebody holds, and dies: what is before it is done whole, the rest not at all."""
    drifts = [stale_mapping(house, sim) for _ in range(6)]
    held = drifts[3]
    with holding(house.stack, f"SELECT FROM shared_gateway.functions_revisions WHERE id = '{held.function.active.id}' FOR UPDATE"):
        run = house.reconciling()
        wait_until(lambda: house.stack.sql(WAITING)[0][0] > 0, "an act to wait for the row")
        run.kill()
    wait_until(lambda: not house.stack.sql("SELECT 1 FROM pg_locks WHERE locktype = 'advisory'"), "its session to end")
    maps, states = dict(mappings(house)), house.states([d.found[0] for d in drifts])
    for d in drifts:
        whole = (maps[d.function.active.id], states[d.found[0]])
        assert whole in ((None, "doomed"), (d.found[0], "in_use")), whole
    assert house.reconcile().code in (0, 3)
    assert set(house.states([d.found[0] for d in drifts]).values()) == {"doomed"}


def test_term_ends_a_run_in_order(house: House, sim: Sim) -> None:
    """SIGTERM while it looks: no act, exit 1, and the history says that it was interrupted."""
    stale_mapping(house, sim)
    sim.fault("latency", op="sandbox_get", latency_ms=2000)
    run = house.reconciling()
    wait_until(lambda: list(sim.journal(op="sandbox_get")), "the prover to look")
    with untouched(house, sim):
        run.popen.send_signal(signal.SIGTERM)
        assert run.wait_exit() == 1, run.log
    sim.clear_faults()
    assert house.reconcile().code == 3


def test_term_breaks_off_a_diff(house: House, sim: Sim) -> None:
    """SIGTERM while the session works through a diff that needs no listing, and pages are on their way beside it:
    neither is waited for, and the lock is given back."""
    house.function(volumes=0, sim=sim)
    sim.fault("hang", op="sandbox_list")
    with holding(house.stack, "LOCK TABLE sandsweep.drift"):
        run = house.reconciling()
        wait_until(lambda: house.stack.sql(WAITING.replace("reconcile_act", "unreleased"))[0][0] > 0, "the diff to wait")
        wait_until(lambda: list(sim.journal(op="sandbox_list")), "the first page to be asked for")
        run.popen.send_signal(signal.SIGTERM)
        assert run.wait_exit() == 1, run.log
        assert not house.stack.sql("SELECT 1 FROM pg_locks WHERE locktype = 'advisory'")
    sim.clear_faults()
    assert house.reconcile().code == 0


def test_every_guard_is_tested_here() -> None:
    """A guard in the configuration that no test names is a hole."""
    text = open(__file__).read()
    guards = ["max_acts", "max_acts_team", "max_share", "max_share_team", "min_acts", "gets_max"]
    assert all(f"reconcile.{name}" in text for name in guards)
    assert set(DRIFT) == set(CLASSES)
    assert behind and deletes

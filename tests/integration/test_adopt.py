"""Volumes that a publish asked for and never heard of: with real publishes, real crashes and the simulator, until everything is gone."""

from __future__ import annotations

import http.client
import json
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.support.drift import forget_all, untouched, wait_old
from tests.support.house import RECONCILE, Api, House, Reconciled
from tests.support.publish import LIST, Source, made, source
from tests.support.reconcile_sql import tell
from tests.support.sim import USER, Sim
from tests.support.stack import wait_until

GRACE_MS = 1500  # a publish may take so long; what a lost call of it made is made within
WINDOW = {"reconcile.orphan_volume_grace_ms": str(GRACE_MS)}
QUICK = {"api.rate_per_second": "0", "platform.timeout_ms": "400"}


@pytest.fixture(autouse=True)
def alone(house: House, sim: Sim) -> None:
    forget_all(house)
    tell(house, (USER, "-1 day"))
    sim.settings(finalizer_ms=20, mount_linger_ms=20)


@pytest.fixture
def user(house: House, sim: Sim) -> Iterator[Source]:
    """Two volumes to publish from. What the user, and Sandsweep at another time, made beside it stays, and is not even looked at."""
    user = source(sim, str(uuid.uuid4()), volumes=2)
    theirs, older = [f"their-{uuid.uuid4().hex[:8]}" for _ in range(2)], f"older-{uuid.uuid4().hex[:8]}"
    sim.seed(volumes=[sim.volume(v, user.team) for v in theirs] + [sim.volume(older, user.team, user_id=USER, age_s=3600)])
    user.volumes += [*theirs, older]
    yield user
    sim.assert_all_live("volume", user.volumes)
    sim.assert_never_deleted(user.volumes)
    assert not [e for v in [*theirs, older] for e in sim.journal(id=v)]


def publish(api: Api, user: Source, key: str | None = None) -> int | None:
    """The status; None: no answer ever came."""
    try:
        return api.request("POST", LIST, key or api.key(user.team), {"name": "lost", **user.body})[0]
    except (OSError, http.client.HTTPException):
        return None


def killed(house: House, user: Source, point: str) -> None:
    api = house.api(QUICK, kill_at=point)
    assert publish(api, user) is None
    api.process.expected_codes.add(-9)
    assert api.process.wait_exit() == -9


def lost_volumes(house: House, sim: Sim, team: str) -> set[str]:
    """Made by the platform, and known to nobody."""
    known = {row[0] for row in house.stack.sql("SELECT resource_id FROM sandsweep.owned_resources WHERE team_id = %s", (team,))}
    return {e["made"] for e in sim.journal(op="volume_create", team=team) if e.get("made")} - known


def reconcile(house: House, team: str, *args: str, **more: str) -> Reconciled:
    wait_old(house, team, GRACE_MS + 100)
    return house.reconcile(*args, options={**WINDOW, **more})


def all_gone(house: House, sim: Sim, user: Source) -> None:
    """Everything in the ledger is gone, no volume is left, and a second run finds nothing."""
    house.worker()
    if known := [row[0] for row in house.stack.sql("SELECT resource_id FROM sandsweep.owned_resources WHERE team_id = %s", (user.team,))]:
        house.wait_states(known, "gone")
    assert made(sim, user)[0] == set()
    assert not [e for e in sim.journal(team=user.team) if e.get("force")]
    again = house.reconcile(options=WINDOW)
    assert (again.code, again.findings) == (0, []), again.findings


# ---- crashes and lost answers ----


@pytest.mark.parametrize("point,volumes", [
    ("api.preparing", 0), ("api.preparing:2", 0), ("api.preparing:3", 0), ("api.preparing:4", 0),
    ("api.made", 0), ("api.made:2", 1), ("api.made:3", 0), ("api.made:4", 1),
])  # fmt: skip
def test_w3_killed_around_a_call(house: House, sim: Sim, user: Source, point: str, volumes: int) -> None:
    """Before the call nothing is made; after it, and before it is written down, one thing that nobody knows."""
    killed(house, user, point)
    lost = lost_volumes(house, sim, user.team)
    assert len(lost) == volumes
    with untouched(house, sim):
        young = house.reconcile(grace_ms=3600000)
        assert young.code == 0 and {f["verdict"] for f in young.of(*lost)} == ({"young"} if lost else set())
    run = reconcile(house, user.team)
    assert run.code == (0 if point in ("api.preparing", "api.made") else 3), run.findings
    assert [(f["id"], f["class"], f["action"], f["verdict"], f["result"]) for f in run.findings if f["action"] == "adopt"] == [(v, "orphan_volume", "adopt", "proved", "done") for v in lost]
    all_gone(house, sim, user)
    # A snapshot that nobody knows of stays: nothing lists it. It goes with the volume that it is of.
    left = made(sim, user)[1]
    assert len(left) == (1 if point in ("api.made", "api.made:3") else 0)
    if left:
        source_volume = user.volumes.pop(0 if point == "api.made" else 1)
        sim.remove("volume", source_volume)
        assert made(sim, user)[1] == set()


@pytest.mark.parametrize("effect,rule", [("lost", {}), ("truncated", {}), ("malformed", {}), ("latency", {"latency_ms": 900})])
@pytest.mark.parametrize("at", [0, 1])
def test_w4_an_answer_that_never_came(house: House, sim: Sim, user: Source, effect: str, rule: dict[str, Any], at: int) -> None:
    """The client is told that it failed, what is known goes at once, and the rest by the reconciliation."""
    api = house.api(QUICK)
    key = api.key(user.team)
    sim.fault(effect, op="volume_create", team=user.team, skip=at, count=1, **rule)
    assert publish(api, user, key) == 503
    wait_until(lambda: lost_volumes(house, sim, user.team), "the platform to have made it")
    (lost,) = lost_volumes(house, sim, user.team)
    wait_old(house, user.team, GRACE_MS + 100 + rule.get("latency_ms", 0))
    run = reconcile(house, user.team)
    assert run.code == 3 and run.of(lost)[0]["result"] == "done", run.findings
    row = house.row(lost)
    assert row["doom_reason"] == "reconcile:orphan_volume" and row["finding"]["proof"]["user"] == USER and row["finding"]["publish_outcome"] == "failed"
    all_gone(house, sim, user)
    assert publish(api, user, key) == 201
    assert house.reconcile(options=WINDOW).findings == [] and len(made(sim, user)[0]) == 2


@pytest.mark.parametrize("effect", ["hang", "reset"])
def test_a_call_that_made_nothing(house: House, sim: Sim, user: Source, effect: str) -> None:
    """It stays without an answer, and explains nothing that comes later."""
    api = house.api(QUICK)
    sim.fault(effect, op="volume_create", team=user.team, skip=1, count=1)
    assert publish(api, user) == 503
    assert lost_volumes(house, sim, user.team) == set()
    wait_old(house, user.team, GRACE_MS + 100)
    later = f"later-{uuid.uuid4().hex[:8]}"
    sim.seed(volumes=[sim.volume(later, user.team, user_id=USER)])
    run = house.reconcile(options=WINDOW)
    assert (run.code, run.of(later)) == (0, []), run.findings
    user.volumes.append(later)
    all_gone(house, sim, user)


def test_many_lost_at_once(house: House, sim: Sim, user: Source) -> None:
    """Twelve publishes of a platform that takes and does not answer."""
    api = house.api(QUICK)
    key = api.key(user.team, "*", "--rate", "1000000")
    sim.fault("lost", op="volume_create", team=user.team)
    with ThreadPoolExecutor(12) as pool:
        statuses = list(pool.map(lambda i: api.request("POST", LIST, key, {"name": f"lost {i}", **user.body})[0], range(12)))
    assert set(statuses) == {503}
    lost = lost_volumes(house, sim, user.team)
    assert len(lost) == 12
    run = reconcile(house, user.team)
    assert run.code == 3 and lost <= run.done(), run.findings
    assert len({house.row(v)["revision_id"] for v in lost}) == 12, "each for a publish of its own"
    all_gone(house, sim, user)


# ---- what is left alone ----


def test_more_than_the_calls_can_have_made(house: House, sim: Sim, user: Source) -> None:
    """Somebody has the same key: which of them is Sandsweep's nobody can tell."""
    killed(house, user, "api.made:2")
    (lost,) = lost_volumes(house, sim, user.team)
    other = f"other-{uuid.uuid4().hex[:8]}"
    sim.seed(volumes=[sim.volume(other, user.team, user_id=USER)])
    assert reconcile(house, user.team).done().isdisjoint({lost, other})
    with untouched(house, sim):
        run = house.reconcile(options=WINDOW)
    found = run.of(lost, other)
    assert run.code == 0 and {(f["action"], f["verdict"], f["why"]) for f in found} == {("note", "proved", "there are more such volumes than calls without an answer")}
    assert len(found) == 2 and not list(sim.journal(op="volume_get"))
    text = house.run("explain", other).stdout
    assert "nothing proves that it is ours. It is not touched." in text and "more such volumes" in text
    sim.remove("volume", other)
    assert house.reconcile(options=WINDOW).done() == {lost}
    all_gone(house, sim, user)


@pytest.mark.parametrize("case", ["nothing told", "off", "key changed"])
def test_only_told_to_people(house: House, sim: Sim, user: Source, case: str) -> None:
    killed(house, user, "api.made:2")
    (lost,) = lost_volumes(house, sim, user.team)
    tell(house, *{"nothing told": [], "off": [(USER, "-1 day")], "key changed": [(USER, "-1 day"), ("new", "0 seconds")]}[case])
    run = reconcile(house, user.team, **({"reconcile.adopt_volumes": "false"} if case == "off" else {}))
    found = run.of(lost)[0]
    assert lost not in run.done() and (found["action"], found["result"]) == ("note", None) and found["why"]
    sim.assert_never_deleted([lost])
    house.worker()
    tell(house, (USER, "-1 day"))
    assert house.reconcile(options=WINDOW).done() == {lost}
    house.wait_states([lost], "gone")


def test_a_volume_that_changed_hands_meanwhile(house: House, sim: Sim, user: Source) -> None:
    """The listing is a hint: what the look shows counts."""
    killed(house, user, "api.made:2")
    (lost,) = lost_volumes(house, sim, user.team)
    wait_old(house, user.team, GRACE_MS + 100)
    busy = sim.fault("status", op="volume_get", status=503)
    run = house.reconciling(options={**WINDOW, "reconcile.call_attempts": "100"})
    wait_until(lambda: list(sim.journal(op="volume_get", id=lost)), "the prover to look")
    sim.remove("volume", lost)
    sim.seed(volumes=[sim.volume(lost, user.team)])
    sim.clear_faults(busy)
    assert run.wait_exit() in (0, 3), run.log
    assert "it is not of Sandsweep's own user" in run.log and house.states([lost]) == {}
    sim.assert_never_deleted([lost])
    sim.remove("volume", lost)


def test_a_listing_that_is_not_whole(house: House, sim: Sim, user: Source) -> None:
    killed(house, user, "api.made:2")
    (lost,) = lost_volumes(house, sim, user.team)
    wait_old(house, user.team, GRACE_MS + 100)
    # The second look at the listing fails, so nobody knows whether it moved.
    sim.fault("status", op="volume_list", team=user.team, skip=1, status=500)
    run = house.reconcile(options={**WINDOW, "reconcile.call_attempts": "1"})
    assert run.code == 6 and [(f["verdict"], f["result"]) for f in run.of(lost)] == [("unproved", None)], run.findings
    sim.clear_faults()
    assert house.reconcile(options=WINDOW).done() == {lost}
    all_gone(house, sim, user)


def test_one_that_is_mounted(house: House, sim: Sim, user: Source) -> None:
    """Somebody found it and uses it: it is never taken from under a sandbox."""
    killed(house, user, "api.made:2")
    (lost,) = lost_volumes(house, sim, user.team)
    sandbox = f"user-{uuid.uuid4().hex[:8]}"
    sim.seed(sandboxes=[sim.sandbox(sandbox, user.team, "tpl", [lost])])
    run = reconcile(house, user.team)
    assert lost in run.done(), "nothing tells what mounts a volume, but its delete"
    house.worker()
    wait_until(lambda: house.row(lost)["error_class"] == "conflict", "the platform to refuse")
    assert [e["status"] for e in sim.deletes_of(lost)][0] == 409 and lost in sim.live("volume", user.team)
    assert house.row(lost)["attempts"] == 0 and not [e for e in sim.deletes_of(lost) if e["force"]]
    sim.remove("sandbox", sandbox)
    house.wait_states([lost], "gone")


# ---- as every other act ----


def test_a_publish_that_goes_on_meets_the_act(house: House, sim: Sim) -> None:
    """Its answer came, and waits to be written down, when the run takes it for lost: it is published, and nothing is deleted."""
    user = source(sim, str(uuid.uuid4()), volumes=1)
    api = house.api({**QUICK, "postgres.query_timeout_ms": "60000", "api.answer_ms": "90000"})
    key = api.key(user.team)
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE %s"
    sim.fault("latency", op="volume_create", team=user.team, latency_ms=300)
    conn = house.stack.connect()
    conn.autocommit = False
    with ThreadPoolExecutor(1) as pool, conn.cursor() as cur:
        publishing = pool.submit(publish, api, user, key)
        wait_until(lambda: list(sim.journal(op="volume_create", team=user.team)), "its last call")
        cur.execute("SELECT FROM sandsweep.publish_attempts WHERE team_id = %s FOR UPDATE", (user.team,))
        wait_until(lambda: house.stack.sql(waiting, ("%publish_step%",))[0][0] == 1, "the publish to write it down")
        (volume,) = lost_volumes(house, sim, user.team)
        wait_old(house, user.team, GRACE_MS + 500)
        run = house.reconciling("--class", "orphan_volume", options=WINDOW)
        wait_until(lambda: house.stack.sql(waiting, ("%reconcile_act%",))[0][0] == 1, "the act to wait")
        conn.commit()
        assert publishing.result() == 201
    conn.close()
    assert run.wait_exit() == 4 and "the call of its publish is answered" in run.log, run.log
    assert house.states([volume]) == {volume: "in_use"} and house.reconcile(options=WINDOW).done() == set()
    house.worker()
    sim.assert_never_deleted([volume])
    sim.assert_all_live("volume", [volume, *user.volumes])


def test_observed_and_guarded(house: House, sim: Sim, user: Source) -> None:
    killed(house, user, "api.made:2")
    (lost,) = lost_volumes(house, sim, user.team)
    wait_old(house, user.team, GRACE_MS + 100)
    with untouched(house, sim):
        dry = house.reconcile("--dry-run", options=WINDOW)
        assert dry.code == 2 and dry.of(lost)[0]["result"] == "dry"
        seen = house.reconcile(options={**WINDOW, "reconcile.mode": "observe"})
        assert seen.code == 2 and seen.of(lost)[0]["verdict"] == "proved"
        for guard in ({"reconcile.max_acts": "1"}, {"reconcile.max_acts_team": "1"}, {"reconcile.min_acts": "0", "reconcile.max_share": "10"}):
            stopped = house.reconcile(options={**WINDOW, **guard})
            assert stopped.code == 5 and stopped.of(lost)[0]["result"] is None, stopped.summary
        assert "a reconciliation proved it ours" in house.run("explain", lost).stdout
        few = house.reconcile("--class", "orphan_volume", options={**WINDOW, "reconcile.gets_max": "0"})
        assert few.code == 6 and few.of(lost)[0]["verdict"] == "unproved"
    assert house.reconcile("--allow", "2", options={**WINDOW, "reconcile.max_acts": "1"}).code == 3
    answer = json.loads(house.run("explain", lost, "--output", "json").stdout)
    assert answer["owned"][0]["doom_reason"] == "reconcile:orphan_volume" and answer["owned"][0]["finding"]["user"] == USER
    assert [f["action"] for f in answer["findings"] if f["result"] == "done"] == ["adopt"]
    all_gone(house, sim, user)


@pytest.mark.parametrize("case,result", [("", "done"), ("off", "skipped"), ("changed hands", "skipped"), ("gone", "skipped"), ("answered", "skipped")])
def test_a_plan_is_proved_anew(house: House, sim: Sim, user: Source, tmp_path: Path, case: str, result: str) -> None:
    killed(house, user, "api.made:2")
    (lost,) = lost_volumes(house, sim, user.team)
    plan = tmp_path / "drift.plan"
    with untouched(house, sim):
        assert reconcile(house, user.team, "--class", "orphan_volume", "--plan-out", str(plan)).code == 2
    assert f'"id":"{lost}"' in plan.read_text() and '"proof":"maker"' in plan.read_text()
    if case in ("changed hands", "gone"):
        sim.remove("volume", lost)
        sim.seed(volumes=[sim.volume(lost, user.team)] if case == "changed hands" else [])
    elif case == "answered":
        house.stack.sql("UPDATE sandsweep.publish_steps SET answered_at = now() WHERE team_id = %s AND answered_at IS NULL", (user.team,))
    options = {**RECONCILE, **({"reconcile.adopt_volumes": "false"} if case == "off" else {})}
    run = house.reconcile("apply", str(plan), options=options)
    assert [f["result"] for f in run.of(lost)] == [result], run.findings
    assert house.states([lost]) == ({lost: "doomed"} if result == "done" else {})
    if case == "changed hands":
        sim.remove("volume", lost)

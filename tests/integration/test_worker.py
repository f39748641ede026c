"""The worker's manners: what is dead and what a person can do, stopping, the breaker, what it says when it cannot start."""

from __future__ import annotations

import json
import signal
import uuid

import pytest

from tests.support.house import Api, House, metric, metrics_port
from tests.support.sim import Sim
from tests.support.stack import wait_until


def recycle(api: Api, *functions) -> None:
    for f in functions:
        assert api.request("POST", f"/api/v1/functions/{f.id}/runtime/recycle", api.key(f.team))[0] == 200


def test_dead_then_redriven(house: House, sim: Sim, api: Api) -> None:
    """After the last attempt a row is dead, visible, and a person can send it again with canaries."""
    house.worker({"worker.attempts_max": "3"})
    team = str(uuid.uuid4())
    functions = [house.function(team=team, sim=sim) for _ in range(6)]
    sandboxes = [f.active.sandbox for f in functions]
    rule = sim.fault("status", op="sandbox_delete", team=team, status=500)
    recycle(api, *functions)
    house.wait_states(sandboxes, "dead")
    listed = json.loads(house.run("targets", "list", "--state", "dead", "--team", team, "--output", "json").stdout)
    assert sorted(t["resource_id"] for t in listed) == sorted(sandboxes)
    assert {(t["attempts"], t["error_class"], t["last_status"]) for t in listed} == {(3, "http_500", 500)}
    table = house.run("targets", "list", "--state", "dead", "--team", team).stdout
    assert "http_500" in table and sandboxes[0] in table
    # The platform is still sick: the canaries fail, the others are left alone.
    failed = house.run("targets", "redrive", "--team", team, "--class", "http_500", "--canary", "2", check=False)
    assert failed.returncode != 0 and "of the first 2 failed again" in failed.stderr
    states = list(house.states(sandboxes).values())
    assert states.count("dead") >= 4
    house.wait_states(sandboxes, "dead")
    sim.clear_faults(rule)
    done = house.run("targets", "redrive", "--team", team, "--canary", "2", "--rate", "100")
    assert "6 redriven: 2 canaries are gone" in done.stdout
    house.wait_states(sandboxes, "gone")
    audit = house.stack.sql("SELECT count(*) FROM sandsweep.audit_log WHERE action = 'target.redrive' AND team_id = %s", (team,))
    assert audit[0][0] >= 2


def test_refuse(house: House, sim: Sim, api: Api) -> None:
    f = house.function(sim=sim)
    worker = house.worker({"worker.attempts_max": "1"})
    sim.fault("status", op="sandbox_delete", id=f.active.sandbox, status=403, count=1)
    recycle(api, f)
    house.wait_states([f.active.sandbox], "dead")
    number = str(house.row(f.active.sandbox)["id"])
    assert house.run("targets", "refuse", number, check=False).returncode == 64
    house.run("targets", "refuse", number, "--why", "it is needed for an investigation")
    assert house.states([f.active.sandbox]) == {f.active.sandbox: "refused"}
    shown = house.run("targets", "show", f.active.sandbox).stdout
    assert "investigation" in shown and "recycled" in shown
    assert house.run("targets", "refuse", number, "--why", "again", check=False).returncode == 65
    worker.stop()
    sim.assert_all_live("sandbox", [f.active.sandbox])


@pytest.mark.parametrize(
    "args, code, text",
    [
        (["targets"], 64, "targets list"),
        (["targets", "list", "--state", "weird"], 64, "weird"),
        (["targets", "list", "--team", "x"], 64, "UUID"),
        (["targets", "list", "--limit", "0"], 64, "--limit"),
        (["targets", "list", "--what"], 64, "--what"),
        (["targets", "redrive"], 64, "say which"),
        (["targets", "redrive", "--class", "no_such_class"], 65, "no dead row"),
        (["targets", "show", "no-such-thing"], 65, "knows nothing"),
        (["targets", "refuse", "abc", "--why", "x"], 64, "number"),
        (["migrate"], 64, "migrate up"),
        (["topics", "delete"], 64, "topics create"),
        (["nonsense"], 64, "usage"),
        (["-o", "worker.nonsense=1", "worker"], 78, "worker.nonsense"),
        (["-o", "worker.lease_ms=5", "worker"], 78, "1000 to 3600000"),
        (["-o", "worker.lease_ms=2000", "worker"], 78, "platform.timeout_ms"),
        (["-o", "kafka.no.such.property=1", "worker"], None, "no.such.property"),
        (["-o", "kafka.enable.auto.commit=true", "worker"], None, "enable.auto.commit"),
        (["-o", "platform.url=ftp://x", "worker"], 78, "platform.url"),
        (["-c", "/nonexistent.conf", "worker"], 78, "/nonexistent.conf"),
        (["-o", "postgres.dsn=host=127.0.0.1 port=1 dbname=x", "worker"], 69, "PostgreSQL"),
        (["-o", "postgres.dsn=nonsense", "worker"], 78, "postgres.dsn"),
        (["-o", "kafka.events_topic=no-such-topic", "worker"], None, "topics create"),
    ],
)
def test_clear_refusals(house: House, args: list[str], code: int | None, text: str) -> None:
    done = house.run(*args, check=False)
    assert done.returncode != 0 and (code is None or done.returncode == code), done
    assert text in done.stderr, done.stderr
    assert len(done.stderr.strip().splitlines()[-1]) < 600


@pytest.mark.parametrize(
    "change, text",
    [
        ("DELETE FROM sandsweep.schema_migrations WHERE version = (SELECT max(version) FROM sandsweep.schema_migrations)", "older than this program (version "),
        ("INSERT INTO sandsweep.schema_migrations VALUES (1000, 'future', 'x')", "newer than this program"),
        ("UPDATE sandsweep.schema_migrations SET sha256 = 'x' WHERE version = 2", "migration 2 (ledger) was applied to the database with another text"),
    ],
)
def test_schema_is_checked(house: House, change: str, text: str) -> None:
    house.stack.sql("CREATE TABLE IF NOT EXISTS public.saved_migrations AS SELECT * FROM sandsweep.schema_migrations")
    try:
        house.stack.sql(change)
        for command in (["worker"], ["api"], ["migrate", "verify"]):
            done = house.run(*command, check=False)
            assert done.returncode == 65 and text in done.stderr, done
    finally:
        house.stack.sql("TRUNCATE sandsweep.schema_migrations; INSERT INTO sandsweep.schema_migrations SELECT * FROM public.saved_migrations; DROP TABLE public.saved_migrations")
    house.run("migrate", "verify")


def test_sigterm_with_hanging_calls(house: House, sim: Sim, api: Api) -> None:
    """64 calls hang; SIGTERM ends the worker at once, no attempt is used, every row is free again."""
    functions = [house.function(volumes=0, sim=sim) for _ in range(64)]
    sandboxes = [f.active.sandbox for f in functions]
    sim.fault("hang")
    worker = house.worker({"worker.in_flight_max": "64", "worker.in_flight_start": "64", "worker.lease_ms": "60000", "platform.timeout_ms": "30000", "worker.drain_ms": "60000"})
    recycle(api, *functions)
    wait_until(lambda: sim.in_flight_max() >= 64, "64 calls to hang")
    worker.popen.send_signal(signal.SIGTERM)
    assert worker.wait_exit(20) == 0  # before a call came to its own end, and before the drain did
    rows = [house.row(s) for s in sandboxes]
    assert {r["state"] for r in rows} == {"doomed"} and {r["attempts"] for r in rows} == {0} and {r["lease"] for r in rows} == {None}
    sim.clear_faults()
    house.worker()
    house.wait_states(sandboxes, "gone")


def test_breaker_opens_and_closes(house: House, sim: Sim, api: Api) -> None:
    """A platform that is away is left alone, and nothing is dead when it is back."""
    worker = house.worker({"worker.attempts_max": "12", "worker.breaker_open_max_ms": "300"})
    functions = [house.function(volumes=0, sim=sim) for _ in range(40)]
    rule = sim.fault("status", status=503, retry_after=0)
    recycle(api, *functions)
    port = metrics_port(worker)
    wait_until(lambda: metric(port, "sandsweep_breaker_state") == 1, "the breaker to open")
    sim.clear_faults(rule)
    house.wait_states([f.active.sandbox for f in functions], "gone")
    wait_until(lambda: metric(port, "sandsweep_breaker_state") == 0, "the breaker to close")


@pytest.mark.parametrize("effect", ["reset", "truncated", "malformed", "huge", "lost", "hang"])
def test_every_fault_ends_well(house: House, sim: Sim, api: Api, effect: str) -> None:
    """Half of all answers are broken in one way; everything ends gone, and nothing else is touched."""
    house.worker({"worker.attempts_max": "60", "platform.timeout_ms": "400"})
    functions = [house.function(volumes=0, sim=sim) for _ in range(10)]
    sim.fault(effect, percent=50)
    recycle(api, *functions)
    house.wait_states([f.active.sandbox for f in functions], "gone", timeout=60)
    sim.assert_gone("sandbox", [f.active.sandbox for f in functions])
    sim.assert_never_deleted([u for f in functions for u in f.users])


def test_retry_after_is_kept(house: House, sim: Sim, api: Api) -> None:
    house.worker()
    f = house.function(volumes=0, sim=sim)
    sim.fault("status", op="sandbox_delete", id=f.active.sandbox, status=429, retry_after=2, count=1)
    recycle(api, f)
    house.wait_states([f.active.sandbox], "gone")
    calls = sim.deletes_of(f.active.sandbox)
    assert calls[1]["at_us"] - calls[0]["at_us"] >= 1_900_000
    assert house.row(f.active.sandbox)["attempts"] == 0


def test_oldest_intent_age(house: House, sim: Sim, api: Api) -> None:
    """The main health figure grows while something is open and falls to zero when nothing is."""
    f = house.function(volumes=0, sim=sim)
    sim.fault("hang", id=f.active.sandbox)
    worker = house.worker({"worker.attempts_max": "1000"})
    recycle(api, f)
    port, name = metrics_port(worker), "sandsweep_oldest_unfinished_intent_age_seconds"
    wait_until(lambda: metric(port, name) >= 1, "the age to grow")
    sim.clear_faults()
    house.wait_states([f.active.sandbox], "gone")
    house.stack.sql("SELECT 1")
    wait_until(lambda: metric(port, name) < 1 or open_rows(house) > 0, "the age to fall")


def open_rows(house: House) -> int:
    return house.stack.sql("SELECT count(*) FROM sandsweep.owned_resources WHERE state IN ('released', 'doomed', 'deleting')")[0][0]

"""Every part killed in the middle, then started again: nothing is lost (L1), nothing in use is deleted (S1)."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable

import pytest

from tests.support.house import Api, Function, House
from tests.support.sim import Sim
from tests.support.stack import wait_until

WORKER_POINTS = [
    "relay.before_produce", "relay.after_produce", "relay.after_delivery",
    "intake.before_doom", "intake.after_doom", "consumer.before_commit", "consumer.after_commit",
    "executor.after_claim", "executor.before_send", "executor.before_send:4", "executor.after_answer",
    "executor.after_answer:5", "record.before", "record.after",
]
GROUP = "chaos"
FAST_GROUP = {"kafka.session.timeout.ms": "2000", "kafka.heartbeat.interval.ms": "300", "worker.lease_ms": "4000"}


def some_functions(house: House, sim: Sim) -> tuple[list[Function], list[Function], list[Function]]:
    """To be deleted, to be recycled, and to be left alone."""
    sim.settings(mount_linger_ms=50, finalizer_ms=50)
    made = [house.function(revisions=2, sim=sim) for _ in range(9)]
    return made[:3], made[3:6], made[6:]


def ask(api: Api, deleted: list[Function], recycled: list[Function]) -> None:
    for f in deleted:
        assert api.request("DELETE", f"/api/v1/functions/{f.id}", api.key(f.team))[0] == 200
    for f in recycled:
        assert api.request("POST", f"/api/v1/functions/{f.id}/runtime/recycle", api.key(f.team))[0] == 200


def check(house: House, sim: Sim, deleted: list[Function], recycled: list[Function], left: list[Function]) -> None:
    """L1 and S1, from the ledger and from what the platform was asked."""
    doomed = [t for f in deleted for t in f.ours] + [f.active.sandbox for f in recycled]
    house.wait_states(doomed, "gone", timeout=60)
    sim.assert_gone("sandbox", [r.sandbox for f in deleted for r in f.revisions] + [f.active.sandbox for f in recycled])
    sim.assert_gone("volume", [v for f in deleted for r in f.revisions for v in r.volumes])
    sim.assert_gone("snapshot", [s for f in deleted for r in f.revisions for s in r.snapshots])
    kept = [t for f in left for t in f.ours] + [t for f in recycled for t in f.ours if t != f.active.sandbox]
    assert set(house.states(kept).values()) == {"in_use"}
    sim.assert_never_deleted(kept + [u for f in deleted + recycled + left for u in f.users])


@pytest.mark.parametrize("point", WORKER_POINTS)
def test_worker_killed(house: House, sim: Sim, api: Api, point: str) -> None:
    groups = some_functions(house, sim)
    group = f"{GROUP}-{uuid.uuid4().hex[:6]}"
    victim = house.worker(FAST_GROUP, kill_at=point, group=group)
    ask(api, *groups[:2])
    assert victim.wait_exit(60) == -9, f"{point} was never passed:\n{victim.log[-2000:]}"
    house.worker(FAST_GROUP, group=group)
    check(house, sim, *groups)


@pytest.mark.parametrize("point, happened", [("api.received", False), ("api.committed", True)])
@pytest.mark.parametrize("verb", ["recycle", "restart", "disable", "delete"])
def test_api_killed(house: House, sim: Sim, point: str, happened: bool, verb: str) -> None:
    """The client saw its connection break; what it asked for either happened whole or not at all."""
    f = house.function(sim=sim)
    path = f"/api/v1/functions/{f.id}"
    asked = {"recycle": ("POST", path + "/runtime/recycle", None), "restart": ("POST", path + "/runtime/restart", None),
             "disable": ("PUT", path, {"enabled": False}), "delete": ("DELETE", path, None)}[verb]
    front = house.api(kill_at=point)
    key = front.key(f.team)
    with pytest.raises((ConnectionError, OSError)):
        front.request(asked[0], asked[1], key, asked[2])
    assert front.process.wait_exit() == -9
    outbox, audit = (house.stack.sql(f"SELECT count(*) FROM sandsweep.{t} WHERE function_id = %s", (f.id,))[0][0] for t in ("outbox", "audit_log"))
    assert (outbox, audit) == ((1, 1) if happened else (0, 0))
    assert house.states([f.active.sandbox]) == {f.active.sandbox: "released" if happened else "in_use"}
    again = house.api()  # the client tries again
    assert again.request(asked[0], asked[1], key, asked[2])[0] == (404 if happened and verb == "delete" else 200)
    house.worker()
    house.wait_states(f.ours if verb == "delete" else [f.active.sandbox], "gone")
    sim.assert_never_deleted(f.users)


def during(action: Callable[[], None], house: House, sim: Sim, api: Api, options: dict[str, str] | None = None) -> None:
    """`action` strikes while deletes and recycles go on; then everything must come to its end."""
    groups = some_functions(house, sim)
    house.worker({**FAST_GROUP, **(options or {})}, group=f"{GROUP}-{uuid.uuid4().hex[:6]}")
    ask(api, *groups[:2])
    action()
    check(house, sim, *groups)


def test_broker_killed(house: House, sim: Sim, api: Api) -> None:
    def strike() -> None:
        house.stack.kafka("kill")
        f = house.function(sim=sim)  # asked for while there is no broker: answered all the same
        ask(api, [f], [])
        house.stack.kafka("start")
        house.wait_states(f.ours, "gone", timeout=60)

    during(strike, house, sim, api)


def test_postgres_killed(house: House, sim: Sim, api: Api) -> None:
    def strike() -> None:
        house.stack.pg("kill")
        house.stack.pg("start")

    during(strike, house, sim, api)


@pytest.mark.parametrize("effect", ["hang", "reset"])
def test_platform_away(house: House, sim: Sim, api: Api, effect: str) -> None:
    def strike() -> None:
        rule = sim.fault(effect)
        wait_until(lambda: any(e["status"] in (effect, str(effect)) for e in sim.journal()), f"the platform to {effect}")
        sim.clear_faults(rule)

    during(strike, house, sim, api, {"worker.attempts_max": "50", "platform.timeout_ms": "1000"})


def test_kill_loop(house: House, sim: Sim, api: Api) -> None:
    """Two workers, one of them killed again and again while work goes on."""
    groups = some_functions(house, sim)
    group = f"{GROUP}-{uuid.uuid4().hex[:6]}"
    house.worker(FAST_GROUP, group=group)
    asking = threading.Thread(target=ask, args=(api, *groups[:2]))
    asking.start()
    for n in range(1, 5):
        victim = house.worker(FAST_GROUP, kill_at=f"executor.after_answer:{n}", group=group, wait=False)
        extra = house.function(sim=sim)
        ask(api, [extra], [])
        house.wait_states(extra.ours, "gone", timeout=60)
        victim.kill()
    asking.join()
    check(house, sim, *groups)

"""What the SDK asked for, after the worker has done it: gone from the platform, and told by the runtime."""

from __future__ import annotations

import pytest

from tests.sdk import world
from tests.sdk.client import NEWEST, Enum, Functions, new
from tests.support.house import House
from tests.support.sim import Sim
from tests.support.stack import wait_until

UNKNOWN, READY = (Enum("FunctionRuntimeReadinessState", word) for word in ("unknown", "ready"))


@pytest.fixture(autouse=True)
def worker(house: House, sim: Sim) -> None:
    sim.settings(finalizer_ms=20, mount_linger_ms=20)
    house.worker()


def test_recycled_runtime_is_deleted(functions: Functions, house: House, sim: Sim, team: str) -> None:
    f = world.published(house, team, revisions=2, sim=sim)
    functions.recycle_runtime(f.id)
    house.wait_states([f.active.sandbox or ""], "gone")
    sim.assert_gone("sandbox", [f.active.sandbox])
    sim.assert_all_live("sandbox", [f.revisions[0].sandbox, *[r.source_sandbox for r in f.revisions]])
    sim.assert_all_live("volume", [v for r in f.revisions for v in r.volumes + r.source_volumes])
    got = functions.get_runtime(f.id)
    assert got.state == Enum("FunctionRuntimeState", "idle")
    if functions.sdk.version == NEWEST:
        assert {e.runtime_sandbox_id for e in got.recent_events} == {f.active.sandbox}
        assert [(e.phase.value, e.reason, e.readiness_state) for e in got.recent_events] == [
            ("idle", "runtime_deleted", UNKNOWN),
            ("idle", "runtime_cleared", UNKNOWN),
            ("ready", "runtime_ready", READY),
        ]


def test_disabled_function_has_no_runtime_left(functions: Functions, house: House, sim: Sim, team: str) -> None:
    f = world.published(house, team, revisions=2, sim=sim)
    functions.update(f.id, new("FunctionUpdateRequest", enabled=False))
    house.wait_states([r.sandbox or "" for r in f.revisions], "gone")
    sim.assert_gone("sandbox", [r.sandbox for r in f.revisions])
    sim.assert_all_live("sandbox", [r.source_sandbox for r in f.revisions])


def test_deleted_function_leaves_only_what_is_the_users(functions: Functions, house: House, sim: Sim, team: str) -> None:
    f = world.published(house, team, revisions=2, sim=sim)
    functions.delete(f.slug)
    house.wait_states(f.ours, "gone")
    wait_until(lambda: not set(f.ours) & (sim.live("sandbox", team) | sim.live("volume", team) | sim.live("snapshot", team)), "all of it to be gone")
    sim.assert_all_live("sandbox", [r.source_sandbox for r in f.revisions])
    sim.assert_all_live("volume", [v for r in f.revisions for v in r.source_volumes])
    sim.assert_never_deleted(f.users)


def test_published_and_deleted(functions: Functions, house: House, sim: Sim, team: str) -> None:
    """From a user's sandbox and back: what a publish makes, a delete takes away."""
    source = world.sandbox(sim, team, volumes=2)
    users = sim.live("volume", team)
    made = functions.create_from_sandbox(source, "web", name=world.fresh_name())
    ours = [thing for m in made.revision.restore_mounts for thing in (m.sandboxvolume_id, m.snapshot_id)]
    assert len(ours) == 4
    functions.delete(made.function.id)
    house.wait_states(ours, "gone")
    assert sim.live("snapshot", team) == set() and sim.live("volume", team) == users
    sim.assert_all_live("sandbox", [source])
    sim.assert_never_deleted([source, *users])

"""The five calls that users clean up with, as the SDK makes them: what is true when each has returned.

The front answers from the database. It lets go, and asks nothing of the platform; the worker deletes.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.sdk import world
from tests.sdk.client import UNSET, APIError, Enum, Functions, Object, new
from tests.support.house import Function, House
from tests.support.sim import Sim

IDLE, ACTIVE, DISABLED = (Enum("FunctionRuntimeState", word) for word in ("idle", "active", "disabled"))


def disable(functions: Functions, f: Function) -> Object:
    return functions.update(f.id, new("FunctionUpdateRequest", enabled=False))


@pytest.fixture
def f(house: House, sim: Sim, team: str) -> Function:
    """Two revisions with a running sandbox and a volume each, all live on the platform."""
    return world.published(house, team, revisions=2, sim=sim)


@pytest.fixture(autouse=True)
def platform_untouched(sim: Sim, f: Function) -> object:
    """Whatever the test does: no request went to the platform, and all is there as it was."""
    begun = sim.journal_end()
    yield
    sim.assert_journal_whole()
    assert list(sim.journal(since=begun)) == []
    assert {t["state"] for kind in ("sandbox", "volume", "snapshot") for t in sim.states(kind, f.team)} == {"live"}


def mapped(house: House, f: Function) -> dict[int, str | None]:
    """The sandbox of each revision, by the database."""
    return dict(house.stack.sql("SELECT revision_number, runtime_sandbox_id FROM shared_gateway.functions_revisions WHERE function_id = %s", (f.id,)))


def check_ledger(house: House, f: Function, *released: str | None) -> None:
    """These are released, all else of the function is in use; what is the user's is not in the ledger."""
    assert house.states(f.ours) == {thing: "released" if thing in released else "in_use" for thing in f.ours}
    assert house.states(f.users) == {}


def test_get_runtime_changes_nothing(functions: Functions, house: House, f: Function) -> None:
    got = functions.get_runtime(f.id)
    assert (got.state, got.revision_number, got.runtime_sandbox_id, got.runtime_context_id) == (ACTIVE, 2, f.active.sandbox, "ctx")
    assert got == functions.get_runtime(f.slug)
    assert mapped(house, f) == {1: f.revisions[0].sandbox, 2: f.active.sandbox}
    check_ledger(house, f)


@pytest.mark.parametrize("call", ["restart_runtime", "recycle_runtime"])
def test_clearing_lets_go_of_the_active_runtime(functions: Functions, house: House, f: Function, call: str) -> None:
    for _ in range(2):
        got = functions.call(call, f.id)
        assert (got.state, got.function_id, got.revision_id, got.revision_number) == (IDLE, f.id, f.active.id, 2)
        assert (got.runtime_sandbox_id, got.runtime_context_id, got.runtime_updated_at) == (UNSET, UNSET, UNSET)
        assert functions.get_runtime(f.id).state == IDLE
        assert mapped(house, f) == {1: f.revisions[0].sandbox, 2: None}
        check_ledger(house, f, f.active.sandbox)
    assert functions.get(f.id).enabled is True


def test_disabling_lets_go_of_every_runtime(functions: Functions, house: House, f: Function) -> None:
    for _ in range(2):
        assert disable(functions, f).enabled is False
        got = functions.get_runtime(f.id)
        assert (got.state, got.runtime_sandbox_id) == (DISABLED, UNSET)
        assert mapped(house, f) == {1: None, 2: None}
        check_ledger(house, f, *[r.sandbox for r in f.revisions])
    for call in ("restart_runtime", "recycle_runtime"):
        assert functions.call(call, f.id).state == DISABLED
    assert functions.update(f.id, new("FunctionUpdateRequest", enabled=True)).enabled is True
    assert functions.get_runtime(f.id).state == IDLE
    check_ledger(house, f, *[r.sandbox for r in f.revisions])


def test_deleting_lets_go_of_everything(functions: Functions, house: House, f: Function) -> None:
    got = functions.delete(f.id)
    assert (got.id, got.enabled) == (f.id, False) and got.deleted_at is not UNSET
    assert mapped(house, f) == {1: None, 2: None}
    check_ledger(house, f, *f.ours)
    assert functions.list() == []
    after: list[Callable[[], object]] = [
        lambda: functions.delete(f.id),
        lambda: functions.get(f.id),
        lambda: functions.get(f.slug),
        lambda: functions.get_runtime(f.id),
        lambda: functions.restart_runtime(f.id),
        lambda: functions.recycle_runtime(f.id),
        lambda: disable(functions, f),
    ]
    for call in after:
        with pytest.raises(APIError) as caught:
            call()
        assert caught.value.status == 404 and caught.value.envelope == {"code": "not_found", "message": "function not found"}


@pytest.mark.parametrize("call", ["get_runtime", "restart_runtime", "recycle_runtime", "delete", "update"])
def test_another_team_does_nothing(connect: Callable[..., Functions], house: House, sim: Sim, f: Function, call: str) -> None:
    stranger = connect("11111111-2222-4333-8444-555555555555")
    more = [new("FunctionUpdateRequest", enabled=False)] if call == "update" else []
    for name in (f.id, f.slug):
        with pytest.raises(APIError) as caught:
            stranger.call(call, name, *more)
        assert caught.value.status == 404
    assert mapped(house, f) == {1: f.revisions[0].sandbox, 2: f.active.sandbox}
    check_ledger(house, f)

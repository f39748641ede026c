"""Every call that the SDK has for functions, in both of its spellings, and what it must have done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from tests.sdk import world
from tests.sdk.client import CALLS, NEWEST, SPELLINGS, UNSET, VERSIONS, Enum, Functions, Object, Sdk, calls_of, new
from tests.support.house import Function, House
from tests.support.sim import Sim


@dataclass
class World:
    """One team's client, a function of that team, the database and the platform."""

    functions: Functions
    house: House
    sim: Sim
    team: str

    @property
    def newest(self) -> bool:
        return self.functions.sdk.version == NEWEST

    def published(self, **options: Any) -> Function:
        return world.published(self.house, self.team, sim=self.sim, **options)

    def one(self, query: str, *params: Any) -> Any:
        [(value,)] = self.house.stack.sql(query, params)
        return value


def check_record(got: Object, w: World, f: Function) -> None:
    assert got.type_name == "FunctionRecord"
    assert (got.id, got.team_id, got.slug, got.active_revision_id, got.enabled) == (f.id, w.team, f.slug, f.active.id, True)
    assert got.url == f"https://{got.host}"


def check_made(w: World, got: Object, number: int, volumes: int) -> None:
    """A revision of a sandbox: in the database as it was answered, its things new and in use."""
    assert got.type_name == "FunctionRevision" and (got.team_id, got.revision_number) == (w.team, number)
    mounts = got.restore_mounts
    assert len(mounts) == volumes
    stored = w.one("SELECT restore_mounts FROM shared_gateway.functions_revisions WHERE id = %s", got.id)
    assert [(m.sandboxvolume_id, m.mount_point, m.source_sandboxvolume_id, m.snapshot_id) for m in mounts] == [
        (m["sandboxvolume_id"], m["mount_point"], m["source_sandboxvolume_id"], m["snapshot_id"]) for m in stored
    ]
    w.sim.assert_all_live("volume", [m.sandboxvolume_id for m in mounts] + [m.source_sandboxvolume_id for m in mounts])
    w.sim.assert_all_live("snapshot", [m.snapshot_id for m in mounts])
    assert all(m.sandboxvolume_id != m.source_sandboxvolume_id for m in mounts)
    ours = [thing for m in mounts for thing in (m.sandboxvolume_id, m.snapshot_id)]
    assert w.house.states(ours) == dict.fromkeys(ours, "in_use")


def check_of_spec(w: World, got: Object, volume: str) -> None:
    """A revision of a spec: it mounts the user's volume, and nothing was made."""
    assert got.type_name == "FunctionRevision" and got.source_type == Enum("FunctionRevisionSourceType", "revision_spec")
    assert (got.source_sandbox_id, got.source_service_id, got.source_template_id) == ("", "web", "tpl")
    [mount], [restored] = got.revision_spec.mounts, got.restore_mounts
    assert (mount.mount_point, mount.source.type_.value, mount.source.sandboxvolume_id, mount.mode.value) == ("/data", "sandbox_volume", volume, "read_write")
    assert (restored.mount_point, restored.sandboxvolume_id, restored.snapshot_id) == ("/data", volume, UNSET)
    assert got.revision_spec.runtime_service == got.service_snapshot and got.service_snapshot.runtime.command == ["serve"]
    assert w.sim.live("volume", w.team) == {volume} and w.sim.live("snapshot", w.team) == set()
    assert w.house.states([volume]) == {}


def check_created(w: World, got: Object, name: str) -> None:
    assert got.type_name == "FunctionCreateResult"
    assert (got.function.name, got.function.team_id, got.function.active_revision_id) == (name, w.team, got.revision.id)
    assert got.revision.function_id == got.function.id == got.alias.function_id
    assert (got.alias.alias, got.alias.revision_id, got.alias.revision_number) == ("production", got.revision.id, 1)
    assert w.functions.last.status == 201 and w.functions.last.header("Location") == f"/api/v1/functions/{got.function.id}"
    assert w.functions.get(got.function.id) == got.function
    assert w.functions.get_revision(got.function.id, 1) == got.revision
    assert w.functions.get_alias(got.function.id, "production") == got.alias


def check_new_revision(w: World, f: Function, got: Object, number: int, promoted: bool) -> None:
    assert got.type_name == "FunctionRevisionCreateResult" and w.functions.last.status == 201
    assert (got.revision.function_id, got.revision.revision_number, got.promoted) == (f.id, number, promoted)
    assert w.functions.get_revision(f.id, number) == got.revision
    active = got.revision.id if promoted else f.active.id
    assert w.functions.get(f.id).active_revision_id == active
    assert w.functions.get_alias(f.id, "production").revision_id == active


# ---- each call ----


def do_list(w: World) -> None:
    assert w.functions.list() == []
    first, second = w.published(), w.published()
    w.functions.update(first.id, new("FunctionUpdateRequest", name="Touched"))
    got = w.functions.list()
    assert [f.id for f in got] == [first.id, second.id]
    check_record(got[1], w, second)


def do_get(w: World) -> None:
    f = w.published()
    by_id = w.functions.get(f.id)
    check_record(by_id, w, f)
    assert w.functions.get(f.slug) == by_id


def do_create(w: World) -> None:
    name = world.fresh_name("By Hand")
    got = w.functions.create(world.request(world.sandbox(w.sim, w.team), name=name))
    check_made(w, got.revision, 1, volumes=1)
    check_created(w, got, name)
    assert got.function.slug == name.lower().replace(" ", "-")
    shown = world.fresh_name()
    unnamed = w.functions.create(world.request(world.sandbox(w.sim, w.team, {**world.PLAIN, "display_name": shown}, volumes=0)))
    check_made(w, unnamed.revision, 1, volumes=0)
    check_created(w, unnamed, shown)


def do_create_from_sandbox(w: World) -> None:
    name, source = world.fresh_name(), world.sandbox(w.sim, w.team, volumes=2)
    got = w.functions.create_from_sandbox(source, "web", name=name)
    check_made(w, got.revision, 1, volumes=2)
    check_created(w, got, name)
    revision = got.revision
    assert (revision.source_sandbox_id, revision.source_service_id, revision.source_template_id) == (source, "web", "tpl")
    assert revision.service_snapshot.display_name == "The Web" and len(revision.service_snapshot.ingress.routes) == 2
    w.sim.assert_all_live("sandbox", [source])
    if w.newest:
        scale = new("FunctionAutoscaling", min_warm=1, max_active=5000, target_concurrency=7, scale_down_after_seconds=60)
        scaled = w.functions.create_from_sandbox(source, "web", name=world.fresh_name(), autoscaling=scale).function.autoscaling
        assert (scaled.min_warm, scaled.max_active, scaled.target_concurrency, scaled.scale_down_after_seconds) == (1, 1000, 7, 60)


def do_create_from_revision_spec(w: World) -> None:
    name, volume = world.fresh_name(), world.volume(w.sim, w.team)
    got = w.functions.create_from_revision_spec(world.spec(volume), name=name, autoscaling=new("FunctionAutoscaling", min_warm=2))
    check_of_spec(w, got.revision, volume)
    check_created(w, got, name)
    assert got.function.autoscaling.min_warm == 2 and got.function.autoscaling.max_active == 20


def do_update(w: World) -> None:
    f = w.published()
    before = w.functions.get(f.id)
    assert w.functions.update(f.slug, new("FunctionUpdateRequest")).name == before.name
    got = w.functions.update(f.id, new("FunctionUpdateRequest", name="Another Name"))
    assert (got.name, got.slug, got.host, got.enabled) == ("Another Name", before.slug, before.host, True)
    assert w.functions.update(f.id, new("FunctionUpdateRequest", enabled=False)).enabled is False
    assert w.functions.update(f.id, new("FunctionUpdateRequest", enabled=True)).enabled is True
    if w.newest:
        scale = new("FunctionAutoscaling", min_warm=3, max_active=4, target_concurrency=5, scale_down_after_seconds=6)
        scaled = w.functions.update(f.id, new("FunctionUpdateRequest", autoscaling=scale))
        numbers = scaled.autoscaling
        assert (numbers.min_warm, numbers.max_active, numbers.target_concurrency, numbers.scale_down_after_seconds) == (3, 4, 5, 30)
        assert w.functions.get(f.id) == scaled


def do_delete(w: World) -> None:
    f = w.published()
    got = w.functions.delete(f.id)
    assert (got.id, got.enabled) == (f.id, False) and got.deleted_at > got.created_at
    assert w.functions.last.json()["data"]["message"] == "function deleted"
    assert w.functions.list() == []


def do_list_revisions(w: World) -> None:
    f = w.published(revisions=3)
    got = w.functions.list_revisions(f.slug)
    assert [(r.id, r.revision_number) for r in got] == [(r.id, r.number) for r in reversed(f.revisions)]
    assert [r.runtime_sandbox_id for r in got] == [r.sandbox for r in reversed(f.revisions)]
    assert [r.source_sandbox_id for r in got] == [r.source_sandbox for r in reversed(f.revisions)]


def do_get_revision(w: World) -> None:
    f = w.published(revisions=2, volumes=2)
    for name in (f.id, f.slug):
        got = w.functions.get_revision(name, 1)
        assert (got.id, got.function_id, got.revision_number) == (f.revisions[0].id, f.id, 1)
        assert [m.sandboxvolume_id for m in got.restore_mounts] == f.revisions[0].volumes
        assert [m.snapshot_id for m in got.restore_mounts] == f.revisions[0].snapshots
    assert w.functions.list_revisions(f.id)[1] == got


def do_create_revision(w: World) -> None:
    f = w.published()
    made = new("FunctionRevisionCreateRequest", source=world.source(world.sandbox(w.sim, w.team)))
    got = w.functions.create_revision(f.id, made)
    check_made(w, got.revision, 2, volumes=1)
    check_new_revision(w, f, got, 2, promoted=True)
    kept = w.published()
    aside = new("FunctionRevisionCreateRequest", source=world.source(world.sandbox(w.sim, w.team)), promote=False)
    got = w.functions.create_revision(kept.slug, aside)
    check_made(w, got.revision, 2, volumes=1)
    check_new_revision(w, kept, got, 2, promoted=False)


def do_create_revision_from_sandbox(w: World) -> None:
    f = w.published()
    for number, promote in ((2, False), (3, None), (4, True)):
        got = w.functions.create_revision_from_sandbox(f.id, world.sandbox(w.sim, w.team), "web", promote=promote)
        check_made(w, got.revision, number, volumes=1)
        check_new_revision(w, f, got, number, promoted=promote is not False)


def do_create_revision_from_spec(w: World) -> None:
    f, volume = w.published(volumes=0), world.volume(w.sim, w.team)
    for number, promote in ((2, False), (3, None), (4, True)):
        got = w.functions.create_revision_from_spec(f.id, world.spec(volume), promote=promote)
        check_of_spec(w, got.revision, volume)
        check_new_revision(w, f, got, number, promoted=promote is not False)


def do_list_aliases(w: World) -> None:
    f = w.published(revisions=2)
    for alias in ("staging", "canary"):
        w.functions.set_alias(f.id, alias, 1)
    got = w.functions.list_aliases(f.id)
    assert [(a.alias, a.revision_number, a.revision_id) for a in got] == [
        ("canary", 1, f.revisions[0].id),
        ("production", 2, f.active.id),
        ("staging", 1, f.revisions[0].id),
    ]


def do_get_alias(w: World) -> None:
    f = w.published(revisions=2)
    got = w.functions.get_alias(f.slug, "production")
    assert got.type_name == "FunctionAlias"
    assert (got.function_id, got.alias, got.revision_id, got.revision_number) == (f.id, "production", f.active.id, 2)


def do_set_alias(w: World) -> None:
    f = w.published(revisions=2)
    staged = w.functions.set_alias(f.id, "staging", 1)
    assert (staged.function_id, staged.alias, staged.revision_id, staged.revision_number) == (f.id, "staging", f.revisions[0].id, 1)
    assert w.functions.get(f.id).active_revision_id == f.active.id
    rolled_back = w.functions.set_alias(f.slug, "production", 1)
    assert rolled_back.revision_id == f.revisions[0].id and w.functions.get_alias(f.id, "production") == rolled_back
    assert w.functions.get(f.id).active_revision_id == f.revisions[0].id
    assert w.functions.get_runtime(f.id).revision_number == 1


def do_get_runtime(w: World) -> None:
    f = w.published(revisions=2)
    got = w.functions.get_runtime(f.slug)
    assert got.type_name == "FunctionRuntimeStatus" and got.state == Enum("FunctionRuntimeState", "active")
    assert (got.function_id, got.revision_id, got.revision_number, got.runtime_sandbox_id) == (f.id, f.active.id, 2, f.active.sandbox)


def cleared(w: World, call: str) -> None:
    f = w.published()
    got = getattr(w.functions, call)(f.slug)
    assert got.type_name == "FunctionRuntimeStatus" and got.state == Enum("FunctionRuntimeState", "idle")
    assert w.house.states([f.active.sandbox or ""]) == {f.active.sandbox: "released"}
    assert w.functions.last.sent == b""


def do_restart_runtime(w: World) -> None:
    cleared(w, "restart_runtime")


def do_recycle_runtime(w: World) -> None:
    cleared(w, "recycle_runtime")


CASES: dict[str, Callable[[World], None]] = {name.removeprefix("do_"): case for name, case in dict(globals()).items() if name.startswith("do_")}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("sdk, name", [(v, n) for v in VERSIONS for n in sorted(calls_of(v))], indirect=["sdk"], scope="session")
def test_call(connect: Callable[..., Functions], house: House, sim: Sim, team: str, sdk: Sdk, name: str, spelling: str) -> None:
    CASES[name](World(connect(team, spelling=spelling), house, sim, team))


def test_no_call_is_left_out(sdk: Sdk) -> None:
    """The SDK has no call for functions that is not tested above, and none less."""
    wanted = {spelled(name) for name in calls_of(sdk.version) for spelled in SPELLINGS.values()}
    assert set(sdk.describe()["calls"]) == wanted
    assert set(CASES) == set(CALLS)

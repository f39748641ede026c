"""What the SDK makes of our fields: dates, enums, what is absent, what its version does not know."""

from __future__ import annotations

import datetime
import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.sdk import world
from tests.sdk.client import NEWEST, UNSET, VERSIONS, Enum, Functions, Object, new
from tests.support.house import Api, House
from tests.support.sim import Sim

UTC = datetime.timezone.utc
newest = pytest.mark.parametrize("sdk", [NEWEST], indirect=True, scope="session")
oldest = pytest.mark.parametrize("sdk", [VERSIONS[0]], indirect=True, scope="session")


def objects(value: Any) -> Iterator[Object]:
    """This object and all that are in it."""
    if isinstance(value, list):
        for item in value:
            yield from objects(item)
    if isinstance(value, Object):
        yield value
        for item in vars(value).values():
            yield from objects(item)


# ---- dates ----

MOMENTS = [
    "2026-05-18 01:02:03.000004+00",
    "2026-05-18 01:02:03.5+02",
    "2026-05-18 01:02:03+00",
    "2026-12-31 23:59:59.999999-11",
    "1999-12-31 23:59:59.1+00",
]


@pytest.mark.parametrize("moment", MOMENTS)
def test_dates_are_exact_and_in_utc(functions: Functions, house: House, team: str, moment: str) -> None:
    f = world.published(house, team)
    house.stack.sql("UPDATE shared_gateway.functions SET created_at = %s WHERE id = %s", (moment, f.id))
    house.stack.sql("UPDATE shared_gateway.functions_revisions SET created_at = %s, runtime_updated_at = %s WHERE id = %s", (moment, moment, f.active.id))
    house.stack.sql("UPDATE shared_gateway.functions_aliases SET updated_at = %s WHERE function_id = %s", (moment, f.id))
    want = datetime.datetime.fromisoformat(moment).astimezone(UTC)
    revision = functions.get_revision(f.id, 1)
    got = [
        functions.get(f.id).created_at,
        functions.list()[0].created_at,
        functions.get_runtime(f.id).runtime_updated_at,
        functions.get_alias(f.id, "production").updated_at,
        revision.created_at,
        revision.runtime_updated_at,
    ]
    assert got == [want] * len(got)
    assert all(moment.utcoffset() == datetime.timedelta(0) for moment in got)


def test_dates_of_a_change(functions: Functions, house: House, team: str) -> None:
    f = world.published(house, team)
    before = functions.get(f.id)
    deleted = functions.delete(f.id)
    [(updated, gone)] = house.stack.sql("SELECT updated_at, deleted_at FROM shared_gateway.functions WHERE id = %s", (f.id,))
    assert (deleted.updated_at, deleted.deleted_at) == (updated, gone) and before.updated_at < deleted.updated_at


# ---- what is absent ----


def test_absent_is_unset(functions: Functions, house: House, team: str) -> None:
    f = world.published(house, team, mapped=False, volumes=0, service=world.PLAIN)
    house.stack.sql("UPDATE shared_gateway.functions SET created_by = NULL, active_revision_id = NULL WHERE id = %s", (f.id,))
    got = functions.get(f.id)
    assert (got.created_by, got.active_revision_id, got.deleted_at) == (UNSET, UNSET, UNSET)
    house.stack.sql("UPDATE shared_gateway.functions SET active_revision_id = %s WHERE id = %s", (f.active.id, f.id))
    runtime = functions.get_runtime(f.id)
    assert (runtime.runtime_sandbox_id, runtime.runtime_context_id, runtime.runtime_updated_at) == (UNSET, UNSET, UNSET)


def test_absent_in_a_revision_is_unset(functions: Functions, house: House, team: str) -> None:
    f = world.published(house, team, mapped=False, volumes=0, service=world.PLAIN)
    house.stack.sql("UPDATE shared_gateway.functions_revisions SET created_by = NULL WHERE id = %s", (f.active.id,))
    house.stack.sql("UPDATE shared_gateway.functions_aliases SET updated_by = NULL WHERE function_id = %s", (f.id,))
    revision = functions.get_revision(f.id, 1)
    assert (revision.created_by, revision.runtime_sandbox_id, revision.runtime_context_id, revision.runtime_updated_at) == (UNSET,) * 4
    service = revision.service_snapshot
    assert (service.display_name, service.health_check, service.runtime.command, service.runtime.env_vars) == (UNSET,) * 4
    assert (service.runtime.type_, service.runtime.warm_process_name) == (Enum("SandboxAppServiceRuntimeType", "warm_process"), "main")
    assert functions.get_alias(f.id, "production").updated_by == UNSET
    for answered in ("restore_mounts", "provenance", "created_by", "runtime_sandbox_id"):
        functions.get_revision(f.id, 1)
        assert answered not in functions.last.json()["data"]["revision"]


def test_a_mount_without_its_origin(functions: Functions, house: House, team: str) -> None:
    f = world.published(house, team)
    mounts = [{"sandboxvolume_id": "vol-bare", "mount_point": "/data"}]
    house.stack.sql("UPDATE shared_gateway.functions_revisions SET restore_mounts = %s WHERE id = %s", (json.dumps(mounts), f.active.id))
    [mount] = functions.get_revision(f.id, 1).restore_mounts
    assert (mount.sandboxvolume_id, mount.mount_point, mount.source_sandboxvolume_id, mount.snapshot_id) == ("vol-bare", "/data", UNSET, UNSET)


# ---- nothing is lost, nothing is new ----

USERS_OWN = {"SandboxAppServiceRuntimeEnvVars", "FunctionRevisionProvenance"}  # objects whose fields are whatever the user has said
NEWER_FIELDS = {
    "FunctionRecord": {"autoscaling"},
    "FunctionRuntimeStatus": {"autoscaling", "phase", "readiness_state", "instances", "recent_events"},
    "FunctionRevision": {"source_type", "revision_spec", "provenance"},
}


def check_known(functions: Functions, reads: list[Any]) -> None:
    """The newest version knows every field that we send, the older one all but what came later."""
    newer = {} if functions.sdk.version == NEWEST else NEWER_FIELDS
    seen = [one for one in objects(reads) if one.type_name not in USERS_OWN]
    assert len(seen) >= len(reads)
    for one in seen:
        assert set(one.extra) <= newer.get(one.type_name, set()), one


def test_no_field_that_the_sdk_does_not_know(functions: Functions, house: House, sim: Sim, team: str) -> None:
    f = world.published(house, team, revisions=2, sim=sim)
    update = new("FunctionUpdateRequest", name="Seen")
    reads = [functions.list(), functions.get(f.id), functions.update(f.id, update), functions.get_runtime(f.id), functions.restart_runtime(f.id)]
    check_known(functions, reads)


def test_no_field_of_a_revision_that_the_sdk_does_not_know(functions: Functions, house: House, sim: Sim, team: str) -> None:
    f = world.published(house, team, revisions=2, sim=sim)
    reads = [
        functions.list_revisions(f.id),
        functions.get_revision(f.id, 1),
        functions.list_aliases(f.id),
        functions.set_alias(f.id, "staging", 1),
        functions.create_from_sandbox(world.sandbox(sim, team), "web", name=world.fresh_name()),
        functions.create_revision_from_sandbox(f.id, world.sandbox(sim, team), "web"),
    ]
    check_known(functions, reads)


def test_a_service_comes_back_whole(functions: Functions, house: House, team: str) -> None:
    f = world.published(house, team)
    service = functions.get_revision(f.id, 1).service_snapshot
    assert functions.last.json()["data"]["revision"]["service_snapshot"] == world.SERVICE
    [route, bare] = service.ingress.routes
    assert (service.id, service.display_name, service.port, service.health_check.path) == ("web", "The Web", 8080, "/healthz")
    assert (service.runtime.command, service.runtime.cwd, service.runtime.env_vars.extra) == (["serve", "--port", "8080"], "/srv", {"MODE": "live"})
    assert (route.auth.mode.value, route.cors.max_age_seconds, route.rate_limit.burst, route.timeout_seconds) == ("bearer", 600, 20, 30)
    assert (bare.id, bare.resume, bare.auth, bare.cors, bare.rate_limit, bare.rewrite_prefix) == ("bare", False, UNSET, UNSET, UNSET, UNSET)


def test_a_published_service_comes_back_whole(functions: Functions, sim: Sim, team: str) -> None:
    """What a publish reads from the platform, stores and answers is one and the same."""
    nulled = {**world.SERVICE, "ingress": {"public": True, "routes": [{"id": "all", "resume": True, "rewrite_prefix": None}]}}
    for service in (world.SERVICE, world.PLAIN, nulled):
        made = functions.create_from_sandbox(world.sandbox(sim, team, service, volumes=0), "web", name=world.fresh_name())
        answered = functions.last.json()["data"]["revision"]
        got = answered["service_snapshot"]
        if service is nulled:
            assert got["ingress"]["routes"][0].pop("rewrite_prefix", None) is None
            got["ingress"]["routes"][0]["rewrite_prefix"] = None
        assert got == service
        assert functions.get_revision(made.function.id, 1) == made.revision


def test_names_that_need_escapes(functions: Functions, house: House, team: str) -> None:
    f = world.published(house, team)
    name = 'a "b" \\ \n \x01 \x7f ü € 😀 </script>'
    assert functions.update(f.id, new("FunctionUpdateRequest", name=name)).name == name
    assert functions.list()[0].name == name


def test_many_functions(functions: Functions, house: House, team: str) -> None:
    """The SDK knows no pages: it gets all of them."""
    house.stack.sql(
        """INSERT INTO shared_gateway.functions (id, team_id, name, slug, domain_label)
           SELECT gen_random_uuid(), %s, 'n', 'f-' || n, %s || n FROM generate_series(1, 1500) n""",
        (team, f"{team}-"),
    )
    assert len({f.id for f in functions.list()}) == 1500


# ---- the newer version's own ----


@newest
def test_phases(functions: Functions, house: House, team: str) -> None:
    f = world.published(house, team)

    def check(state: str, phase: str, readiness: str) -> None:
        got = functions.get_runtime(f.id)
        assert got.state == Enum("FunctionRuntimeState", state)
        assert got.phase == Enum("FunctionRuntimePhase", phase)
        assert got.readiness_state == Enum("FunctionRuntimeReadinessState", readiness)

    check("active", "ready", "ready")
    functions.recycle_runtime(f.id)
    check("idle", "idle", "unknown")
    functions.update(f.id, new("FunctionUpdateRequest", enabled=False))
    check("disabled", "disabled", "unknown")


@newest
def test_what_came_later_has_its_defaults(functions: Functions, house: House, team: str) -> None:
    """A function that the older revision wrote has nothing in the newer columns."""
    f = world.published(house, team, volumes=2)
    for scale in (functions.get(f.id).autoscaling, functions.get_runtime(f.id).autoscaling):
        assert (scale.min_warm, scale.max_active, scale.target_concurrency, scale.scale_down_after_seconds) == (0, 20, 80, 300)


@newest
def test_a_revision_without_a_spec_has_one(functions: Functions, house: House, team: str) -> None:
    """It is made of what the older columns say."""
    f = world.published(house, team, volumes=2)
    revision = functions.get_revision(f.id, 1)
    assert revision.source_type == Enum("FunctionRevisionSourceType", "sandbox_service") and revision.provenance == UNSET
    assert revision.revision_spec.template_id == revision.source_template_id == "tpl"
    assert revision.revision_spec.runtime_service == revision.service_snapshot
    assert [m.mount_point for m in revision.revision_spec.mounts] == ["/data0", "/data1"]
    assert [m.source.type_.value for m in revision.revision_spec.mounts] == ["sandbox_volume"] * 2
    assert [m.source.sandboxvolume_id for m in revision.revision_spec.mounts] == f.active.volumes
    assert [m.source.source_sandboxvolume_id for m in revision.revision_spec.mounts] == f.active.source_volumes
    assert [m.source.snapshot_id for m in revision.revision_spec.mounts] == f.active.snapshots
    assert functions.list_revisions(f.id) == [revision]


@newest
def test_provenance_is_kept(functions: Functions, house: House, sim: Sim, team: str) -> None:
    kept = {"commit": "abc", "dirty": False, "run": {"number": 7, "tags": ["a"]}}
    told = {**kept, "run": {**kept["run"], "by": None}}  # a null says nothing, and is not kept
    kind = new("FunctionRevisionInputSourceType", "sandbox_service")
    service = new("FunctionSandboxServiceSource", sandbox_id=world.sandbox(sim, team), service_id="web")
    note = new("FunctionSourceRequestProvenance.from_dict", told)
    made = functions.create(new("FunctionCreateRequest", source=new("FunctionSourceRequest", type_=kind, sandbox_service=service, provenance=note)))
    assert made.revision.provenance.extra == kept
    assert functions.get_revision(made.function.id, 1).provenance.extra == kept


@newest
def test_instances(functions: Functions, house: House, team: str) -> None:
    """The mapped sandbox is the one instance."""
    f = world.published(house, team, revisions=2)
    status = functions.get_runtime(f.id)
    [got] = status.instances
    assert got.type_name == "FunctionRuntimeInstance" and uuid.UUID(got.id)
    assert (got.team_id, got.function_id, got.revision_id) == (team, f.id, f.active.id)
    assert (got.sandbox_id, got.context_id) == (f.active.sandbox, "ctx")
    assert got.state == Enum("FunctionRuntimeInstanceState", "ready")
    assert got.readiness_state == Enum("FunctionRuntimeReadinessState", "ready")
    assert got.created_at <= got.updated_at and (got.last_error, got.failed_at, got.draining_at) == (UNSET, UNSET, UNSET)
    functions.recycle_runtime(f.id)
    functions.get_runtime(f.id)
    assert "instances" not in functions.last.json()["data"]["runtime"]


@newest
def test_recent_events(functions: Functions, house: House, team: str) -> None:
    f = world.published(house, team)
    functions.recycle_runtime(f.id)
    house.map(f.active, "sb-second-" + f.slug)
    functions.update(f.id, new("FunctionUpdateRequest", enabled=False))
    got = functions.get_runtime(f.id).recent_events
    assert [(e.runtime_sandbox_id, e.phase.value, e.readiness_state.value, e.reason) for e in got] == [
        ("sb-second-" + f.slug, "idle", "unknown", "runtime_cleared"),
        ("sb-second-" + f.slug, "ready", "ready", "runtime_ready"),
        (f.active.sandbox, "idle", "unknown", "runtime_cleared"),
        (f.active.sandbox, "ready", "ready", "runtime_ready"),
    ]
    assert {(e.team_id, e.function_id, e.revision_id) for e in got} == {(team, f.id, f.active.id)}
    assert len({uuid.UUID(e.id) for e in got}) == 4
    assert [e.created_at for e in got] == sorted((e.created_at for e in got), reverse=True)
    assert got[2].message == "recycled" and got[1].message == UNSET


@newest
def test_no_more_than_twenty_events(functions: Functions, house: House, team: str) -> None:
    f = world.published(house, team)
    for n in range(12):
        house.map(f.active, f"sb-{n}-{f.slug}")
        functions.restart_runtime(f.id)
    got = functions.get_runtime(f.id).recent_events
    assert len(got) == 20 and got[0].runtime_sandbox_id == f"sb-11-{f.slug}"


@newest
@pytest.mark.parametrize("call", ["restart_runtime", "recycle_runtime"])
def test_clearing_answers_without_instances(functions: Functions, house: House, team: str, call: str) -> None:
    f = world.published(house, team)
    got = functions.call(call, f.id)
    assert (got.instances, got.recent_events) == ([], [])
    assert not {"instances", "recent_events"} & set(functions.last.json()["data"]["runtime"])


# ---- the older version's limits ----


@oldest
def test_the_older_version_reads_a_revision_of_a_spec(functions: Functions, api: Api, team: str) -> None:
    """Made by another client: it has all the fields that this one requires."""
    spec = {"template_id": "tpl", "runtime_service": world.SERVICE}
    body = {"name": world.fresh_name(), "source": {"revision_spec": spec}}
    status, _, made = api.request("POST", "/api/v1/functions", api.key(team), body)
    assert status == 201, made
    id = made["data"]["function"]["id"]
    revision = functions.get_revision(id, 1)
    assert (revision.source_sandbox_id, revision.source_template_id, revision.service_snapshot.id) == ("", "tpl", "web")
    assert functions.list_revisions(id) == [revision]

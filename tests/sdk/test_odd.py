"""Whatever is accepted can be shown: odd services and specifications, by clients that are no SDK.

An answer that one client's odd request has made, another client must be able to read. So each of these is
either refused, or every later answer with it passes for each version of each client.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import pytest

from tests.sdk import world
from tests.sdk.client import Answer, APIError, Functions, Sdk
from tests.support.house import Api, House
from tests.support.sim import Sim

Change = tuple[str, Any]


def changed(base: dict[str, Any], change: Change) -> dict[str, Any]:
    """A copy with one place set: "runtime.command", "ingress.routes.0.auth"."""
    made: Any = copy.deepcopy(base)
    *steps, last = change[0].split(".")
    at = made
    for step in steps:
        at = at[int(step)] if isinstance(at, list) else at[step]
    at[int(last) if isinstance(at, list) else last] = change[1]
    return made


NOTHING: list[Change] = [
    (place, None)
    for place in (
        "display_name", "health_check", "health_check.path", "runtime.cwd", "runtime.env_vars", "runtime.warm_process_name",
        "runtime.env_vars.MODE", "runtime.command", "runtime", "ingress.routes", "ingress", "port", "id", "ingress.public",
        *(f"ingress.routes.0.{name}" for name in ("path_prefix", "methods", "rewrite_prefix", "auth", "cors", "rate_limit", "timeout_seconds", "resume", "id")),
        *(f"ingress.routes.0.auth.{name}" for name in ("mode", "header_name", "header_value_sha256")),
        *(f"ingress.routes.0.cors.{name}" for name in ("allowed_origins", "allow_credentials", "max_age_seconds", "allowed_headers")),
        *(f"ingress.routes.0.rate_limit.{name}" for name in ("rps", "burst")),
        "unknown",
    )
]  # fmt: skip
ODD: list[Change] = [
    ("ingress.routes.0.auth", {}),
    ("ingress.routes.0.auth", {"mode": "none"}),
    ("ingress.routes.0.auth", {"mode": "NONE"}),
    ("ingress.routes.0.auth", {"header_name": 7}),
    ("ingress.routes.0.cors", {}),
    ("ingress.routes.0.cors", []),
    ("ingress.routes.0.cors.allowed_origins", ["*", None]),
    ("ingress.routes.0.cors.max_age_seconds", 2**31),
    ("ingress.routes.0.rate_limit", {"rps": 1}),
    ("ingress.routes.0.rate_limit.rps", 1.0),
    ("ingress.routes.0.rate_limit.burst", 2**40),
    ("ingress.routes.0.timeout_seconds", -1),
    ("ingress.routes.0.timeout_seconds", 1e2),
    ("ingress.routes.0.methods", [7]),
    ("ingress.routes.0.methods", []),
    ("ingress.routes.0.unknown", {"deep": [None]}),
    ("ingress.routes.1", None),
    ("ingress.routes.1", {}),
    ("ingress.unknown", None),
    ("health_check", {}),
    ("health_check.path", 7),
    ("port", 8080.0),
    ("port", "8080"),
    ("port", 70000),
    ("display_name", 'a "b" \\ \n \x01 \x7f ü € 😀 </script>'),
    ("display_name", ""),
    ("runtime.env_vars", {}),
    ("runtime.env_vars", {"": "", "ü": "\x01"}),
    ("runtime.env_vars.PORT", 8080),
    ("runtime.env_vars", []),
    ("runtime.command", ["serve", ""]),
    ("runtime.command", ["serve", 7]),
    ("runtime.cwd", 7),
    ("runtime.type", "function"),
    ("runtime.unknown", 1.5),
]


def spell(change: Change) -> str:
    return f"{change[0]}={json.dumps(change[1])}"[:60]


def post(api: Api, key: str, source: dict[str, Any]) -> Answer:
    """A publish as a client without an SDK sends it; the answer passes for every client."""
    body = json.dumps({"name": world.fresh_name(), "source": source})
    status, headers, got = api.request("POST", "/api/v1/functions", key, body)
    answer = Answer("POST", "/api/v1/functions", body.encode(), status, list(headers.items()), json.dumps(got).encode())
    answer.check()
    return answer


def check_shown(functions: Functions, answer: Answer) -> None:
    """What was accepted is read again, by every route that shows it."""
    made = answer.json()["data"]
    [listed] = [f for f in functions.list() if f.id == made["function"]["id"]]
    revision = functions.get_revision(listed.id, 1)
    assert functions.last.json()["data"]["revision"] == made["revision"]
    assert functions.list_revisions(listed.id) == [revision] and revision.id == made["revision"]["id"]
    functions.get_runtime(listed.id)


def tried(cases: Iterable[tuple[str, Callable[[], Answer]]], statuses: set[int], functions: Functions) -> None:
    """Every case is answered with one of these; none that was accepted is unreadable."""
    wrong, accepted = {}, 0
    for name, case in cases:
        try:
            answer = case()
            assert answer.status in statuses, answer.body
            if answer.status == 201:
                accepted += 1
                check_shown(functions, answer)
        except (AssertionError, APIError) as error:
            wrong[name] = str(error)
    assert not wrong, "\n\n".join(f"{name}: {what}" for name, what in wrong.items())
    assert accepted


@pytest.fixture
def functions(sdk: Sdk, api: Api, team: str) -> Functions:
    """A client whose key has no limit that matters."""
    return sdk.functions(f"http://127.0.0.1:{api.port}", api.key(team, "*", "--rate", "100000"))


def test_services_of_specs(functions: Functions, api: Api) -> None:
    def case(change: Change) -> Answer:
        service = changed(world.SERVICE, change)
        return post(api, functions.client["token"], {"revision_spec": {"template_id": "tpl", "runtime_service": service}})

    tried(((spell(change), partial(case, change)) for change in NOTHING + ODD), {201, 400}, functions)


def test_services_of_the_platform(functions: Functions, api: Api, sim: Sim, team: str) -> None:
    """Newer platforms may say more than the clients know, or say it otherwise."""

    def case(change: Change) -> Answer:
        source = world.sandbox(sim, team, changed(world.SERVICE, change), volumes=0)
        return post(api, functions.client["token"], {"sandbox_id": source, "service_id": "web"})

    tried(((spell(change), partial(case, change)) for change in NOTHING + ODD), {201, 400, 404, 503}, functions)


SPEC = {
    "template_id": "tpl",
    "runtime_service": world.PLAIN,
    "mounts": [{"mount_point": "/data", "source": {"type": "sandbox_volume", "sandboxvolume_id": "vol-x"}, "name": "n", "mode": "read_only"}],
}
ODD_SPECS: list[Change] = [
    ("mounts", None),
    ("mounts", []),
    ("mounts.0", None),
    ("mounts.0.name", None),
    ("mounts.0.name", 7),
    ("mounts.0.mode", None),
    ("mounts.0.mode", "rw"),
    ("mounts.0.materialization", None),
    ("mounts.0.materialization", "lazy"),
    ("mounts.0.unknown", None),
    ("mounts.0.mount_point", "/ü/\x01"),
    ("mounts.0.source.snapshot_id", None),
    ("mounts.0.source.snapshot_id", 7),
    ("mounts.0.source.source_sandboxvolume_id", "vol-y"),
    ("mounts.0.source.source_sandboxvolume_id", []),
    ("mounts.0.source.artifact_id", None),
    ("mounts.0.source.digest", {"sha": 1}),
    ("mounts.0.source.unknown", 7),
    ("static_assets", None),
    ("static_assets", []),
    ("env_refs", None),
    ("env_refs", []),
    ("unknown", None),
    ("template_id", None),
    ("template_id", 'a "b" ü'),
]


def test_specs(functions: Functions, api: Api) -> None:
    def case(change: Change) -> Answer:
        return post(api, functions.client["token"], {"type": "revision_spec", "revision_spec": changed(SPEC, change)})

    tried(((spell(change), partial(case, change)) for change in ODD_SPECS), {201, 400}, functions)


def test_provenance(functions: Functions, api: Api) -> None:
    def case(value: Any) -> Answer:
        return post(api, functions.client["token"], {"revision_spec": SPEC, "provenance": value})

    values = [None, {}, {"a": None}, {"a": {"b": [1.5, None, "ü"]}}, [], "text"]
    tried(((json.dumps(value), partial(case, value)) for value in values), {201, 400}, functions)


# What other programs may have written into the columns that are shared with them.
STORED: list[tuple[str, Any]] = [
    ("restore_mounts", []),
    ("restore_mounts", [{"sandboxvolume_id": "v", "mount_point": "/d", "snapshot_id": None, "source_sandboxvolume_id": ""}]),
    ("provenance", {}),
    ("provenance", {"a": None}),
    ("revision_spec", {}),
    ("revision_spec", {"template_id": "other", "runtime_service": world.PLAIN}),
    ("revision_spec", {"template_id": "other", "runtime_service": world.PLAIN, "mounts": None, "static_assets": None, "env_refs": None}),
    ("service_snapshot", changed(world.SERVICE, ("ingress.routes.0.rewrite_prefix", None))),
    ("service_snapshot", changed(world.SERVICE, ("display_name", None))),
    ("service_snapshot", {**world.PLAIN, "runtime": None, "health_check": None}),
]


def test_stored_by_another_program(functions: Functions, house: House, team: str) -> None:
    wrong = {}
    for column, value in STORED:
        f = world.published(house, team)
        house.stack.sql(f"UPDATE shared_gateway.functions_revisions SET {column} = %s WHERE id = %s", (json.dumps(value), f.active.id))
        try:
            revision = functions.get_revision(f.id, 1)
            assert functions.list_revisions(f.id) == [revision] and revision.id == f.active.id
        except (AssertionError, APIError) as error:
            wrong[f"{column}: {json.dumps(value)}"] = str(error)
    assert not wrong, "\n\n".join(f"{name}\n{what}" for name, what in wrong.items())


def test_stored_autoscaling(functions: Functions, house: House, team: str) -> None:
    wrong = {}
    for scale in ({}, {"min_warm": None}, {"min_warm": -1, "max_active": 10**9}, [], {"unknown": 1}):
        f = world.published(house, team)
        house.stack.sql("UPDATE shared_gateway.functions SET autoscaling = %s WHERE id = %s", (json.dumps(scale), f.id))
        try:
            assert functions.get(f.id).id == functions.get_runtime(f.id).function_id == f.id
            assert f.id in [listed.id for listed in functions.list()]
        except (AssertionError, APIError) as error:
            wrong[json.dumps(scale)] = str(error)
    assert not wrong, wrong

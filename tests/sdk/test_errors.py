"""Every error that a call can have, as the SDK's own APIError.

The SDK reads the envelope where its API description names the status for that call. Elsewhere it knows that
something unexpected came, and has the status, the request's id and the body.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from tests.sdk import world
from tests.sdk.client import CALLS, NEWEST, UNSET, VERSIONS, APIError, Functions, Sdk, calls_of, new
from tests.support.house import Api, Function, House, holding
from tests.support.sim import Sim
from tests.support.stack import wait_until

# The statuses whose envelopes the SDK reads, in each of its versions.
READ: Mapping[str, set[int]] = {
    "get": {404},
    "update": {404},
    "delete": {404},
    "get_revision": {404},
    "get_alias": {404},
    "create": {400, 409},
    "create_from_sandbox": {400, 409},
    "create_from_revision_spec": {400, 409},
}


def check(functions: Functions, call: str, args: list[Any], status: int, code: str, message: str | None, details: Any = UNSET, **kwargs: Any) -> APIError:
    """The call fails with exactly this; `message` None: with any."""
    with pytest.raises(APIError) as caught:
        functions.call(call, *args, **kwargs)
    check_error(functions, call, caught.value, status, code, message, details)
    return caught.value


def check_error(functions: Functions, call: str, error: APIError, status: int, code: str, message: str | None, details: Any = UNSET) -> None:
    """What the SDK has made of the last answer."""
    answer = functions.last
    assert error.status == answer.status == status, error.body
    said = error.envelope
    assert said == {"code": code, "message": said["message"] if message is None else message, **({} if details is UNSET else {"details": details})}
    assert error.body == answer.body.decode()
    assert error.request_id == answer.header("X-Request-Id")
    if status in READ.get(call, set()):
        assert (error.code, error.message, error.details) == (code, said["message"], details)
    else:
        assert (error.code, error.details) == (None, None)
        assert error.message == "Unexpected API response: " + json.dumps(answer.json(), separators=(",", ":"))


def arguments(call: str, function: str, sim: Sim | None = None, team: str = "") -> list[Any]:
    """Arguments with which the call would succeed."""
    source = world.sandbox(sim, team, volumes=0) if sim else "sb-x"
    return {
        "list": [],
        "create": [world.request(source)],
        "create_from_sandbox": [source, "web"],
        "create_from_revision_spec": [world.spec()],
        "update": [function, new("FunctionUpdateRequest")],
        "get_revision": [function, 1],
        "create_revision": [function, new("FunctionRevisionCreateRequest", source=world.source(source))],
        "create_revision_from_sandbox": [function, source, "web"],
        "create_revision_from_spec": [function, world.spec()],
        "get_alias": [function, "production"],
        "set_alias": [function, "production", 1],
    }.get(call, [function])


PERMISSIONS = {
    "function:read": ["list", "get", "list_revisions", "get_revision", "list_aliases", "get_alias", "get_runtime"],
    "function:create": ["create", "create_from_sandbox", "create_from_revision_spec"],
    "function:delete": ["delete"],
    "function:write": [
        "update", "create_revision", "create_revision_from_sandbox", "create_revision_from_spec", "set_alias", "restart_runtime",
        "recycle_runtime",
    ],
}  # fmt: skip
WITHOUT_ID = ["list", *PERMISSIONS["function:create"]]


def test_tables_name_every_call() -> None:
    assert sorted(name for names in PERMISSIONS.values() for name in names) == sorted(CALLS)


# ---- who may ----


@pytest.mark.parametrize("key", ["wrong", "s0_local_" + "0" * 48, "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln"])
def test_401(sdk: Sdk, api: Api, key: str) -> None:
    functions = sdk.functions(f"http://127.0.0.1:{api.port}", key)
    for call in sorted(calls_of(sdk.version)):
        check(functions, call, arguments(call, "x"), 401, "unauthorized", "a valid API key is required")


def test_401_of_another_team(sdk: Sdk, api: Api, team: str) -> None:
    functions = sdk.functions(f"http://127.0.0.1:{api.port}", api.key(team), {"X-Team-ID": str(uuid.uuid4())})
    for call in sorted(calls_of(sdk.version)):
        check(functions, call, arguments(call, "x"), 401, "unauthorized", "not a member of selected team")


def test_a_platform_key_selects_a_team(sdk: Sdk, api: Api, house: House, team: str) -> None:
    f = world.published(house, team)
    key = api.key(None)
    check(sdk.functions(f"http://127.0.0.1:{api.port}", key), "list", [], 400, "bad_request", None)
    functions = sdk.functions(f"http://127.0.0.1:{api.port}", key, {"X-Team-ID": team})
    assert [got.id for got in functions.list()] == [f.id]


@pytest.mark.parametrize("granted", PERMISSIONS)
def test_403(connect: Callable[..., Functions], house: House, team: str, granted: str) -> None:
    f = world.published(house, team)
    functions = connect(team, granted)
    refused = calls_of(functions.sdk.version) - set(PERMISSIONS[granted])
    assert refused
    for call in sorted(refused):
        check(functions, call, arguments(call, f.id), 403, "forbidden", "insufficient permissions")


@pytest.mark.parametrize("call", ["create_from_sandbox", "create_revision_from_sandbox"])
def test_403_of_a_sandbox(functions: Functions, house: House, sim: Sim, team: str, call: str) -> None:
    foreign = world.sandbox(sim, str(uuid.uuid4()), volumes=0)
    before = [] if call == "create_from_sandbox" else [world.published(house, team).id]
    check(functions, call, [*before, foreign, "web"], 403, "forbidden", "sandbox belongs to a different team")


# ---- what is not there ----

WITH_ID = sorted(set(CALLS) - set(WITHOUT_ID))


@pytest.fixture
def foreign(house: House) -> Function:
    """Another team's function."""
    return world.published(house, str(uuid.uuid4()))


@pytest.mark.parametrize("sdk, call", [(v, c) for v in VERSIONS for c in WITH_ID if c in calls_of(v)], indirect=["sdk"], scope="session")
def test_404_function(functions: Functions, house: House, sim: Sim, team: str, foreign: Function, call: str) -> None:
    """One that is not there, another team's, one that was deleted: all the same, and nothing happens."""
    deleted = world.published(house, team)
    functions.delete(deleted.id)
    for name in (str(uuid.uuid4()), "no-such-function", foreign.id, foreign.slug, deleted.id, deleted.slug):
        check(functions, call, arguments(call, name, sim, team), 404, "not_found", "function not found")
    assert set(house.states(foreign.ours).values()) == {"in_use"}
    assert house.stack.sql("SELECT count(*) FROM sandsweep.audit_log WHERE function_id = %s", (foreign.id,)) == [(0,)]
    assert house.stack.sql("SELECT count(*) FROM shared_gateway.functions_revisions WHERE function_id = %s", (foreign.id,)) == [(1,)]


def test_another_teams_function_is_in_no_list(functions: Functions, house: House, team: str, foreign: Function) -> None:
    mine = world.published(house, team)
    assert [f.id for f in functions.list()] == [mine.id]


def test_404_revision(functions: Functions, house: House, team: str) -> None:
    f = world.published(house, team)
    for number in (2, 2147483647):
        check(functions, "get_revision", [f.id, number], 404, "not_found", "function revision not found")
        check(functions, "set_alias", [f.id, "staging", number], 404, "not_found", "function revision not found")
    check(functions, "get_alias", [f.id, "staging"], 404, "not_found", "function alias not found")


def test_404_active_revision(functions: Functions, house: House, team: str) -> None:
    f = world.published(house, team)
    house.stack.sql("UPDATE shared_gateway.functions SET active_revision_id = NULL WHERE id = %s", (f.id,))
    for call in ("get_runtime", "restart_runtime", "recycle_runtime"):
        check(functions, call, [f.id], 404, "not_found", "function revision not found")


def test_404_source(functions: Functions, house: House, sim: Sim, team: str) -> None:
    f = world.published(house, team)
    source = world.sandbox(sim, team, volumes=0)
    for before, call in (([], "create_from_sandbox"), ([f.id], "create_revision_from_sandbox")):
        check(functions, call, [*before, "no-such-sandbox", "web"], 404, "not_found", "sandbox not found")
        check(functions, call, [*before, source, "no-such-service"], 404, "not_found", "sandbox service not found")
    assert [r.revision_number for r in functions.list_revisions(f.id)] == [1]


# ---- what cannot be read, or published ----


def test_400_numbers_and_names(functions: Functions, house: House, team: str) -> None:
    f = world.published(house, team)
    for number in (0, -1, 2147483648, "x"):
        check(functions, "get_revision", [f.id, number], 400, "bad_request", "revision number must be greater than zero")
    for number in (0, -1):
        check(functions, "set_alias", [f.id, "staging", number], 400, "bad_request", "revision_number must be greater than zero")
    for alias in ("Staging", "-a", "a-", "a_b", "x" * 64):
        check(functions, "set_alias", [f.id, alias, 1], 400, "bad_request", "alias must be a DNS label")
    assert [a.alias for a in functions.list_aliases(f.id)] == ["production"]


def test_400_bodies(functions: Functions, house: House, team: str) -> None:
    f = world.published(house, team)
    for request in (new("FunctionUpdateRequest", name="x" * 256), new("FunctionUpdateRequest", name=7), new("FunctionUpdateRequest", enabled="yes")):
        error = check(functions, "update", [f.id, request], 400, "bad_request", None)
        assert error.envelope["message"].startswith("invalid request: ")
    assert functions.get(f.id).enabled is True


def test_400_source(functions: Functions, house: House, team: str) -> None:
    f = world.published(house, team)
    for before, call in (([], "create_from_sandbox"), ([f.id], "create_revision_from_sandbox")):
        check(functions, call, [*before, "", "web"], 400, "bad_request", "source.sandbox_id is required")
        check(functions, call, [*before, "sb", ""], 400, "bad_request", "source.service_id is required")


BLOCKED: list[tuple[dict[str, Any], list[str]]] = [
    ({"ingress": {"public": False}}, ["not_public"]),
    ({"runtime": None}, ["missing_runtime"]),
    ({"runtime": {"type": "manual"}}, ["manual_runtime"]),
    ({"runtime": {"type": "cmd"}}, ["missing_command"]),
    ({"runtime": {"type": "warm_process"}}, ["missing_warm_process_name"]),
    ({"ingress": {"public": False}, "runtime": None}, ["missing_runtime", "not_public"]),
]


@pytest.mark.parametrize("changed, blockers", BLOCKED)
def test_400_with_blockers(functions: Functions, house: House, sim: Sim, team: str, changed: dict[str, Any], blockers: list[str]) -> None:
    f = world.published(house, team)
    service = {name: value for name, value in {**world.PLAIN, **changed}.items() if value is not None}
    source = world.sandbox(sim, team, service)
    begun = sim.live_count()
    for before, call in (([], "create_from_sandbox"), ([f.id], "create_revision_from_sandbox")):
        with pytest.raises(APIError) as caught:
            functions.call(call, *before, source, "web")
        details = caught.value.envelope["details"]
        assert sorted(details["blockers"]) == blockers and set(details) == {"blockers"}
        check(functions, call, [*before, source, "web"], 400, "bad_request", "sandbox service is not publishable", details)
    assert sim.live_count() == begun
    assert functions.list_revisions(f.id)[0].revision_number == 1


newest = pytest.mark.parametrize("sdk", [NEWEST], indirect=True, scope="session")


@newest
def test_400_spec(functions: Functions, house: House, sim: Sim, team: str) -> None:
    f = world.published(house, team)
    closed = world.spec(ingress=new("SandboxAppServiceIngress", public=False))
    message, details = "revision_spec.runtime_service is not publishable", {"blockers": ["not_public"]}
    check(functions, "create_from_revision_spec", [closed], 400, "bad_request", message, details)
    check(functions, "create_revision_from_spec", [f.id, closed], 400, "bad_request", message, details)


def mounted(kind: str, point: str = "/data", **source: Any) -> dict[str, Any]:
    given = new("FunctionRevisionMountSource", type_=new("FunctionRevisionMountSourceType", kind), **source)
    return new("FunctionRevisionMount", mount_point=point, source=given)


VOLUME = {"sandboxvolume_id": "vol-x"}
UNUSABLE: list[dict[str, Any]] = [
    {"mounts": [mounted("volume_snapshot", snapshot_id="snap-x")]},
    {"mounts": [mounted("artifact", artifact_id="a")]},
    {"mounts": [mounted("sandbox_volume")]},
    {"mounts": [mounted("sandbox_volume", "/", **VOLUME)]},
    {"mounts": [mounted("sandbox_volume", "data", **VOLUME)]},
    {"mounts": [mounted("sandbox_volume", "/a/../b", **VOLUME)]},
    {"mounts": [mounted("sandbox_volume", "/a", **VOLUME), mounted("sandbox_volume", "/b", **VOLUME)]},
    {"mounts": [mounted("sandbox_volume", "/a", sandboxvolume_id=f"vol-{n}") for n in range(2)]},
    {"mounts": [mounted("sandbox_volume", f"/m{n}", sandboxvolume_id=f"vol-{n}") for n in range(65)]},
    {"static_assets": [new("FunctionStaticAsset", artifact_id="a", route_prefix="/")]},
    {"env_refs": [new("FunctionEnvRef", name="A", source_ref="r")]},
    {"template_id": ""},
    {"template_id": "x" * 256},
]


@newest
@pytest.mark.parametrize("wrong", UNUSABLE)
def test_400_what_cannot_be_restored(functions: Functions, house: House, sim: Sim, team: str, wrong: dict[str, Any]) -> None:
    begun = sim.journal_end()
    request = new("FunctionRevisionSpec", **{"template_id": "tpl", "runtime_service": world.service_of_spec(), **wrong})
    check(functions, "create_from_revision_spec", [request], 400, "bad_request", None)
    assert functions.list() == [] and list(sim.journal(since=begun)) == []


# ---- what is taken, changed meanwhile, or asked before ----


def test_409(functions: Functions, house: House, sim: Sim, team: str) -> None:
    source, name = world.sandbox(sim, team), world.fresh_name()
    made = functions.create_from_sandbox(source, "web", name=name)
    begun = sim.live_count()
    for taken in (name, name.upper(), name.replace(" ", "--")):
        check(functions, "create_from_sandbox", [source, "web"], 409, "conflict", "function name already exists", name=taken)
    functions.delete(made.function.id)
    check(functions, "create", [world.request(source, name=name)], 409, "conflict", "function name already exists")
    wait_until(lambda: sim.live_count() == begun, "what the refused publishes had made to be gone or never made")


def with_headers(functions: Functions, **headers: str) -> Functions:
    """The same key, with more headers in every request: the SDK takes them for the whole client."""
    return functions.sdk.functions(functions.client["base_url"], functions.client["token"], {name.replace("_", "-"): text for name, text in headers.items()})


def test_412(functions: Functions, house: House, team: str) -> None:
    f = world.published(house, team)
    functions.get(f.id)
    before = functions.last.header("ETag")
    assert before
    assert with_headers(functions, If_Match=before).update(f.id, new("FunctionUpdateRequest", name="Renamed")).name == "Renamed"
    assert functions.get(f.id).name == "Renamed" and functions.last.header("ETag") != before
    late = with_headers(functions, If_Match=before)
    check(late, "update", [f.id, new("FunctionUpdateRequest", name="Lost")], 412, "conflict", "the function has changed")
    check(late, "delete", [f.id], 412, "conflict", "the function has changed")
    check(with_headers(functions, If_Match="not quoted"), "delete", [f.id], 400, "bad_request", None)
    assert functions.get(f.id).name == "Renamed"
    assert with_headers(functions, If_Match="*").delete(f.id).enabled is False


def test_412_of_an_alias(functions: Functions, house: House, team: str) -> None:
    f = world.published(house, team, revisions=3)
    functions.get_alias(f.id, "production")
    before = functions.last.header("ETag")
    assert before
    assert with_headers(functions, If_Match=before).set_alias(f.id, "production", 2).revision_number == 2
    check(with_headers(functions, If_Match=before), "set_alias", [f.id, "production", 1], 412, "conflict", "the alias has changed")
    assert functions.get_alias(f.id, "production").revision_number == 2


def test_idempotency(functions: Functions, house: House, sim: Sim, team: str) -> None:
    """The same request under the same key is done once; the SDK gets the same answer."""
    source, key = world.sandbox(sim, team), uuid.uuid4().hex
    once = with_headers(functions, Idempotency_Key=key)
    first = once.create_from_sandbox(source, "web", name=world.fresh_name())
    assert once.last.header("Idempotency-Replayed") is None
    begun = sim.live_count()
    again = once.create_from_sandbox(source, "web", name=first.function.name)
    assert again == first and once.last.status == 201 and once.last.header("Idempotency-Replayed") == "true"
    assert sim.live_count() == begun and len(functions.list()) == 1


def test_422(functions: Functions, house: House, team: str) -> None:
    f = world.published(house, team)
    once = with_headers(functions, Idempotency_Key=uuid.uuid4().hex)
    assert once.update(f.id, new("FunctionUpdateRequest", name="First")).name == "First"
    message = "this Idempotency-Key was used for another request"
    check(once, "update", [f.id, new("FunctionUpdateRequest", name="Second")], 422, "bad_request", message)
    check(once, "delete", [f.id], 422, "bad_request", message)
    check(once, "recycle_runtime", [f.id], 422, "bad_request", message)
    assert once.update(f.id, new("FunctionUpdateRequest", name="First")).name == "First"
    assert once.last.header("Idempotency-Replayed") == "true"
    for bad in ("x" * 256, "a b", '""'):
        words = "Idempotency-Key must be 1 to 255 visible ASCII characters"
        check(with_headers(functions, Idempotency_Key=bad), "recycle_runtime", [f.id], 400, "bad_request", words)


# ---- too much ----


def test_413(functions: Functions, house: House, team: str) -> None:
    f = world.published(house, team)
    check(functions, "update", [f.id, new("FunctionUpdateRequest", name="x" * 3_000_000)], 413, "bad_request", None)
    assert functions.get(f.id).name == f.slug.upper()


def test_431(functions: Functions) -> None:
    check(with_headers(functions, X_Big="x" * 20000), "list", [], 431, "bad_request", None)


def test_429(sdk: Sdk, api: Api, team: str) -> None:
    functions = sdk.functions(f"http://127.0.0.1:{api.port}", api.key(team, "*", "--rate", "1"))

    def refused() -> APIError | None:
        try:
            functions.list()
        except APIError as error:
            return error
        assert functions.last.header("X-RateLimit-Limit") == "1"
        return None

    error = wait_until(refused, "the allowance to be used up", every=0)
    assert error is not None
    check_error(functions, "list", error, 429, "quota_exceeded", None)
    assert int(functions.last.header("Retry-After") or 0) >= 1
    assert (functions.last.header("X-RateLimit-Limit"), functions.last.header("X-RateLimit-Remaining")) == ("1", "0")


# ---- what is away ----

FAULTS: list[tuple[dict[str, Any], str | None]] = [
    ({"effect": "status", "status": 503, "retry_after": 7}, "7"),
    ({"effect": "status", "status": 429, "retry_after": 3}, "3"),
    ({"effect": "status", "status": 500}, None),
    ({"effect": "reset"}, None),
    ({"effect": "malformed"}, None),
]


@pytest.mark.parametrize("fault, retry_after", FAULTS)
def test_503_of_the_platform(functions: Functions, house: House, sim: Sim, team: str, fault: dict[str, Any], retry_after: str | None) -> None:
    f = world.published(house, team)
    source = world.sandbox(sim, team, volumes=0)
    sim.fault(**fault, op="sandbox_get")
    for before, call in (([], "create_from_sandbox"), ([f.id], "create_revision_from_sandbox")):
        check(functions, call, [*before, source, "web"], 503, "unavailable", None)
        assert retry_after is None or functions.last.header("Retry-After") == retry_after
    sim.clear_faults()
    assert functions.create_from_sandbox(source, "web", name=world.fresh_name()).revision.revision_number == 1


@pytest.fixture
def postgres_away(house: House, api: Api) -> Iterator[Callable[[], None]]:
    """Call it to stop PostgreSQL. At the end it is started again, and the front for all tests has seen it."""
    yield lambda: house.stack.pg("stop")
    house.stack.pg("start")
    wait_until(lambda: api.request("GET", "/readyz")[0] == 200, "the front to be ready again")


def test_500(sdk: Sdk, house: House, team: str, postgres_away: Callable[[], None]) -> None:
    own = house.api({"api.key_cache_ms": "3600000", "api.rate_per_second": "0"})
    f = world.published(house, team)
    functions = sdk.functions(f"http://127.0.0.1:{own.port}", own.key(team))
    assert functions.get(f.id).id == f.id
    postgres_away()
    for call in sorted(calls_of(sdk.version) - set(PERMISSIONS["function:create"]) - {"create_revision", "create_revision_from_sandbox", "create_revision_from_spec"}):
        check(functions, call, arguments(call, f.id), 500, "internal_error", None)


def test_503_of_a_database_that_hangs(sdk: Sdk, house: House, team: str) -> None:
    own = house.api({"api.answer_ms": "300"})
    f = world.published(house, team)
    functions = sdk.functions(f"http://127.0.0.1:{own.port}", own.key(team))
    with holding(house.stack, f"SELECT FROM shared_gateway.functions_revisions WHERE id = '{f.active.id}' FOR UPDATE"):
        check(functions, "recycle_runtime", [f.id], 503, "unavailable", "no answer in time")

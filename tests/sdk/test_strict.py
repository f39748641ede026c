"""The strict decoder refuses what it must refuse, and its tables say what the SDKs' models say."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from tests.sdk import strict
from tests.sdk.client import VERSIONS, Sdk

TYPE = [("Content-Type", "application/json; charset=utf-8")]
NOW, ID = "2026-05-18T01:02:03.000004Z", "11111111-1111-4111-8111-111111111111"
ROOT = "/api/v1/functions"

SERVICE = {
    "id": "web", "display_name": "Web", "port": 8080, "health_check": {"path": "/"},
    "runtime": {"type": "cmd", "command": ["a", "b"], "cwd": "/", "env_vars": {"A": "b"}, "warm_process_name": "w"},
    "ingress": {
        "public": True,
        "routes": [{
            "id": "r", "resume": True, "path_prefix": "/", "methods": ["GET"], "rewrite_prefix": "/",
            "auth": {"mode": "header", "bearer_token_sha256": "a", "header_name": "b", "header_value_sha256": "c"},
            "cors": {
                "allowed_origins": ["*"], "allowed_methods": ["GET"], "allowed_headers": ["x"], "expose_headers": ["y"],
                "allow_credentials": True, "max_age_seconds": 1,
            },
            "rate_limit": {"rps": 1, "burst": 2}, "timeout_seconds": 3,
        }],
    },
}  # fmt: skip
SCALE = {"min_warm": 0, "max_active": 20, "target_concurrency": 80, "scale_down_after_seconds": 300}
FUNCTION = {
    "id": ID, "team_id": ID, "name": "n", "slug": "s", "domain_label": "s-1", "active_revision_id": ID, "enabled": True,
    "autoscaling": SCALE, "created_by": ID, "created_at": NOW, "updated_at": NOW, "deleted_at": NOW, "host": "h", "url": "https://h",
}  # fmt: skip
MOUNT = {
    "mount_point": "/data", "name": "m", "mode": "read_only", "materialization": "copy",
    "source": {
        "type": "sandbox_volume", "sandboxvolume_id": "v", "source_sandboxvolume_id": "w", "snapshot_id": "s",
        "artifact_id": "a", "digest": "d",
    },
}  # fmt: skip
REVISION = {
    "id": ID, "function_id": ID, "team_id": ID, "revision_number": 1, "source_type": "sandbox_service", "source_sandbox_id": "sb",
    "source_service_id": "web", "source_template_id": "tpl", "service_snapshot": SERVICE, "provenance": {"commit": None},
    "restore_mounts": [{"sandboxvolume_id": "v", "mount_point": "/data", "source_sandboxvolume_id": "w", "snapshot_id": "s"}],
    "revision_spec": {
        "template_id": "tpl", "runtime_service": SERVICE, "mounts": [MOUNT],
        "static_assets": [{"artifact_id": "a", "route_prefix": "/", "digest": "d"}], "env_refs": [{"name": "n", "source_ref": "r"}],
    },
    "runtime_sandbox_id": "sb", "runtime_context_id": "ctx", "runtime_updated_at": NOW, "created_by": ID, "created_at": NOW,
}  # fmt: skip
ALIAS = {"function_id": ID, "alias": "production", "revision_id": ID, "revision_number": 1, "updated_by": ID, "updated_at": NOW}
RUNTIME = {
    "function_id": ID, "revision_id": ID, "revision_number": 1, "state": "active", "phase": "ready", "autoscaling": SCALE,
    "readiness_state": "ready", "runtime_sandbox_id": "sb", "runtime_context_id": "ctx", "runtime_updated_at": NOW,
    "startup_duration_ms": 1, "last_error": "e", "last_error_at": NOW,
    "instances": [{
        "id": ID, "team_id": ID, "function_id": ID, "revision_id": ID, "sandbox_id": "sb", "context_id": "c", "state": "ready",
        "readiness_state": "ready", "startup_duration_ms": 1, "last_error": "e", "last_error_at": NOW, "ready_at": NOW,
        "last_used_at": NOW, "draining_at": NOW, "failed_at": NOW, "created_at": NOW, "updated_at": NOW,
    }],
    "recent_events": [{
        "id": ID, "team_id": ID, "function_id": ID, "revision_id": ID, "runtime_instance_id": ID, "runtime_sandbox_id": "sb",
        "runtime_context_id": "c", "phase": "idle", "readiness_state": "unknown", "reason": "r", "message": "m",
        "startup_duration_ms": 1, "created_at": NOW,
    }],
}  # fmt: skip

# (method, path below the root, status, data): each of the calls, with every field that there is.
Full = tuple[str, str, int, dict[str, Any]]
FULL: list[Full] = [
    ("GET", "", 200, {"functions": [FUNCTION]}),
    ("POST", "", 201, {"function": FUNCTION, "revision": REVISION, "alias": ALIAS}),
    ("GET", "/x", 200, {"function": FUNCTION}),
    ("PUT", "/x", 200, {"function": FUNCTION}),
    ("DELETE", "/x", 200, {"function": FUNCTION, "message": "function deleted"}),
    ("GET", "/x/revisions", 200, {"revisions": [REVISION]}),
    ("POST", "/x/revisions", 201, {"revision": REVISION, "promoted": False}),
    ("GET", "/x/revisions/1", 200, {"revision": REVISION}),
    ("GET", "/x/aliases", 200, {"aliases": [ALIAS]}),
    ("GET", "/x/aliases/production", 200, {"alias": ALIAS}),
    ("PUT", "/x/aliases/production", 200, {"alias": ALIAS}),
    ("GET", "/x/runtime", 200, {"runtime": RUNTIME}),
    ("POST", "/x/runtime/restart", 200, {"runtime": RUNTIME}),
    ("POST", "/x/runtime/recycle", 200, {"runtime": RUNTIME}),
]

# What may be missing, as "version: model field ...", by where the models stand below. All else must be there.
PLACES = {
    "function": ("GET", "/x", ["function"]),
    "revision": ("GET", "/x/revisions/1", ["revision"]),
    "restore mount": ("GET", "/x/revisions/1", ["revision", "restore_mounts", 0]),
    "service": ("GET", "/x/revisions/1", ["revision", "service_snapshot"]),
    "runtime of a service": ("GET", "/x/revisions/1", ["revision", "service_snapshot", "runtime"]),
    "ingress": ("GET", "/x/revisions/1", ["revision", "service_snapshot", "ingress"]),
    "route": ("GET", "/x/revisions/1", ["revision", "service_snapshot", "ingress", "routes", 0]),
    "auth": ("GET", "/x/revisions/1", ["revision", "service_snapshot", "ingress", "routes", 0, "auth"]),
    "rate limit": ("GET", "/x/revisions/1", ["revision", "service_snapshot", "ingress", "routes", 0, "rate_limit"]),
    "spec": ("GET", "/x/revisions/1", ["revision", "revision_spec"]),
    "mount": ("GET", "/x/revisions/1", ["revision", "revision_spec", "mounts", 0]),
    "mount source": ("GET", "/x/revisions/1", ["revision", "revision_spec", "mounts", 0, "source"]),
    "alias": ("GET", "/x/aliases/production", ["alias"]),
    "runtime": ("GET", "/x/runtime", ["runtime"]),
    "autoscaling": ("GET", "/x", ["function", "autoscaling"]),
    "instance": ("GET", "/x/runtime", ["runtime", "instances", 0]),
    "event": ("GET", "/x/runtime", ["runtime", "recent_events", 0]),
}
ALL = ("0.4.1", "0.4.5")
REQUIRED: list[tuple[str, tuple[str, ...], str]] = [
    ("function", ALL, "id team_id name slug domain_label enabled created_at updated_at host url"),
    ("function", ("0.4.5",), "autoscaling"),
    ("revision", ALL, "id function_id team_id revision_number created_at"),
    ("revision", ("0.4.1",), "source_sandbox_id source_service_id source_template_id service_snapshot"),
    ("revision", ("0.4.5",), "source_type revision_spec"),
    ("restore mount", ALL, "sandboxvolume_id mount_point"),
    ("service", ALL, "id port ingress"),
    ("runtime of a service", ALL, "type"),
    ("ingress", ALL, "public"),
    ("route", ALL, "id resume"),
    ("auth", ALL, "mode"),
    ("rate limit", ALL, "rps burst"),
    ("spec", ("0.4.5",), "template_id runtime_service"),
    ("mount", ("0.4.5",), "mount_point source"),
    ("mount source", ("0.4.5",), "type"),
    ("alias", ALL, "function_id alias revision_id revision_number updated_at"),
    ("runtime", ALL, "function_id revision_id revision_number state"),
    ("runtime", ("0.4.5",), "phase autoscaling readiness_state"),
    ("autoscaling", ("0.4.5",), "min_warm max_active target_concurrency scale_down_after_seconds"),
    ("instance", ("0.4.5",), "id team_id function_id revision_id sandbox_id state readiness_state created_at updated_at"),
    ("event", ("0.4.5",), "id team_id function_id revision_id phase readiness_state created_at"),
]
# Where the older client does not look.
UNKNOWN_TO_041 = {"spec", "mount", "mount source", "autoscaling", "instance", "event"}
ONLY_IN_045 = {
    "function": {"autoscaling"},
    "revision": {"source_type", "revision_spec", "provenance"},
    "runtime": {
        "phase", "autoscaling", "readiness_state", "startup_duration_ms", "last_error", "last_error_at", "instances", "recent_events",
    },
}  # fmt: skip


def check(version: str, answer: Full, *, status: int | None = None, headers: list[tuple[str, str]] | None = None, body: bytes | None = None) -> None:
    method, path, right, data = answer
    whole = json.dumps({"success": True, "data": data}).encode() if body is None else body
    strict.check_answer(version, method, ROOT + path, status or right, TYPE if headers is None else headers, whole)


def refused(version: str, answer: Full, says: str = "", **changed: Any) -> None:
    with pytest.raises(strict.Refused, match=says):
        check(version, answer, **changed)


def place(name: str) -> tuple[Full, dict[str, Any]]:
    """A whole good answer of one's own, and the model in it that stands there."""
    method, path, steps = PLACES[name]
    [answer] = [copy.deepcopy(row) for row in FULL if row[:2] == (method, path)]
    model: Any = answer[3]
    for step in steps:
        model = model[step]
    return answer, model


# ---- the fields ----


@pytest.mark.parametrize("version", ALL)
@pytest.mark.parametrize("answer", FULL, ids=lambda row: f"{row[0]} {row[1]}")
def test_takes_what_is_whole(version: str, answer: Full) -> None:
    check(version, answer)


def needed(version: str, name: str) -> set[str]:
    return {field for where, versions, words in REQUIRED if where == name and version in versions for field in words.split()}


@pytest.mark.parametrize("version", ALL)
@pytest.mark.parametrize("name", PLACES)
def test_a_field_is_missing(version: str, name: str) -> None:
    for field in place(name)[1]:
        answer, model = place(name)
        del model[field]
        if field in needed(version, name):
            refused(version, answer, f"{field}: is missing")
        else:
            check(version, answer)


# Fields that may hold even these; every other field refuses each of them.
WRONG: list[tuple[Any, set[str]]] = [(None, {"rewrite_prefix"}), ({"x": 1}, {"provenance", "health_check", "cors"}), ([{}], set()), (1.5, set())]


@pytest.mark.parametrize("version", ALL)
@pytest.mark.parametrize("name", PLACES)
def test_a_field_has_another_type(version: str, name: str) -> None:
    for field in place(name)[1]:
        skipped = version == "0.4.1" and (name in UNKNOWN_TO_041 or field in ONLY_IN_045.get(name, ()))
        for wrong, takers in WRONG:
            answer, model = place(name)
            model[field] = wrong
            if skipped or field in takers:
                check(version, answer)
            else:
                refused(version, answer, field)


@pytest.mark.parametrize("version", ALL)
@pytest.mark.parametrize("answer", FULL, ids=lambda row: f"{row[0]} {row[1]}")
def test_data_needs_its_members(version: str, answer: Full) -> None:
    method, path, status, data = answer
    for member in set(data) - {"message"}:
        left = {name: value for name, value in data.items() if name != member}
        refused(version, (method, path, status, left), f"{member}: is missing")
        for wrong in (None, "x", 1):
            refused(version, (method, path, status, {**data, member: wrong}), member)
    for whole in ("null", "[]", '"x"', "1"):
        refused(version, answer, "data: .* is no object", body=f'{{"success": true, "data": {whole}}}'.encode())


@pytest.mark.parametrize("version", ALL)
def test_unknown_fields_are_skipped(version: str) -> None:
    for method, path, status, data in FULL:
        check(version, (method, path, status, {**data, "next_cursor": "x", "unknown": [1.5, {"y": "z"}]}))
    for name in PLACES:
        answer, model = place(name)
        model["unknown"] = {"deep": [1]}
        check(version, answer)


@pytest.mark.parametrize("version", ALL)
@pytest.mark.parametrize("name, field", [("runtime", "state"), ("runtime of a service", "type"), ("auth", "mode")])
def test_enums(version: str, name: str, field: str) -> None:
    for wrong in ("", "ACTIVE", "Idle", "terminating"):
        answer, model = place(name)
        model[field] = wrong
        refused(version, answer, field)


@pytest.mark.parametrize(
    "name, field",
    [("revision", "source_type"), ("mount", "mode"), ("mount source", "type"), ("runtime", "phase"), ("runtime", "readiness_state"),
     ("instance", "state"), ("instance", "readiness_state"), ("event", "phase"), ("event", "readiness_state")],
)  # fmt: skip
def test_enums_of_the_newer_client(name: str, field: str) -> None:
    answer, model = place(name)
    model[field] = "Ready"
    refused("0.4.5", answer, field)
    check("0.4.1", answer)


# ---- numbers, dates, text ----

INTEGERS = ["1.0", "1e2", "1E2", "2147483648", "-2147483649", '"1"', "true", "01", "+1", "0x1", ".5", "1_000", "NaN", "Infinity", "-"]


def in_place_of(number: str, text: str) -> bytes:
    answer, _ = place("runtime")
    return json.dumps({"success": True, "data": answer[3]}).replace(f'"revision_number": {number}', f'"revision_number": {text}').encode()


@pytest.mark.parametrize("version", ALL)
def test_integers(version: str) -> None:
    answer, _ = place("runtime")
    for text in ("0", "-0", "2147483647", "-2147483648"):
        assert text.encode() in in_place_of("1", text)
        check(version, answer, body=in_place_of("1", text))
    for text in INTEGERS:
        refused(version, answer, body=in_place_of("1", text))


GOOD_TIMES = [
    "2026-05-18T01:02:03Z", "2026-05-18T01:02:03.5Z", "2026-05-18T01:02:03.123456789Z", "2026-05-18T01:02:03+00:00",
    "2026-05-18T23:59:59.999999-07:30", "2024-02-29T00:00:00Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z",
]  # fmt: skip
BAD_TIMES = [
    "", "2026-05-18", "2026-05-18T01:02Z", "2026-05-18T01:02:03", "2026-05-18 01:02:03Z", "2026-05-18t01:02:03Z",
    "2026-05-18T01:02:03z", "2026-05-18T01:02:03.Z", "2026-05-18T01:02:03,5Z", "2026-05-18T01:02:03+0000",
    "2026-05-18T01:02:03+00", "2026-05-18T01:02:03+24:00", "2026-05-18T01:02:03+00:60", "2026-05-18T01:02:03 Z",
    "2026-05-18T1:02:03Z", "2026-05-18T24:00:00Z", "2026-05-18T01:60:03Z", "2026-05-18T01:02:60Z", "2026-02-29T01:02:03Z",
    "2026-13-01T01:02:03Z", "2026-00-01T01:02:03Z", "2026-05-32T01:02:03Z", "26-05-18T01:02:03Z", "+2026-05-18T01:02:03Z",
    "2026-05-18T01:02:03Z ", "2026-05-18T01:02:03Z\n", "2026-05-18T01:02:03.000004", "infinity", "20260518T010203Z", "2026-138T01:02:03Z",
    "٢٠٢٦-05-18T01:02:03Z",
]  # fmt: skip


@pytest.mark.parametrize("version", ALL)
def test_times(version: str) -> None:
    for text in GOOD_TIMES:
        answer, model = place("function")
        model["created_at"] = text
        check(version, answer)
    for text in [*BAD_TIMES, 1779066123, True]:
        answer, model = place("function")
        model["created_at"] = text
        refused(version, answer, "created_at")


@pytest.mark.parametrize("version", ALL)
def test_bytes(version: str) -> None:
    answer, _ = place("function")
    good = json.dumps({"success": True, "data": answer[3]}).encode()
    check(version, answer, body=b" \t\r\n" + good + b" \n")
    for body in (
        b"", b" ", good[:-1], good + b"x", good + b"{}", good + b"\x00", b"\xef\xbb\xbf" + good, good.replace(b'"n"', b'"\xff"'),
        good.replace(b'"n"', b'"\\ud800"'), good.replace(b'"n"', b'"\n"'), good.replace(b'"n"', b"'n'"), good.replace(b'"n"', b'"n",'),
        good.replace(b'"id"', b'"slug"', 1), b"[" + good + b"]", good.decode().encode("utf-16"),
    ):  # fmt: skip
        assert body != good
        refused(version, answer, body=body)


# ---- around the data ----


@pytest.mark.parametrize("version", ALL)
def test_envelope(version: str) -> None:
    answer, _ = place("alias")
    data = json.dumps(answer[3])
    for text in (
        "{}", '{"success": true}', data, f'{{"data": {data}}}', f'{{"success": false, "data": {data}}}',
        f'{{"success": "true", "data": {data}}}', f'{{"success": 1, "data": {data}}}', f'{{"success": null, "data": {data}}}',
        '{"success": true, "data": null}', f'{{"success": true, "Data": {data}}}', f'{{"success": true, "data": [{data}]}}',
        f'{{"success": true, "success": true, "data": {data}}}',
    ):  # fmt: skip
        refused(version, answer, body=text.encode())


@pytest.mark.parametrize("version", ALL)
@pytest.mark.parametrize("answer", FULL, ids=lambda row: f"{row[0]} {row[1]}")
def test_only_the_documented_status(version: str, answer: Full) -> None:
    for status in {200, 201, 202, 203, 204, 206, 301, 304, 307, 100} - {answer[2]}:
        refused(version, answer, "status", status=status)


GOOD_TYPES = ["application/json", "application/json; charset=utf-8", "Application/JSON;charset=UTF-8", "application/json;", 'application/json; charset="utf-8"']
BAD_TYPES = ["", "text/json", "text/plain", "application/problem+json", "application/jsonp", "application/json, text/plain", "application/json; charset",
             "application/json; charset=", "json", "application/ json", "*/*"]  # fmt: skip


@pytest.mark.parametrize("version", ALL)
def test_content_type(version: str) -> None:
    for status, body in ((200, None), (404, b'{"success":false,"error":{"code":"c","message":"m"}}')):
        answer, _ = place("alias")
        more = {} if body is None else {"body": body}
        for text in GOOD_TYPES:
            check(version, answer, status=status, headers=[("content-type", text)], **more)
        for headers in [[], TYPE + TYPE, *([("Content-Type", text)] for text in BAD_TYPES)]:
            refused(version, answer, "Content-Type", status=status, headers=headers, **more)


@pytest.mark.parametrize("method, path", [("PATCH", "/x"), ("POST", "/x"), ("DELETE", ""), ("GET", "/x/cleanup"), ("GET", "/x/runtime/restart"), ("GET", "/x/")])
def test_calls_that_no_client_has(method: str, path: str) -> None:
    for version in ALL:
        refused(version, (method, path, 200, {"function": FUNCTION}), "no call")


# ---- errors ----

ERROR = {"success": False, "error": {"code": "not_found", "message": "function not found"}}


def error(body: Any, status: int = 404) -> None:
    strict.check_answer("0.4.1", "GET", f"{ROOT}/x", status, TYPE, body if isinstance(body, bytes) else json.dumps(body).encode())


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 409, 412, 413, 422, 429, 431, 500, 503, 599])
def test_errors(status: int) -> None:
    error(ERROR, status)
    for details in ({"blockers": ["not_public"]}, [], "text", 0, False):
        error({**ERROR, "error": {**ERROR["error"], "details": details}}, status)


@pytest.mark.parametrize(
    "body",
    [
        b"", b"not found", b"404 page not found", [], {}, None, {"error": "rate limit exceeded", "retry_after": 1}, {"success": False},
        {**ERROR, "success": True}, {**ERROR, "success": "false"}, {"error": ERROR["error"]}, {"success": False, "error": "not found"},
        {"success": False, "error": []}, {"success": False, "error": None}, {"success": False, "error": {"code": "c"}},
        {"success": False, "error": {"message": "m"}}, {"success": False, "error": {"code": "c", "message": ""}},
        {"success": False, "error": {"code": "c", "message": " "}}, {"success": False, "error": {"code": "", "message": "m"}},
        {"success": False, "error": {"code": 404, "message": "m"}}, {"success": False, "error": {"code": "c", "message": None}},
        {"success": False, "error": {"code": "c", "message": "m", "details": None}}, json.dumps(ERROR).encode() + b"x",
        {"success": False, "error": {"code": "c", "message": "m" * 65536}},
    ],
)  # fmt: skip
def test_what_is_no_error(body: Any) -> None:
    with pytest.raises(strict.Refused):
        error(body)


# ---- the tables and the SDKs come from the same API descriptions ----

SAME = {"0.4.1": VERSIONS[0], "0.4.5": VERSIONS[1]}  # the versions of the Go client, and Python's that are made from the same


@pytest.mark.parametrize("sdk", VERSIONS, indirect=True, scope="session")
def test_tables_are_those_of_the_sdk(sdk: Sdk) -> None:
    [version] = [go for go, python in SAME.items() if python == sdk.version]
    models, enums = strict.VERSIONS[version]
    found = sdk.describe()
    for name, table in models.items():
        ours = {field.removesuffix("?"): ["optional" if field.endswith("?") else "required", kind] for field, kind in table.items()}
        theirs = {field: [how, " or ".join(kinds)] for field, (how, *kinds) in found["models"][name].items()}
        assert ours == theirs, name
    assert {name: sorted(values) for name, values in enums.items()} == {name: sorted(found["enums"][name]) for name in enums}

"""Decodes an answer as strictly as the platform's Go client does, for both of its versions that know functions.

The Go client's decoder is generated: it stops at a required field that is missing, at null, at an enum's
unknown value, at a number or a date in another form, at what stands behind the document, at a status that
the API description does not name. Python's SDK forgives most of that. Here are its rules as tables; where it
is not known whether the decoder forgives something that JSON or RFC 3339 forbids, it is refused.
"""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn

ERROR_MAX_BYTES = 64 * 1024  # the client reads no more of an error


class Refused(Exception):
    """The client could not digest the answer; the text says what, and where."""


def refuse(at: str, what: str) -> NoReturn:
    raise Refused(f"{at}: {what}")


# ---- the tables ----
# A model's fields: `name` must be there, `name?` may be. A kind is a word below, `list KIND`, `map KIND`, an
# enum or another model. Fields that are not named are skipped.

Models = Mapping[str, Mapping[str, str]]
Enums = Mapping[str, tuple[str, ...]]

V041_ENUMS: Enums = {
    "FunctionRuntimeState": ("disabled", "idle", "active"),
    "SandboxAppServiceRuntimeType": ("warm_process", "cmd", "manual"),
    "SandboxAppServiceRouteAuthMode": ("none", "bearer", "header"),
}

V041: Models = {
    "FunctionRecord": {
        "id": "text", "team_id": "text", "name": "text", "slug": "text", "domain_label": "text",
        "active_revision_id?": "text", "enabled": "bool", "created_by?": "text", "created_at": "time",
        "updated_at": "time", "deleted_at?": "time", "host": "text", "url": "text",
    },
    "FunctionRevision": {
        "id": "text", "function_id": "text", "team_id": "text", "revision_number": "int",
        "source_sandbox_id": "text", "source_service_id": "text", "source_template_id": "text",
        "restore_mounts?": "list FunctionRestoreMount", "service_snapshot": "SandboxAppService",
        "runtime_sandbox_id?": "text", "runtime_context_id?": "text", "runtime_updated_at?": "time",
        "created_by?": "text", "created_at": "time",
    },
    "FunctionRestoreMount": {
        "sandboxvolume_id": "text", "mount_point": "text", "source_sandboxvolume_id?": "text", "snapshot_id?": "text",
    },
    "FunctionAlias": {
        "function_id": "text", "alias": "text", "revision_id": "text", "revision_number": "int",
        "updated_by?": "text", "updated_at": "time",
    },
    "FunctionRuntimeStatus": {
        "function_id": "text", "revision_id": "text", "revision_number": "int", "state": "FunctionRuntimeState",
        "runtime_sandbox_id?": "text", "runtime_context_id?": "text", "runtime_updated_at?": "time",
    },
    "SandboxAppService": {
        "id": "text", "port": "int", "ingress": "SandboxAppServiceIngress", "display_name?": "text",
        "runtime?": "SandboxAppServiceRuntime", "health_check?": "SandboxAppServiceHealth",
    },
    "SandboxAppServiceHealth": {"path?": "text"},
    "SandboxAppServiceIngress": {"public": "bool", "routes?": "list SandboxAppServiceRoute"},
    "SandboxAppServiceRuntime": {
        "type": "SandboxAppServiceRuntimeType", "command?": "list text", "cwd?": "text",
        "env_vars?": "SandboxAppServiceRuntimeEnvVars", "warm_process_name?": "text",
    },
    "SandboxAppServiceRoute": {
        "id": "text", "resume": "bool", "path_prefix?": "text", "methods?": "list text", "rewrite_prefix?": "null or text",
        "auth?": "SandboxAppServiceRouteAuth", "cors?": "SandboxAppServiceRouteCORS",
        "rate_limit?": "SandboxAppServiceRouteRateLimit", "timeout_seconds?": "int",
    },
    "SandboxAppServiceRouteAuth": {
        "mode": "SandboxAppServiceRouteAuthMode", "bearer_token_sha256?": "text", "header_name?": "text",
        "header_value_sha256?": "text",
    },
    "SandboxAppServiceRouteCORS": {
        "allowed_origins?": "list text", "allowed_methods?": "list text", "allowed_headers?": "list text",
        "expose_headers?": "list text", "allow_credentials?": "bool", "max_age_seconds?": "int",
    },
    "SandboxAppServiceRouteRateLimit": {"rps": "int", "burst": "int"},
    "SuccessFunctionListResponseData": {"functions": "list FunctionRecord"},
    "SuccessFunctionResponseData": {"function": "FunctionRecord"},
    "SuccessFunctionCreateResponseData": {"function": "FunctionRecord", "revision": "FunctionRevision", "alias": "FunctionAlias"},
    "SuccessFunctionRevisionListResponseData": {"revisions": "list FunctionRevision"},
    "SuccessFunctionRevisionResponseData": {"revision": "FunctionRevision"},
    "SuccessFunctionRevisionCreateResponseData": {"revision": "FunctionRevision", "promoted": "bool"},
    "SuccessFunctionAliasListResponseData": {"aliases": "list FunctionAlias"},
    "SuccessFunctionAliasResponseData": {"alias": "FunctionAlias"},
    "SuccessFunctionRuntimeResponseData": {"runtime": "FunctionRuntimeStatus"},
}  # fmt: skip

V045_ENUMS: Enums = {
    **V041_ENUMS,
    "FunctionRevisionSourceType": ("sandbox_service", "revision_spec", "artifact"),
    "FunctionRevisionMountMode": ("read_only", "read_write"),
    "FunctionRevisionMountSourceType": ("sandbox_volume", "volume_snapshot", "artifact"),
    "FunctionRuntimePhase": ("disabled", "idle", "provisioning", "starting", "ready", "draining", "failed"),
    "FunctionRuntimeReadinessState": ("unknown", "checking", "ready", "failed"),
    "FunctionRuntimeInstanceState": ("starting", "ready", "draining", "failed"),
}

V045: Models = {
    **V041,
    "FunctionAutoscaling": {"min_warm": "int", "max_active": "int", "target_concurrency": "int", "scale_down_after_seconds": "int"},
    "FunctionRecord": {**V041["FunctionRecord"], "autoscaling": "FunctionAutoscaling"},
    "FunctionRevision": {
        "id": "text", "function_id": "text", "team_id": "text", "revision_number": "int",
        "source_type": "FunctionRevisionSourceType", "revision_spec": "FunctionRevisionSpec",
        "provenance?": "FunctionRevisionProvenance", "source_sandbox_id?": "text", "source_service_id?": "text",
        "source_template_id?": "text", "restore_mounts?": "list FunctionRestoreMount",
        "service_snapshot?": "SandboxAppService", "runtime_sandbox_id?": "text", "runtime_context_id?": "text",
        "runtime_updated_at?": "time", "created_by?": "text", "created_at": "time",
    },
    "FunctionRevisionSpec": {
        "template_id": "text", "runtime_service": "SandboxAppService", "mounts?": "list FunctionRevisionMount",
        "static_assets?": "list FunctionStaticAsset", "env_refs?": "list FunctionEnvRef",
    },
    "FunctionRevisionMount": {
        "mount_point": "text", "source": "FunctionRevisionMountSource", "name?": "text",
        "mode?": "FunctionRevisionMountMode", "materialization?": "text",
    },
    "FunctionRevisionMountSource": {
        "type": "FunctionRevisionMountSourceType", "sandboxvolume_id?": "text", "source_sandboxvolume_id?": "text",
        "snapshot_id?": "text", "artifact_id?": "text", "digest?": "text",
    },
    "FunctionStaticAsset": {"artifact_id": "text", "route_prefix": "text", "digest?": "text"},
    "FunctionEnvRef": {"name": "text", "source_ref": "text"},
    "FunctionRuntimeStatus": {
        **V041["FunctionRuntimeStatus"], "phase": "FunctionRuntimePhase", "autoscaling": "FunctionAutoscaling",
        "readiness_state": "FunctionRuntimeReadinessState", "startup_duration_ms?": "int", "last_error?": "text",
        "last_error_at?": "time", "instances?": "list FunctionRuntimeInstance", "recent_events?": "list FunctionRuntimeEvent",
    },
    "FunctionRuntimeInstance": {
        "id": "text", "team_id": "text", "function_id": "text", "revision_id": "text", "sandbox_id": "text",
        "context_id?": "text", "state": "FunctionRuntimeInstanceState", "readiness_state": "FunctionRuntimeReadinessState",
        "startup_duration_ms?": "int", "last_error?": "text", "last_error_at?": "time", "ready_at?": "time",
        "last_used_at?": "time", "draining_at?": "time", "failed_at?": "time", "created_at": "time", "updated_at": "time",
    },
    "FunctionRuntimeEvent": {
        "id": "text", "team_id": "text", "function_id": "text", "revision_id": "text", "runtime_instance_id?": "text",
        "runtime_sandbox_id?": "text", "runtime_context_id?": "text", "phase": "FunctionRuntimePhase",
        "readiness_state": "FunctionRuntimeReadinessState", "reason?": "text", "message?": "text",
        "startup_duration_ms?": "int", "created_at": "time",
    },
}  # fmt: skip

VERSIONS: Mapping[str, tuple[Models, Enums]] = {"0.4.1": (V041, V041_ENUMS), "0.4.5": (V045, V045_ENUMS)}

# What a route answers when all is well: its one status, and what `data` holds.
ROOT = "/api/v1/functions"
ROUTES: list[tuple[str, re.Pattern[str], int, str]] = [
    (method, re.compile(ROOT + re.sub("{[a-z]+}", "[^/]+", below)), status, f"SuccessFunction{data}ResponseData")
    for method, below, status, data in [
        ("GET", "", 200, "List"),
        ("POST", "", 201, "Create"),
        ("GET", "/{id}", 200, ""),
        ("PUT", "/{id}", 200, ""),
        ("DELETE", "/{id}", 200, ""),
        ("GET", "/{id}/revisions", 200, "RevisionList"),
        ("POST", "/{id}/revisions", 201, "RevisionCreate"),
        ("GET", "/{id}/revisions/{number}", 200, "Revision"),
        ("GET", "/{id}/aliases", 200, "AliasList"),
        ("GET", "/{id}/aliases/{alias}", 200, "Alias"),
        ("PUT", "/{id}/aliases/{alias}", 200, "Alias"),
        ("GET", "/{id}/runtime", 200, "Runtime"),
        ("POST", "/{id}/runtime/restart", 200, "Runtime"),
        ("POST", "/{id}/runtime/recycle", 200, "Runtime"),
    ]
]

# ---- simple kinds ----

TIME = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.\d+)?(?:Z|[+-]([01]\d|2[0-3]):[0-5]\d)", re.ASCII)


def check_text(value: Any, at: str) -> None:
    if type(value) is not str:
        refuse(at, f"{value!r} is no string")
    try:
        value.encode()
    except UnicodeEncodeError:
        refuse(at, "half of a surrogate pair")


def check_bool(value: Any, at: str) -> None:
    if type(value) is not bool:
        refuse(at, f"{value!r} is not true or false")


def check_int(value: Any, at: str) -> None:
    """Of 32 bits: 1.0 and 1e3 are no integers, and are read as another type already."""
    if type(value) is not int or not -(2**31) <= value < 2**31:
        refuse(at, f"{value!r} is no integer of 32 bits")


def check_time(value: Any, at: str) -> None:
    check_text(value, at)
    match = TIME.fullmatch(value)
    try:
        datetime.datetime(*[int(number) for number in match.groups()[:6]])  # type: ignore[union-attr]
    except (AttributeError, ValueError):
        refuse(at, f"{value!r} is no RFC 3339 time")


def check_free(value: Any, at: str) -> None:
    """An object whose values are the user's own."""
    if type(value) is not dict:
        refuse(at, f"{value!r} is no object")


def check_texts(value: Any, at: str) -> None:
    check_free(value, at)
    for name, item in value.items():
        check_text(item, f"{at}.{name}")


def check_null_or_text(value: Any, at: str) -> None:
    if value is not None:
        check_text(value, at)


SIMPLE: Mapping[str, Callable[[Any, str], None]] = {
    "text": check_text,
    "bool": check_bool,
    "int": check_int,
    "time": check_time,
    "null or text": check_null_or_text,
    "FunctionRevisionProvenance": check_free,
    "SandboxAppServiceRuntimeEnvVars": check_texts,
}


# ---- models ----


class Decoder:
    """One version of the client."""

    def __init__(self, version: str) -> None:
        self.models, self.enums = VERSIONS[version]

    def check(self, value: Any, kind: str, at: str) -> None:
        if kind in SIMPLE:
            SIMPLE[kind](value, at)
        elif kind.startswith("list "):
            self._check_list(value, kind.removeprefix("list "), at)
        elif kind in self.enums:
            if value not in self.enums[kind]:
                refuse(at, f"{value!r} is not one of {self.enums[kind]}")
        else:
            self._check_model(value, self.models[kind], at)

    def _check_list(self, value: Any, kind: str, at: str) -> None:
        if type(value) is not list:
            refuse(at, f"{value!r} is no array")
        for number, item in enumerate(value):
            self.check(item, kind, f"{at}[{number}]")

    def _check_model(self, value: Any, fields: Mapping[str, str], at: str) -> None:
        check_free(value, at)
        for name, kind in fields.items():
            plain = name.removesuffix("?")
            if plain in value:
                self.check(value[plain], kind, f"{at}.{plain}")
            elif name == plain:
                refuse(f"{at}.{plain}", "is missing")


# ---- whole answers ----

# As MIME: a type, and parameters that are tokens or quoted.
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
CONTENT_TYPE = re.compile(rf'application/json[ \t]*(?:;[ \t]*(?:{_TOKEN}=(?:{_TOKEN}|"[^"\\]*"))?[ \t]*)*', re.IGNORECASE)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) < len(pairs):
        refuse("body", f"a name twice in {[name for name, _ in pairs]}")
    return dict(pairs)


def _no_constant(text: str) -> NoReturn:
    refuse("body", f"{text} is no JSON")


def parse(body: bytes) -> Any:
    """One JSON document and nothing else."""
    try:
        return json.loads(body.decode(), object_pairs_hook=_once, parse_constant=_no_constant)
    except ValueError as error:
        refuse("body", f"no JSON: {error}")


def check_content_type(headers: Iterable[tuple[str, str]]) -> None:
    given = [value for name, value in headers if name.lower() == "content-type"]
    if len(given) != 1 or not CONTENT_TYPE.fullmatch(given[0].strip()):
        refuse("Content-Type", f"{given} is not application/json")


def check_error(body: bytes) -> None:
    if len(body) > ERROR_MAX_BYTES:
        refuse("body", f"an error of {len(body)} bytes")
    envelope = parse(body)
    check_free(envelope, "body")
    if envelope.get("success") is not False:
        refuse("success", "is not false")
    check_free(envelope.get("error"), "error")
    for name in ("code", "message"):
        check_text(envelope["error"].get(name), f"error.{name}")
        if not envelope["error"][name].strip():
            refuse(f"error.{name}", "is blank")
    if envelope["error"].get("details", True) is None:
        refuse("error.details", "is null")


def route_of(method: str, path: str) -> tuple[int, str]:
    plain = path.split("?")[0]
    for verb, pattern, status, data in ROUTES:
        if verb == method and pattern.fullmatch(plain):
            return status, data
    refuse("path", f"the client has no call for {method} {path}")


def check_success(version: str, method: str, path: str, status: int, body: bytes) -> None:
    wanted, data = route_of(method, path)
    if status != wanted:
        refuse("status", f"{status}, where only {wanted} is documented")
    envelope = parse(body)
    check_free(envelope, "body")
    if envelope.get("success") is not True:
        refuse("success", "is not true")
    if "data" not in envelope:
        refuse("data", "is missing")
    Decoder(version).check(envelope["data"], data, "data")


def check_answer(version: str, method: str, path: str, status: int, headers: Iterable[tuple[str, str]], body: bytes) -> None:
    """Raises Refused if that version of the client could not make of it what the server meant."""
    check_content_type(headers)
    if status >= 400:
        check_error(body)
    else:
        check_success(version, method, path, status, body)

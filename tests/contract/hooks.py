"""What schemathesis cannot know of this API: each hook says which, and is as narrow as that."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Any

import jsonschema_rs
import schemathesis
from schemathesis.core.failures import AcceptedNegativeData, Failure
from schemathesis.core.parameters import ParameterLocation
from schemathesis.openapi.checks import RejectedPositiveData, UseAfterFree

UUID = "[0-9A-Fa-f]{8}-([0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}"
NAME_MAX = 60
IDEMPOTENCY_KEY = '"?[!#-~]{1,255}"?'
IGNORED_TYPES = {"sandbox_id": str, "service_id": str, "sandbox_service": dict, "revision_spec": dict}
_count = itertools.count(1)
_victims: list[str] = json.loads(Path("victims.json").read_text())
_team, _cursor = Path("team.txt").read_text(), Path("cursor.txt").read_text()
_served = {json.loads(line) for line in Path("functions.dict").read_text().splitlines()}


@schemathesis.hook
def before_call(ctx: schemathesis.HookContext, case: schemathesis.Case, kwargs: dict[str, Any]) -> None:
    """Lets most requests get to where something happens; one in eight stays as it was made up.

    What is read of a function is read without a team: a stranger asks for the same afterwards, to whom it
    must be 404, and with the owner's team it would be 401 at once. DELETE gets functions of its own, each
    once: else all would soon be 404. A team that is not the key's is 401, so the key's own is named. A cursor
    is one that the front has made, or else 400. An Idempotency-Key that was used before is 422, and a
    function's name 409, so they are made unique.
    """
    number = next(_count)
    if case.method == "GET" and "{id}" in case.path and re.fullmatch(UUID, str((case.headers or {}).get("X-Team-ID", ""))):
        del case.headers["X-Team-ID"]
    if case.method == "DELETE" and (case.path_parameters or {}).get("id") in _served and _victims:
        case.path_parameters["id"] = _victims.pop()
    if "cursor" in (case.query or {}) and not (case.meta and case.meta.is_negative_at(ParameterLocation.QUERY)):
        case.query["cursor"] = _cursor
    if number % 8 and case.path == "/api/v1/functions" and is_good_name(case):
        case.body["name"] = f"Made {number}"
    for name, good, value in (("X-Team-ID", UUID, _team), ("Idempotency-Key", IDEMPOTENCY_KEY, f"case-{number}")):
        if number % 8 and re.fullmatch(good, str((case.headers or {}).get(name, ""))):
            case.headers[name] = value


def is_good_name(case: schemathesis.Case) -> bool:
    return isinstance(case.body, dict) and isinstance(case.body.get("name", ""), str) and len(case.body.get("name", "")) < NAME_MAX


@schemathesis.hook
def filter_failure(ctx: schemathesis.HookContext, failure: Failure, case: schemathesis.Case, response: schemathesis.Response) -> bool:
    """False for what is no failure by our contract."""
    if isinstance(failure, RejectedPositiveData):
        return not any(excuse(case, response) for excuse in (is_no_good_header, is_refused_number, is_long_in_bytes, is_mounted_twice))
    if isinstance(failure, AcceptedNegativeData):
        return not is_valid_as_read(case)
    if isinstance(failure, UseAfterFree):
        # What a deleted function has left behind is what this one is asked for.
        return case.path != "/api/v1/functions/{id}/cleanup"
    return True


def message_of(response: schemathesis.Response) -> str:
    try:
        return response.json()["error"]["message"]
    except (ValueError, KeyError, TypeError):
        return ""


def is_no_good_header(case: schemathesis.Case, response: schemathesis.Response) -> bool:
    """Of a header that needs a quote or an asterisk schemathesis makes no good values; it then sends 0, and
    takes that for good."""
    if response.status_code != 400:
        return False
    known = case.operation.get_parameter_set(ParameterLocation.HEADER)
    return any(name in known and not known.get(name).get_validator().is_valid(str(value)) for name, value in (case.headers or {}).items())


def is_refused_number(case: schemathesis.Case, response: schemathesis.Response) -> bool:
    """JSON Schema takes 5.0 for an integer; the contract's clients write whole numbers as 5, and so do we. And
    it sets no end to numbers in fields that it does not list."""
    message, numbers = message_of(response), list(walk(case.body))
    if "must be a whole number" in message:
        return any(isinstance(n, float) and n.is_integer() for n in numbers)
    return "too big" in message and any(isinstance(n, int) and not -(2**63) <= n < 2**63 for n in numbers)


def is_long_in_bytes(case: schemathesis.Case, response: schemathesis.Response) -> bool:
    """JSON Schema counts characters, and we count bytes."""
    told = re.search(r"must have \d+ to (\d+) bytes", message_of(response))
    texts = [text for text in walk(case.body) if isinstance(text, str)]
    return told is not None and any(len(text.encode(errors="surrogatepass")) > int(told[1]) >= len(text) for text in texts)


def is_mounted_twice(case: schemathesis.Case, response: schemathesis.Response) -> bool:
    """JSON Schema cannot say that a member of the items must differ."""
    if "comes twice" not in message_of(response):
        return False
    mounts = case.body["source"]["revision_spec"]["mounts"]
    volumes = {mount["source"]["sandboxvolume_id"] for mount in mounts}
    places = {tuple(name for name in mount["mount_point"].split("/") if name not in ("", ".")) for mount in mounts}
    return len(volumes) < len(mounts) or len(places) < len(mounts)


def walk(value: Any) -> Any:
    """Every number and text below."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from walk(item)
    else:
        yield value


def is_valid_as_read(case: schemathesis.Case) -> bool:
    """What is not read is not judged.

    A null in a request counts as if the field were not there. The document says so in words; a schema that
    allowed it would turn every optional field of a generated client into two kinds of nothing. A source may
    carry what belongs to the other kind of source. And of an id that stands in `sandbox_service` and beside it,
    the inner one counts, each for itself.
    """
    alternative = case.operation.get_body_for_media_type(case.media_type) if isinstance(case.body, dict) else None
    others = case.meta is None or any(part.mode.is_negative for where, part in case.meta.components.items() if where != ParameterLocation.BODY)
    if alternative is None or others:
        return False
    body = without_nulls(case.body)
    if isinstance(body.get("source"), dict):
        body["source"] = what_counts(body["source"])
    return jsonschema_rs.validator_for(alternative.optimized_schema).is_valid(body)


def what_counts(source: dict[str, Any]) -> dict[str, Any]:
    kind = source.get("type", "revision_spec" if "revision_spec" in source else "sandbox_service")
    nested = source.get("sandbox_service", {})
    if kind == "sandbox_service" and isinstance(nested, dict):
        source = {**source, **nested}
    ignored = {"revision_spec": ("sandbox_id", "service_id", "sandbox_service"), "sandbox_service": ("revision_spec", "sandbox_service")}.get(kind, ())
    return {name: value for name, value in source.items() if name not in ignored or not isinstance(value, IGNORED_TYPES[name])}


def without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without_nulls(item) for name, item in value.items() if item is not None}
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    return value

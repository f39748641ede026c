"""Calls one version of the platform's Python SDK, in its virtual environment, for tests in another Python.

Each line of standard input is a request, each line of standard output what came of it:

    {"client": {"base_url", "token", "headers"}, "call": "functions.list", "args": [], "kwargs": {}}
        -> {"value": V} or {"error": {"type", ...}}, and "answers": [what the server sent, byte for byte]
    {"describe": true} -> {"value": {"calls", "models", "enums"}}: what there is in the SDK

A value V is JSON as it is, but for {"$": KIND, ...}: `unset`, `time`, `enum`, `object`, `map`. Arguments are
too, with {"$": "new"}: a model, its from_dict, or a function of the package, called with what is given.
"""

from __future__ import annotations

import base64
import datetime
import enum
import functools
import inspect
import json
import os
import sys
import typing
from typing import Any

import attrs
import httpx
import sandbox0
from sandbox0.apispec import models
from sandbox0.apispec.types import Unset
from sandbox0.client_functions import ClientFunctionsMixin

TIMEOUT_S = 30


# ---- values ----


def encode(value: Any) -> Any:
    if isinstance(value, Unset):
        return {"$": "unset"}
    if isinstance(value, enum.Enum):
        return {"$": "enum", "type": type(value).__name__, "value": value.value}
    if isinstance(value, datetime.datetime):
        return {"$": "time", "text": value.isoformat()}
    if isinstance(value, list):
        return [encode(item) for item in value]
    if isinstance(value, dict):
        return {"$": "map", "items": {name: encode(item) for name, item in value.items()}}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    fields = dict(vars(value)) if not attrs.has(type(value)) else {f.name: getattr(value, f.name) for f in attrs.fields(type(value))}
    extra = fields.pop("additional_properties", {})
    return {"$": "object", "type": type(value).__name__, "fields": encode(fields)["items"], "extra": encode(extra)}


def decode(value: Any) -> Any:
    if isinstance(value, list):
        return [decode(item) for item in value]
    if not isinstance(value, dict):
        return value
    if value.get("$") != "new":
        return {name: decode(item) for name, item in value.items()}
    name, *method = value["type"].split(".")
    make: Any = getattr(sandbox0, name, None) or getattr(models, name)
    return (getattr(make, method[0]) if method else make)(*decode(value["args"]), **decode(value["kwargs"]))


# ---- calls ----

answers: list[dict[str, Any]] = []


def record(response: httpx.Response) -> None:
    """What the server sent, before the SDK's own hook may change it."""
    answers.append(
        {
            "method": response.request.method,
            "path": response.request.url.raw_path.decode(),
            "sent": base64.b64encode(response.request.content).decode(),
            "status": response.status_code,
            "headers": response.headers.multi_items(),
            "body": base64.b64encode(response.read()).decode(),
        }
    )


@functools.lru_cache(maxsize=256)
def connect(base_url: str, token: str, headers: tuple[tuple[str, str], ...]) -> sandbox0.Client:
    # It is plain HTTP; with verify_ssl, each client would read all certificates twice.
    client = sandbox0.Client(token=token, base_url=base_url, headers=dict(headers), timeout=TIMEOUT_S, verify_ssl=False)
    http = client.api.get_httpx_client()
    http.event_hooks = {"response": [record, *http.event_hooks["response"]]}
    return client


def describe_error(error: Exception) -> dict[str, Any]:
    if not isinstance(error, sandbox0.APIError):
        return {"type": type(error).__name__, "text": str(error)}
    fields = ("code", "message", "request_id", "details")
    body = None if error.body is None else error.body.decode(errors="replace")
    return {"type": "APIError", "status": error.status_code, "body": body, **{name: encode(getattr(error, name)) for name in fields}}


def call(request: dict[str, Any]) -> dict[str, Any]:
    answers.clear()
    at = request["client"]
    try:
        target: Any = connect(at["base_url"], at["token"], tuple(sorted(at["headers"].items())))
        for name in request["call"].split("."):
            target = getattr(target, name)
        outcome = {"value": encode(target(*decode(request["args"]), **decode(request["kwargs"])))}
    except Exception as error:  # the test decides whether it may be
        outcome = {"error": describe_error(error)}
    return {**outcome, "answers": list(answers)}


# ---- what there is ----

KINDS = {str: "text", bool: "bool", int: "int", float: "float", datetime.datetime: "time", type(None): "null"}


def kind_of(annotation: Any) -> str:
    if isinstance(annotation, typing.ForwardRef):
        return annotation.__forward_arg__
    if typing.get_origin(annotation) is list:
        return f"list {kind_of(typing.get_args(annotation)[0])}"
    return KINDS.get(annotation) or getattr(annotation, "__name__", str(annotation))


def describe_model(model: type) -> dict[str, list[str]]:
    """Each field: whether it may be absent, and what it may hold."""
    fields = {}
    for field in attrs.fields(model):
        if field.name != "additional_properties":
            parts = typing.get_args(field.type) if typing.get_origin(field.type) is typing.Union else [field.type]
            optional = Unset in parts
            fields[field.name.rstrip("_")] = ["optional" if optional else "required", *sorted(kind_of(p) for p in parts if p is not Unset)]
    return fields


def describe() -> dict[str, Any]:
    calls = [f"functions.{name}" for name, _ in inspect.getmembers(sandbox0.Functions, inspect.isfunction)]
    calls += [name for name, _ in inspect.getmembers(ClientFunctionsMixin, inspect.isfunction)]
    found = dict(inspect.getmembers(models, inspect.isclass))
    return {
        "calls": [name for name in calls if "_" not in (name[0], name.split(".")[-1][0])],
        "models": {name: describe_model(model) for name, model in found.items() if attrs.has(model)},
        "enums": {name: [item.value for item in model] for name, model in found.items() if issubclass(model, enum.Enum)},
    }


def main() -> None:
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever else prints does not mix with the answers
    for line in sys.stdin:
        request = json.loads(line)
        print(json.dumps({"value": describe()} if request.get("describe") else call(request)), file=out, flush=True)


if __name__ == "__main__":
    main()

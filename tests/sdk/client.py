"""The platform's Python SDK from tests: its calls, made by the driver in the SDK's own Python.

    with Sdk("0.4.5", directory) as sdk:
        functions = sdk.functions("http://127.0.0.1:8080", key)
        assert functions.get("my-slug").enabled is True

What a call returns is what the SDK made of the answer, and the answer itself has passed strict.py for every
version. APIError is the SDK's own error; anything else that it raised fails the test as Undigested.
"""

from __future__ import annotations

import base64
import datetime
import json
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.sdk import strict
from tests.support.stack import ROOT

HERE = Path(__file__).resolve().parent
VERSIONS = sorted(path.stem.removeprefix("requirements-") for path in HERE.glob("requirements-*.txt"))
NEWEST = VERSIONS[-1]

# The SDK has every call twice, and these are the two names.
CALLS = {
    "list": "list_functions",
    "get": "get_function",
    "create": "create_function",
    "create_from_sandbox": "create_function_from_sandbox",
    "create_from_revision_spec": "create_function_from_revision_spec",
    "update": "update_function",
    "delete": "delete_function",
    "list_revisions": "list_function_revisions",
    "get_revision": "get_function_revision",
    "create_revision": "create_function_revision",
    "create_revision_from_sandbox": "create_function_revision_from_sandbox",
    "create_revision_from_spec": "create_function_revision_from_spec",
    "list_aliases": "list_function_aliases",
    "get_alias": "get_function_alias",
    "set_alias": "set_function_alias",
    "get_runtime": "get_function_runtime",
    "restart_runtime": "restart_function_runtime",
    "recycle_runtime": "recycle_function_runtime",
}
SINCE_SPECS = {"create_from_revision_spec", "create_revision_from_spec"}  # not in the first version
SPELLINGS: Mapping[str, Callable[[str], str]] = {
    "client.functions": lambda name: f"functions.{name}",
    "client": lambda name: CALLS[name],
}


def calls_of(version: str) -> set[str]:
    return set(CALLS) - (set() if version == NEWEST else SINCE_SPECS)


# ---- values ----


class Unset:
    """What the SDK has in a field that was not there."""

    def __repr__(self) -> str:
        return "UNSET"


UNSET = Unset()


@dataclass(frozen=True)
class Enum:
    type: str
    value: str


class Object(SimpleNamespace):
    """One of the SDK's objects by its fields; `type_name` is its class, `extra` what the class does not know."""


def new(type_name: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
    """An argument: what the SDK's class or function of that name makes of these."""
    return {"$": "new", "type": type_name, "args": list(args), "kwargs": kwargs}


def read(value: Any) -> Any:
    if isinstance(value, list):
        return [read(item) for item in value]
    if not isinstance(value, dict):
        return value
    match value["$"]:
        case "unset":
            return UNSET
        case "time":
            return datetime.datetime.fromisoformat(value["text"])
        case "enum":
            return Enum(value["type"], value["value"])
        case "map":
            return {name: read(item) for name, item in value["items"].items()}
    fields = {name: read(item) for name, item in value["fields"].items()}
    return Object(type_name=value["type"], extra=read(value["extra"]), **fields)


# ---- answers ----


class Undigested(AssertionError):
    """A client of the platform could not have used the answer."""


@dataclass(frozen=True)
class Answer:
    """What the server sent, byte for byte, and what it was asked."""

    method: str
    path: str
    sent: bytes
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    def json(self) -> Any:
        return json.loads(self.body)

    def check(self) -> None:
        for version in strict.VERSIONS:
            try:
                strict.check_answer(version, self.method, self.path, self.status, self.headers, self.body)
            except strict.Refused as refused:
                raise Undigested(f"Go {version}, {self.method} {self.path}: {refused}\n{self.status} {self.body.decode(errors='replace')[:2000]}") from None


@dataclass(eq=False)
class APIError(Exception):
    """The SDK's error; where it knows the status of that call, it has read the envelope."""

    status: int
    code: str | None
    message: str
    details: Any
    request_id: str | None
    body: str

    @property
    def envelope(self) -> dict[str, Any]:
        """The error as the server said it."""
        return json.loads(self.body)["error"]


def read_answer(raw: Mapping[str, Any]) -> Answer:
    headers = [(name, value) for name, value in raw["headers"]]
    return Answer(raw["method"], raw["path"], base64.b64decode(raw["sent"]), raw["status"], headers, base64.b64decode(raw["body"]))


# ---- the driver ----


class Sdk:
    """One version of the SDK, in a process of its own."""

    def __init__(self, version: str, directory: Path) -> None:
        self.version = version
        self.log_path = directory / f"sdk-{version}.log"
        python = ROOT / ".deps" / f"sdk-{version}" / "bin" / "python"
        assert python.exists(), "the SDKs are not there; run scripts/setup sdk"
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                [python, "-I", "-B", HERE / "driver.py"], env={}, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log
            )

    def __enter__(self) -> Sdk:
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.close()
        self.process.stdout.close()
        assert self.process.wait(30) == 0, self.log_path.read_text()

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        assert self.process.stdin and self.process.stdout
        print(json.dumps(request), file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        assert line, f"the driver ended: {self.log_path.read_text()}"
        return json.loads(line)

    def describe(self) -> dict[str, Any]:
        """What there is in the SDK: calls, models, enums."""
        return self.ask({"describe": True})["value"]

    def functions(self, base_url: str, key: str, headers: Mapping[str, str] | None = None, spelling: str = "client.functions") -> Functions:
        return Functions(self, {"base_url": base_url, "token": key, "headers": dict(headers or {})}, spelling)


@dataclass
class Functions:
    """The SDK's client for functions. Each of CALLS is a method."""

    sdk: Sdk
    client: dict[str, Any]
    spelling: str
    answers: list[Answer] = field(default_factory=list)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name not in CALLS:
            raise AttributeError(name)
        return lambda *args, **kwargs: self.call(name, *args, **kwargs)

    @property
    def last(self) -> Answer:
        return self.answers[-1]

    def call(self, name: str, /, *args: Any, **kwargs: Any) -> Any:
        request = {"client": self.client, "call": SPELLINGS[self.spelling](name), "args": list(args), "kwargs": kwargs}
        outcome = self.sdk.ask(request)
        self.answers = [read_answer(raw) for raw in outcome["answers"]]
        for answer in self.answers:
            answer.check()
        if "error" in outcome:
            self._raise(outcome["error"])
        return read(outcome["value"])

    def _raise(self, error: dict[str, Any]) -> None:
        if error["type"] != "APIError":
            said = f"\n{self.last.status} {self.last.body.decode(errors='replace')[:2000]}" if self.answers else ""
            raise Undigested(f"Python {self.sdk.version}: {error['type']}: {error['text']}{said}")
        words = {name: read(error[name]) for name in ("code", "message", "details", "request_id")}
        raise APIError(error["status"], body=error["body"], **words)

"""docs/openapi.yaml: what it says, and whether an answer is as it says."""

from __future__ import annotations

import hashlib
import re
import urllib.parse
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import jsonschema
import yaml

from .stack import ROOT

PATH = ROOT / "docs" / "openapi.yaml"
METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
SEGMENT_MAX = 255
# What the HTTP library adds to every answer; the document leaves it to HTTP.
TRANSPORT = {"date", "content-length", "content-type", "connection"}
# What any request can be answered with before its route counts.
BEFORE_ROUTING = (400, 413, 431, 500)


class Operation(NamedTuple):
    method: str  # upper case
    path: str
    node: dict[str, Any]  # the operation, with the path's parameters among its own, every $ref replaced

    @property
    def permission(self) -> str:
        """What a key needs, or "public"."""
        return " ".join(scope for need in self.node["security"] for scope in need["apiKey"]) or "public"


class Document:
    """The document, with each $ref in the place of what it names."""

    def __init__(self, text: str) -> None:
        self.raw: dict[str, Any] = yaml.load(text, Loader=yaml.CSafeLoader)
        self.operations = list(self._operations())
        self._by_path: dict[tuple[str, ...], dict[str, Operation]] = {}
        for operation in self.operations:
            self._by_path.setdefault(tuple(operation.path.split("/")[1:]), {})[operation.method] = operation
        # The same answer to everything that can get it, such as 404.
        self._anywhere = {status: answer for op in self.operations for status, answer in op.node["responses"].items()}
        self.judged = 0
        self.complaints: list[str] = []

    def _operations(self) -> Iterator[Operation]:
        for path, item in self.raw["paths"].items():
            for method in METHODS:
                if method in item:
                    parameters = item.get("parameters", []) + item[method].get("parameters", [])
                    yield Operation(method.upper(), path, self.inlined({**item[method], "parameters": parameters}))

    def look_up(self, ref: str) -> Any:
        """What a "#/a/b" names."""
        node = self.raw
        for word in ref.removeprefix("#/").split("/"):
            node = node[word.replace("~1", "/").replace("~0", "~")]
        return node

    def inlined(self, node: Any) -> Any:
        """A copy without any $ref. The document has no schema within itself."""
        if isinstance(node, list):
            return [self.inlined(item) for item in node]
        if not isinstance(node, dict):
            return node
        beside = {name: self.inlined(value) for name, value in node.items() if name != "$ref"}
        if "$ref" not in node:
            return beside
        assert set(beside) <= {"description"}, f"{node['$ref']} has {sorted(beside)} beside it, which tools read differently"
        return {**self.inlined(self.look_up(node["$ref"])), **beside}

    # ---- is an answer as the document says? ----

    def judge(self, method: str, target: str, status: int, headers: Mapping[str, str], body: Any) -> None:
        """Takes note of every way in which this answer is not what the document promises."""
        self.judged += 1
        self.complaints += [f"{method} {target[:200]}: {status}: {said}" for said in self.faults(method, target, status, headers, body)]

    def faults(self, method: str, target: str, status: int, headers: Mapping[str, str], body: Any) -> list[str]:
        answer = self._answer(method, target, status)
        if answer is None:
            return ["the document has no such answer"]
        said = list(_header_faults(answer.get("headers", {}), headers))
        media, _, charset = headers.get("content-type", "").partition("; ")
        if media not in answer["content"] or charset != "charset=utf-8":
            return [*said, f"its content type is {headers.get('content-type')!r}"]
        if media == "application/yaml" and isinstance(body, str):
            body = yaml.load(body, Loader=yaml.CSafeLoader)
        if method != "HEAD":
            said += [f"{'.'.join(map(str, e.absolute_path)) or 'body'}: {e.message[:300]}" for e in _validator(_Key(answer["content"][media]["schema"])).iter_errors(body)]
        return said

    def _answer(self, method: str, target: str, status: int) -> dict[str, Any] | None:
        methods = self._find(target.split("?", 1)[0])
        operation = methods.get("GET" if method == "HEAD" else method)
        if operation:
            return operation.node["responses"].get(str(status))
        expected = 405 if methods else 404
        return self._anywhere[str(status)] if status in (expected, *BEFORE_ROUTING) else None

    def _find(self, path: str) -> dict[str, Operation]:
        """The operations of a raw path: decoded after it was split, with one slash at its end ignored."""
        if not path.startswith("/") or re.search("%(?![0-9A-Fa-f]{2})", path):
            return {}
        words = [urllib.parse.unquote_to_bytes(word) for word in path.removesuffix("/").split("/")[1:]]
        if any(not 0x20 <= byte < 0x7F for word in words for byte in word):
            return {}
        for pattern, methods in self._by_path.items():
            if len(pattern) == len(words) and all(_fits(*pair) for pair in zip(pattern, words)):
                return methods
        return {}


def _fits(pattern: str, word: bytes) -> bool:
    return 0 < len(word) <= SEGMENT_MAX if pattern.startswith("{") else pattern.encode() == word


def _header_faults(documented: dict[str, Any], got: Mapping[str, str]) -> Iterator[str]:
    for name, header in documented.items():
        text = got.get(name.lower())
        if text is None:
            if header.get("required"):
                yield f"it lacks the header {name}"
            continue
        value: Any = int(text) if header["schema"]["type"] == "integer" and re.fullmatch("[0-9]+", text) else text
        yield from (f"header {name}: {e.message[:300]}" for e in _validator(_Key(header["schema"])).iter_errors(value))
    unknown = set(got) - TRANSPORT - {name.lower() for name in documented}
    if unknown:
        yield f"headers that are not in the document: {sorted(unknown)}"


class _Key:
    """A schema by its identity."""

    def __init__(self, schema: dict[str, Any]) -> None:
        self.schema = schema

    def __hash__(self) -> int:
        return id(self.schema)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and self.schema is other.schema


@cache
def _validator(key: _Key) -> Any:
    """Thread-safe: a schema without $ref and $id leaves no state behind."""
    return jsonschema.Draft202012Validator(closed(key.schema), format_checker=jsonschema.FormatChecker())


def closed(schema: Any) -> Any:
    """The same without room for more: clients must be ready for fields that they do not know, but what
    this version answers stands in the document."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {name: closed(value) for name, value in schema.items() if name not in ("example", "examples", "const", "enum")}
    inner |= {name: schema[name] for name in ("const", "enum") if name in schema}
    if schema.get("type") == "object" and "properties" in schema:
        inner.setdefault("additionalProperties", False)
    return inner


def tools() -> Path:
    """Where scripts/setup has put what tests/contract/requirements.txt names."""
    wanted = (ROOT / "tests" / "contract" / "requirements.txt").read_bytes()
    directory = ROOT / ".deps" / f"contract-{hashlib.sha256(wanted).hexdigest()[:12]}"
    assert directory.is_dir(), "run scripts/setup contract"
    return directory


@cache
def document() -> Document:
    """The one of this checkout."""
    return Document(PATH.read_text())

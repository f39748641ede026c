"""docs/openapi.yaml is right about the program, and a good document. That the answers are as it says is seen
by every other test: tests/support/openapi.py judges them all."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from tests.support import openapi
from tests.support.house import Api, House
from tests.support.stack import ROOT

DOCUMENT = openapi.document()
OPERATIONS = [pytest.param(operation, id=f"{operation.method} {operation.path}") for operation in DOCUMENT.operations]


# ---- the program ----


def test_the_same_routes_as_the_program(house: House) -> None:
    served = set(house.run("api", "--routes").stdout.splitlines())
    assert {f"{op.method} {op.path} {op.permission}" for op in DOCUMENT.operations} == served


def test_routes_are_listed_without_any_server(house: House) -> None:
    done = house.run("api", "--routes", env={"SANDSWEEP_POSTGRES_DSN": "host=127.0.0.1 port=1 user=x dbname=x"})
    assert len(done.stdout.splitlines()) == len(DOCUMENT.operations) and done.stderr == ""


def test_the_version_of_the_program(api: Api) -> None:
    made = re.search(r"^VERSION := (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert made and DOCUMENT.raw["info"]["version"] == made[1]
    assert api.request("GET", "/version")[2]["data"]["version"] == made[1]


def test_it_is_served(api: Api) -> None:
    status, headers, text = api.request("GET", "/openapi.yaml")
    assert status == 200 and headers["content-type"] == "application/yaml; charset=utf-8"
    assert text == openapi.PATH.read_text() and int(headers["content-length"]) == openapi.PATH.stat().st_size
    status, headers, text = api.request("HEAD", "/openapi.yaml")
    assert status == 200 and text == "" and int(headers["content-length"]) == openapi.PATH.stat().st_size
    assert api.request("PUT", "/openapi.yaml")[0] == 405


def test_limits_are_the_settings(house: House) -> None:
    """Each limit that a setting moves says that setting's default; and no other setting is spoken of."""
    defaults: dict[str, str] = {}
    section = ""
    for line in house.run("config", "example").stdout.splitlines():
        if found := re.fullmatch(r"\[(\w+)\]", line):
            section = found[1]
        elif found := re.fullmatch(r"#(\w+) = (.*)", line):
            defaults[f"{section}.{found[1]}"] = found[2]
    limits = {row["setting"]: str(row["default"]) for row in DOCUMENT.raw["x-limits"] if "setting" in row}
    assert len(limits) >= 9 and limits == {name: defaults[name] for name in limits}
    assert set(re.findall(r"\bapi\.[a-z]+(?:_[a-z]+)*\b", openapi.PATH.read_text())) <= set(defaults)


# ---- the document ----


def test_it_is_valid() -> None:
    command = [str(openapi.tools() / "bin" / "python"), "-m", "openapi_spec_validator", str(openapi.PATH)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
    assert done.returncode == 0 and done.stdout.strip().endswith("OK"), done.stdout + done.stderr


def walk(node: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """Every object of the document with its place."""
    if isinstance(node, dict):
        yield path, node
    for name, child in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        yield from walk(child, (*path, str(name)))


def test_every_component_is_used_and_every_reference_leads_somewhere() -> None:
    used = {node["$ref"] for _, node in walk(DOCUMENT.raw) if isinstance(node.get("$ref"), str)}
    there = {f"#/components/{kind}/{name}" for kind, items in DOCUMENT.raw["components"].items() for name in items}
    there = {ref for ref in there if "/securitySchemes/" not in ref}
    assert used == there
    schemes = {name for op in DOCUMENT.operations for need in op.node["security"] for name in need}
    assert schemes == set(DOCUMENT.raw["components"]["securitySchemes"])


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_operation_says_what_it_is(operation: openapi.Operation) -> None:
    node = operation.node
    assert re.fullmatch("[a-z]+[A-Z][A-Za-z]+", node["operationId"]) and re.fullmatch("[A-Z].{10,79}[^.]", node["summary"])
    assert len(node["tags"]) == 1 and node["tags"][0] in {tag["name"] for tag in DOCUMENT.raw["tags"]}
    assert set(re.findall("{(.+?)}", operation.path)) == {p["name"] for p in node["parameters"] if p["in"] == "path"}
    names = [(p["in"], p["name"]) for p in node["parameters"]]
    assert len(set(names)) == len(names) and all(p["description"] for p in node["parameters"])


def test_no_name_twice() -> None:
    names = [op.node["operationId"] for op in DOCUMENT.operations]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_operation_has_the_answers_that_follow_from_what_it_is(operation: openapi.Operation) -> None:
    want = {"400", "405", "413", "431", "500"}
    if operation.permission != "public":
        want |= {"401", "403", "429", "503"}
    if "{id}" in operation.path:
        want |= {"404"}
    parameters = {p["name"] for p in operation.node["parameters"]}
    want |= {"422"} if "Idempotency-Key" in parameters else set()
    want |= {"412"} if "If-Match" in parameters else set()
    responses = operation.node["responses"]
    assert want <= set(responses)
    assert [status for status in responses if status < "400"] == ["201" if operation.node["operationId"].startswith("create") else "200"]
    assert ("Idempotency-Key" in parameters) is (operation.method in ("POST", "PUT", "DELETE"))
    assert all({"X-Request-Id", "Cache-Control", "X-Content-Type-Options"} <= set(answer["headers"]) for answer in responses.values())


def schemas(node: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """Every schema, outermost ones and those within."""
    for place, found in walk(node, path):
        if place and (place[-1] in ("schema", "items") or len(place) > 1 and place[-2] in ("schemas", "properties")):
            yield place, found


def test_nothing_is_null_and_objects_say_what_they_require() -> None:
    for place, schema in schemas(DOCUMENT.raw):
        kind = schema.get("type", "")
        assert isinstance(kind, str) and kind != "null" and "nullable" not in schema, place
        if "properties" in schema and kind == "object":
            assert set(schema.get("required", ())) <= set(schema["properties"]), place
        if kind == "integer" and "schemas" in place:
            assert schema.get("format") in ("int32", "int64"), place


def examples(node: dict[str, Any]) -> Iterator[Any]:
    """Those of a media type, a parameter or a header."""
    if "example" in node:
        yield node["example"]
    for example in node.get("examples", {}).values():
        yield example["value"]


def check(schema: dict[str, Any], value: Any, place: tuple[str, ...]) -> None:
    faults = list(jsonschema.Draft202012Validator(openapi.closed(DOCUMENT.inlined(schema))).iter_errors(value))
    assert not faults, (place, faults[0].message)


def test_examples_are_what_they_are_examples_of() -> None:
    """Without a single field that the schema does not list."""
    seen = 0
    for place, node in walk(DOCUMENT.raw):
        if isinstance(node.get("schema"), dict):
            for value in examples(node):
                check(node["schema"], value, place)
                seen += 1
    for place, schema in schemas(DOCUMENT.raw):
        for value in [*schema.get("examples", []), *([schema["example"]] if "example" in schema else [])]:
            check({name: part for name, part in schema.items() if name not in ("example", "examples")}, value, place)
            seen += 1
    assert seen > 40


def test_every_error_and_every_body_has_an_example() -> None:
    for name, answer in DOCUMENT.raw["components"]["responses"].items():
        assert all(list(examples(media)) for media in answer["content"].values()), name
    for operation in DOCUMENT.operations:
        for media in operation.node.get("requestBody", {"content": {}})["content"].values():
            assert list(examples(media)), operation


# ---- the judge ----

ANSWERED = {
    "content-type": "application/json; charset=utf-8", "x-request-id": "a", "cache-control": "no-store", "x-content-type-options": "nosniff",
}  # fmt: skip
ALIVE = {"success": True, "data": {"status": "alive"}}
NOT_FOUND = {"success": False, "error": {"code": "not_found", "message": "no such path"}}


@pytest.mark.parametrize(
    "target, status, headers, body, said",
    [
        ("/livez", 200, {}, ALIVE, None),
        ("/livez/?a=b", 200, {}, ALIVE, None),
        ("/%6civez", 200, {}, ALIVE, None),
        ("/livezz", 404, {}, NOT_FOUND, None),
        ("/api/v1/functions/%0a", 404, {}, NOT_FOUND, None),
        ("/livez", 404, {}, NOT_FOUND, "no such answer"),
        ("/livezz", 200, {}, ALIVE, "no such answer"),
        ("/livez", 202, {}, ALIVE, "no such answer"),
        ("/livez", 200, {}, {"success": True, "data": {"status": "alive", "more": 1}}, "'more' was unexpected"),
        ("/livez", 200, {}, {"success": True, "data": {}}, "'status' is a required property"),
        ("/livez", 200, {}, {"success": True, "data": {"status": None}}, "data.status: "),
        ("/livez", 200, {}, "alive", "is not of type 'object'"),
        ("/livez", 200, {"content-type": "application/json"}, ALIVE, "content type"),
        ("/livez", 200, {"content-type": "text/plain; charset=utf-8"}, ALIVE, "content type"),
        ("/livez", 200, {"x-request-id": "a b"}, ALIVE, "header X-Request-Id: "),
        ("/livez", 200, {"cache-control": None}, ALIVE, "lacks the header Cache-Control"),
        ("/livez", 200, {"x-more": "1"}, ALIVE, "['x-more']"),
        ("/livezz", 404, {}, {"success": False, "error": {"code": "forbidden", "message": "x"}}, "error.code: "),
        ("/livezz", 404, {"retry-after": "1"}, NOT_FOUND, "['retry-after']"),
    ],
)
def test_the_judge_tells_good_answers_from_bad_ones(target: str, status: int, headers: dict[str, Any], body: Any, said: str | None) -> None:
    got = {name: value for name, value in {**ANSWERED, **headers}.items() if value is not None}
    faults = DOCUMENT.faults("GET", target, status, got, body)
    assert faults == [] if said is None else faults and said in faults[0], faults


def test_the_judge_knows_other_methods() -> None:
    refused = {"success": False, "error": {"code": "bad_request", "message": "x"}}
    assert DOCUMENT.faults("PATCH", "/livez", 405, {**ANSWERED, "allow": "GET, HEAD"}, refused) == []
    assert DOCUMENT.faults("PATCH", "/livez", 405, ANSWERED, refused) == ["it lacks the header Allow"]
    assert DOCUMENT.faults("PATCH", "/livez", 404, ANSWERED, NOT_FOUND) == ["the document has no such answer"]
    assert DOCUMENT.faults("HEAD", "/livez", 200, ANSWERED, "") == []


def test_what_a_front_answers_is_judged(api: Api) -> None:
    before = DOCUMENT.judged
    api.request("GET", "/livez")
    assert DOCUMENT.judged == before + 1

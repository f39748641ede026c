"""The front against its own description: schemathesis makes thousands of requests of docs/openapi.yaml,
good and bad ones, and judges every answer. One run; what it found is told by operation and kind of check.

    CONTRACT_EXAMPLES  requests that are made up for each operation, on top of the systematic ones (40)
    CONTRACT_SEED      another seed, another run (1)
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.support import openapi
from tests.support.house import BUILD, SERVICE, Api, House
from tests.support.sim import Sim

HERE = Path(__file__).parent
# What belongs to the run stays here, with what schemathesis says itself (run.txt): each request as a curl command.
DIRECTORY = BUILD / "logs" / "contract"
EXAMPLES = int(os.environ.get("CONTRACT_EXAMPLES", "40"))
SEED = int(os.environ.get("CONTRACT_SEED", "1"))
LIST = "/api/v1/functions"
PHASES = ("examples", "coverage", "fuzzing", "stateful")
GROUPS = {
    "answers": ["not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance", "response_schema_conformance"],
    "requests": ["negative_data_rejection", "positive_data_acceptance", "missing_required_header"],
    "keys": ["ignored_auth", "object_level_authorization"],
    "methods": ["unsupported_method", "allow_header_conformance"],
    "lifetime": ["use_after_free", "ensure_resource_availability"],
}
OPERATIONS = [f"{operation.method} {operation.path}" for operation in openapi.document().operations]
FUNCTIONS, VICTIMS = 8, 300


@dataclass
class Run:
    """What schemathesis did and found."""

    cases: Counter[str] = field(default_factory=Counter)  # by phase
    checks: Counter[tuple[str, str]] = field(default_factory=Counter)  # by operation and check
    statuses: dict[str, Counter[int]] = field(default_factory=dict)  # by operation
    by_stranger: Counter[int] = field(default_factory=Counter)  # statuses; 200 for a list of its own
    failures: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    succeeded: bool = False
    output: str = ""

    def read(self, report: Path) -> None:
        for line in report.read_text().splitlines():
            [(kind, event)] = json.loads(line).items()
            if kind == "ScenarioFinished":
                self._scenario(event["phase"], event["recorder"])
            elif kind in ("NonFatalError", "FatalError"):
                self.errors.append(json.dumps(event)[:2000])

    def _scenario(self, phase: str, recorder: dict[str, Any]) -> None:
        for case, interaction in recorder.get("interactions", {}).items():
            value = recorder["cases"][case]["value"]
            # Another method than the path's own is tried for one of the operations; a walk goes through many.
            label = recorder["label"] if recorder["label"] in OPERATIONS else f"{value['method']} {value['path']}"
            self.cases[phase] += 1
            if interaction["response"]:
                self.statuses.setdefault(label, Counter())[interaction["response"]["status_code"]] += 1
                self.by_stranger[interaction["response"]["status_code"]] += value.get("auth_identity") == "stranger"
            for check in recorder["checks"].get(case, []):
                self.checks[label, check["name"]] += 1
                if check["status"] == "failure":
                    self.failures.setdefault((label, check["name"]), []).append(describe(value, interaction, check))


def describe(case: dict[str, Any], interaction: dict[str, Any], check: dict[str, Any]) -> str:
    answer = interaction["response"] or {}
    return f"{check.get('failure_info', {}).get('failure', {}).get('message', check)}\n    case {json.dumps(case)[:1500]}\n    answer {answer.get('status_code')}"


# ---- what is there when it begins ----


SOURCE = {"type": "revision_spec", "revision_spec": {"template_id": "default", "runtime_service": SERVICE}}


def published(api: Api, key: str, name: str) -> dict[str, Any]:
    """A function with one revision."""
    status, _, body = api.request("POST", LIST, key, {"name": name, "source": SOURCE})
    assert status == 201, body
    return body["data"]["function"]


def with_history(api: Api, key: str, name: str) -> dict[str, Any]:
    """A function with two revisions and the alias canary."""
    function = published(api, key, name)
    assert api.request("POST", f"{LIST}/{function['id']}/revisions", key, {"source": SOURCE})[0] == 201
    assert api.request("PUT", f"{LIST}/{function['id']}/aliases/canary", key, {"revision_number": 1})[0] == 200
    return function


def words(path: Path, values: list[str]) -> None:
    """A dictionary in the form that fuzzers read."""
    path.write_text("".join(f"{json.dumps(value)}\n" for value in values))


def furnish(api: Api, house: House, sim: Sim, directory: Path) -> None:
    """Two teams that must not see each other's functions, and what the document's examples name."""
    team, stranger = str(uuid.uuid4()), str(uuid.uuid4())
    owner_key, stranger_key = api.key(team), api.key(stranger)
    sim.seed(sandboxes=[sim.sandbox("sb-7f3a", team, services=[SERVICE])], volumes=[sim.volume("vol-21c0", team)])
    functions = [with_history(api, owner_key, f"Function {n}") for n in range(FUNCTIONS)]
    with_history(api, stranger_key, "A stranger's")
    for n, function in enumerate(functions[::2]):
        house.stack.sql(
            "UPDATE shared_gateway.functions_revisions SET runtime_sandbox_id = %s, runtime_context_id = 'ctx', runtime_updated_at = now() WHERE function_id = %s AND revision_number = 2",
            (f"sb-runtime-{n}-{uuid.uuid4().hex[:8]}", function["id"]),
        )
    words(directory / "functions.dict", [function[name] for function in functions for name in ("id", "slug")])
    (directory / "victims.json").write_text(json.dumps([published(api, owner_key, f"Victim {n}")["id"] for n in range(VICTIMS)]))
    (directory / "team.txt").write_text(team)
    (directory / "cursor.txt").write_text(api.request("GET", f"{LIST}?limit=2", owner_key)[2]["data"]["next_cursor"])
    people = {"owner": owner_key, "stranger": stranger_key}
    auth = [{"name": name, "fixedHeaders": [{"name": "Authorization", "value": f"Bearer {key}"}]} for name, key in people.items()]
    (directory / "auth.json").write_text(json.dumps({"auth": auth}))


# ---- the run ----


def run_schemathesis(api: Api, directory: Path) -> Run:
    shutil.copy(HERE / "schemathesis.toml", directory)
    report = directory / "report.ndjson"
    command = [
        str(openapi.tools() / "bin" / "python"), "-m", "schemathesis.cli", "--config-file", str(directory / "schemathesis.toml"),
        "run", str(openapi.PATH), "--url", f"http://127.0.0.1:{api.port}", "--phases", ",".join(PHASES), "--checks", "all",
        "--max-examples", str(EXAMPLES), "--seed", str(SEED), "--report", "ndjson", "--report-ndjson-path", str(report), "--no-color",
    ]  # fmt: skip
    environ = {**os.environ, "SCHEMATHESIS_HOOKS": str(HERE / "hooks.py"), "PYTHONPATH": "", "CI": ""}
    done = subprocess.run(command, cwd=directory, env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=1500)
    (directory / "run.txt").write_text(done.stdout + done.stderr)
    run = Run(succeeded=done.returncode == 0, output=done.stdout[-20000:] + done.stderr[-5000:])
    assert done.returncode in (0, 1) and report.exists(), run.output
    run.read(report)
    return run


@pytest.fixture(scope="module")
def run(_shared_house: House, stack: Any) -> Iterator[Run]:
    shutil.rmtree(DIRECTORY, ignore_errors=True)
    DIRECTORY.mkdir(parents=True)
    env = stack.env
    sim = Sim(env["SIM_CONTROL_URL"], env["SIM_URL"], env["SIM_TOKEN"])
    sim.reset()
    api = _shared_house.api({"api.rate_per_second": "0"})
    furnish(api, _shared_house, sim, DIRECTORY)
    yield run_schemathesis(api, DIRECTORY)
    sim.close()


def test_the_whole_run(run: Run, request: pytest.FixtureRequest) -> None:
    """Nothing went wrong with the run itself, and it was a thorough one."""
    told = f"CONTRACT_SEED={SEED} CONTRACT_EXAMPLES={EXAMPLES}: {run.cases.total()} requests, " + ", ".join(f"{phase} {run.cases[phase]}" for phase in PHASES)
    request.node.user_properties.append(("contract", told))
    assert run.errors == []
    assert {operation for operation, _ in run.failures} <= set(OPERATIONS)
    assert run.succeeded is not bool(run.failures), run.output
    assert all(run.cases[phase] for phase in PHASES), run.cases
    assert run.cases.total() >= 40 * len(OPERATIONS), run.output
    everywhere = {name for group in GROUPS.values() for name in group}
    assert everywhere <= {name for _, name in run.checks}
    assert run.by_stranger[404] >= 7, run.by_stranger


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_operation(run: Run, operation: str, group: str) -> None:
    found = {name: run.failures[operation, name] for name in GROUPS[group] if (operation, name) in run.failures}
    assert all(run.checks[operation, name] for name in GROUPS[group])
    assert any(200 <= status < 300 for status in run.statuses[operation]), "it never came to what it does"
    assert not found, "\n".join(f"{name}: {len(said)} failures; the first: {said[0]}" for name, said in found.items())

"""Source sandboxes, and what publishing from them must leave."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import Any

from tests.support.house import Api, House
from tests.support.sim import Sim

LIST = "/api/v1/functions"

Answer = tuple[int, dict[str, str], Any]


def service(id: str = "web", **more: Any) -> dict[str, Any]:
    """A service that can be published."""
    return {
        "id": id, "port": 8000, "ingress": {"public": True, "routes": [{"id": "all", "resume": True, "path_prefix": "/"}]},
        "runtime": {"type": "cmd", "command": ["python3", "app.py"], "env_vars": {"A": "1"}}, **more,
    }


@dataclass
class Source:
    """A user's sandbox with volumes of the user's."""

    team: str
    id: str
    volumes: list[str]

    @property
    def body(self) -> dict[str, Any]:
        return {"source": {"sandbox_id": self.id, "service_id": "web"}}


def source(sim: Sim, team: str, volumes: int = 1, services: list[dict[str, Any]] | None = None) -> Source:
    tag = uuid.uuid4().hex[:10]
    made = Source(team, f"user-sb-{tag}", [f"user-vol-{tag}-{i}" for i in range(volumes)])
    sim.seed(
        volumes=[{"id": v, "team_id": team} for v in made.volumes],
        sandboxes=[sim.sandbox(made.id, team, "tpl", [(v, f"/data{i}") for i, v in enumerate(made.volumes)], services=services or [service()])],
    )
    return made


def spec(volumes: list[str] | None = None, **more: Any) -> dict[str, Any]:
    """The source of a revision by specification."""
    mounts = [{"mount_point": f"/data{i}", "source": {"type": "sandbox_volume", "sandboxvolume_id": v}} for i, v in enumerate(volumes or [])]
    return {"type": "revision_spec", "revision_spec": {"template_id": "tpl", "runtime_service": service(), **({"mounts": mounts} if mounts else {}), **more}}


def create(api: Api, key: str, source: dict[str, Any] | None = None, name: str | None = None, **more: Any) -> Any:
    """A function by specification unless told otherwise; the data of its 201."""
    body = {"name": name or f"fn {uuid.uuid4().hex[:8]}", "source": source or spec(), **more}
    status, _, got = api.request("POST", LIST, key, body)
    assert status == 201, got
    return got["data"]


def made(sim: Sim, user: Source) -> tuple[set[str], set[str]]:
    """The ids of volumes and snapshots of the team that are there and that the user did not make."""
    volumes = {row["id"] for row in sim.states("volume", team=user.team)} - set(user.volumes)
    return volumes, {row["id"] for row in sim.states("snapshot", team=user.team)}


def ledger(house: House, team: str) -> dict[tuple[str, str], str]:
    rows = house.stack.sql("SELECT kind::text, resource_id, state::text FROM sandsweep.owned_resources WHERE team_id = %s", (team,))
    return {(kind, id): state for kind, id, state in rows}


def audits(house: House, function: str) -> list[str]:
    return [row[0] for row in house.stack.sql("SELECT action FROM sandsweep.audit_log WHERE function_id = %s ORDER BY id", (function,))]


def has_null(value: Any) -> bool:
    if isinstance(value, dict):
        return any(has_null(v) for v in value.values())
    return any(has_null(v) for v in value) if isinstance(value, list) else value is None


def row_json(house: House, table: str, id: str) -> dict[str, Any]:
    return json.loads(json.dumps(house.stack.sql(f"SELECT to_jsonb(t) FROM {table} t WHERE id = %s", (id,))[0][0]))

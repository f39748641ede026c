"""What the tests of the SDK publish from, and functions as a publish leaves them."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any

from tests.sdk.client import new
from tests.support.house import Function, House
from tests.support.sim import Sim

# A service with everything that one can have.
SERVICE: dict[str, Any] = {
    "id": "web",
    "display_name": "The Web",
    "port": 8080,
    "runtime": {"type": "cmd", "command": ["serve", "--port", "8080"], "cwd": "/srv", "env_vars": {"MODE": "live"}},
    "health_check": {"path": "/healthz"},
    "ingress": {
        "public": True,
        "routes": [
            {
                "id": "all",
                "resume": True,
                "path_prefix": "/",
                "methods": ["GET", "POST"],
                "rewrite_prefix": "/v1",
                "auth": {"mode": "bearer", "bearer_token_sha256": "ab" * 32},
                "cors": {"allowed_origins": ["*"], "allow_credentials": False, "max_age_seconds": 600},
                "rate_limit": {"rps": 10, "burst": 20},
                "timeout_seconds": 30,
            },
            {"id": "bare", "resume": False},
        ],
    },
}
# As little as can be published.
PLAIN: dict[str, Any] = {
    "id": "web",
    "port": 8080,
    "runtime": {"type": "warm_process", "warm_process_name": "main"},
    "ingress": {"public": True, "routes": [{"id": "all", "resume": True}]},
}


def published(house: House, team: str, *, service: Mapping[str, Any] = SERVICE, **options: Any) -> Function:
    """A function as the platform's older revision wrote it: nothing in the columns that came later."""
    f = house.function(team, **options)
    house.stack.sql("UPDATE shared_gateway.functions_revisions SET service_snapshot = %s WHERE function_id = %s", (json.dumps(service), f.id))
    house.stack.sql(
        "INSERT INTO shared_gateway.functions_aliases (function_id, alias, revision_id, updated_by) VALUES (%s, 'production', %s, %s)",
        (f.id, f.active.id, str(uuid.uuid4())),
    )
    return f


def sandbox(sim: Sim, team: str, *services: Mapping[str, Any], volumes: int = 1) -> str:
    """A user's running sandbox to publish from; returns its id."""
    tag = uuid.uuid4().hex[:12]
    ids = [f"uservol-{tag}-{n}" for n in range(volumes)]
    made = sim.sandbox(f"usersb-{tag}", team, "tpl", [(v, f"/data{n}") for n, v in enumerate(ids)], services=list(services or (SERVICE,)))
    sim.seed(sandboxes=[made], volumes=[sim.volume(v, team) for v in ids])
    return made["id"]


def volume(sim: Sim, team: str) -> str:
    id = f"uservol-{uuid.uuid4().hex[:12]}"
    sim.seed(volumes=[sim.volume(id, team)])
    return id


# ---- arguments ----


def source(sandbox_id: str, service_id: str = "web") -> dict[str, Any]:
    return new("function_source", sandbox_id, service_id)


def service_of_spec(**changed: Any) -> dict[str, Any]:
    given = {
        "id": "web",
        "port": 8080,
        "ingress": new("SandboxAppServiceIngress", public=True, routes=[new("SandboxAppServiceRoute", id="all", resume=True)]),
        "runtime": new("SandboxAppServiceRuntime", type_=new("SandboxAppServiceRuntimeType", "cmd"), command=["serve"]),
    }
    return new("SandboxAppService", **{**given, **changed})


def spec(volume_id: str | None = None, **service: Any) -> dict[str, Any]:
    """The SDK's FunctionRevisionSpec, with one mount where a volume is given."""
    given: dict[str, Any] = {"template_id": "tpl", "runtime_service": service_of_spec(**service)}
    if volume_id is not None:
        kind = new("FunctionRevisionMountSourceType", "sandbox_volume")
        mounted = new("FunctionRevisionMountSource", type_=kind, sandboxvolume_id=volume_id)
        given["mounts"] = [new("FunctionRevisionMount", mount_point="/data", source=mounted, mode=new("FunctionRevisionMountMode", "read_write"))]
    return new("FunctionRevisionSpec", **given)


def fresh_name(word: str = "Fn") -> str:
    """A name that no other test has; a slug is made of it."""
    return f"{word} {uuid.uuid4().hex[:10]}"


def request(sandbox_id: str, service_id: str = "web", **more: Any) -> dict[str, Any]:
    return new("FunctionCreateRequest", source=source(sandbox_id, service_id), **more)

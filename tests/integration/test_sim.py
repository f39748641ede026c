"""The platform simulator over the wire: its contract row by row, every fault, the control port."""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.sim import OTHER_USER, USER, Client, Sim, SimError, start

BUILD = Path(os.environ.get("SANDSWEEP_BUILD", Path(__file__).resolve().parents[2] / "build"))
TEAM = "11111111-1111-4111-8111-111111111111"
OTHER = "22222222-2222-4222-8222-222222222222"
SANDBOXES, VOLUMES = "/api/v1/sandboxes", "/api/v1/sandboxvolumes"
ZERO_TIME = "0001-01-01T00:00:00Z"
DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z")


@pytest.fixture(scope="module")
def _running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sim]:
    with start(BUILD, tmp_path_factory.mktemp("sim")) as running:
        yield running


@pytest.fixture
def sim(_running: Sim) -> Sim:
    """An empty platform without faults. Overrides the stack's: these tests need nothing else."""
    _running.reset()
    return _running


@pytest.fixture
def api(sim: Sim) -> Iterator[Client]:
    client = sim.public(TEAM)
    yield client
    client.close()


def ask(client: Client, method: str, path: str, body: Any = None, **query: Any) -> tuple[int, Any]:
    status, headers, text = client.request(method, path, body, query)
    assert headers["Content-Type"] == "application/json; charset=utf-8"
    return status, json.loads(text)


def data(client: Client, method: str, path: str, body: Any = None, want: int = 200, **query: Any) -> Any:
    status, answer = ask(client, method, path, body, **query)
    assert (status, set(answer), answer["success"]) == (want, {"success", "data"}, True), answer
    return answer["data"]


def error(client: Client, method: str, path: str, status: int, code: str, body: Any = None, /, **query: Any) -> Any:
    got, answer = ask(client, method, path, body, **query)
    assert (got, answer["success"], answer["error"]["code"]) == (status, False, code), answer
    assert answer["error"]["message"]
    return answer["error"]


# ---- 3.1 ----


@pytest.mark.parametrize("token", ["wrong", "", "s0_sim_0123456789abcdef0123456789abcdef0123456789abcdeX"])
def test_wrong_token_is_a_plain_401(sim: Sim, token: str) -> None:
    status, answer = ask(sim.public(TEAM, token=token), "GET", SANDBOXES)
    assert status == 401 and set(answer) == {"error"}


def test_scheme_in_any_case_and_team_required(sim: Sim) -> None:
    client = Client(sim.url, {"Authorization": f"bEARER {sim.token}"})
    assert error(client, "GET", SANDBOXES, 400, "bad_request")
    client.headers["X-Team-ID"] = TEAM
    assert data(client, "GET", SANDBOXES)["count"] == 0


def test_unknown_route_is_404(api: Client) -> None:
    error(api, "GET", "/api/v1/nothing", 404, "not_found")
    error(api, "PUT", f"{SANDBOXES}/x", 404, "not_found")


# ---- 3.2 ----


def test_sandbox_get_and_list_fields(sim: Sim, api: Client) -> None:
    sim.seed(
        volumes=[sim.volume("vol-1", TEAM)],
        sandboxes=[sim.sandbox("sb-1", TEAM, "tpl", ["vol-1"], env={"SANDSWEEP_RUNTIME": "x"}, cluster_id="c1"), sim.sandbox("sb-2", TEAM, age_s=3600)],
    )
    got = data(api, "GET", f"{SANDBOXES}/sb-1")
    assert set(got) == {
        "id", "template_id", "team_id", "user_id", "status", "paused", "power_state", "auto_resume", "services", "mounts",
        "pod_name", "expires_at", "hard_expires_at", "claimed_at", "created_at",
    }  # fmt: skip
    assert got["mounts"] == [{"sandboxvolume_id": "vol-1", "mount_point": "/mnt/0"}]
    assert got["services"][0]["runtime"]["env_vars"] == {"SANDSWEEP_RUNTIME": "x"}
    assert got["power_state"] == {"desired": "active", "desired_generation": 1, "observed": "active", "observed_generation": 1, "phase": "stable"}
    assert (got["status"], got["paused"], got["expires_at"], got["hard_expires_at"]) == ("running", False, ZERO_TIME, ZERO_TIME)
    assert DATE.fullmatch(got["created_at"]) and uuid.UUID(got["user_id"])
    listed = data(api, "GET", SANDBOXES)
    assert (listed["count"], listed["has_more"], [s["id"] for s in listed["sandboxes"]]) == (2, False, ["sb-1", "sb-2"])
    summary = {"id", "template_id", "status", "paused", "power_state", "created_at", "expires_at", "hard_expires_at"}
    assert set(listed["sandboxes"][0]) == summary | {"cluster_id"}
    assert set(listed["sandboxes"][1]) == summary
    assert "services" not in data(api, "GET", f"{SANDBOXES}/sb-2")


def test_sandbox_of_another_team_and_missing(sim: Sim, api: Client) -> None:
    sim.seed(sandboxes=[sim.sandbox("sb-1", OTHER)])
    for method, path in [("GET", ""), ("DELETE", ""), ("POST", "/pause"), ("POST", "/resume")]:
        error(api, method, f"{SANDBOXES}/sb-1{path}", 403, "forbidden")
        error(api, method, f"{SANDBOXES}/never{path}", 404, "not_found")
    assert data(api, "GET", SANDBOXES) == {"sandboxes": [], "count": 0, "has_more": False}
    assert sim.live("sandbox") == {"sb-1"}


def test_paging_and_bad_numbers(sim: Sim, api: Client) -> None:
    sim.seed_range(TEAM, "sb-", 250)
    first = data(api, "GET", SANDBOXES)
    assert (len(first["sandboxes"]), first["count"], first["has_more"]) == (50, 250, True)
    assert first["sandboxes"][0]["id"] == "sb-00000249"
    assert len(data(api, "GET", SANDBOXES, limit=999)["sandboxes"]) == 200
    last = data(api, "GET", SANDBOXES, limit=200, offset=200)
    assert (len(last["sandboxes"]), last["has_more"], last["sandboxes"][-1]["id"]) == (50, False, "sb-00000000")
    for query in [{"limit": "x"}, {"limit": "0"}, {"limit": "-1"}, {"offset": "-1"}, {"offset": ""}, {"status": "odd"}, {"paused": "perhaps"}]:
        error(api, "GET", SANDBOXES, 400, "bad_request", **query)
    sim.settings(list_lenient=True)
    assert len(data(api, "GET", SANDBOXES, limit="x", offset="y")["sandboxes"]) == 50


@pytest.mark.parametrize("terminating", [True, False])
def test_delete_is_asynchronous(sim: Sim, api: Client, terminating: bool) -> None:
    sim.settings(finalizer_ms=60000, terminating=terminating)
    sim.seed(volumes=[sim.volume("vol-1", TEAM)], sandboxes=[sim.sandbox("sb-1", TEAM, volumes=["vol-1"])])
    for _ in range(2):
        assert data(api, "DELETE", f"{SANDBOXES}/sb-1") == {"message": "sandbox terminated successfully"}
        assert data(api, "GET", f"{SANDBOXES}/sb-1")["status"] == ("terminating" if terminating else "running")
        assert data(api, "GET", SANDBOXES)["count"] == 1
        error(api, "DELETE", f"{VOLUMES}/vol-1", 409, "conflict")
        assert sim.state("sandbox", "sb-1")["state"] == "terminating"
    sim.advance(60)
    for method in ("GET", "DELETE"):
        error(api, method, f"{SANDBOXES}/sb-1", 404, "not_found")
    assert data(api, "GET", SANDBOXES)["count"] == 0
    error(api, "DELETE", f"{VOLUMES}/vol-1", 409, "conflict")
    sim.advance(15)
    assert data(api, "DELETE", f"{VOLUMES}/vol-1") == {"deleted": True}
    assert sim.state("sandbox", "sb-1")["state"] == sim.state("volume", "vol-1")["state"] == "gone"
    assert sim.state("sandbox", "sb-2")["state"] == "unknown"


def test_finalizer_runs_by_itself(sim: Sim, api: Client) -> None:
    sim.settings(finalizer_ms=50)
    sim.seed(sandboxes=[sim.sandbox("sb-1", TEAM)])
    data(api, "DELETE", f"{SANDBOXES}/sb-1")
    sim.wait_gone("sandbox", ["sb-1"])


def test_pause_and_resume(sim: Sim, api: Client) -> None:
    sim.seed(sandboxes=[sim.sandbox("sb-1", TEAM)])
    paused = data(api, "POST", f"{SANDBOXES}/sb-1/pause")
    assert (paused["sandbox_id"], paused["paused"], paused["power_state"]["observed"]) == ("sb-1", True, "paused")
    assert data(api, "GET", SANDBOXES, paused="true")["count"] == 1
    assert data(api, "POST", f"{SANDBOXES}/sb-1/resume")["resumed"] is True
    assert data(api, "GET", SANDBOXES, paused="true")["count"] == 0
    data(api, "DELETE", f"{SANDBOXES}/sb-1")
    error(api, "POST", f"{SANDBOXES}/sb-1/pause", 409, "conflict")


def test_claim(sim: Sim, api: Client) -> None:
    sim.seed(volumes=[sim.volume("vol-1", TEAM)])
    service = {"id": "web", "port": 8080, "runtime": {"type": "cmd", "command": ["serve"], "env_vars": {"SANDSWEEP_RUNTIME": "attempt"}}}
    mounts = [{"sandboxvolume_id": "vol-1", "mount_point": "/data"}]
    body = {"template": "tpl", "config": {"auto_resume": True, "services": [service]}, "mounts": mounts}
    claimed = data(api, "POST", SANDBOXES, body, want=201)
    assert {"sandbox_id", "status", "pod_name", "template", "bootstrap_mounts"} == set(claimed)
    assert claimed["bootstrap_mounts"] == [{**mounts[0], "state": "mounted"}]
    got = data(api, "GET", f"{SANDBOXES}/{claimed['sandbox_id']}")
    assert got["services"] == [{**service, "ingress": {"public": False}}]
    assert (got["template_id"], got["team_id"], got["mounts"]) == ("tpl", TEAM, mounts)
    error(api, "POST", SANDBOXES, 409, "conflict", body)
    again = data(api, "POST", SANDBOXES, {"template": "tpl"}, want=201)
    assert again["sandbox_id"] != claimed["sandbox_id"] and "bootstrap_mounts" not in again
    sim.settings(claim_cluster="c9", cache_lag_ms=1000)
    lagging = data(api, "POST", SANDBOXES, {"template": "tpl"}, want=201)
    assert lagging["cluster_id"] == "c9"
    error(api, "GET", f"{SANDBOXES}/{lagging['sandbox_id']}", 404, "not_found")
    assert sim.state("sandbox", lagging["sandbox_id"])["state"] == "live"
    sim.advance(1)
    data(api, "GET", f"{SANDBOXES}/{lagging['sandbox_id']}")


@pytest.mark.parametrize(
    "body",
    [
        "text",
        [],
        {},
        {"template": ""},
        {"template": "t", "mounts": {}},
        {"template": "t", "config": {"services": ["x"]}},
        *(
            {"template": "t", "mounts": mounts}
            for mounts in [
                [{"mount_point": "/data"}],
                [{"sandboxvolume_id": "vol-1"}],
                [{"sandboxvolume_id": "vol-1", "mount_point": "data"}],
                [{"sandboxvolume_id": "vol-1", "mount_point": "/"}],
                [{"sandboxvolume_id": "vol-1", "mount_point": "/a/../b"}],
                [{"sandboxvolume_id": "vol-1", "mount_point": "/proc/1"}],
                [{"sandboxvolume_id": "vol-1", "mount_point": "/a"}, {"sandboxvolume_id": "vol-1", "mount_point": "/b"}],
                [{"sandboxvolume_id": "vol-1", "mount_point": "/a"}, {"sandboxvolume_id": "vol-2", "mount_point": "/a"}],
                [{"sandboxvolume_id": "never", "mount_point": "/a"}],
                [{"sandboxvolume_id": "theirs", "mount_point": "/a"}],
                [{"sandboxvolume_id": "owned", "mount_point": "/a"}],
            ]
        ),
    ],
)
def test_bad_claims(sim: Sim, api: Client, body: Any) -> None:
    sim.seed(volumes=[sim.volume("vol-1", TEAM), sim.volume("vol-2", TEAM), sim.volume("theirs", OTHER), sim.volume("owned", TEAM, owned=True)])
    error(api, "POST", SANDBOXES, 400, "bad_request", body)
    assert sim.live_count()["sandbox"] == 0


# ---- 3.3 ----


def test_volume_list_get_and_hidden_ones(sim: Sim, api: Client) -> None:
    status, answer = ask(api, "GET", VOLUMES)
    assert (status, answer) == (200, {"success": True, "data": None})
    sim.seed(
        volumes=[
            sim.volume("vol-1", TEAM, age_s=5),
            sim.volume("vol-2", TEAM, source_volume_id="vol-1", access_mode="RWX", user_id="somebody"),
            sim.volume("owned", TEAM, owned=True),
            sim.volume("theirs", OTHER),
        ]
    )
    listed = data(api, "GET", VOLUMES)
    assert [v["id"] for v in listed] == ["vol-2", "vol-1"]
    fields = {"id", "team_id", "user_id", "access_mode", "created_at", "updated_at", "default_posix_uid", "default_posix_gid"}
    assert set(listed[1]) == fields and set(listed[0]) == fields | {"source_volume_id"}
    assert data(api, "GET", f"{VOLUMES}/vol-2") == listed[0]
    assert [v["user_id"] for v in listed] == ["somebody", OTHER_USER]
    for hidden in ("owned", "theirs", "never"):
        error(api, "GET", f"{VOLUMES}/{hidden}", 404, "not_found")
    for hidden in ("owned", "theirs"):
        error(api, "DELETE", f"{VOLUMES}/{hidden}", 404, "not_found", force="true")
    assert data(api, "DELETE", f"{VOLUMES}/never") == {"deleted": True}


def test_volume_delete_while_mounted(sim: Sim, api: Client) -> None:
    sim.seed(volumes=[sim.volume("vol-1", TEAM)], sandboxes=[sim.sandbox("sb-1", TEAM, volumes=["vol-1"])])
    for force in ({}, {"force": "false"}, {"force": "TRUE"}, {"force": "1"}):
        refused = error(api, "DELETE", f"{VOLUMES}/vol-1", 409, "conflict", **force)
        assert refused["message"] == "volume has active mounts"
        assert refused["details"]["mounts"] == [{"sandbox_id": "sb-1", "mount_point": "/mnt/0"}]
        assert refused["details"]["active_mounts"] == 1 and refused["details"]["hint"]
    assert data(api, "DELETE", f"{VOLUMES}/vol-1", force="true") == {"deleted": True}
    assert sim.live("volume") == set() and sim.live("sandbox") == {"sb-1"}
    deletes = sim.deletes_of("vol-1")
    assert [(e["status"], e["force"], e["mounts_active"], e["live"]) for e in deletes] == [(409, False, 1, True)] * 4 + [(200, True, 1, True)]


def test_create_fork_snapshot(sim: Sim, api: Client) -> None:
    made = data(api, "POST", VOLUMES, want=201)
    assert (made["access_mode"], made["default_posix_uid"], made["team_id"]) == ("RWO", 0, TEAM)
    snapshot = data(api, "POST", f"{VOLUMES}/{made['id']}/snapshots", {"name": "function-sb-1", "description": "d"}, want=201)
    assert {"id", "volume_id", "name", "size_bytes", "created_at"} <= set(snapshot) and snapshot["volume_id"] == made["id"]
    copy = data(api, "POST", VOLUMES, {"snapshot_id": snapshot["id"], "access_mode": "ROX", "default_posix_uid": 7}, want=201)
    assert (copy["access_mode"], copy["default_posix_uid"]) == ("ROX", 7) and "source_volume_id" not in copy
    fork = data(api, "POST", f"{VOLUMES}/{made['id']}/fork", want=201)
    assert fork["source_volume_id"] == made["id"]
    assert {v["user_id"] for v in (made, copy, fork)} == {USER} != {OTHER_USER} and sim.state("volume", copy["id"])["user_id"] == USER
    state = sim.state("snapshot", snapshot["id"])
    assert (state["volume_id"], state["name"], state["description"]) == (made["id"], "function-sb-1", "d")
    error(api, "POST", VOLUMES, 404, "not_found", {"snapshot_id": "never"})
    error(api, "POST", VOLUMES, 400, "bad_request", {"access_mode": "XXX"})
    error(api, "POST", f"{VOLUMES}/never/fork", 404, "not_found")
    error(api, "POST", f"{VOLUMES}/never/snapshots", 404, "not_found", {"name": "n"})
    error(api, "POST", f"{VOLUMES}/{made['id']}/snapshots", 400, "bad_request", {})
    data(api, "POST", SANDBOXES, {"template": "t", "mounts": [{"sandboxvolume_id": made["id"], "mount_point": "/m"}]}, want=201)
    error(api, "POST", f"{VOLUMES}/{made['id']}/fork", 409, "conflict")


def test_snapshot_delete_and_cascade(sim: Sim, api: Client) -> None:
    sim.seed(
        volumes=[sim.volume("vol-1", TEAM), sim.volume("vol-2", TEAM)],
        snapshots=[sim.snapshot(f"snap-{n}", "vol-1", TEAM) for n in range(3)],
    )
    error(api, "DELETE", f"{VOLUMES}/vol-2/snapshots/snap-0", 404, "not_found")
    assert data(api, "DELETE", f"{VOLUMES}/vol-1/snapshots/snap-0") == {"deleted": True}
    error(api, "DELETE", f"{VOLUMES}/vol-1/snapshots/snap-0", 404, "not_found")
    assert sim.live("snapshot") == {"snap-1", "snap-2"}
    data(api, "DELETE", f"{VOLUMES}/vol-1")
    assert sim.live("snapshot") == set()
    error(api, "DELETE", f"{VOLUMES}/vol-1/snapshots/snap-1", 404, "not_found")
    entry = sim.deletes_of("snap-0")[1]
    assert (entry["op"], entry["path"], entry["live"]) == ("snapshot_delete", f"{VOLUMES}/vol-1/snapshots/snap-0", True)


# ---- faults ----


def test_status_faults(sim: Sim, api: Client) -> None:
    sim.seed(sandboxes=[sim.sandbox("sb-1", TEAM)])
    path = f"{SANDBOXES}/sb-1"
    cases = [(503, "unavailable"), (500, "internal_error"), (409, "conflict"), (403, "forbidden"), (404, "not_found")]
    for status, code in cases:
        sim.fault("status", op="sandbox_delete", status=status, count=1)
        error(api, "DELETE", path, status, code)
    for status in (401, 429, 502, 504):
        sim.fault("status", op="sandbox_delete", status=status, count=1, retry_after=3)
        got, headers, text = api.request("DELETE", path)
        assert (got, headers["Retry-After"], set(json.loads(text)) - {"retry_after"}) == (status, "3", {"error"})
    sim.fault("status", status=503, plain=True, retry_after="Wed, 21 Oct 2026 07:28:00 GMT", id="sb-1", count=1)
    got, headers, text = api.request("GET", path)
    assert (got, headers["Retry-After"]) == (503, "Wed, 21 Oct 2026 07:28:00 GMT") and b"success" not in text
    assert sim.state("sandbox", "sb-1")["state"] == "live" and sim.faults() == []


@pytest.mark.parametrize(
    ("effect", "status", "state"),
    [("reset", "reset", "live"), ("lost", "lost", "terminating")],
)
def test_no_answer(sim: Sim, api: Client, effect: str, status: str, state: str) -> None:
    sim.settings(finalizer_ms=-1)
    sim.seed(sandboxes=[sim.sandbox("sb-1", TEAM)])
    sim.fault(effect, method="DELETE", team=TEAM, count=1)
    with pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
        api.request("DELETE", f"{SANDBOXES}/sb-1")
    assert sim.state("sandbox", "sb-1")["state"] == state
    assert [e["status"] for e in sim.deletes_of("sb-1")] == [status]
    data(api, "DELETE", f"{SANDBOXES}/sb-1")


def test_lost_claim_leaves_an_unknown_sandbox(sim: Sim, api: Client) -> None:
    sim.fault("lost", op="sandbox_claim", count=1)
    with pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
        api.request("POST", SANDBOXES, {"template": "tpl"})
    assert sim.live_count()["sandbox"] == 1


def test_hang_and_latency(sim: Sim) -> None:
    sim.seed(sandboxes=[sim.sandbox("sb-1", TEAM)])
    sim.fault("hang", op="sandbox_delete", count=1)
    impatient = sim.public(TEAM, timeout=0.3)
    with pytest.raises(socket.timeout):
        impatient.request("DELETE", f"{SANDBOXES}/sb-1")
    assert [e["status"] for e in sim.deletes_of("sb-1")] == ["hang"]
    assert sim.counters()["sandbox_delete"] == {"hang": 1}
    assert sim.state("sandbox", "sb-1")["state"] == "live"
    sim.settings(latency_ms=100)
    sim.fault("latency", latency_ms=100, count=1)
    for least in (0.2, 0.1):
        before = time.monotonic()
        data(sim.public(TEAM), "GET", f"{SANDBOXES}/sb-1")
        assert time.monotonic() - before >= least
    assert sim.in_flight_max() == 2  # the hanging one counts


def test_ends_cleanly_with_requests_that_wait(tmp_path: Path) -> None:
    with start(BUILD, tmp_path) as own:
        for effect in ({"effect": "hang"}, {"effect": "latency", "latency_ms": 60000}):
            own.fault(count=1, **effect)
            with pytest.raises(socket.timeout):
                own.public(TEAM, timeout=0.1).request("GET", SANDBOXES)


def test_hanging_connection_is_closed_some_day(sim: Sim, api: Client) -> None:
    sim.settings(hang_ms=50)
    sim.fault("hang", count=1)
    with pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
        api.request("GET", SANDBOXES)


@pytest.mark.parametrize("effect", ["truncated", "malformed", "huge", "html404"])
def test_spoiled_answers(sim: Sim, api: Client, effect: str) -> None:
    sim.settings(finalizer_ms=-1)
    sim.seed(sandboxes=[sim.sandbox("sb-1", TEAM)])
    sim.fault(effect, op="sandbox_delete", bytes=3 << 20)
    status, headers, text = api.request("DELETE", f"{SANDBOXES}/sb-1")
    if effect == "html404":
        assert (status, headers["Content-Type"]) == (404, "text/html") and text.startswith(b"<html>")
    elif effect == "huge":
        assert len(text) >= 3 << 20 and json.loads(text)["success"]
    else:
        with pytest.raises(ValueError):
            json.loads(text)
    assert sim.state("sandbox", "sb-1")["state"] == ("live" if effect == "html404" else "terminating")
    assert status == (404 if effect == "html404" else 200)


def test_lookup_errors_are_404(sim: Sim, api: Client) -> None:
    sim.seed(sandboxes=[sim.sandbox("sb-1", TEAM)])
    sim.settings(get_404_percent=50)
    seen = [ask(api, "GET", f"{SANDBOXES}/sb-1")[0] for _ in range(60)]
    assert {200, 404} == set(seen)
    sim.settings(get_404_percent=100)
    error(api, "GET", f"{SANDBOXES}/sb-1", 404, "not_found")
    data(api, "DELETE", f"{SANDBOXES}/sb-1")


def test_rules_are_removed_and_bad_ones_refused(sim: Sim, api: Client) -> None:
    kept, dropped = sim.fault("latency", latency_ms=1), sim.fault("reset")
    sim.clear_faults(dropped)
    data(api, "GET", SANDBOXES)
    assert [(r["id"], r["seen"], r["hits"]) for r in sim.faults()] == [(kept, 1, 1)]
    with pytest.raises(SimError, match="404"):
        sim.clear_faults(dropped)
    with pytest.raises(SimError, match="400.*percentage"):
        sim.fault("reset", percentage=5)
    with pytest.raises(SimError, match="400.*finalizer"):
        sim.settings(finalizer=5)
    sim.clear_faults()
    assert sim.faults() == []


def test_listing_pathologies_over_the_wire(sim: Sim, api: Client) -> None:
    sim.seed(sandboxes=[sim.sandbox(f"sb-{n}", TEAM, cluster_id=f"c{n % 2}") for n in range(10)])
    sim.settings(list_drop_cluster="c1", list_count_delta=2, list_has_more_at_end=True)
    listed = data(api, "GET", SANDBOXES, limit=5)
    assert (len(listed["sandboxes"]), listed["count"], listed["has_more"]) == (5, 7, True)
    sim.settings(list_empty=True, volume_list_empty=True)
    assert data(api, "GET", SANDBOXES) == {"sandboxes": [], "count": 0, "has_more": False}


def test_one_teams_listing_is_wrong(sim: Sim, api: Client) -> None:
    """Settings of a team hold for its listings and look-ups, and for nobody else's."""
    other = sim.public(OTHER)
    sim.seed(sandboxes=[sim.sandbox(f"{team[:2]}-{n}", team) for team in (TEAM, OTHER) for n in range(6)], volumes=[sim.volume("vol-1", TEAM), sim.volume("vol-2", OTHER)])
    assert sim.settings(OTHER, list_half_page=True, list_shift=1, get_404_percent=100, volume_list_empty=True)["list_half_page"]
    assert not sim.get_settings()["list_half_page"] and sim.get_settings(OTHER)["list_shift"] == 1 and not sim.get_settings(TEAM)["list_half_page"]
    assert len(data(api, "GET", SANDBOXES)["sandboxes"]) == 6 and len(data(other, "GET", SANDBOXES)["sandboxes"]) == 3
    assert [s["id"] for s in data(other, "GET", SANDBOXES, limit=2, offset=2)["sandboxes"]] == ["22-2"]
    assert data(api, "GET", f"{SANDBOXES}/11-0")["id"] == "11-0"
    error(other, "GET", f"{SANDBOXES}/22-0", 404, "not_found")
    assert [v["id"] for v in data(api, "GET", VOLUMES)] == ["vol-1"] and data(other, "GET", VOLUMES) is None
    with pytest.raises(SimError, match="400.*list_shift"):
        sim.settings(OTHER, list_shift=201)
    sim.settings(list_empty=True)  # what a team has of its own does not change with the others'
    assert data(api, "GET", SANDBOXES)["count"] == 0 and data(other, "GET", SANDBOXES)["count"] == 6
    sim.settings(list_empty=False)
    sim.clear_team_settings()
    assert len(data(other, "GET", SANDBOXES)["sandboxes"]) == 6 and data(other, "GET", f"{SANDBOXES}/22-0")


# ---- the control port ----


def test_journal_and_counters(sim: Sim, api: Client) -> None:
    sim.seed(sandboxes=[sim.sandbox("sb-1", TEAM), sim.sandbox("sb-2", TEAM)])
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    before = time.time()
    api.request("DELETE", f"{SANDBOXES}/sb-1", headers={"traceparent": trace})
    api.request("GET", f"{SANDBOXES}/never", headers={"traceparent": "nonsense"})
    api.request("GET", "/odd%20path?x=1")
    entries = list(sim.journal())
    assert [e["seq"] for e in entries] == [1, 2, 3] and sim.journal_end() == 4
    first, second, third = entries
    assert (first["op"], first["method"], first["path"], first["id"], first["team"]) == (
        "sandbox_delete", "DELETE", f"{SANDBOXES}/sb-1", "sb-1", TEAM,
    )  # fmt: skip
    assert (first["status"], first["live"], first["force"], first["traceparent"]) == (200, True, False, trace)
    assert abs(first["at_us"] / 1e6 - before) < 5
    assert (second["status"], second["live"], "traceparent" in second) == (404, False, False)
    assert (third["op"], third["path"]) == ("other", "/odd%20path")
    assert sim.counters()["sandbox_delete"] == {"200": 1}
    sim.assert_never_deleted(["sb-2"])
    with pytest.raises(AssertionError):
        sim.assert_never_deleted(["sb-1"])
    assert [e["id"] for e in sim.journal(op="sandbox_get")] == ["never"] and list(sim.journal(team=OTHER)) == []
    sim.settings(journal=False)
    api.request("GET", SANDBOXES)
    assert sim.journal_end() == 4 and sim.counters()["sandbox_list"] == {"200": 1}


def test_journal_says_what_was_made(sim: Sim, api: Client) -> None:
    """Also where the answer was lost; a request that made nothing has no such field."""
    sim.seed(volumes=[sim.volume("vol-1", TEAM)])
    for op, kind, path, body in [
        ("snapshot_create", "snapshot", f"{VOLUMES}/vol-1/snapshots", {"name": "n"}),
        ("volume_create", "volume", VOLUMES, {}),
        ("volume_fork", "volume", f"{VOLUMES}/vol-1/fork", {}),
        ("sandbox_claim", "sandbox", SANDBOXES, {"template": "t"}),
    ]:
        made = data(api, "POST", path, body, want=201)
        sim.fault("lost", op=op, count=1)
        with pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
            api.request("POST", path, body)
        sim.fault("status", op=op, status=409, count=1)
        error(api, "POST", path, 409, "conflict", body)
        first, lost, refused = sim.journal(op=op)
        assert first["made"] == made.get("id", made.get("sandbox_id")) and lost["status"] == "lost" and "made" not in refused
        assert sim.state(kind, lost["made"])["state"] == "live" and lost["made"] != first["made"]


def test_journal_drops_the_oldest(sim: Sim, api: Client) -> None:
    sim.settings(journal_max=10)
    for n in range(25):
        api.request("GET", f"{SANDBOXES}/sb-{n}")
    assert [e["id"] for e in sim.journal()] == [f"sb-{n}" for n in range(15, 25)]
    with pytest.raises(AssertionError, match="dropped 15"):
        sim.assert_journal_whole()


def test_seed_errors_name_what_is_wrong(sim: Sim) -> None:
    sim.seed(sandboxes=[sim.sandbox("sb-1", TEAM)])
    for row, text in [
        (sim.sandbox("sb-1", TEAM), "sb-1 is there already"),
        (sim.sandbox("sb 2", TEAM), "sb 2 is no id"),
        (sim.sandbox("sb-2", TEAM, volumes=["vol-1"]), "no volume vol-1"),
        ({"id": "sb-2"}, "team_id is missing"),
    ]:
        with pytest.raises(SimError, match=text):
            sim.seed(sandboxes=[row])
    with pytest.raises(SimError, match="a b is no user id"):
        sim.seed(volumes=[sim.volume("vol-1", TEAM, user_id="a b")])
    with pytest.raises(SimError, match="404"):
        sim.remove("sandbox", "never")
    with pytest.raises(SimError, match="404"):
        sim.call("GET", "/nothing")


def test_remove_and_come_back(sim: Sim, api: Client) -> None:
    sim.seed(sandboxes=[sim.sandbox("sb-1", TEAM)])
    sim.remove("sandbox", "sb-1")
    error(api, "GET", f"{SANDBOXES}/sb-1", 404, "not_found")
    assert sim.deletes_of("sb-1") == [] and [s["state"] for s in sim.states("sandbox", all=True)] == ["gone"]
    sim.seed(sandboxes=[sim.sandbox("sb-1", TEAM)])
    data(api, "GET", f"{SANDBOXES}/sb-1")
    sim.assert_all_live("sandbox", ["sb-1"])


def test_a_million(sim: Sim, api: Client) -> None:
    sim.seed_range(TEAM, "sb-", 1000000)
    assert sim.live_count()["sandbox"] == 1000000
    page = data(api, "GET", SANDBOXES, limit=200, offset=999900)
    assert (len(page["sandboxes"]), page["count"], page["sandboxes"][-1]["id"]) == (100, 1000000, "sb-00000000")
    data(api, "DELETE", f"{SANDBOXES}/sb-00500000")
    sim.advance(10)
    assert data(api, "GET", SANDBOXES, limit=1)["count"] == 999999

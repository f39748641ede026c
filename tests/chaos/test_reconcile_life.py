"""Life at full speed while the reconciler runs in a loop: restores, recycles, disables and deletes, on a platform that lies.

At the end S1, S2, S3 and L2 hold, from the ledger, from a log of every mapping that ever was, and from what the
platform was asked.
"""

from __future__ import annotations

import http.client
import itertools
import json
import os
import random
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import psycopg2
import pytest

from tests.support.drift import forget_all
from tests.support.house import Api, Function, House, Reconciled
from tests.support.sim import Client, Sim
from tests.support.stack import wait_until

SEED = int(os.environ.get("LIFE_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 31)
TEAMS, FUNCTIONS, HOSTS = 4, 24, 4
STEPS, RUNS = 500, 5  # of each host; of the reconciler beside them: life goes on until there were both
GRACE_MS = 2000

MAP_LOG = """
CREATE SCHEMA IF NOT EXISTS testing;
CREATE TABLE testing.map_log (at timestamptz NOT NULL DEFAULT clock_timestamp(), revision uuid, old text, new text);
CREATE FUNCTION testing.log_map() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO testing.map_log (revision, old, new) VALUES (NEW.id, OLD.runtime_sandbox_id, NEW.runtime_sandbox_id);
    RETURN NULL;
END $$;
CREATE TRIGGER zz_log_map AFTER UPDATE OF runtime_sandbox_id ON shared_gateway.functions_revisions
    FOR EACH ROW WHEN (OLD.runtime_sandbox_id IS DISTINCT FROM NEW.runtime_sandbox_id) EXECUTE FUNCTION testing.log_map()"""


@pytest.fixture(autouse=True)
def logged(house: House, sim: Sim) -> Iterator[None]:
    forget_all(house)
    sim.settings(finalizer_ms=100, mount_linger_ms=100)
    house.stack.sql("DROP SCHEMA IF EXISTS testing CASCADE")
    house.stack.sql(MAP_LOG)
    yield
    house.stack.sql("DROP SCHEMA testing CASCADE")


class Host:
    """One client of everything: the function host that restores, and the users who recycle, disable and delete."""

    def __init__(self, house: House, sim: Sim, api: Api, keys: dict[str, str], functions: list[Function], seed: int) -> None:
        self.house, self.sim, self.api, self.keys, self.functions = house, sim, api, keys, functions
        self.rng = random.Random(seed)
        self.conn = house.stack.connect()
        self.conn.autocommit = False
        self.control = Sim(sim.control_url, sim.url, sim.token)  # a thread's own connection
        self.done: dict[str, int] = {}

    def count(self, what: str) -> None:
        self.done[what] = self.done.get(what, 0) + 1

    def live(self, enough: Callable[[], bool]) -> None:
        acts: list[tuple[Callable[[Function], None], int]] = [(self.restore, 70), (self.recycle, 12), (self.toggle, 10), (self.delete, 3), (self.lose, 5)]
        for step in itertools.count():
            if step >= STEPS and enough():
                break
            f = self.rng.choice(self.functions[-FUNCTIONS:])
            act = self.rng.choices([a for a, _ in acts], [w for _, w in acts])[0]
            try:
                act(f)
            except psycopg2.Error:
                self.conn.rollback()
                self.count(f"{act.__name__} refused")
            except (OSError, http.client.HTTPException):
                self.conn.rollback()
                self.count(f"{act.__name__} broken")
        self.conn.close()

    def ask(self, method: str, path: str, f: Function, body: Any = None) -> None:
        status, _, answer = self.api.request(method, f"/api/v1/functions/{f.id}{path}", self.keys[f.team], body)
        assert status in (200, 404), answer

    def recycle(self, f: Function) -> None:
        self.ask("POST", "/runtime/recycle", f)
        self.count("recycle")

    def toggle(self, f: Function) -> None:
        self.ask("PUT", "", f, {"enabled": self.rng.random() < 0.7})
        self.count("toggle")

    def delete(self, f: Function) -> None:
        """And another one is published in its stead."""
        self.ask("DELETE", "", f)
        self.functions.append(self.house.function(team=f.team, volumes=self.rng.randrange(2), mapped=False, sim=self.control))
        self.count("delete")

    def lose(self, f: Function) -> None:
        """The machine below its sandbox breaks."""
        with self.conn, self.conn.cursor() as cur:
            cur.execute("SELECT runtime_sandbox_id FROM shared_gateway.functions_revisions WHERE id = %s", (f.active.id,))
            sandbox = cur.fetchone()[0]
        if sandbox:
            self.control.remove("sandbox", sandbox)
            self.count("lose")

    def restore(self, f: Function) -> None:
        """What the function host does; and one time in ten it dies in the middle."""
        with self.conn, self.conn.cursor() as cur:
            cur.execute(
                """SELECT 1 FROM shared_gateway.functions_revisions r JOIN shared_gateway.functions f ON f.id = r.function_id
                   WHERE r.id = %s AND r.runtime_sandbox_id IS NULL AND f.enabled AND f.deleted_at IS NULL""", (f.active.id,))  # fmt: skip
            if not cur.fetchone():
                return
            attempt = str(uuid.uuid4())
            cur.execute("INSERT INTO sandsweep.restore_attempts (id, team_id, function_id, revision_id, template_id) VALUES (%s, %s, %s, %s, 'tpl')", (attempt, f.team, f.id, f.active.id))
        sandbox = self.claim(f, attempt)
        if sandbox is None or self.rng.random() < 0.1:
            return self.count("crash")
        with self.conn, self.conn.cursor() as cur:
            cur.execute(
                """UPDATE shared_gateway.functions_revisions SET runtime_sandbox_id = %s, runtime_context_id = 'c', runtime_updated_at = clock_timestamp()
                   WHERE id = %s AND runtime_sandbox_id IS NULL""", (sandbox, f.active.id))  # fmt: skip
            if cur.rowcount == 1:
                cur.execute("UPDATE sandsweep.restore_attempts SET closed_at = now(), outcome = 'mapped', sandbox_id = %s WHERE id = %s AND closed_at IS NULL", (sandbox, attempt))
                if cur.rowcount != 1:
                    raise psycopg2.Error("the attempt was given up")
        self.count("restore")

    def claim(self, f: Function, attempt: str) -> str | None:
        service = {"id": "main", "port": 8080, "runtime": {"type": "cmd", "env_vars": {"SANDSWEEP_RUNTIME": attempt}}}
        client = self.sim.public(f.team, timeout=5)
        try:
            status, _, text = client.request("POST", "/api/v1/sandboxes", {"template": "tpl", "config": {"services": [service]}})
        finally:
            client.close()
        return json.loads(text)["data"]["sandbox_id"] if status == 201 else None


FAULTS: list[dict[str, Any]] = [
    {"effect": "status", "op": "sandbox_list", "status": 503, "percent": 10},
    {"effect": "truncated", "op": "sandbox_list", "percent": 5},
    {"effect": "status", "op": "sandbox_get", "status": 502, "percent": 5},
    {"effect": "reset", "op": "sandbox_delete", "percent": 10},
    {"effect": "lost", "op": "sandbox_delete", "percent": 5},
    {"effect": "lost", "op": "sandbox_claim", "percent": 8},
    {"effect": "status", "op": "sandbox_claim", "status": 503, "percent": 5},
    {"effect": "latency", "op": "sandbox_list", "latency_ms": 30, "percent": 30},
]
LIES: list[dict[str, Any]] = [{}, {"list_skip_percent": 20}, {"list_empty": True}, {"list_half_page": True}, {"list_shift": 2}, {"list_count_delta": 2}, {"list_cluster_cap": 3}, {"volume_list_empty": True}]
TRUTH = {"list_skip_percent": 0, "list_empty": False, "list_half_page": False, "list_shift": 0, "list_count_delta": 0, "list_cluster_cap": 0, "volume_list_empty": False}


def reconcile_in_a_loop(house: House, control: Sim, rng: random.Random, over: threading.Event, runs: list[Reconciled]) -> None:
    """Each run sees another lie."""
    while not over.is_set():
        control.settings(**{**TRUTH, **rng.choice(LIES)})
        runs.append(house.reconcile(grace_ms=GRACE_MS, options={"reconcile.page_rows": str(rng.choice([3, 20, 200])), "reconcile.call_attempts": "3"}))


def test_life(house: House, sim: Sim, api: Api) -> None:
    print(f"LIFE_SEED={SEED}")
    rng = random.Random(SEED)
    teams = [str(uuid.uuid4()) for _ in range(TEAMS)]
    keys = {team: api.key(team, "*", "--rate", "1000000") for team in teams}
    functions = [house.function(team=rng.choice(teams), volumes=n % 2, mapped=False, sim=sim) for n in range(FUNCTIONS)]
    theirs = [f"user-{uuid.uuid4().hex[:8]}" for _ in range(20)]
    sim.seed(sandboxes=[sim.sandbox(x, rng.choice(teams), "tpl") for x in theirs])
    for rule in FAULTS:
        sim.fault(**rule)
    for _ in range(2):
        house.worker({"worker.attempts_max": "1000"}, group="life")
    over, runs, failures = threading.Event(), [], []

    def guarded(what: Callable[..., None], *args: Any) -> threading.Thread:
        def run() -> None:
            try:
                what(*args)
            except BaseException as failed:  # a thread's failure is the test's
                failures.append(failed)

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    control = Sim(sim.control_url, sim.url, sim.token)
    looping = guarded(reconcile_in_a_loop, house, control, random.Random(SEED + 1), over, runs)
    hosts = [Host(house, sim, api, keys, functions, SEED + 2 + n) for n in range(HOSTS)]
    threads = [guarded(host.live, lambda: len(runs) >= RUNS or bool(failures)) for host in hosts]
    for thread in threads:
        thread.join()
    over.set()
    looping.join()
    assert not failures, failures
    done = {what: sum(h.done.get(what, 0) for h in hosts) for h in hosts for what in h.done}
    print(done, [r.code for r in runs])
    assert done["restore"] > 50 and done["recycle"] > 50 and done.get("crash", 0) > 5, done
    assert len(runs) >= RUNS and {r.code for r in runs} <= {0, 3, 4, 6}, [(r.code, r.stderr[-500:]) for r in runs]

    sim.clear_faults()
    sim.settings(**TRUTH)
    settle(house)
    check(house, sim, functions, theirs)


def settle(house: House) -> None:
    """L2: when the faults stop, drift is zero within two periods."""
    time.sleep(GRACE_MS / 1000)  # the period of this loop: what is young must have come of age
    for _ in range(2):
        house.reconcile(grace_ms=GRACE_MS // 2)
        open_rows = "SELECT count(*) FROM sandsweep.owned_resources WHERE state IN ('doomed', 'deleting')"
        wait_until(lambda: house.stack.sql(open_rows)[0][0] == 0, "the workers to be done", 60)
    last = house.reconcile("--dry-run", grace_ms=0)
    assert (last.code, last.drift()) == (0, []), last.findings


def check(house: House, sim: Sim, functions: list[Function], theirs: list[str]) -> None:
    sim.assert_journal_whole()
    users = set(theirs) | {x for f in functions for x in f.users}
    log = house.stack.sql("SELECT (extract(epoch FROM at) * 1000000)::bigint, old, new FROM testing.map_log ORDER BY at")
    mapped_at = {}
    for at, _, new in log:
        if new:
            assert new not in mapped_at, f"S3: {new} was mapped twice"
            mapped_at[new] = at
    cleared_at = {old: at for at, old, _ in log if old}
    for e in sim.journal(op="sandbox_delete"):
        assert e["id"] not in users, f"S1: a user's sandbox: {e}"
        if e["id"] in mapped_at:
            assert cleared_at.get(e["id"], 1 << 62) <= e["at_us"], f"S1: deleted while it was mapped: {e}"
    deleted = dict(house.stack.sql("SELECT id::text, (extract(epoch FROM deleted_at) * 1000000)::bigint FROM shared_gateway.functions"))
    owner = {v: f.id for f in functions for v in f.active.volumes + f.active.snapshots}
    for op in ("volume_delete", "snapshot_delete"):
        for e in sim.journal(op=op):
            assert e["id"] in owner and (deleted[owner[e["id"]]] or 1 << 62) <= e["at_us"], f"S2: {e}"
    # L1, L2: everything is in use and there, or gone.
    maps = {s for s, in house.stack.sql("SELECT runtime_sandbox_id FROM shared_gateway.functions_revisions WHERE runtime_sandbox_id IS NOT NULL")}
    sources = {f.active.source_sandbox for f in functions}
    assert sim.live("sandbox") == maps | sources | set(theirs)
    needed = {v for f in functions for v in f.active.source_volumes} | {v for v, f in owner.items() if not deleted[f]}
    assert sim.live("volume") == {v for v in needed if not v.startswith("snap")}
    states = dict(house.stack.sql("SELECT resource_id, state::text FROM sandsweep.owned_resources"))
    assert {id for id, state in states.items() if state != "gone"} == maps | {v for v, f in owner.items() if not deleted[f]}


def test_the_client_of_a_claim(sim: Sim) -> None:
    """The marker that a host passes is what GET shows: the proof that the reconciler looks for."""
    team, attempt = str(uuid.uuid4()), str(uuid.uuid4())
    client: Client = sim.public(team)
    service = {"id": "main", "port": 8080, "runtime": {"type": "cmd", "env_vars": {"SANDSWEEP_RUNTIME": attempt}}}
    _, _, text = client.request("POST", "/api/v1/sandboxes", {"template": "tpl", "config": {"services": [service]}})
    _, _, shown = client.request("GET", f"/api/v1/sandboxes/{json.loads(text)['data']['sandbox_id']}")
    client.close()
    assert json.loads(shown)["data"]["services"][0]["runtime"]["env_vars"] == {"SANDSWEEP_RUNTIME": attempt}

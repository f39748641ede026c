"""Random schedules of claim, map, release, list, prove and act, against the real statements.

Hundreds of schedules run side by side, each in a team of its own, so that one statement takes a step in many
of them; their runs of the reconciler begin together, and within a run everything happens at random moments.
Every grace is zero: nothing but compare-and-set, the ledger and the order of locks protects what is in use.
"""

from __future__ import annotations

import json
import random
import re
import uuid
from dataclasses import dataclass, field
from typing import Any

from psycopg2.extras import execute_values

from tests.support.reconcile_sql import CLASSES, parts
from tests.support.stack import ROOT

TEMPLATE = "tpl"
NIL = "00000000-0000-0000-0000-000000000000"

# What the function host does at the end of a restore, in one transaction; why not, or NULL.
TRY_MAP = """
CREATE FUNCTION pg_temp.try_map(rev uuid, sandbox text, attempt uuid, careful boolean) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    IF careful AND NOT (SELECT f.enabled AND f.deleted_at IS NULL AND f.active_revision_id = rev FROM shared_gateway.functions f
                        WHERE f.id = (SELECT function_id FROM shared_gateway.functions_revisions WHERE id = rev) FOR SHARE) THEN
        RETURN 'not served any more';
    END IF;
    UPDATE shared_gateway.functions_revisions SET runtime_sandbox_id = sandbox, runtime_context_id = 'c', runtime_updated_at = clock_timestamp()
        WHERE id = rev AND runtime_sandbox_id IS NULL;
    IF NOT FOUND THEN
        RETURN 'another one was faster';
    END IF;
    UPDATE sandsweep.restore_attempts SET closed_at = clock_timestamp(), outcome = 'mapped', sandbox_id = sandbox
        WHERE id = attempt AND closed_at IS NULL;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'given up';
    END IF;
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    RETURN SQLERRM;
END $$"""


@dataclass
class Sandbox:
    """One on the model of the platform."""

    id: str
    team: str
    created: Any
    marker: str | None
    volume: str | None  # mounted
    alive: bool = True
    deleted: bool = False
    born_in: int = 0  # the run that was going on


@dataclass
class Schedule:
    number: int
    rng: random.Random
    team: str
    function: str
    revisions: list[str]
    volume: str
    active: int = 0
    enabled: bool = True
    deleted: bool = False
    pending: list[tuple[int, str, str]] = field(default_factory=list)  # revision, sandbox, attempt: what the host holds in memory
    trace: list[str] = field(default_factory=list)

    def serves(self, revision: str) -> bool:
        return self.enabled and not self.deleted and self.revisions[self.active] == revision


OPS = [("claim", 30), ("map", 30), ("release", 12), ("work", 15), ("die", 6), ("activate", 4), ("disable", 3), ("enable", 4), ("delete", 2), ("crash", 4), ("rise", 2)]


class Schedules:
    def __init__(self, conn: Any, seeds: list[int]) -> None:
        self.conn, self.cur = conn, conn.cursor()
        self.all = [make_schedule(seed) for seed in seeds]
        self.by_team = {s.team: s for s in self.all}
        self.rng = random.Random(seeds[0])
        self.platform: dict[str, Sandbox] = {}
        self.foreign: set[str] = set()
        self.run = 0
        self.deletes = 0
        self.acts: dict[str, int] = {}
        self.fill()

    # -- SQL

    def rows(self, text: str, *params: Any) -> list[tuple[Any, ...]]:
        self.cur.execute(text, params or None)
        return self.cur.fetchall() if self.cur.description else []

    def query(self, name: str, *params: Any) -> list[tuple[Any, ...]]:
        """sql/queries/NAME.sql, as the program has it; arrays are given as lists."""
        handle = f"q_{name}"
        if not self.rows("SELECT 1 FROM pg_prepared_statements WHERE name = %s", handle):
            self.cur.execute(f"PREPARE {handle} AS " + re.sub(r"--[^\n]*", "", (ROOT / "sql" / "queries" / f"{name}.sql").read_text()))
        return self.rows(f"EXECUTE {handle}" + (f"({', '.join(['%s'] * len(params))})" if params else ""), *[array(p) if isinstance(p, list) else p for p in params])

    def fill(self) -> None:
        self.cur.execute("SELECT pg_my_temp_schema()::regnamespace::text, to_regprocedure('pg_temp.try_map(uuid, text, uuid, boolean)')")
        if self.cur.fetchone()[1] is None:
            self.cur.execute(TRY_MAP)
        execute_values(self.cur, "INSERT INTO shared_gateway.functions (id, team_id, name, slug, domain_label) VALUES %s", [(s.function, s.team, s.function, s.function, s.function) for s in self.all])
        mounts = [json.dumps([{"sandboxvolume_id": s.volume, "source_sandboxvolume_id": f"src-{s.volume}", "snapshot_id": f"snap-{s.volume}"}]) for s in self.all]
        execute_values(
            self.cur,
            """INSERT INTO shared_gateway.functions_revisions (id, function_id, team_id, revision_number, source_sandbox_id, source_service_id,
                   source_template_id, restore_mounts, service_snapshot) VALUES %s""",
            [(r, s.function, s.team, n, f"src-{s.team}", "web", TEMPLATE, m if n == 0 else "[]", "{}") for s, m in zip(self.all, mounts) for n, r in enumerate(s.revisions)],
        )
        execute_values(
            self.cur, "UPDATE shared_gateway.functions f SET active_revision_id = v.r::uuid FROM (VALUES %s) v (f, r) WHERE f.id = v.f::uuid",
            [(s.function, s.revisions[0]) for s in self.all], page_size=100000,
        )  # fmt: skip
        self.cur.execute("ANALYZE shared_gateway.functions, shared_gateway.functions_revisions, sandsweep.owned_resources")

    # -- steps of the users, the host and the worker; each in all schedules of a list

    def now(self) -> Any:
        return self.rows("SELECT clock_timestamp()")[0][0]

    def claim(self, some: list[Schedule]) -> None:
        """A restore begins: its trace is written, then the platform makes a sandbox; its answer may be lost."""
        now, attempts = self.now(), []
        for s in some:
            n, attempt = s.rng.randrange(len(s.revisions)), text_uuid(s.rng)
            sandbox = f"sb-{attempt}"
            attempts.append((attempt, s.team, s.function, s.revisions[n], TEMPLATE))
            how = s.rng.random()
            if how > 0.1:  # else the platform says no
                mount = s.volume if n == 0 and s.rng.random() < 0.5 else None
                marked = mount is None or s.rng.random() < 0.8
                self.platform[sandbox] = Sandbox(sandbox, s.team, now, attempt if marked else None, mount, born_in=self.run)
                if how > 0.25:
                    s.pending.append((n, sandbox, attempt))
            if s.rng.random() < 0.3:
                user = f"user-{attempt}"
                self.platform[user] = Sandbox(user, s.team, now, s.rng.choice([None, text_uuid(s.rng)]), None)
                self.foreign.add(user)
        execute_values(self.cur, "INSERT INTO sandsweep.restore_attempts (id, team_id, function_id, revision_id, template_id, started_at) VALUES %s", [(*a, now) for a in attempts])

    def map(self, some: list[Schedule]) -> None:
        tries = []
        for s in (s for s in some if s.pending):
            n, sandbox, attempt = s.pending.pop(s.rng.randrange(len(s.pending)))
            tries.append((s, s.revisions[n], sandbox, attempt, s.rng.random() < 0.7))
        answers = self.rows(
            "SELECT pg_temp.try_map(t.r, t.s, t.a, t.c) FROM unnest(%s::uuid[], %s::text[], %s::uuid[], %s::boolean[]) t (r, s, a, c)",
            [t[1] for t in tries], [t[2] for t in tries], [t[3] for t in tries], [t[4] for t in tries],
        )  # fmt: skip
        for (s, _, sandbox, _, _), (why,) in zip(tries, answers):
            s.trace.append(f"map {sandbox}: {why or 'done'}")

    def release(self, some: list[Schedule]) -> None:
        """A recycle; every other one's event is lost."""
        gone = self.rows(
            """WITH old AS (SELECT id, runtime_sandbox_id FROM shared_gateway.functions_revisions WHERE team_id = ANY (%s::uuid[]) AND runtime_sandbox_id IS NOT NULL)
               UPDATE shared_gateway.functions_revisions r SET runtime_sandbox_id = NULL, runtime_context_id = NULL, runtime_updated_at = NULL
               FROM old WHERE old.id = r.id RETURNING old.runtime_sandbox_id""", [s.team for s in some])  # fmt: skip
        self.rows(
            "UPDATE sandsweep.owned_resources SET state = 'doomed', doomed_at = clock_timestamp(), due_at = clock_timestamp(), doom_reason = 'event:runtime' WHERE state = 'released' AND resource_id = ANY (%s)",
            [id for id, in gone if self.rng.random() < 0.5],
        )

    def work(self, some: list[Schedule]) -> None:
        """The worker, in all teams: its own claim, with its own checks; then it is done at once."""
        claimed = [r for r in self.query("claim", "worker", 60000, 100000, 100000, 1000, NIL, [], 0, 0, 100, 1) if r[0]]
        if not claimed:
            return
        columns = [c.name for c in self.cur.description]
        ids, leases, names = ([r[columns.index(c)] for r in claimed] for c in ("id", "lease", "resource_id"))
        mapped = self.rows("SELECT runtime_sandbox_id FROM shared_gateway.functions_revisions WHERE runtime_sandbox_id = ANY (%s)", names)
        assert not mapped, f"the worker deletes what is mapped: {mapped[:3]}"
        for name in names:
            assert name not in self.foreign, f"a DELETE of {name}, which is a user's"
            if name in self.platform:
                self.platform[name].alive, self.platform[name].deleted = False, True
        self.deletes += len(names)
        n = len(ids)
        self.query("record", ids, leases, ["gone"] * n, [0] * n, [404] * n, [None] * n, [None] * n, [True] * n, 5)

    def die(self, some: list[Schedule]) -> None:
        for s in some:
            mine = [x for x in self.platform.values() if x.team == s.team and x.alive and x.id not in self.foreign]
            if mine:
                s.rng.choice(mine).alive = False

    def rise(self, some: list[Schedule]) -> None:
        """What was deleted is shown again."""
        for s in some:
            mine = [x for x in self.platform.values() if x.team == s.team and not x.alive and x.deleted]
            if mine:
                s.rng.choice(mine).alive = True

    def crash(self, some: list[Schedule]) -> None:
        for s in some:
            s.pending.clear()

    def activate(self, some: list[Schedule]) -> None:
        for s in some:
            s.active = 1 - s.active
        self.change("active_revision_id = v.x::uuid", [(s.function, s.revisions[s.active]) for s in some])

    def disable(self, some: list[Schedule]) -> None:
        for s in some:
            s.enabled = False
        self.change("enabled = v.x", [(s.function, False) for s in some])

    def enable(self, some: list[Schedule]) -> None:
        for s in some:
            s.enabled = True
        self.change("enabled = v.x", [(s.function, True) for s in some])

    def delete(self, some: list[Schedule]) -> None:
        for s in some:
            s.deleted = True
        self.change("deleted_at = coalesce(deleted_at, clock_timestamp() + (v.x - v.x) * interval '1 second')", [(s.function, 0) for s in some])

    def change(self, what: str, values: list[tuple[Any, ...]]) -> None:
        execute_values(self.cur, f"UPDATE shared_gateway.functions f SET {what} FROM (VALUES %s) v (f, x) WHERE f.id = v.f::uuid", values, page_size=100000)

    def life(self) -> None:
        """One step in most of the schedules, and the invariant after it."""
        chosen: dict[str, list[Schedule]] = {name: [] for name, _ in OPS}
        for s in self.all:
            if s.rng.random() < 0.8:
                name = s.rng.choices([n for n, _ in OPS], [w for _, w in OPS])[0]
                chosen[name].append(s)
                s.trace.append(name)
        order = [name for name, _ in OPS if chosen[name]]
        self.rng.shuffle(order)
        for name in order:
            getattr(self, name)(chosen[name])
        self.check_mapped()

    def check_mapped(self) -> None:
        """No mapped thing is on its way out (S1), whatever happened."""
        bad = self.rows(
            """SELECT r.team_id::text, o.resource_id, o.state::text, o.doom_reason FROM shared_gateway.functions_revisions r
               JOIN sandsweep.owned_resources o ON o.kind = 'sandbox' AND o.resource_id = r.runtime_sandbox_id
               WHERE o.state <> 'in_use' LIMIT 3""")  # fmt: skip
        assert not bad, "\n".join(f"schedule {self.by_team[t].number}: {id} is mapped and {state} ({why})\n  {self.by_team[t].trace}" for t, id, state, why in bad)

    # -- a run of the reconciler

    def reconcile(self, busy: bool) -> int:
        """One run; with `busy` life goes on between all its steps. Returns how much was proved."""
        self.run += 1
        self.rows("DISCARD TEMPORARY") if self.run > 1 else None
        self.cur.execute(TRY_MAP) if self.run > 1 else None
        begun = self.query("reconcile_begin", "default", "test", "here", "repair", False, None, None, True)[0]
        assert begun[0], begun
        groups = self.split(self.all, 2 if busy else 1)
        for group in groups:
            self.life() if busy else None
            self.list(group, busy)
        self.rows("ANALYZE pg_temp.seen, pg_temp.listings, sandsweep.restore_attempts")  # as a run does
        for name in CLASSES:
            self.life() if busy and self.rng.random() < 0.1 else None
            for part in parts(name):
                self.query(f"reconcile_find_{name}", 0, *part)
        ids = [id for id, in self.rows("SELECT id FROM pg_temp.findings WHERE verdict IS NULL")]
        for group in self.split(ids, 2 if busy else 1):
            self.life() if busy and self.rng.random() < 0.6 else None
            self.prove(group, busy)
        self.rows("ANALYZE pg_temp.findings, sandsweep.owned_resources")
        proved = [id for id, in self.rows("SELECT id FROM pg_temp.findings WHERE verdict = 'proved' AND action <> 'note'")]
        for group in self.split(proved, 2 if busy else 1):
            self.life() if busy else None
            self.act(group)
        self.query("reconcile_finish", "repaired", "{}", 30)
        self.rows("SELECT pg_advisory_unlock_all()")
        return len(proved)

    def split(self, things: list[Any], parts: int) -> list[list[Any]]:
        groups: list[list[Any]] = [[] for _ in range(parts)]
        for thing in things:
            groups[self.rng.randrange(parts)].append(thing)
        return groups

    def list(self, some: list[Schedule], busy: bool) -> None:
        teams = {s.team for s in some}
        skipping = {t for t in teams if busy and self.rng.random() < 0.4}
        shown = [x for x in self.platform.values() if x.alive and x.team in teams and not (x.team in skipping and self.rng.random() < 0.5)]
        execute_values(
            self.cur, "INSERT INTO pg_temp.seen (kind, team_id, id, template_id, status, created_at) VALUES %s",
            [("sandbox", x.team, x.id, TEMPLATE, "running", x.created) for x in shown] or [("sandbox", NIL, "x", TEMPLATE, "running", "now")],
        )  # fmt: skip
        execute_values(
            self.cur, "INSERT INTO pg_temp.listings (team_id, kind, complete, reason, rows, pages) VALUES %s",
            [(t, kind, t not in skipping, None, 0, 1) for t in teams for kind in ("sandbox", "volume")] or [(NIL, "sandbox", True, None, 0, 1)],
        )  # fmt: skip

    def prove(self, ids: list[int], busy: bool) -> None:
        seen, details = [], []
        for id, resource in self.rows("SELECT id, resource_id FROM pg_temp.findings WHERE id = ANY (%s) ORDER BY array_position(%s, id)", ids, ids):
            x = self.platform.get(resource)
            lagging = busy and x is not None and x.born_in == self.run and self.rng.random() < 0.5
            there = x is not None and x.alive and not lagging
            seen.append("unknown" if busy and self.rng.random() < 0.1 else "present" if there else "absent")
            details.append(json.dumps({"marker": x.marker, "mounts": [x.volume] if x.volume else []} if x and there else {}))
        self.query("reconcile_proofs", ids, seen, ["it hangs" if s == "unknown" else None for s in seen], details)

    def act(self, ids: list[int]) -> None:
        """Acts on these, and judges each act by the whole truth of this moment."""
        before = self.maps()
        self.rows("SELECT count(sandsweep.reconcile_act_next(x - 1, true)) FROM unnest(%s::bigint[]) x", ids)
        after = self.maps()
        done = self.rows("SELECT class, action, resource_id, team_id::text, revision_id::text, result, why FROM pg_temp.findings WHERE id = ANY (%s)", ids)
        cleared = set()
        for name, action, id, team, revision, result, why in done:
            s = self.by_team[team]
            s.trace.append(f"{name} {action} {id}: {result} {why or ''}")
            assert result in ("done", "stale"), s.trace
            if result != "done":
                continue
            self.acts[name] = self.acts.get(name, 0) + 1
            assert id not in self.foreign, f"schedule {s.number}: {name} of a user's sandbox\n  {s.trace}"
            if action == "clear":
                cleared.add(revision)
                assert before[revision] == id, f"schedule {s.number}: {name} took {before[revision]} in place of {id}\n  {s.trace}"
                right = not self.platform[id].alive if name == "stale_mapping" else not s.serves(revision)
                assert right, f"schedule {s.number}: {name} took {id} from a revision that it serves\n  {s.trace}"
        lost = {r: s for r, s in before.items() if s and after[r] != s and r not in cleared}
        assert not lost, f"mappings went without an act: {lost}"
        self.check_mapped()

    def maps(self) -> dict[str, str | None]:
        return dict(self.rows("SELECT id::text, runtime_sandbox_id FROM shared_gateway.functions_revisions"))

    # -- all of it

    def play(self) -> None:
        for _ in range(self.rng.randint(1, 3)):
            self.life()
        for _ in range(self.rng.randint(1, 2)):
            self.reconcile(busy=True)
            self.life()
        self.crash(self.all)
        for _ in range(2):
            self.reconcile(busy=False)
            self.work(self.all)
        left = self.reconcile(busy=False)
        self.check_end(left)

    def check_end(self, left: int) -> None:
        """Life has stopped: everything is either in use, and there, or gone (L2)."""
        maps = self.maps()
        used = set(maps.values())
        for x in self.platform.values():
            s = self.by_team[x.team]
            want = x.id in self.foreign or x.id in used
            if x.id in self.foreign and not x.alive:
                continue  # its own user's doing: "die" never takes it
            assert x.alive == want, f"schedule {s.number}: {x.id} is {'live' if x.alive else 'gone'}\n  {s.trace}"
        for s in self.all:
            for r in s.revisions:
                assert maps[r] is None or s.serves(r), f"schedule {s.number}: {maps[r]} is still mapped\n  {s.trace}"
        assert left == 0, self.rows("SELECT class, resource_id, why FROM pg_temp.findings LIMIT 5")


def make_schedule(seed: int) -> Schedule:
    rng = random.Random(seed)
    return Schedule(seed, rng, text_uuid(rng), text_uuid(rng), [text_uuid(rng), text_uuid(rng)], f"vol-{text_uuid(rng)}")


def text_uuid(rng: random.Random) -> str:
    return str(uuid.UUID(int=rng.getrandbits(128), version=4))


def array(values: list[Any]) -> str:
    """A PostgreSQL array in text form: its type is then the statement's business."""
    return "{" + ",".join("NULL" if v is None else json.dumps(v) if isinstance(v, str) else str(v).lower() for v in values) + "}"

"""A reconciliation's session in Postgres, driven statement by statement: sql/queries/reconcile_*.sql as they are."""

from __future__ import annotations

import json
import re
import threading
import uuid
from collections.abc import Callable
from typing import Any

from .house import House
from .stack import ROOT, Stack, wait_until

CLASSES = ["unreleased", "missed_event", "stale_mapping", "ghost", "resurrected", "stuck_lease", "orphan_sandbox", "orphan_volume", "orphan_snapshot"]


def parts(name: str) -> list[list[str]]:
    """What the diff of a class is asked for besides its grace, each in a statement of its own."""
    return [["mapped"], ["unmapped"]] if name == "unreleased" else [[]]


def statement(name: str) -> str:
    """The text of a query, with psycopg2's names in place of $1, $2, ..."""
    lines = (ROOT / "sql" / "queries" / f"{name}.sql").read_text().splitlines()
    text = "\n".join(line for line in lines if not line.startswith("--")).replace("%", "%%")
    return re.sub(r"\$(\d+)", r"%(p\1)s", text)


def query(cur: Any, name: str, *values: Any) -> list[tuple[Any, ...]]:
    """Runs a query; each value as it is bound by the program: as text of no type, or an array of such."""
    cur.execute(statement(name), {f"p{i + 1}": value for i, value in enumerate(values)})
    return cur.fetchall() if cur.description else []


class Run:
    """One run, narrowed to a team unless that is None, on a shard of its own."""

    def __init__(self, stack: Stack, team: str | None, *, mode: str = "repair", dry: bool = False, function: str | None = None, shard: str | None = None, adopt: bool = True,
                 role: str | None = None) -> None:
        self.conn = stack.connect()
        self.cur = self.conn.cursor()
        if role:
            self.cur.execute(f"SET ROLE {role}")
        self.shard = shard or f"shard-{uuid.uuid4().hex[:8]}"
        self.ask("reconcile_session", "60000")
        begun = self.ask("reconcile_begin", self.shard, "tester", "host:1", mode, "t" if dry else "f", team, function, "t" if adopt else "f")
        self.acquired, self.id, self.term, self.t0 = begun[0][:4]
        self.holder = begun[0][6]

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *_: object) -> None:
        self.conn.close()

    @property
    def pid(self) -> int:
        return self.conn.get_backend_pid()

    def ask(self, name: str, *values: Any) -> list[tuple[Any, ...]]:
        return query(self.cur, name, *values)

    def sql(self, text: str, values: Any = None) -> list[tuple[Any, ...]]:
        self.cur.execute(text, values)
        return self.cur.fetchall() if self.cur.description else []

    def seen(self, kind: str, team: str, *ids: str, template: str | None = "tpl", created: str = "-1 hour", user: str | None = None) -> None:
        """What a listing shows; `created` counts from the beginning of the run."""
        for thing in ids:
            self.sql(
                "INSERT INTO pg_temp.seen (kind, team_id, id, template_id, user_id, status, created_at) SELECT %s, %s, %s, %s, %s, 'running', t0 + %s::interval FROM pg_temp.this_run",
                (kind, team, thing, template, user, created),
            )

    def listed(self, team: str, kind: str = "sandbox", complete: bool = True, reason: str | None = None) -> list[tuple[Any, ...]]:
        self.ask("reconcile_listings", [team], [kind], [complete], [reason], ["1"], ["1"])
        self.ask("reconcile_analyze")
        self.ask("reconcile_analyze_tables")
        return self.ask("reconcile_listed")

    def find(self, name: str, grace_ms: int = 0) -> dict[str, dict[str, Any]]:
        """The findings of a class, by what they are about."""
        found = sum(self.ask(f"reconcile_find_{name}", str(grace_ms), *part)[0][0] for part in parts(name))
        rows = {r["resource_id"]: r for r in self.findings() if r["class"] == name}
        assert len(rows) == found
        return rows

    def findings(self, what: str = "all") -> list[dict[str, Any]]:
        rows = self.ask("reconcile_findings", what, "0", "100000")
        names = [column.name for column in self.cur.description]
        return [dict(zip(names, row)) for row in rows]

    def finding(self, thing: str) -> dict[str, Any]:
        return next(f for f in self.findings() if f["resource_id"] == thing)

    def prove(self, thing: str, seen: str, why: str | None = None, **details: Any) -> dict[str, Any]:
        self.ask("reconcile_proofs", [str(self.finding(thing)["id"])], [seen], [why], [json.dumps(details)])
        return self.finding(thing)

    def put(self, class_: str, action: str, kind: str, thing: str, *, team: str, function: str | None = None, revision: str | None = None, attempt: str | None = None,
            **evidence: Any) -> int:
        """A proved finding, whatever is true."""
        proof = {"stale_mapping": "absent", "ghost": "absent", "resurrected": "present", "orphan_sandbox": "owner"}.get(class_, "maker" if action == "adopt" else "none")
        return self.sql(
            """INSERT INTO pg_temp.findings (class, kind, resource_id, parent_id, team_id, function_id, revision_id, attempt_id, since, proof, action, verdict, evidence)
               SELECT %s, %s, %s, %s, %s, %s, %s, %s, t0, %s, %s, 'proved', %s FROM pg_temp.this_run RETURNING id""",
            (class_, kind, thing, "p" if kind == "snapshot" else None, team, function, revision, attempt, proof, action, json.dumps({"seen": 1, **evidence})),
        )[0][0]

    def act(self, after: int = 0, last_try: bool = False) -> int:
        return self.ask("reconcile_act", str(after), "t" if last_try else "f")[0][0]

    def act_all(self) -> int:
        last = acts = 0
        while number := self.act(last):
            last, acts = number, acts + 1
        return acts

    def result(self, thing: str) -> tuple[str | None, str | None]:
        row = self.finding(thing)
        return row["result"], row["why"]

    def finish(self, outcome: str = "repaired", days: int = 30) -> None:
        self.ask("reconcile_finish", outcome, "{}", str(days))


# ---- publishes that lost an answer ----

OWN, FORMER = "sandsweep-user", "former-user"


def tell(house: House, *users: tuple[str, str]) -> None:
    """Whose volumes publishes were told to have made, and when; nothing else that was told before counts any more."""
    house.stack.sql("UPDATE sandsweep.publish_steps SET user_id = NULL WHERE user_id IS NOT NULL")
    for user, ago in users:
        number = lost_call(house, str(uuid.uuid4()), ago, outcome="published")
        house.stack.sql("UPDATE sandsweep.publish_steps SET answered_at = asked_at, resource_id = %s, user_id = %s WHERE attempt_id = %s", (f"vol-{number}", user, number))


def lost_call(house: House, team: str, asked: str | Any, *, outcome: str | None = None, kind: str = "volume", function: str | None = None, revision: str | None = None) -> str:
    """A publish whose call of that time (or so long from now) was never answered: its attempt."""
    number = str(uuid.uuid4())
    when = "%(asked)s::timestamptz" if not isinstance(asked, str) else "now() + %(asked)s::interval"
    house.stack.sql(
        f"""INSERT INTO sandsweep.publish_attempts (id, team_id, function_id, revision_id, started_at, closed_at, outcome)
                VALUES (%(id)s, %(team)s, %(function)s, %(revision)s, {when}, CASE WHEN %(outcome)s IS NOT NULL THEN {when} END, %(outcome)s);
            INSERT INTO sandsweep.publish_steps (attempt_id, number, team_id, kind, parent_id, asked_at) VALUES (%(id)s, 2, %(team)s, %(kind)s, 'snap', {when})""",
        {"id": number, "team": team, "function": function or str(uuid.uuid4()), "revision": revision or str(uuid.uuid4()), "asked": asked, "outcome": outcome, "kind": kind},
    )
    return number


def evidence_of(house: House, attempt: str, created: Any = None, user: str = OWN, candidates: int = 1) -> dict[str, Any]:
    """What a finding says about a volume that this lost call may have made."""
    asked = house.stack.sql("SELECT asked_at FROM sandsweep.publish_steps WHERE attempt_id = %s", (attempt,))[0][0]
    at = asked.isoformat()
    return {"publish": attempt, "created_at": created or at, "user": user, "proof": {"user": user, "created_at": created or at}, "candidates": candidates, "asked_from": at, "asked_to": at}


class Beside:
    """Something that runs in a thread beside the test, to be seen waiting for a lock."""

    def __init__(self, stack: Stack, pid: int, work: Callable[[], Any]) -> None:
        self.stack, self.pid = stack, pid
        self.answer: Any = None
        self.error: BaseException | None = None

        def run() -> None:
            try:
                self.answer = work()
            except BaseException as error:  # noqa: BLE001 (handed to the test)
                self.error = error

        self.thread = threading.Thread(target=run, daemon=True)
        self.thread.start()

    def wait_blocked(self) -> None:
        def blocked() -> bool:
            assert self.thread.is_alive(), f"it did not wait: {self.answer!r} {self.error!r}"
            return self.stack.sql("SELECT cardinality(pg_blocking_pids(%s)) > 0", (self.pid,))[0][0]

        wait_until(blocked, f"session {self.pid} to wait for a lock")

    def join(self) -> Any:
        self.thread.join(30)
        assert not self.thread.is_alive()
        if self.error:
            raise self.error
        return self.answer


PAST = "now() - interval '1 day'"


def place(house: House, kind: str, thing: str, state: str, *, team: str, function: str | None = None, revision: str | None = None, queued: bool = True, **columns: str) -> None:
    """A ledger row in any state, a day old; past the triggers. Other columns as SQL."""
    values = {"created_at": PAST, "released_at": PAST, "doomed_at": PAST, "due_at": PAST, "deleting_at": PAST, "ended_at": PAST, "evidence": "'{}'", "lease": "1"}
    unset = {"in_use": values.keys() - {"created_at"}, "released": {"doomed_at", "due_at", "deleting_at", "ended_at"}, "doomed": {"deleting_at", "ended_at"}, "deleting": {"ended_at"}}
    values = {name: value for name, value in values.items() if name not in unset.get(state, set())} | columns
    conn = house.stack.connect()
    with conn.cursor() as cur:
        cur.execute("SET session_replication_role = replica")
        cur.execute(
            f"""INSERT INTO sandsweep.owned_resources (kind, resource_id, parent_id, team_id, function_id, revision_id, state, {', '.join(values)})
                VALUES (%s, %s, %s, %s, %s, %s, %s, {', '.join(values.values())})""",
            (kind, thing, "p" if kind == "snapshot" else None, team, function or str(uuid.uuid4()), revision or str(uuid.uuid4()), state),
        )
        if queued:
            cur.execute(
                """WITH q AS (UPDATE sandsweep.owned_resources SET queued_at = due_at
                              WHERE kind = %s AND resource_id = %s AND state IN ('doomed', 'deleting') RETURNING team_id, due_at, id)
                   INSERT INTO sandsweep.due (team_id, due_at, id) SELECT team_id, due_at, id FROM q""",
                (kind, thing),
            )
    conn.close()

"""Drift on purpose: one of each class, as the world comes to have it."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

from .house import Function, House
from .sim import USER, Sim
from .stack import wait_until

REPLICA = "SET session_replication_role = replica"
# What the trigger of the ledger would have done: the queue holds what is doomed or being deleted.
QUEUE = """DELETE FROM sandsweep.due;
    UPDATE sandsweep.owned_resources SET queued_at = CASE WHEN state IN ('doomed', 'deleting') THEN due_at END
        WHERE queued_at IS DISTINCT FROM CASE WHEN state IN ('doomed', 'deleting') THEN due_at END;
    INSERT INTO sandsweep.due (team_id, due_at, id) SELECT team_id, due_at, id FROM sandsweep.owned_resources WHERE queued_at IS NOT NULL"""
TABLES = """shared_gateway.functions, shared_gateway.functions_revisions, sandsweep.owned_resources, sandsweep.outbox, sandsweep.restore_attempts,
    sandsweep.due, sandsweep.delete_budgets, sandsweep.publish_attempts, sandsweep.drift, sandsweep.reconcile_findings, sandsweep.reconcile_runs"""


def behind(house: House, *statements: str, params: dict | None = None) -> None:
    """Statements that no trigger sees: what other programs, crashes and time leave behind."""
    conn = house.stack.connect()
    try:
        with conn.cursor() as cur:
            cur.execute(REPLICA)
            for statement in statements:
                cur.execute(statement, params)
            cur.execute("BEGIN;" + QUEUE + "; COMMIT")
    finally:
        conn.close()


def forget_all(house: House) -> None:
    """No function, no ledger, no history: what earlier tests left is no drift of this one."""
    behind(house, f"TRUNCATE {TABLES} CASCADE")


@dataclass
class Drift:
    """What is wrong: the things that a reconciliation finds, and those that must be gone in the end."""

    name: str
    function: Function
    found: list[str]
    gone: list[str] = field(default_factory=list)

    @property
    def team(self) -> str:
        return self.function.team


def unreleased(house: House, sim: Sim, team: str | None = None) -> Drift:
    """Deleted by a hand that the trigger did not see; the mapping stands."""
    f = house.function(team=team, volumes=0, sim=sim)
    behind(house, "UPDATE shared_gateway.functions SET deleted_at = now(), updated_at = now() WHERE id = %(id)s", params={"id": f.id})
    return Drift("unreleased", f, [f.active.sandbox], [f.active.sandbox])


def missed_event(house: House, sim: Sim, team: str | None = None) -> Drift:
    """Recycled, and no event ever comes."""
    f = house.function(team=team, volumes=0, sim=sim)
    house.map(f.active, None)
    return Drift("missed_event", f, [f.active.sandbox], [f.active.sandbox])


def stale_mapping(house: House, sim: Sim, team: str | None = None) -> Drift:
    """The machine below the sandbox broke."""
    f = house.function(team=team, volumes=0, sim=sim)
    sim.remove("sandbox", f.active.sandbox)
    return Drift("stale_mapping", f, [f.active.sandbox], [f.active.sandbox])


def in_state(house: House, resource: str, state: str) -> None:
    """A ledger row as a worker left it."""
    behind(
        house,
        """UPDATE sandsweep.owned_resources SET state = %(state)s::sandsweep.resource_state, released_at = now(), doomed_at = now(), attempts = 3,
               ended_at = CASE WHEN %(state)s IN ('gone', 'dead', 'refused') THEN now() END,
               error_class = CASE %(state)s WHEN 'dead' THEN 'http_500' WHEN 'refused' THEN 'mapped' END, evidence = '{}',
               lease = CASE %(state)s WHEN 'deleting' THEN 1 END, lease_owner = 'another', due_at = now(), deleting_at = now()
           WHERE resource_id = %(id)s""",
        params={"state": state, "id": resource},
    )


def ghost(house: House, sim: Sim, team: str | None = None) -> Drift:
    """Given up by the worker, then gone by itself."""
    d = missed_event(house, sim, team)
    in_state(house, d.found[0], "dead")
    sim.remove("sandbox", d.found[0])
    return Drift("ghost", d.function, d.found, d.gone)


def resurrected(house: House, sim: Sim, team: str | None = None) -> Drift:
    """Gone, says the ledger; there, says the platform."""
    d = missed_event(house, sim, team)
    in_state(house, d.found[0], "gone")
    return Drift("resurrected", d.function, d.found, d.gone)


def stuck_lease(house: House, sim: Sim, team: str | None = None) -> Drift:
    """A worker took it and was never heard of again."""
    d = missed_event(house, sim, team)
    in_state(house, d.found[0], "deleting")
    return Drift("stuck_lease", d.function, d.found, d.gone)


def claim(house: House, sim: Sim, f: Function, *, marker: bool = True, volumes: tuple[str, ...] = ()) -> tuple[str, str]:
    """A restore that got as far as its sandbox: (attempt, sandbox)."""
    attempt, sandbox = str(uuid.uuid4()), f"claimed-{uuid.uuid4().hex[:12]}"
    house.stack.sql(
        "INSERT INTO sandsweep.restore_attempts (id, team_id, function_id, revision_id, template_id) VALUES (%s, %s, %s, %s, 'tpl')",
        (attempt, f.team, f.id, f.active.id),
    )
    more = {"env": {"SANDSWEEP_RUNTIME": attempt}} if marker else {}
    sim.seed(sandboxes=[sim.sandbox(sandbox, f.team, "tpl", volumes, **more)])
    return attempt, sandbox


def orphan_sandbox(house: House, sim: Sim, team: str | None = None) -> Drift:
    """Claimed, and the process died before it was written down."""
    f = house.function(team=team, volumes=0, mapped=False, sim=sim)
    _, sandbox = claim(house, sim, f)
    return Drift("orphan_sandbox", f, [sandbox], [sandbox])


def step(house: House, attempt: str, number: int, made: str | None, user: str | None = None, kind: str | None = None, parent: str | None = None) -> bool:
    """A publish writes down what its last call made, and what it asks for next."""
    return house.stack.sql("SELECT sandsweep.publish_step(%s, %s, %s, %s, %s, %s)", (attempt, number, made, user, kind, parent))[0][0]


def publish(house: House, sim: Sim, f: Function, lost: str | None = None) -> tuple[str, str, str, str]:
    """A publish that died with what it had made: (attempt, revision, volume, snapshot). `lost`: the kind of what it asked for last."""
    attempt, revision, tag = str(uuid.uuid4()), str(uuid.uuid4()), uuid.uuid4().hex[:12]
    source, volume, snapshot = f"srcvol-{tag}", f"vol-{tag}", f"snap-{tag}"
    house.stack.sql("INSERT INTO sandsweep.publish_attempts (id, team_id, function_id, revision_id) VALUES (%s, %s, %s, %s)", (attempt, f.team, f.id, revision))
    sim.seed(volumes=[sim.volume(source, f.team), sim.volume(volume, f.team, user_id=USER)], snapshots=[sim.snapshot(snapshot, source, f.team)])
    step(house, attempt, 0, None, None, "snapshot", source)
    step(house, attempt, 1, snapshot, None, "volume", snapshot)
    step(house, attempt, 2, volume, USER, lost, snapshot if lost == "volume" else source)
    return attempt, revision, volume, snapshot


def wait_old(house: House, team: str, ms: int) -> None:
    """Until every call that the team's publishes wait for an answer of, and what it may have made, is older than this."""
    old = "SELECT coalesce(max(asked_at), '-infinity') < clock_timestamp() - %s * interval '1 ms' FROM sandsweep.publish_steps WHERE team_id = %s AND answered_at IS NULL"
    wait_until(lambda: house.stack.sql(old, (ms, team))[0][0], "the lost call to be old")


def orphan_volume(house: House, sim: Sim, team: str | None = None) -> Drift:
    f = house.function(team=team, volumes=0, mapped=False, sim=sim)
    _, _, volume, snapshot = publish(house, sim, f)
    behind(house, "DELETE FROM sandsweep.owned_resources WHERE resource_id = %(id)s", params={"id": snapshot})
    return Drift("orphan_volume", f, [volume], [volume])


def orphan_snapshot(house: House, sim: Sim, team: str | None = None) -> Drift:
    f = house.function(team=team, volumes=0, mapped=False, sim=sim)
    _, _, volume, snapshot = publish(house, sim, f)
    behind(house, "DELETE FROM sandsweep.owned_resources WHERE resource_id = %(id)s", params={"id": volume})
    return Drift("orphan_snapshot", f, [snapshot], [snapshot])


DRIFT: dict[str, Callable[..., Drift]] = {
    make.__name__: make
    for make in (unreleased, missed_event, stale_mapping, ghost, resurrected, stuck_lease, orphan_sandbox, orphan_volume, orphan_snapshot)
}


def ledger(house: House) -> list[tuple[str, str]]:
    return house.stack.sql("SELECT resource_id, state::text FROM sandsweep.owned_resources ORDER BY 1")


def mappings(house: House) -> list[tuple[str, str | None]]:
    return house.stack.sql("SELECT id::text, runtime_sandbox_id FROM shared_gateway.functions_revisions ORDER BY 1")


def deletes(sim: Sim) -> list[str]:
    """What a DELETE was sent for."""
    sim.assert_journal_whole()
    return [e["id"] for op in ("sandbox_delete", "volume_delete", "snapshot_delete") for e in sim.journal(op=op)]


class untouched:
    """Nothing in the ledger and no mapping changes within; and no DELETE is sent."""

    def __init__(self, house: House, sim: Sim) -> None:
        self.house, self.sim = house, sim

    def __enter__(self) -> None:
        self.before = (ledger(self.house), mappings(self.house), deletes(self.sim))

    def __exit__(self, failed: object, *_: object) -> None:
        if failed is None:
            assert (ledger(self.house), mappings(self.house), deletes(self.sim)) == self.before

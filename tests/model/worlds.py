"""Random worlds: what Postgres believes and what the platform has, with everything in it that can go wrong.

    world = make_world(seed)      the same seed is the same world, alone or among others
    fill(stack, sim, worlds)      writes them down, side by side

A world has teams of its own, and one way in which the platform's listing is wrong (a pathology). Ages
are seconds before now; a thing is old (hours) or young (minutes at most).
"""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from psycopg2.extras import execute_values

from tests.support.drift import QUEUE, REPLICA
from tests.support.sim import Sim
from tests.support.stack import Stack

FILLERS = 210  # more than a cluster shows at most
OWN, FORMER, OTHER = "own-user", "former-user", "other-user"
TURN = 20000.0  # so long ago the key became another user's: the same in every world, as worlds lie side by side


@dataclass
class Function:
    id: str
    team: str
    enabled: bool
    deleted: bool
    changed: float
    active: str | None = None


@dataclass
class Revision:
    id: str
    function: Function
    source: str
    template: str
    mapped: str | None = None
    mapped_age: float = 0
    mounts: list[tuple[str, str, str]] = field(default_factory=list)  # volume, source volume, snapshot
    named: list[str] = field(default_factory=list)  # volumes that a user named


@dataclass
class Row:
    """What the ledger says."""

    kind: str
    id: str
    team: str
    function: str
    revision: str
    state: str
    age: float  # of that state; of a lease: since it ran out
    parent: str | None = None
    cause: str | None = None  # of refused and dead


@dataclass
class Live:
    """What the platform has."""

    kind: str
    id: str
    team: str
    age: float
    template: str = ""
    mounts: list[str] = field(default_factory=list)
    marker: str | None = None
    cluster: str | None = None
    volume: str | None = None  # of a snapshot
    hidden: bool = False  # a volume that the listing does not show
    user: str = OTHER  # whose a volume is


@dataclass
class Attempt:
    """A restore, or a publish, that was begun."""

    id: str
    team: str
    function: str
    revision: str
    age: float
    template: str = ""
    outcome: str | None = None


@dataclass
class Step:
    """What a publish asked the platform for."""

    attempt: Attempt
    number: int
    kind: str
    parent: str
    age: float
    made: str | None = None  # as it was told
    answered: bool = True


def own_user(age: float) -> str:
    """Whose volumes Sandsweep made so long ago."""
    return FORMER if age > TURN else OWN


@dataclass
class World:
    seed: int
    rng: random.Random
    pathology: tuple[str, dict[str, Any]] = ("none", {})
    teams: list[str] = field(default_factory=list)
    functions: list[Function] = field(default_factory=list)
    revisions: list[Revision] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    live: list[Live] = field(default_factory=list)
    restores: list[Attempt] = field(default_factory=list)
    publishes: list[Attempt] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    fillers: list[str] = field(default_factory=list)  # teams with many sandboxes that are nobody's business
    count: int = 0

    def new(self, what: str) -> str:
        self.count += 1
        return f"{what}-{self.seed}-{self.count}"

    def uuid(self) -> str:
        return str(uuid.UUID(int=self.rng.getrandbits(128), version=4))

    def chance(self, percent: float) -> bool:
        return self.rng.random() * 100 < percent

    def age(self, old_percent: float = 75) -> float:
        return self.rng.uniform(3600, 40000) if self.chance(old_percent) else self.rng.uniform(30, 240)


# ---- what a world is made of ----

# (pathology, what it is set to): settings of the team, or a rule of faults for it.
PATHOLOGIES: list[tuple[str, Any]] = [
    ("none", lambda r: {}),
    ("rows skipped", lambda r: {"list_skip_percent": r.choice([10, 50, 100])}),
    ("volumes skipped", lambda r: {"volume_list_skip_percent": r.choice([20, 100])}),
    ("no volumes", lambda r: {"volume_list_empty": True}),
    ("capped in silence", lambda r: {"list_cluster_cap": r.randint(1, 4)}),
    ("capped at 200", lambda r: {"list_cluster_cap": 200}),
    ("a cluster dropped", lambda r: {"list_drop_cluster": r.choice(["c1", "c2"])}),
    ("count too high", lambda r: {"list_count_delta": r.randint(1, 300)}),
    ("count too low", lambda r: {"list_count_delta": -r.randint(1, 300)}),
    ("empty", lambda r: {"list_empty": True}),
    ("half a page", lambda r: {"list_half_page": True}),
    ("more at the end", lambda r: {"list_has_more_at_end": True}),
    ("rows went", lambda r: {"list_shift": r.randint(1, 3)}),
    ("rows came", lambda r: {"list_shift": -r.randint(1, 3)}),
    ("lagging look-ups", lambda r: {"get_404_percent": r.choice([20, 50, 100])}),
    ("late", lambda r: {"effect": "latency", "latency_ms": r.randint(5, 60)}),
    ("429", lambda r: {"effect": "status", "status": 429, "percent": r.choice([20, 100]), "count": r.randint(1, 6)}),
    ("503", lambda r: {"effect": "status", "status": 503, "percent": r.choice([20, 100]), "count": r.randint(1, 6)}),
    ("away", lambda r: {"effect": "status", "status": 503}),
    ("reset", lambda r: {"effect": "reset", "percent": r.choice([20, 60])}),
    ("truncated", lambda r: {"effect": "truncated", "percent": r.choice([20, 60])}),
    ("malformed", lambda r: {"effect": "malformed", "percent": r.choice([20, 60])}),
    ("a proxy's page", lambda r: {"effect": "html404", "percent": r.choice([20, 60])}),
    ("403", lambda r: {"effect": "status", "status": 403, "op": "sandbox_get", "percent": 50}),
]


def serves(w: World, row: Row) -> bool:
    """Whether it is the live sandbox of the active revision of a live, enabled function."""
    f = next((r.function for r in w.revisions if r.mapped == row.id and r.function.active == r.id), None)
    return f is not None and f.enabled and not f.deleted and any(x.id == row.id for x in w.live)


STATES = ["in_use", "released", "doomed", "deleting", "held", "gone", "dead", "refused"]
TEMPLATES = ["tpl-a", "tpl-b"]


def make_world(seed: int) -> World:
    w = World(seed, random.Random(seed))
    name, make = w.rng.choice(PATHOLOGIES)
    w.pathology = (name, make(w.rng))
    for _ in range(w.rng.randint(1, 2)):
        w.teams.append(w.uuid())
        for _ in range(w.rng.randint(1, 4)):
            add_function(w, w.teams[-1])
        add_users_things(w, w.teams[-1])
    for team in w.teams:
        for _ in range(w.rng.randint(0, 3)):
            add_restore(w, team)
        for _ in range(w.rng.randint(0, 1)):
            add_publish(w, team)
        if w.chance(60):
            add_lost_calls(w, team)
    for age in (3 * TURN, TURN):
        tell(w, age)
    for row in w.rows:
        if row.state == "in_use" and w.chance(5) and serves(w, row):
            row.state = w.rng.choice(["released", "doomed", "refused"])  # the triggers did not see the mapping
            row.cause = "mapped" if row.state == "refused" else None
    if name == "capped at 200":
        w.fillers = [w.teams[0]]
    return w


def add_function(w: World, team: str) -> None:
    f = Function(w.uuid(), team, enabled=w.chance(80), deleted=w.chance(25), changed=w.age())
    w.functions.append(f)
    for _ in range(w.rng.choice([1, 1, 2, 3])):
        add_revision(w, f)
    f.active = w.revisions[-1].id


def add_revision(w: World, f: Function) -> None:
    r = Revision(w.uuid(), f, w.new("src"), w.rng.choice(TEMPLATES))
    w.revisions.append(r)
    sources = []
    for _ in range(w.rng.choice([0, 0, 1, 2])):
        mount = (w.new("vol"), w.new("srcvol"), w.new("snap"))
        r.mounts.append(mount)
        sources.append(mount[1])
        w.live.append(Live("volume", mount[1], f.team, 90000))
        add_row(w, r, "volume", mount[0], None, states_of_storage(w, f), live_percent=85)
        add_row(w, r, "snapshot", mount[2], mount[1], states_of_storage(w, f), live_percent=85)
    w.live.append(Live("sandbox", r.source, f.team, 80000, r.template, sources, cluster=cluster(w)))
    if w.chance(70):
        add_mapping(w, r)
    for _ in range(w.rng.choice([0, 0, 1, 2, 3])):
        add_row(w, r, "sandbox", w.new("sb"), None, w.rng.choice(STATES), live_percent=60)


def states_of_storage(w: World, f: Function) -> str:
    if not f.deleted:
        return "in_use" if w.chance(90) else w.rng.choice(["released", "dead", "refused"])
    return w.rng.choice(["in_use", "in_use", "released", "doomed", "deleting", "held", "gone", "dead", "refused"])


CAUSES = {"sandbox": ["mapped", "source_sandbox", "operator"], "volume": ["referenced", "source_volume", "operator"], "snapshot": ["referenced", "operator"]}


def add_row(w: World, r: Revision, kind: str, id: str, parent: str | None, state: str, live_percent: float) -> None:
    live = w.chance(live_percent)
    if state == "gone":
        live = w.chance(40) and kind != "snapshot"  # nothing lists snapshots: one that comes back is never seen
    cause = w.rng.choice(CAUSES[kind]) if state == "refused" else "http_500" if state == "dead" else None
    w.rows.append(Row(kind, id, r.function.team, r.function.id, r.id, state, w.age(), parent, cause))
    if live:
        show(w, r, kind, id, parent)


def show(w: World, r: Revision, kind: str, id: str, parent: str | None) -> None:
    mounts = [v for v, _, _ in r.mounts if kind == "sandbox" and w.chance(70) and any(x.id == v for x in w.live)]
    w.live.append(Live(kind, id, r.function.team, 50000, r.template if kind == "sandbox" else "", mounts, None, cluster(w), parent))


def cluster(w: World) -> str | None:
    return w.rng.choice([None, "c1", "c2"])


def add_mapping(w: World, r: Revision) -> None:
    """A mapping to what is live, or is not, or to the user's own sandbox."""
    r.mapped, r.mapped_age = w.new("sb"), w.age()
    if w.chance(3):
        r.mapped = r.source
        return
    w.rows.append(Row("sandbox", r.mapped, r.function.team, r.function.id, r.id, "in_use", r.mapped_age))
    if w.chance(75):
        show(w, r, "sandbox", r.mapped, None)


def add_users_things(w: World, team: str) -> None:
    """Sandboxes and volumes that look like ours and are not."""
    mine = [w.new("uservol") for _ in range(w.rng.randint(0, 2))]
    w.live += [Live("volume", v, team, w.age(), hidden=w.chance(20)) for v in mine]
    live = {x.id for x in w.live}
    kept = [v for r in w.revisions if r.function.team == team and not r.function.deleted for v, _, _ in r.mounts if v in live]
    for _ in range(w.rng.randint(0, 4)):
        mounts = mine if w.chance(30) else [w.rng.choice(kept)] if kept and w.chance(15) else []
        marker = w.uuid() if w.chance(20) else None
        w.live.append(Live("sandbox", w.new("user"), team, w.age(), w.rng.choice(TEMPLATES), mounts, marker, cluster(w)))
    named = [v for v in mine if w.chance(50)]
    if named and w.functions[-1].team == team:
        w.revisions[-1].named += named  # a revision_spec
    dying = [v for r in w.revisions if r.function.team == team and r.function.deleted for v, _, _ in r.mounts]
    keepers = [r for r in w.revisions if r.function.team == team and not r.function.deleted]
    if dying and keepers and w.chance(30):
        w.rng.choice(keepers).named.append(w.rng.choice(dying))  # shared with a function that lives


def add_restore(w: World, team: str) -> None:
    """A restore that ended well, or before it had a sandbox, or after: the sandbox shows its marker, or mounts our volume, or is mapped."""
    revisions = [r for r in w.revisions if r.function.team == team]
    r = w.rng.choice(revisions)
    a = Attempt(w.uuid(), team, r.function.id, r.id, w.age(), r.template)
    w.restores.append(a)
    after = max(1.0, a.age - w.rng.uniform(1, 25))  # when the platform made the sandbox: for it, or before, for its pool
    after = a.age + w.rng.uniform(1, 3000) if w.chance(25) else after
    live = {x.id for x in w.live}
    volumes = [v for v, _, _ in r.mounts if v in live]
    how = w.rng.choice(["closed", "given up", "nothing", "marker", "marker", "mount", "mapped", "other team's", "no marker", "other template"])
    if how == "closed":
        a.outcome = w.rng.choice(["mapped", "failed"])
    elif how == "given up":  # by a run that was not shown its sandbox
        a.outcome = "abandoned"
        w.live.append(Live("sandbox", w.new("orphan"), team, after, a.template, [], a.id, cluster(w)))
    elif how == "mount" and volumes:  # which proves nothing of one that is older
        after = min(after, max(1.0, a.age - w.rng.uniform(1, 25)))
        w.live.append(Live("sandbox", w.new("orphan"), team, after, a.template, volumes[:1], None, cluster(w)))
    elif how in ("marker", "mount"):
        w.live.append(Live("sandbox", w.new("orphan"), team, after, a.template, volumes if w.chance(50) else [], a.id, cluster(w)))
    elif how == "mapped" and r.mapped:
        for x in w.live:
            if x.id == r.mapped and x.id != r.source:
                x.marker, x.age = a.id, after
    elif how == "other team's":  # somebody copied the marker
        w.live.append(Live("sandbox", w.new("copy"), w.rng.choice([t for t in w.teams if t != team] or [w.uuid()]), after, a.template, [], a.id, cluster(w)))
    elif how == "no marker":
        w.live.append(Live("sandbox", w.new("user"), team, after, a.template, [], w.rng.choice([None, w.uuid()]), cluster(w)))
    elif how == "other template":
        w.live.append(Live("sandbox", w.new("user"), team, after, "tpl-z", [], None, cluster(w)))


def add_publish(w: World, team: str) -> None:
    """A publish that ended, or died with what it had made, and what a user made meanwhile."""
    f = w.rng.choice([f for f in w.functions if f.team == team])
    p = Attempt(w.uuid(), team, f.id, w.uuid(), w.age())
    w.publishes.append(p)
    if w.chance(30):
        p.outcome = w.rng.choice(["failed", "published"])
        p.revision = w.rng.choice([r.id for r in w.revisions if r.function is f]) if p.outcome == "published" else p.revision
        return
    for _ in range(w.rng.randint(1, 2)):
        source, volume, snapshot = w.new("srcvol"), w.new("vol"), w.new("snap")
        w.live.append(Live("volume", source, team, 90000))
        made = max(1.0, p.age - 5)
        w.rows.append(Row("snapshot", snapshot, team, f.id, p.revision, "in_use", made, source))
        w.live.append(Live("snapshot", snapshot, team, made, volume=source))
        w.steps.append(Step(p, len(w.steps) + 1, "snapshot", source, made, snapshot))
        if w.chance(70):
            w.rows.append(Row("volume", volume, team, f.id, p.revision, "in_use", made))
            w.live.append(Live("volume", volume, team, made, user=own_user(made)))
            w.steps.append(Step(p, len(w.steps) + 1, "volume", snapshot, made, volume))
    if w.chance(40):
        w.live.append(Live("volume", w.new("uservol"), team, max(1.0, p.age - 10)))


def tell(w: World, age: float) -> None:
    """A publish of so long ago that ended well, and whose volume is gone since: by it Sandsweep knows its user."""
    p = Attempt(w.uuid(), w.teams[0], w.uuid(), w.uuid(), age, outcome="published")
    w.publishes.append(p)
    w.steps.append(Step(p, 2, "volume", w.new("snap"), age, w.new("vol")))


def add_lost_calls(w: World, team: str) -> None:
    """One to three publishes that lost an answer, some at about the same time; what the platform had made, or not, and what
    Sandsweep's user, its former one and others made about then."""
    base = w.age()
    for _ in range(w.rng.choice([1, 1, 1, 2, 2, 3])):
        asked = base + w.rng.choice([0, 0, w.rng.uniform(0, 0.5), w.rng.uniform(100, 700), 5000] if base > 3000 else [0, w.rng.uniform(0, 0.5)])
        p = Attempt(w.uuid(), team, w.uuid(), w.uuid(), asked + 3, outcome=w.rng.choice([None, None, "failed", "abandoned"]))
        w.publishes.append(p)
        w.steps.append(Step(p, 1, "snapshot", w.new("srcvol"), asked + 2, w.new("snap")))
        w.steps.append(Step(p, 2, "volume", w.new("snap"), asked, answered=False))
        for _ in range(w.rng.choice([0, 1, 1, 1, 1, 1, 2])):
            add_near(w, team, asked, own_user(asked))
        for _ in range(w.rng.choice([0, 0, 1, 2])):
            add_near(w, team, asked, w.rng.choice([OTHER, OTHER, FORMER if own_user(asked) == OWN else OWN]))


def add_near(w: World, team: str, asked: float, user: str) -> None:
    """A volume of that user: made at once, a while after the call, long after or before it. (The platform's clock may be
    some seconds behind.) Some are another thing's after all."""
    after = w.rng.choice([w.rng.uniform(-15, 3), w.rng.uniform(-15, 3), w.rng.uniform(-15, 3), w.rng.uniform(100, 700), w.rng.uniform(1000, 2000), -w.rng.uniform(150, 600)])
    if asked < 3000:
        after = min(after, 3)
    x = Live("volume", w.new("near"), team, asked - after, user=user)
    w.live.append(x)
    revisions = [r for r in w.revisions if r.function.team == team]
    if w.chance(8):
        w.rng.choice(revisions).named.append(x.id)
    elif w.chance(8):
        w.rng.choice(revisions).mounts.append((w.new("gone"), x.id, w.new("gone")))
    elif w.chance(8):  # a publish copied it
        p = Attempt(w.uuid(), team, w.uuid(), w.uuid(), 50, outcome="failed")
        w.publishes.append(p)
        w.steps.append(Step(p, 1, "snapshot", x.id, 50, answered=False))
    elif w.chance(5):
        x.hidden = True


# ---- writing them down ----


def ago(seconds: float) -> str:
    return f"{seconds:.3f} seconds"


def fill(stack: Stack, sim: Sim, worlds: Iterable[World]) -> None:
    worlds = list(worlds)
    # The platform first: a worker that is running takes up what is doomed at once.
    sim.seed(
        volumes=[{"id": x.id, "team_id": x.team, "access_mode": "RWX", "owned": x.hidden, "age_s": int(x.age), "user_id": x.user} for w in worlds for x in w.live if x.kind == "volume"],
        sandboxes=[seeded(x) for w in worlds for x in w.live if x.kind == "sandbox"],
        snapshots=[{"id": x.id, "volume_id": x.volume, "team_id": x.team, "name": "function"} for w in worlds for x in w.live if x.kind == "snapshot"],
    )
    for w in worlds:
        for team in w.fillers:
            sim.seed_range(team, f"fill-{w.seed}-", FILLERS, template="tpl-a")
    conn = stack.connect()
    conn.autocommit = False
    try:
        with conn, conn.cursor() as cur:
            cur.execute(REPLICA)
            for w in worlds:
                fill_tables(cur, w)
            cur.execute(QUEUE)
    finally:
        conn.close()


def seeded(x: Live) -> dict[str, Any]:
    mounts = [{"sandboxvolume_id": v, "mount_point": f"/m{n}"} for n, v in enumerate(x.mounts)]
    more: dict[str, Any] = {"env": {"SANDSWEEP_RUNTIME": x.marker}} if x.marker else {}
    if x.cluster:
        more["cluster_id"] = x.cluster
    return {"id": x.id, "team_id": x.team, "template_id": x.template, "mounts": mounts, "age_s": int(x.age), **more}


def mounts_json(r: Revision) -> str:
    made = [{"sandboxvolume_id": v, "source_sandboxvolume_id": s, "snapshot_id": n, "mount_point": f"/d{i}"} for i, (v, s, n) in enumerate(r.mounts)]
    return json.dumps(made + [{"sandboxvolume_id": v, "mount_point": f"/u{i}"} for i, v in enumerate(r.named)])


def fill_tables(cur: Any, w: World) -> None:
    execute_values(
        cur,
        "INSERT INTO shared_gateway.functions (id, team_id, name, slug, domain_label, enabled, active_revision_id, created_at, updated_at, deleted_at) VALUES %s",
        [(f.id, f.team, f.id, f.id, f.id, f.enabled, f.active, ago(90000), ago(f.changed), ago(f.changed) if f.deleted else None) for f in w.functions],
        "(%s, %s, %s, %s, %s, %s, %s, now() - %s::interval, now() - %s::interval, now() - %s::interval)",
    )
    execute_values(
        cur,
        """INSERT INTO shared_gateway.functions_revisions (id, function_id, team_id, revision_number, source_sandbox_id, source_service_id,
               source_template_id, restore_mounts, service_snapshot, runtime_sandbox_id, created_at, runtime_updated_at) VALUES %s""",
        [(r.id, r.function.id, r.function.team, n, r.source, r.template, mounts_json(r), r.mapped, ago(90000), ago(r.mapped_age) if r.mapped else None) for n, r in enumerate(w.revisions)],
        "(%s, %s, %s, %s, %s, 'web', %s, %s, '{}', %s, now() - %s::interval, now() - %s::interval)",
    )
    if w.rows:
        execute_values(
            cur,
            """INSERT INTO sandsweep.owned_resources (kind, resource_id, parent_id, team_id, function_id, revision_id, state, error_class, last_error,
                   created_at, released_at, doomed_at, ended_at, due_at, deleting_at, lease, lease_owner, evidence, attempts) VALUES %s""",
            [ledger_row(row) for row in w.rows],
            """(%s, %s, %s, %s, %s, %s, %s, %s, %s, now() - %s::interval, now() - %s::interval, now() - %s::interval, now() - %s::interval,
                now() - %s::interval, now() - %s::interval, %s, %s, %s, %s)""",
        )
    for a in w.restores:
        cur.execute(
            """INSERT INTO sandsweep.restore_attempts (id, team_id, function_id, revision_id, template_id, started_at, closed_at, outcome)
               VALUES (%s, %s, %s, %s, %s, now() - %s::interval, CASE WHEN %s IS NOT NULL THEN now() - %s::interval END, %s)""",
            (a.id, a.team, a.function, a.revision, a.template, ago(a.age), a.outcome, ago(a.age / 2), a.outcome),
        )
    for p in w.publishes:
        cur.execute(
            """INSERT INTO sandsweep.publish_attempts (id, team_id, function_id, revision_id, started_at, closed_at, outcome)
               VALUES (%s, %s, %s, %s, now() - %s::interval, CASE WHEN %s IS NOT NULL THEN now() - %s::interval END, %s)""",
            (p.id, p.team, p.function, p.revision, ago(p.age), p.outcome, ago(p.age / 2), p.outcome),
        )
    execute_values(
        cur,
        "INSERT INTO sandsweep.publish_steps (attempt_id, number, team_id, kind, parent_id, asked_at, answered_at, resource_id, user_id) VALUES %s",
        [(s.attempt.id, s.number, s.attempt.team, s.kind, s.parent, ago(s.age), ago(s.age) if s.answered else None, s.made, own_user(s.age) if s.made and s.kind == "volume" else None) for s in w.steps],
        "(%s, %s, %s, %s, %s, now() - %s::interval, now() - %s::interval, %s, %s)",
    )


def ledger_row(row: Row) -> tuple[Any, ...]:
    """Its times: what led to its state lies before it; what a worker holds is held for hours."""
    deleting = row.state in ("deleting", "held")
    ended = row.state in ("gone", "dead", "refused")
    due = ago(-36000 if row.state == "held" else row.age if deleting else 0)
    return (
        row.kind, row.id, row.parent, row.team, row.function, row.revision, "deleting" if deleting else row.state, row.cause, row.cause,
        ago(row.age if row.state == "in_use" else 90000), None if row.state == "in_use" else ago(row.age if row.state == "released" else 80000),
        None if row.state in ("in_use", "released") else ago(70000), ago(row.age) if ended else None,
        due if deleting or row.state == "doomed" else None, ago(60000) if deleting else None, 1 if deleting else None, "another worker" if deleting else None,
        "{}" if deleting else None, 3 if row.state == "dead" else 0,
    )  # fmt: skip

"""What must become of a world, from its facts alone: what is gone in the end, which mappings stand."""

from __future__ import annotations

from dataclasses import dataclass, field

from .worlds import OWN, Live, Row, Step, World, own_user

KINDS = ["sandbox", "volume", "snapshot"]  # in the order of deletion


@dataclass
class Truth:
    gone: set[str] = field(default_factory=set)  # not live in the end, and gone in the ledger
    may: set[str] = field(default_factory=set)  # goes, unless what was gone comes back first and holds it up
    doomed: set[str] = field(default_factory=set)  # must go, though something may hold it up, or the claim refuse it
    maps: dict[str, str | None] = field(default_factory=dict)  # by revision


BLUR = 30  # seconds that the platform's clock may be behind the database's


def lost(w: World, grace: float) -> list[tuple[list[Step], list[Live]]]:
    """Calls of one team and user without an answer, whose times overlap, and the volumes that nobody knows and that they may
    have made."""
    known = {row.id for row in w.rows if row.kind == "volume"}
    known |= {id for r in w.revisions for m in r.mounts for id in m} | {v for r in w.revisions for v in r.named}
    known |= {s.parent for s in w.steps if s.kind == "snapshot"}
    parts: list[list[Step]] = []
    calls = [s for s in w.steps if not s.answered and s.kind == "volume" and s.attempt.outcome != "published"]
    for s in sorted(calls, key=lambda s: (s.attempt.team, own_user(s.age), -s.age)):
        last = parts[-1][-1] if parts else None
        if last and (last.attempt.team, own_user(last.age)) == (s.attempt.team, own_user(s.age)) and last.age - s.age <= grace + 60:
            parts[-1].append(s)
        else:
            parts.append([s])
    return [(part, [x for x in w.live if x.kind == "volume" and not x.hidden and x.id not in known and x.user == own_user(part[0].age)
                    and any(explains(s, x, grace, BLUR) for s in part)]) for part in parts]  # fmt: skip


def explains(s: Step, x: Live, grace: float, blur: float = 0) -> bool:
    return x.team == s.attempt.team and -60 - 2 <= s.age - x.age <= grace + blur


def blurred(calls: list[Step], volumes: list[Live], grace: float) -> bool:
    """Whether a volume is so near to the edge of a call's time that the clocks decide."""
    offsets = [s.age - x.age for s in calls for x in volumes]
    return any(-60 - 2 <= at <= -60 + BLUR or grace - 2 <= at <= grace + BLUR for at in offsets)


def shared_out(calls: list[Step], volumes: list[Live], grace: float) -> bool:
    """Whether every volume can have a call of its own."""
    taken: dict[int, Live] = {}

    def give(x: Live, tried: set[int]) -> bool:
        for n, s in enumerate(calls):
            if n not in tried and explains(s, x, grace):
                tried.add(n)
                if n not in taken or give(taken[n], tried):
                    taken[n] = x
                    return True
        return False

    return all(give(x, set()) for x in volumes)


def truth(w: World, grace: float) -> Truth:
    """After a reconciliation with this grace (seconds) that was shown everything, and the worker's work."""
    t, functions, revisions = Truth(), {f.id: f for f in w.functions}, {r.id: r for r in w.revisions}
    live = {x.id for x in w.live}
    shown = {x.id for x in w.live if not x.hidden}
    for r in w.revisions:
        f, stands = r.function, r.mapped is not None
        if f.deleted or not f.enabled or f.active != r.id:
            stands = stands and min(f.changed, r.mapped_age) < grace
        if not f.deleted and r.mapped not in live:
            stands = stands and r.mapped_age < grace
        t.maps[r.id] = r.mapped if stands else None
    mapped = {s for s in t.maps.values() if s}
    was_mapped = {r.mapped for r in w.revisions if r.mapped}
    sources = {r.source for r in w.revisions} | {s for r in w.revisions for _, s, _ in r.mounts}
    needed = {x for r in w.revisions if not r.function.deleted for m in r.mounts for x in (m[0], m[2])}
    needed |= {v for r in w.revisions if not r.function.deleted for v in r.named}

    def kept(id: str) -> bool:  # S1, S2
        return id in mapped or id in sources or id in needed

    def doomed(row: Row) -> bool:
        """Whether somebody says that it must go, now or by the grace."""
        f, old = functions[row.function], row.age >= grace
        if row.state == "in_use" and row.kind == "sandbox":
            return row.id not in mapped and (row.id in was_mapped or old)
        if row.state == "in_use":
            since = f.changed if f.deleted else next((p.age for p in w.publishes if p.revision == row.revision), row.age)
            return (f.deleted or row.revision not in revisions) and since >= grace
        return {
            "released": old or row.id in was_mapped - mapped,
            "doomed": True,
            "deleting": True,  # any worker takes over a lease that ran out
            "held": False,
            "gone": row.id in shown and old,
            "dead": row.id not in live and row.kind != "snapshot" and old,  # otherwise a person's matter
            "refused": row.cause in ("mapped", "source_sandbox", "referenced", "source_volume") and old,
        }[row.state]

    stays: dict[tuple[int, str], bool] = {}  # (kind, revision): what is held up, and whether for certain
    for n, kind in enumerate(KINDS):
        for row in (x for x in w.rows if x.kind == kind):
            waits = [stays[k, row.revision] for k in range(n) if (k, row.revision) in stays]
            if n > 0 and t.maps.get(row.revision):
                waits.append(True)
            goes = doomed(row) and not kept(row.id)
            if doomed(row):
                t.doomed.add(row.id)
            if goes and not any(waits):
                (t.may if waits else t.gone).add(row.id)
            if waits or not goes and (row.state != "gone" or doomed(row)):
                certain = row.state != "gone" and (any(waits) or not goes)
                stays[n, row.revision] = certain or stays.get((n, row.revision), False)
    for calls, volumes in lost(w, grace):
        ids = {x.id for x in volumes}
        if own_user(calls[0].age) != OWN or min(s.age for s in calls) < grace:
            continue
        # One that the listing hides twice leaves its call to another one.
        if w.pathology[0] == "volumes skipped" or blurred(calls, volumes, grace):
            t.may |= ids
            t.doomed |= ids
        elif shared_out(calls, volumes, grace):
            t.gone |= ids
    for a in (a for a in w.restores if a.outcome in (None, "abandoned") and a.age >= grace):
        for x in w.live:
            if x.kind != "sandbox" or (x.team, x.template) != (a.team, a.template) or kept(x.id) or x.age < grace:
                continue
            ours = {row.id for row in w.rows if row.kind == "volume" and row.revision == a.revision}
            unknown = all(row.id != x.id for row in w.rows)
            window = a.age - grace - 60 <= x.age <= a.age + 3600
            mounts = not x.marker and ours & set(x.mounts)  # proves nothing where it is older than the restore
            if unknown and window and (x.marker == a.id or mounts and x.age <= a.age + 90):
                (t.gone if x.marker == a.id or x.age <= a.age + 30 else t.may).add(x.id)
    return t

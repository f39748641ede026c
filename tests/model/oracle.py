"""What must become of a world, from its facts alone: what is gone in the end, which mappings stand."""

from __future__ import annotations

from dataclasses import dataclass, field

from .worlds import Row, World

KINDS = ["sandbox", "volume", "snapshot"]  # in the order of deletion


@dataclass
class Truth:
    gone: set[str] = field(default_factory=set)  # not live in the end, and gone in the ledger
    may: set[str] = field(default_factory=set)  # goes, unless what was gone comes back first and holds it up
    doomed: set[str] = field(default_factory=set)  # must go, though something may hold it up, or the claim refuse it
    maps: dict[str, str | None] = field(default_factory=dict)  # by revision


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

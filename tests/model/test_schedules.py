"""Ten thousand random schedules: no live thing that is mapped is ever doomed, and every orphan is found."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.house import BUILD, House
from tests.support.stack import Stack

from .schedules import CLASSES, Schedules

SCHEDULES = int(os.environ.get("SCHEDULES", "10000"))
FIRST = int(os.environ.get("SCHEDULES_SEED") or "0") or random.SystemRandom().randrange(1, 1 << 31)
BATCH = 500


@pytest.fixture(scope="module")
def conn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with Stack(kafka="mock", sim=False, environ={"STACK_BUILD": str(BUILD)}) as stack:
        House(stack, tmp_path_factory.mktemp("schedules")).run("migrate", "up")
        made = stack.connect()
        with made.cursor() as cur:
            cur.execute("SET synchronous_commit = off")
        yield made
        made.close()


acts: dict[str, int] = dict.fromkeys(CLASSES, 0)


@pytest.mark.parametrize("at", range(0, SCHEDULES, BATCH))
def test_schedules(conn: Any, at: int) -> None:
    seeds = list(range(FIRST + at, FIRST + min(at + BATCH, SCHEDULES)))
    print(f"schedules {seeds[0]} to {seeds[-1]}: SCHEDULES={len(seeds)} SCHEDULES_SEED={seeds[0]}")
    with conn.cursor() as cur:
        cur.execute("DISCARD TEMPORARY")
        cur.execute("SET session_replication_role = replica")
        cur.execute("TRUNCATE shared_gateway.functions, shared_gateway.functions_revisions, sandsweep.owned_resources, sandsweep.due, sandsweep.outbox, sandsweep.restore_attempts, sandsweep.drift, sandsweep.reconcile_findings CASCADE")
        cur.execute("SET session_replication_role = origin")
    model = Schedules(conn, seeds)
    model.play()
    assert model.deletes > len(seeds), "hardly anything was deleted: the schedules prove nothing"
    for name, count in model.acts.items():
        acts[name] += count


def test_every_act_was_played() -> None:
    if SCHEDULES >= 10 * BATCH:  # resurrections are rare
        assert all(acts[name] for name in ("unreleased", "missed_event", "stale_mapping", "resurrected", "orphan_sandbox")), acts

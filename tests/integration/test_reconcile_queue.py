"""The reconciler looks at the topic and the dead letters too, and needs no broker for anything else."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from tests.support.drift import DRIFT, forget_all
from tests.support.house import House, metric, metrics_port
from tests.support.sim import Sim
from tests.support.stack import wait_until

EVENTS, LETTERS = "sandsweep.events", "sandsweep.deadletters"


@pytest.fixture(autouse=True)
def alone(house: House, sim: Sim) -> None:
    forget_all(house)


def test_lag_and_dead_letters(house: House, sim: Sim) -> None:
    """A new group has everything before it; when its worker has read it all, only the dead letters are left."""
    group = f"test-{uuid.uuid4().hex[:8]}"

    def queue() -> dict[str, Any]:
        run = house.reconcile(options={"kafka.group_id": group})
        assert run.code == 0, run.summary
        seen: dict[str, Any] = run.summary["queue"]
        assert (seen["reachable"], seen["why"]) == (True, None), seen
        return {**seen, "run": str(run.summary["run_id"])}

    before = queue()
    for i in range(3):
        house.stack.kcat_produce(EVENTS, f"key-{i}", "no event at all")
    after = queue()
    assert (after["lag"], after["dead_letters"]) == (before["lag"] + 3, before["dead_letters"])
    shown = house.run("reconcile", "show", after["run"]).stdout
    assert f"pipeline: {after['lag']} published but not read\n" in shown

    worker = house.worker(group=group)

    def read_all() -> bool:
        """(A worker that has not begun to read knows of no lag either.)"""
        figures = [metric(metrics_port(worker), f"sandsweep_{name}") for name in ("consumer_lag", "events_consumed_total")]
        return figures[0] == 0 and figures[1] >= after["lag"]

    wait_until(read_all, "the worker to read all")
    assert worker.stop() == 0  # what it has read is committed then
    end = queue()
    assert end["lag"] == 0 and end["dead_letters"] >= before["dead_letters"] + 3
    assert end["dead_letters"] == len(house.stack.kcat_consume(LETTERS))
    shown = house.run("reconcile", "show", end["run"]).stdout
    assert f"pipeline: {end['dead_letters']} dead letters\n" in shown and "not read" not in shown


def test_without_a_broker_it_repairs_all_the_same(house: House, sim: Sim) -> None:
    drifts = [make(house, sim) for make in DRIFT.values()]
    house.stack.kafka("stop")
    try:
        run = house.reconcile()
    finally:
        house.stack.kafka("start")
    assert (run.code, run.verdict) == (3, "repaired"), (run.summary, run.stderr)
    assert set(house.states([x for d in drifts for x in d.gone]).values()) == {"doomed"}
    queue = run.summary["queue"]
    assert (queue["reachable"], queue["lag"], queue["dead_letters"]) == (False, None, None)
    assert queue["why"].startswith("cannot list the topics: ")


def test_where_it_is_not_asked(house: House, sim: Sim) -> None:
    """Without Kafka's settings, and for one team alone."""
    assert house.reconcile(options={"kafka.bootstrap_servers": ""}).summary["queue"] is None
    assert house.reconcile("--team", str(uuid.uuid4())).summary["queue"] is None

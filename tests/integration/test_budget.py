"""The budget of deletions for a team and hour: one for all workers, kept in Postgres."""

from __future__ import annotations

import uuid

from tests.support.house import House, metric, metrics_port
from tests.support.sim import Sim
from tests.support.stack import wait_until


def doom(house: House, sim: Sim, team: str, count: int) -> list[str]:
    """Deleted functions of a team with a sandbox each, and everything of them doomed."""
    functions = [house.function(team=team, volumes=0, sim=sim) for _ in range(count)]
    house.stack.sql("UPDATE shared_gateway.functions SET deleted_at = now(), enabled = false WHERE team_id = %s", (team,))
    house.stack.sql("UPDATE sandsweep.owned_resources SET state = 'doomed', doomed_at = now(), due_at = now() WHERE team_id = %s", (team,))
    return [f.active.sandbox for f in functions]


def spent(house: House, team: str) -> float:
    return house.stack.sql("SELECT spent FROM sandsweep.delete_budgets WHERE team_id = %s", (team,))[0][0]


def gone(house: House, ids: list[str]) -> int:
    return sum(state == "gone" for state in house.states(ids).values())


def test_the_budget_holds_for_all_workers(house: House, sim: Sim) -> None:
    """Three workers delete together what one may, another team is not held up, and nothing is dropped."""
    poor, other = str(uuid.uuid4()), str(uuid.uuid4())
    ids, others = doom(house, sim, poor, 12), doom(house, sim, other, 3)
    options = {"worker.budget_per_hour": "5"}
    workers = [house.worker(options) for _ in range(3)]
    house.wait_states(others, "gone")
    wait_until(lambda: gone(house, ids) == 5, "five to be deleted")
    wait_until(lambda: max(metric(metrics_port(w), "sandsweep_delete_budget_empty_teams") for w in workers) >= 1, "the alert to rise")
    for _ in range(4):  # they go on claiming, and delete no more of it
        house.wait_states(doom(house, sim, str(uuid.uuid4()), 1), "gone")
    assert len({e["id"] for e in sim.journal(op="sandbox_delete", team=poor)}) == 5
    assert sorted(set(house.states(ids).values())) == ["doomed", "gone"]
    # Time drains it: three fifths of an hour are three more.
    house.stack.sql("UPDATE sandsweep.delete_budgets SET spent_at = spent_at - interval '36 minutes' WHERE team_id = %s", (poor,))
    wait_until(lambda: gone(house, ids) == 8, "three more")
    house.stack.sql("UPDATE sandsweep.delete_budgets SET spent = 0 WHERE team_id = %s", (poor,))
    wait_until(lambda: gone(house, ids) == 12, "the rest")
    assert house.stack.sql("SELECT empty_since FROM sandsweep.delete_budgets WHERE team_id = %s", (poor,)) == [(None,)]


def test_a_budget_that_was_lowered(house: House, sim: Sim) -> None:
    """A team that has spent more than it may by now waits, and holds up nobody."""
    spender, other = str(uuid.uuid4()), str(uuid.uuid4())
    ids, others = doom(house, sim, spender, 2), doom(house, sim, other, 3)
    house.stack.sql("INSERT INTO sandsweep.delete_budgets (team_id, spent) VALUES (%s, 1000), (%s, 0)", (spender, other))
    worker = house.worker({"worker.budget_per_hour": "5"})
    house.wait_states(others, "gone")
    wait_until(lambda: metric(metrics_port(worker), "sandsweep_delete_budget_empty_teams") >= 1, "the alert to rise")
    assert set(house.states(ids).values()) == {"doomed"}
    house.stack.sql("UPDATE sandsweep.delete_budgets SET spent = 0 WHERE team_id = %s", (spender,))
    house.wait_states(ids, "gone")


def test_the_share_of_what_is_live(house: House, sim: Sim) -> None:
    """Percent of the live sandboxes that the last whole listing showed; never less than the least."""
    team = str(uuid.uuid4())
    ids = doom(house, sim, team, 9)
    house.stack.sql("INSERT INTO sandsweep.delete_budgets (team_id, live) VALUES (%s, 12)", (team,))
    worker = house.worker({"worker.budget_share_percent": "50", "worker.budget_min": "2"})
    wait_until(lambda: gone(house, ids) == 6, "half of twelve")
    wait_until(lambda: metric(metrics_port(worker), "sandsweep_delete_budget_empty_teams") >= 1, "the alert")
    house.stack.sql("UPDATE sandsweep.delete_budgets SET live = 1, spent = 0 WHERE team_id = %s", (team,))
    wait_until(lambda: gone(house, ids) == 8, "the least")
    assert len({e["id"] for e in sim.journal(op="sandbox_delete", team=team)}) == 8


def test_a_retry_spends_nothing(house: House, sim: Sim) -> None:
    """What was begun is ended: attempts after the first are not first deletions."""
    team = str(uuid.uuid4())
    sim.fault("status", op="sandbox_delete", team=team, status=500, count=4)
    ids = doom(house, sim, team, 2)
    house.worker({"worker.budget_per_hour": "3"})
    house.wait_states(ids, "gone")
    assert len(list(sim.journal(op="sandbox_delete", team=team))) >= 6
    assert 1 < spent(house, team) <= 2


def test_no_budget(house: House, sim: Sim) -> None:
    team = str(uuid.uuid4())
    house.worker({"worker.budget_per_hour": "0"})
    house.wait_states(doom(house, sim, team, 4), "gone")
    assert not house.stack.sql("SELECT 1 FROM sandsweep.delete_budgets WHERE team_id = %s", (team,))

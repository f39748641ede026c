"""One stack for all tests of a run; a deployment of Sandsweep for each."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.support.house import BUILD, Api, House  # noqa: E402
from tests.support.openapi import document  # noqa: E402
from tests.support.sim import Sim  # noqa: E402
from tests.support.stack import Stack  # noqa: E402


Api.judge = document().judge


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """SHARD=2/4: only the second, the sixth, ... of all tests. The cases of one test, which take alike, are spread."""
    shard, of = map(int, os.environ.get("SHARD", "1/1").split("/"))
    items[:] = items[shard - 1 :: of]


@pytest.fixture(autouse=True)
def _answers_are_documented() -> Iterator[None]:
    """Whatever a test asks, each answer that it gets must be as docs/openapi.yaml says."""
    document().complaints.clear()
    yield
    assert document().complaints == []


@pytest.fixture(scope="session")
def kafka() -> str:
    """Which broker the stack has: real or mock."""
    return os.environ.get("SANDSWEEP_TEST_KAFKA", "real")


@pytest.fixture(scope="session")
def stack(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(kafka=kafka, environ={"STACK_BUILD": str(BUILD)}) as running:  # type: ignore[arg-type]
        house = House(running, tmp_path_factory.mktemp("setup"))
        house.run("migrate", "up")
        house.run("-o", "kafka.partitions=4", "topics", "create")
        yield running


@pytest.fixture(scope="session")
def _shared_house(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    house = House(stack, tmp_path_factory.mktemp("house"))
    yield house
    house.stop()


@pytest.fixture
def house(stack: Stack, tmp_path: Path) -> Iterator[House]:
    """A deployment of this test's own; its processes end with the test."""
    house = House(stack, tmp_path)
    yield house
    house.stop()
    # Whatever happened: the queue has every doomed and every deleting row, each once, and no other.
    assert stack.sql(
        """SELECT count(*) FROM (SELECT id, team_id, due_at FROM sandsweep.owned_resources WHERE state IN ('doomed', 'deleting')) o
           FULL JOIN sandsweep.due q USING (id, team_id, due_at) WHERE o IS NULL OR q IS NULL""") == [(0,)]


@pytest.fixture(scope="session")
def api(_shared_house: House) -> Api:
    """One running front for all tests that only need one."""
    return _shared_house.api()


@pytest.fixture
def sim(stack: Stack) -> Iterator[Sim]:
    """The platform, empty, well-behaved and quick to let go at the start of the test."""
    env = stack.env
    sim = Sim(env["SIM_CONTROL_URL"], env["SIM_URL"], env["SIM_TOKEN"])
    sim.reset()
    sim.settings(finalizer_ms=100, mount_linger_ms=100)
    yield sim
    sim.clear_faults()

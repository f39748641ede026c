"""The versions of the SDK, each against the same front."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

import pytest

from tests.sdk.client import VERSIONS, Functions, Sdk
from tests.support.house import Api


@pytest.fixture(scope="session")
def kafka() -> str:
    return "mock"


@pytest.fixture(scope="session", params=VERSIONS)
def sdk(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sdk]:
    with Sdk(request.param, tmp_path_factory.mktemp("sdk")) as running:
        yield running


@pytest.fixture
def team() -> str:
    return str(uuid.uuid4())


@pytest.fixture
def connect(sdk: Sdk, api: Api) -> Callable[..., Functions]:
    """A client for a key of this team: connect(team, permissions="*", headers=None, spelling="client.functions")."""

    def make(team: str, permissions: str = "*", **how: object) -> Functions:
        return sdk.functions(f"http://127.0.0.1:{api.port}", api.key(team, permissions), **how)  # type: ignore[arg-type]

    return make


@pytest.fixture
def functions(connect: Callable[..., Functions], team: str) -> Functions:
    return connect(team)

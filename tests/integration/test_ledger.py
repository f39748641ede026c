"""The ledger in Postgres: births, releases, the state machine, S3, and plans that stay index ranges."""

from __future__ import annotations

import json
import uuid

import psycopg2
import pytest

from tests.support.house import House, holding

STATES = ["in_use", "released", "doomed", "deleting", "gone", "dead", "refused"]
EDGES = {
    ("in_use", "released"), ("released", "doomed"), ("doomed", "deleting"), ("doomed", "refused"),
    ("deleting", "doomed"), ("deleting", "gone"), ("deleting", "dead"), ("deleting", "refused"),
    ("dead", "doomed"), ("dead", "refused"), ("refused", "doomed"), ("gone", "doomed"),
}
# How a row gets into a state, by legal edges only.
PATHS = {
    "in_use": [], "released": ["released"], "doomed": ["released", "doomed"],
    "deleting": ["released", "doomed", "deleting"], "gone": ["released", "doomed", "deleting", "gone"],
    "dead": ["released", "doomed", "deleting", "dead"], "refused": ["released", "doomed", "refused"],
}
FILL = "doomed_at = now(), due_at = now(), evidence = '{}', lease = 1"


def new_row(house: House) -> str:
    sandbox = f"sb-{uuid.uuid4().hex}"
    house.stack.sql(
        "INSERT INTO sandsweep.owned_resources (kind, resource_id, team_id, function_id, revision_id) VALUES ('sandbox', %s, %s, %s, %s)",
        (sandbox, *(str(uuid.uuid4()) for _ in range(3))),
    )
    return sandbox


def go(house: House, sandbox: str, state: str) -> None:
    house.stack.sql(f"UPDATE sandsweep.owned_resources SET state = %s, {FILL} WHERE resource_id = %s", (state, sandbox))


@pytest.mark.parametrize("start", STATES)
@pytest.mark.parametrize("end", STATES)
def test_every_edge(house: House, start: str, end: str) -> None:
    sandbox = new_row(house)
    for state in PATHS[start]:
        go(house, sandbox, state)
    if start == end or (start, end) in EDGES:
        go(house, sandbox, end)
        assert house.states([sandbox]) == {sandbox: end}
    else:
        with pytest.raises(psycopg2.Error) as refused:
            go(house, sandbox, end)
        assert refused.value.pgcode == "SW001"
        assert f"cannot go from {start} to {end}" in str(refused.value)


@pytest.mark.parametrize("state", [s for s in STATES if s != "in_use"])
def test_birth_only_in_use(house: House, state: str) -> None:
    with pytest.raises(psycopg2.Error) as refused:
        house.stack.sql(
            f"INSERT INTO sandsweep.owned_resources (kind, resource_id, team_id, function_id, revision_id, state, doomed_at, due_at, evidence, lease) "
            f"VALUES ('sandbox', 'x', '{uuid.uuid4()}', '{uuid.uuid4()}', '{uuid.uuid4()}', %s, now(), now(), '{{}}', 1)", (state,))
    assert refused.value.pgcode == "SW001"


@pytest.mark.parametrize("column", ["resource_id = 'other'", "team_id = gen_random_uuid()", "function_id = gen_random_uuid()", "revision_id = gen_random_uuid()"])
def test_identity_never_changes(house: House, column: str) -> None:
    sandbox = new_row(house)
    with pytest.raises(psycopg2.Error) as refused:
        house.stack.sql(f"UPDATE sandsweep.owned_resources SET {column} WHERE resource_id = %s", (sandbox,))
    assert refused.value.pgcode == "SW002"


def test_rows_stay(house: House) -> None:
    sandbox = new_row(house)
    with pytest.raises(psycopg2.Error) as refused:
        house.stack.sql("DELETE FROM sandsweep.owned_resources WHERE resource_id = %s", (sandbox,))
    assert refused.value.pgcode == "SW001"


def test_no_delete_without_evidence(house: House) -> None:
    sandbox = new_row(house)
    for state in PATHS["doomed"]:
        go(house, sandbox, state)
    with pytest.raises(psycopg2.errors.CheckViolation):
        house.stack.sql("UPDATE sandsweep.owned_resources SET state = 'deleting', evidence = NULL WHERE resource_id = %s", (sandbox,))


def test_births_and_releases(house: House) -> None:
    f = house.function(revisions=2, volumes=2)
    assert house.states(f.ours) == {thing: "in_use" for thing in f.ours}
    assert house.states(f.users) == {}
    old = f.active.sandbox
    house.map(f.active, f"sb-{uuid.uuid4().hex}")  # another runtime takes its place
    row = house.row(old)
    assert (row["state"], row["release_reason"]) == ("released", "replaced")
    house.stack.sql("UPDATE shared_gateway.functions SET deleted_at = now(), enabled = false WHERE id = %s", (f.id,))
    assert set(house.states(f.ours).values()) == {"released"}
    assert house.row(f.revisions[0].volumes[0])["release_reason"] == "function_deleted"
    mapped = house.stack.sql("SELECT count(*) FROM shared_gateway.functions_revisions WHERE function_id = %s AND runtime_sandbox_id IS NOT NULL", (f.id,))
    assert mapped == [(0,)]


def test_removed_revision_releases(house: House) -> None:
    f = house.function()
    house.stack.sql("DELETE FROM shared_gateway.functions WHERE id = %s", (f.id,))
    assert house.states(f.ours) == {thing: "released" for thing in f.ours}


def test_w14_publish_that_loses_against_delete(house: House) -> None:
    """A revision inserted while its function is being deleted is released, whichever comes first."""
    f = house.function()
    house.stack.sql("UPDATE shared_gateway.functions SET deleted_at = now() WHERE id = %s", (f.id,))
    late = house._revision(f, 2, 1, True, str(uuid.uuid4()))
    assert house.states(late.ours) == {thing: "released" for thing in late.ours}


@pytest.mark.parametrize("again", ["released", "doomed", "deleting", "gone", "dead", "refused"])
def test_s3_never_mapped_again(house: House, again: str) -> None:
    f = house.function()
    sandbox = f.active.sandbox
    house.map(f.active, None)
    for state in PATHS[again][1:]:
        go(house, sandbox, state)
    with pytest.raises(psycopg2.Error) as refused:
        house.map(f.active, sandbox)
    assert refused.value.pgcode == "SW003"


def test_s3_not_for_two_revisions(house: House) -> None:
    f = house.function(revisions=2)
    with pytest.raises(psycopg2.Error) as refused:
        house.map(f.revisions[0], f.revisions[1].sandbox)
    assert refused.value.pgcode == "SW003"


def test_w18_the_users_own_never_enter(house: House) -> None:
    """Volumes that a revision_spec names, source volumes and source sandboxes are not written down."""
    f = house.function(volumes=0, mapped=False)
    mounts = [
        {"sandboxvolume_id": "user-vol", "mount_point": "/a"},
        {"sandboxvolume_id": "user-vol-2", "mount_point": "/b", "source_sandboxvolume_id": "", "snapshot_id": ""},
        {"sandboxvolume_id": "same-vol", "mount_point": "/c", "source_sandboxvolume_id": "same-vol", "snapshot_id": "s"},
    ]
    for kind in ("revision_spec", "sandbox_service"):
        house.stack.sql(
            """INSERT INTO shared_gateway.functions_revisions (id, function_id, team_id, revision_number, source_sandbox_id, source_service_id,
                   source_template_id, restore_mounts, service_snapshot, source_type)
               VALUES (gen_random_uuid(), %s, %s, %s, '', '', 'tpl', %s, '{}', %s)""",
            (f.id, f.team, 10 if kind == "revision_spec" else 11, json.dumps(mounts), kind),
        )
    assert house.states(["user-vol", "user-vol-2", "same-vol", "s"]) == {}
    house.map(f.active, f.active.source_sandbox)  # serving from the source is not a restore
    assert house.states([f.active.source_sandbox]) == {}


def test_w18_full_mount_of_a_revision_spec(house: House) -> None:
    """Even with every field of a publish, a revision_spec's volume is the user's."""
    f = house.function(volumes=0, mapped=False)
    mount = [{"sandboxvolume_id": "uv-1", "mount_point": "/a", "source_sandboxvolume_id": "uv-0", "snapshot_id": "us-1"}]
    house.stack.sql(
        """INSERT INTO shared_gateway.functions_revisions (id, function_id, team_id, revision_number, source_sandbox_id, source_service_id,
               source_template_id, restore_mounts, service_snapshot, source_type)
           VALUES (gen_random_uuid(), %s, %s, 10, '', '', 'tpl', %s, '{}', 'revision_spec')""", (f.id, f.team, json.dumps(mount)))
    assert house.states(["uv-1", "uv-0", "us-1"]) == {}


# ---- plans at ten million rows ----

def explain(cur, name: str, params: list[str | None]) -> str:
    """The plan of a query file with these parameters, as Postgres sees it for the real statement."""
    from tests.support.stack import ROOT

    text = "\n".join(line for line in (ROOT / "sql" / "queries" / f"{name}.sql").read_text().splitlines() if not line.startswith("--"))
    for i in range(len(params), 0, -1):
        value = params[i - 1]
        text = text.replace(f"${i}", "NULL" if value is None else "'" + value.replace("'", "''") + "'")
    cur.execute("EXPLAIN " + text)
    return "\n".join(row[0] for row in cur.fetchall())


TEAM, FUNCTION, REVISION = (str(uuid.uuid4()) for _ in range(3))
PLANS = {
    "claim": ["w", "60000", "500", "64", "64", "00000000-0000-0000-0000-000000000000", "{}", "1000"],
    "doom": [f"{{{TEAM}}}", "{sandbox}", f"{{{TEAM}}}", f"{{{FUNCTION}}}", f"{{{REVISION}}}", "{sb-1}", "{NULL}"],
    "record": ["{1}", "{1}", "{gone}", "{0}", "{200}", "{NULL}", "{NULL}", "{t}", "12"],
    "runtime_clear": [TEAM, "slug", None, "io.sandsweep.runtime.recycled", "recycled", TEAM, "r", "t"],
    "function_delete": [TEAM, "slug", None, TEAM, "r", "t"],
    "worker_health": [],
    "outbox_fetch": ["0", "1000"],
}


@pytest.mark.parametrize("name", PLANS)
def test_plans_at_ten_million_rows(house: House, name: str) -> None:
    """Claim, doom, record and release read index ranges, never a whole table. The planner is told of ten
    million rows (its statistics are changed inside a transaction that is rolled back)."""
    with holding(
        house.stack,
        "UPDATE pg_class SET reltuples = 1e7, relpages = 300000, relallvisible = 300000 WHERE oid IN ('sandsweep.owned_resources'::regclass)",
        "UPDATE pg_class SET reltuples = 1e6, relpages = 50000 WHERE oid IN ('shared_gateway.functions'::regclass, 'shared_gateway.functions_revisions'::regclass, 'sandsweep.outbox'::regclass)",
    ) as cur:
        plan = explain(cur, name, PLANS[name])
    big = ("owned_resources", "functions", "functions_revisions", "outbox")
    scans = [line.strip() for line in plan.splitlines() if "Seq Scan on" in line and line.split("Seq Scan on ")[1].split()[0] in big]
    assert not scans, f"{name} reads whole tables: {scans}\n{plan}"

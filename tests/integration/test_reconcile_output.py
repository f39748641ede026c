"""What `sandsweep reconcile` and `explain` print: as docs/reconcile.schema.json says, and in plain words."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import signal
import subprocess
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.support.house import BUILD, Function, House
from tests.support.sim import Sim
from tests.support.stack import ROOT, wait_until

SCHEMA = json.loads((ROOT / "docs" / "reconcile.schema.json").read_text())
QUICK = {
    "reconcile.confirm_ms": "20",
    "reconcile.stale_mapping_grace_ms": "0",
    "reconcile.unreleased_grace_ms": "0",
    "reconcile.metrics_listen": "127.0.0.1:0",
    "reconcile.backoff_base_ms": "10",
    "reconcile.max_share_team": "100",
    "reconcile.max_share": "100",
}


def valid(what: Any, definition: str | None = None) -> Any:
    schema = SCHEMA if definition is None else {"$ref": f"#/$defs/{definition}", "$defs": SCHEMA["$defs"]}
    jsonschema.Draft202012Validator(schema).validate(what)
    return what


def run(house: House, *args: str, code: int = 0, options: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    flags = [word for key, value in {**QUICK, **(options or {})}.items() for word in ("-o", f"{key}={value}")]
    done = house.run(*flags, *args, check=False)
    assert done.returncode == code, f"{args}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done


@pytest.fixture
def adrift(house: House, sim: Sim) -> Iterator[Function]:
    """A function whose sandbox is not there any more: one stale mapping."""
    f = house.function(sim=sim)
    sim.remove("sandbox", f.active.sandbox)
    yield f
    house.stack.sql("UPDATE shared_gateway.functions SET deleted_at = now() WHERE id = %s AND deleted_at IS NULL", (f.id,))


def stale(findings: list[dict[str, Any]], f: Function) -> dict[str, Any]:
    found = [x for x in findings if x["class"] == "stale_mapping" and x["id"] == f.active.sandbox]
    assert len(found) == 1, findings
    return found[0]


def test_json_and_jsonl_are_as_the_schema_says(house: House, adrift: Function) -> None:
    done = run(house, "reconcile", "--dry-run", "--team", adrift.team, "--output", "json", code=2)
    assert done.stderr == ""
    whole = valid(json.loads(done.stdout))
    assert whole["summary"]["verdict"] == "drift" and whole["summary"]["dry"] is True
    found = stale(whole["findings"], adrift)
    assert (found["function"], found["revision"], found["action"], found["verdict"]) == (adrift.id, adrift.active.id, "clear", "proved")
    assert found["evidence"]

    done = run(house, "reconcile", "--dry-run", "--team", adrift.team, "--output", "jsonl", code=2)
    lines = [valid(json.loads(line), "line") for line in done.stdout.splitlines()]
    assert [line["type"] for line in lines] == ["finding"] * (len(lines) - 1) + ["summary"]
    stale(lines[:-1], adrift)
    counts = lines[-1]["classes"]["stale_mapping"]
    assert counts["found"] == counts["proved"] == 1


def test_the_schema_refuses_other_things(house: House, adrift: Function) -> None:
    whole = json.loads(run(house, "reconcile", "--dry-run", "--team", adrift.team, "--output", "json", code=2).stdout)
    for spoil in (
        lambda w: w["summary"].pop("verdict"),
        lambda w: w["summary"].update(exit_code=3),
        lambda w: w["summary"].update(more=1),
        lambda w: w["findings"][0].update({"class": "other"}),
        lambda w: w["findings"][0].update(more=1),
        lambda w: w["findings"][0].pop("evidence"),
        lambda w: w["findings"][0].update(age_s=-1),
    ):
        spoilt = json.loads(json.dumps(whole))
        spoil(spoilt)
        with pytest.raises(jsonschema.ValidationError):
            valid(spoilt)


def test_plan_is_sealed_and_applied(house: House, adrift: Function, tmp_path: Path) -> None:
    plan = tmp_path / "plan"
    run(house, "reconcile", "--plan-out", str(plan), "--team", adrift.team, code=2)
    text = plan.read_bytes()
    *lines, seal, rest = text.split(b"\n")
    assert rest == b""
    for line in lines:
        item = valid(json.loads(line), "plan_line")
        assert line.decode() == json.dumps(item, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert json.loads(seal) == {"sha256": hashlib.sha256(text[: text.rindex(seal)]).hexdigest()}
    assert house.row(adrift.active.sandbox)["state"] == "in_use"

    done = run(house, "reconcile", "apply", str(plan), "--output", "json", code=3)
    found = stale(valid(json.loads(done.stdout))["findings"], adrift)
    assert found["result"] == "done"
    assert house.row(adrift.active.sandbox)["doom_reason"] == "reconcile:stale_mapping"

    done = run(house, "reconcile", "apply", str(plan), "--output", "json", code=4)
    assert stale(valid(json.loads(done.stdout))["findings"], adrift)["result"] != "done"

    plan.write_bytes(text.replace(b'"clear"', b'"doom"', 1))
    done = run(house, "reconcile", "apply", str(plan), code=65)
    assert done.stdout == "" and "altered" in done.stderr
    plan.write_bytes(text)
    # A plan's age is counted on the database's clock, to the microsecond: a second is long past here.
    time_passed = "SELECT clock_timestamp() > %s::timestamptz + interval '1 second'"
    made = next(json.loads(line)["made_at"] for line in lines if b"made_at" in line)
    wait_until(lambda: house.stack.sql(time_passed, (made,))[0][0], "the plan to age")
    done = run(house, "reconcile", "apply", str(plan), code=65, options={"reconcile.plan_max_age_ms": "1000"})
    assert done.stdout == "" and "too old" in done.stderr


def test_history_and_show(house: House, adrift: Function) -> None:
    before = run(house, "reconcile", "--team", adrift.team, "--output", "json", code=3).stdout
    summary = json.loads(before)["summary"]
    history = valid(json.loads(run(house, "reconcile", "history", "--limit", "3", "--output", "json").stdout), "history")
    assert 0 < len(history["runs"]) <= 3
    last = next(r for r in history["runs"] if r["run_id"] == summary["run_id"])
    assert (last["outcome"], last["team"], last["found"], last["acted"]) == ("repaired", adrift.team, 1, 1)
    assert last["actor"] and last["holder"].count("/") == 1

    shown = valid(json.loads(run(house, "reconcile", "show", str(summary["run_id"]), "--output", "json").stdout))
    then = json.loads(before)
    for whole in (shown, then):
        for finding in whole["findings"]:
            finding.pop("age_s")
    assert shown["findings"] == then["findings"]
    assert stale(shown["findings"], adrift)["result"] == "done"
    assert shown["summary"]["classes"] == summary["classes"]

    table = run(house, "reconcile", "show", str(summary["run_id"])).stdout
    assert adrift.active.sandbox in table and "repaired" in table and "\033" not in table
    assert str(summary["run_id"]) in run(house, "reconcile", "history").stdout
    assert run(house, "reconcile", "show", "999999999", code=65).stdout == ""


def test_what_observing_would_have_deleted_and_was_used_again(house: House, adrift: Function, sim: Sim) -> None:
    observe = {"reconcile.mode": "observe"}
    count = lambda: json.loads(run(house, "reconcile", "history", "--output", "json").stdout)["observed"]  # noqa: E731
    before = count()
    run(house, "reconcile", "--team", adrift.team, code=2, options=observe)
    assert house.row(adrift.active.sandbox)["state"] == "in_use"
    seen = count()
    assert (seen["would_delete"] - before["would_delete"], seen["open"] - before["open"]) == (1, 1)
    # It was a false alarm: the sandbox is there, and serves.
    sim.seed(sandboxes=[{"id": adrift.active.sandbox, "team_id": adrift.team, "template_id": "tpl", "mounts": []}])
    run(house, "reconcile", "--team", adrift.team, code=0, options=observe)
    after = count()
    assert (after["reused"] - before["reused"], after["open"] - before["open"]) == (1, 0)
    assert "used again" in run(house, "reconcile", "history").stdout


def explain(house: House, what: str) -> dict[str, Any]:
    answer: dict[str, Any] = valid(json.loads(run(house, "explain", what, "--output", "json").stdout), "explanation")
    return answer


def test_explain_tells_what_becomes_of_a_thing(house: House, adrift: Function) -> None:
    sandbox = adrift.active.sandbox
    answer = explain(house, sandbox)
    assert answer["known"] and answer["owned"][0]["state"] == "in_use" and answer["uses"][0]["role"] == "mapping"
    assert "a revision maps it" in answer["owned"][0]["words"]
    run(house, "reconcile", "--team", adrift.team, code=3)
    answer = explain(house, sandbox)
    (owned,) = answer["owned"]
    assert owned["state"] == "doomed" and owned["finding"] and "mapped, but not live" in owned["words"]
    assert answer["findings"][0]["result"] == "done" and answer["findings"][0]["evidence"]
    text = run(house, "explain", sandbox).stdout
    assert f"sandbox {sandbox} is ours" in text and adrift.slug in text and "stale_mapping" in text
    # By its number too.
    assert explain(house, str(owned["number"]))["owned"][0]["id"] == sandbox


def test_explain_knows_whose_it_is(house: House, adrift: Function) -> None:
    revision = adrift.active
    assert "made by the publish of revision 1" in explain(house, revision.volumes[0])["owned"][0]["words"]
    snapshot = explain(house, revision.snapshots[0])["owned"][0]
    assert snapshot["kind"] == "snapshot" and revision.source_volumes[0] in snapshot["words"]
    for users in (revision.source_sandbox, revision.source_volumes[0]):
        answer = explain(house, users)
        assert not answer["owned"] and answer["known"] and "the user's own" in answer["words"]
    answer = explain(house, f"sb-foreign-{uuid.uuid4().hex}")
    assert not answer["known"] and "never touched" in answer["words"]
    attempt = str(uuid.uuid4())
    house.stack.sql(
        "INSERT INTO sandsweep.restore_attempts (id, team_id, function_id, revision_id, template_id) VALUES (%s,%s,%s,%s,'tpl')",
        (attempt, adrift.team, adrift.id, revision.id),
    )
    answer = explain(house, attempt)
    assert answer["known"] and "a restore that is open" in answer["words"]
    house.stack.sql("UPDATE sandsweep.restore_attempts SET closed_at = now(), outcome = 'failed' WHERE id = %s", (attempt,))
    assert "a restore that is over" in explain(house, attempt)["words"]


def test_explain_a_function_by_id_and_by_slug(house: House, adrift: Function) -> None:
    for name in (adrift.id, adrift.slug):
        (function,) = explain(house, name)["functions"]
        assert function["id"] == adrift.id and function["sandbox"] == adrift.active.sandbox
        assert {thing["id"] for thing in function["things"]} == set(adrift.ours)
    text = run(house, "explain", adrift.slug).stdout
    assert f'function "{adrift.slug}"' in text and all(thing in text for thing in adrift.ours)
    # The same slug in another team: both are told of.
    other = house.function()
    house.stack.sql("UPDATE shared_gateway.functions SET slug = %s WHERE id = %s", (adrift.slug, other.id))
    assert {f["id"] for f in explain(house, adrift.slug)["functions"]} == {adrift.id, other.id}
    house.stack.sql("UPDATE shared_gateway.functions SET deleted_at = now() WHERE id = %s", (other.id,))


def on_terminal(house: House, *args: str, env: dict[str, str] | None = None) -> tuple[str, str]:
    """Runs with stderr at a terminal; what came on stdout, and there."""
    leader, follower = pty.openpty()
    flags = [word for key, value in QUICK.items() for word in ("-o", f"{key}={value}")]
    base = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "TERM")}
    with subprocess.Popen(
        [str(BUILD / "sandsweep"), *flags, *args],
        env={**base, "TERM": "xterm", **house.environ(), **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=follower,
        text=True,
    ) as process:
        os.close(follower)
        seen = b""
        while True:
            try:
                chunk = os.read(leader, 65536)
            except OSError:
                break
            if not chunk:
                break
            seen += chunk
        os.close(leader)
        assert process.stdout is not None
        return process.stdout.read(), seen.decode()


def test_progress_on_a_terminal_only(house: House, adrift: Function) -> None:
    args = ("reconcile", "--dry-run", "--team", adrift.team, "--output", "json")
    out, seen = on_terminal(house, *args)
    valid(json.loads(out))
    assert "\r\033[K" in seen and " of " in seen and "\033[32m" in seen
    assert seen.endswith("\r\033[K")  # taken away
    out, seen = on_terminal(house, *args, env={"NO_COLOR": "1"})
    valid(json.loads(out))
    assert "\r\033[K" in seen and "\033[32m" not in seen
    out, seen = on_terminal(house, *args, env={"TERM": "dumb"})
    valid(json.loads(out))
    assert seen == ""


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_watch_runs_again_and_tells_of_itself(house: House, adrift: Function) -> None:
    # In a shard of its own, so that it waits for no other.
    options = {**QUICK, "reconcile.interval_ms": "1000", "reconcile.shard": f"watch-{uuid.uuid4().hex[:8]}"}
    watch = house._start("reconcile", options, ["reconcile", "--watch", "--team", adrift.team], None)
    watch.wait_log("reconcile.started")
    watch.wait_log('reconcile.run verdict="repaired"')
    watch.wait_log('reconcile.run verdict="in_sync"')
    port = int(watch.log.split('metrics_port="', 1)[1].split('"', 1)[0])
    assert get(port, "/livez") == (200, "ok\n") and get(port, "/readyz") == (200, "ok\n")
    status, text = get(port, "/metrics")
    assert status == 200 and "sandsweep_drift_age_seconds" in text
    assert get(port, "/other")[0] == 404
    watch.popen.send_signal(signal.SIGHUP)
    watch.wait_log("reconcile.reload")
    assert watch.stop() == 0
    assert "reconcile.stopping" in watch.log


def test_slug_team_and_unknown_names(house: House, adrift: Function) -> None:
    done = run(house, "reconcile", "--dry-run", "--function", adrift.slug, "--output", "json", code=2)
    stale(valid(json.loads(done.stdout))["findings"], adrift)
    assert run(house, "reconcile", "--dry-run", "--function", "no-such-slug", code=65).stdout == ""
    assert run(house, "reconcile", "--dry-run", "--function", adrift.id, "--team", str(uuid.uuid4()), code=65).stdout == ""
    away = {"postgres.dsn": "host=127.0.0.1 port=1 dbname=x connect_timeout=1"}
    assert run(house, "reconcile", "--dry-run", code=69, options=away).stdout == ""

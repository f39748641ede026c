"""The platform simulator (tests/sim) from Python: start it, seed it, break it, ask it for the truth.

    with start(build, tmp_path) as sim:
        sim.seed(sandboxes=[sim.sandbox("sb-1", team)])
        sim.fault("status", op="sandbox_delete", status=503, count=2, retry_after=1)
        ...
        assert sim.state("sandbox", "sb-1")["state"] == "gone"

Standard library only.
"""

import contextlib
import http.client
import json
import pathlib
import subprocess
import time
import urllib.parse

# What is made through the API is the user's whose the token is; a seeded volume is another's by default.
USER = "5a0d0b0e-0000-4000-8000-000000000001"
OTHER_USER = "5a0d0b0e-0000-4000-8000-000000000002"
TOKEN = "s0_sim_0123456789abcdef0123456789abcdef0123456789abcdef"
JOURNAL_PAGE = 10000


class SimError(Exception):
    """The control port said no; `status` and the text say why."""

    def __init__(self, status, text):
        super().__init__(f"{status}: {text}")
        self.status = status


class Client:
    """JSON over one kept-alive connection. A broken one is opened again for the next request."""

    def __init__(self, url, headers=None, timeout=30):
        parts = urllib.parse.urlsplit(url)
        self.headers = headers or {}
        self.connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout)

    def request(self, method, path, body=None, query=None, headers=None):
        """(status, headers, raw body). Raises OSError or http.client.HTTPException without one."""
        if query:
            path += "?" + urllib.parse.urlencode(query)
        data = None if body is None else json.dumps(body)
        try:
            self.connection.request(method, path, data, {**self.headers, **(headers or {})})
            answer = self.connection.getresponse()
            return answer.status, answer.headers, answer.read()
        except (OSError, http.client.HTTPException):
            self.connection.close()
            raise

    def close(self):
        self.connection.close()


class Sim:
    """A running simulator. `url` and `token` are what the code under test is configured with."""

    def __init__(self, control_url, url, token=TOKEN):
        self.control_url, self.url, self.token = control_url, url, token
        self.control = Client(control_url, timeout=120)

    def close(self):
        self.control.close()

    def call(self, method, path, body=None, **query):
        """One request to the control port, as JSON. Raises SimError when it says no."""
        query = {name: value for name, value in query.items() if value is not None}
        try:
            status, _, text = self.control.request(method, path, body, query)
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
            # An idle connection was closed; nothing had been answered on it.
            status, _, text = self.control.request(method, path, body, query)
        if status != 200:
            raise SimError(status, text.decode(errors="replace"))
        return json.loads(text)

    def public(self, team=None, token=None, timeout=30):
        """A Client of the public API, for tests of the simulator itself and for users' actions."""
        headers = {"Authorization": f"Bearer {self.token if token is None else token}"}
        if team is not None:
            headers["X-Team-ID"] = team
        return Client(self.url, headers, timeout)

    # ---- what is there ----

    @staticmethod
    def sandbox(id, team, template="default", volumes=(), **more):
        """A row for seed(sandboxes=): volumes are ids, or (id, mount point). more: cluster_id,
        age_s, env {name: value}, services [...], status."""
        mounts = [(v, f"/mnt/{n}") if isinstance(v, str) else v for n, v in enumerate(volumes)]
        mounts = [{"sandboxvolume_id": v, "mount_point": point} for v, point in mounts]
        return {"id": id, "team_id": team, "template_id": template, "mounts": mounts, **more}

    @staticmethod
    def volume(id, team, **more):
        """A row for seed(volumes=). more: user_id, access_mode, owned, source_volume_id, age_s."""
        return {"id": id, "team_id": team, **more}

    @staticmethod
    def snapshot(id, volume, team, name="snapshot"):
        """A row for seed(snapshots=)."""
        return {"id": id, "volume_id": volume, "team_id": team, "name": name}

    def seed(self, sandboxes=(), volumes=(), snapshots=()):
        """Makes things be there, without the public API. An id that is gone comes back."""
        body = {"sandboxes": list(sandboxes), "volumes": list(volumes), "snapshots": list(snapshots)}
        return self.call("POST", "/seed", body)

    def seed_range(self, team, prefix, count, start=0, template="default", age_s=0):
        """Sandboxes prefix%08d from `start` on, by the million."""
        body = {"team_id": team, "prefix": prefix, "from": start, "count": count}
        return self.call("POST", "/seed-range", {**body, "template_id": template, "age_s": age_s})

    def remove(self, kind, id):
        """Gone at once, without a delete: a machine crashed, or another program deleted it."""
        self.call("POST", "/remove", {"kind": kind, "id": id})

    def reset(self):
        """Forgets everything: things, faults, settings, journal, counters, advanced time."""
        self.call("POST", "/reset")

    # ---- how it behaves ----

    def settings(self, team=None, **values):
        """Sets these (tests/sim/settings.h lists them) and returns all. With `team`, of that team
        alone, which counts for listings and get_404_percent."""
        return self.call("PUT", "/settings", values, team=team)

    def get_settings(self, team=None):
        return self.call("GET", "/settings", team=team)

    def clear_team_settings(self):
        """No team has settings of its own any more."""
        self.call("DELETE", "/settings")

    def advance(self, seconds):
        """Moves simulated time forward: finalizers, mount lingers, cache lag."""
        return self.call("POST", "/advance", {"ms": round(seconds * 1000)})

    def fault(self, effect, **rule):
        """Adds a fault rule and returns its id. effect: status, latency, hang, reset, truncated,
        malformed, huge, lost, html404. Which requests: op, method, path_prefix, team, id, percent,
        count (0: for ever), skip. What: status, code, plain, retry_after, latency_ms, bytes."""
        return self.call("POST", "/faults", {"effect": effect, **rule})["id"]

    def faults(self):
        """The rules that are left, each with `seen` and `hits`; what it applies to by id is
        `thing`."""
        return self.call("GET", "/faults")["faults"]

    def clear_faults(self, id=None):
        """Removes one rule, or all. A request that hangs already goes on hanging."""
        self.call("DELETE", "/faults", id=id)

    # ---- the truth ----

    def state(self, kind, id):
        """One thing: {"state": "live" | "terminating" | "gone" | "unknown", ...}."""
        return self.call("GET", "/state", kind=kind, id=id)

    def states(self, kind, team=None, all=False):
        """Everything of a kind that is there (with all=True also what is gone)."""
        after = 0
        while after is not None:
            page = self.call("GET", "/state", kind=kind, team=team, after=after,
                             all="1" if all else None)
            yield from page["items"]
            after = page["next"]

    def live(self, kind, team=None):
        """The ids of what is there, terminating ones included."""
        return {item["id"] for item in self.states(kind, team)}

    def live_count(self):
        """{"sandbox", "terminating", "volume", "snapshot"}: how many are there now."""
        return self.call("GET", "/live-count")

    # ---- what was asked of it ----

    def journal(self, since=0, id=None, op=None, team=None):
        """Every public request in the order of arrival, optionally only those of an id, an
        operation, a team. Ends where the journal ended when it was asked last."""
        while True:
            page = self.call("GET", "/journal", since=since, limit=JOURNAL_PAGE, id=id, op=op,
                             team=team)
            yield from page["entries"]
            since = page["next"]
            if since >= page["end"]:
                return

    def journal_end(self):
        """The sequence number that the next request will have: for journal(since=)."""
        return self.call("GET", "/journal", since=2**62, limit=1)["end"]

    def counters(self):
        """{op: {status: count}}; status is a number as text, "hang", "reset" or "lost"."""
        return self.call("GET", "/counters")["ops"]

    def in_flight_max(self):
        """The most public requests that were ever without an answer at one time."""
        return self.call("GET", "/counters")["in_flight_max"]

    def deletes_of(self, id):
        """The journal's delete requests for a sandbox, volume or snapshot."""
        return [e for e in self.journal(id=id) if e["op"].endswith("_delete")]

    def assert_journal_whole(self):
        """The journal is on and has dropped nothing: what is not in it was not asked."""
        assert self.get_settings()["journal"], "the journal is switched off"
        dropped = self.call("GET", "/journal", since=2**62, limit=1)["dropped"]
        assert dropped == 0, f"the journal dropped {dropped} entries"

    def assert_never_deleted(self, ids):
        """No delete was ever sent for one of these, whatever was answered."""
        self.assert_journal_whole()
        ids = set(ids)
        wrong = [e for op in ("sandbox_delete", "volume_delete", "snapshot_delete")
                 for e in self.journal(op=op) if e["id"] in ids]
        assert not wrong, f"{len(wrong)} deletes of what must stay, the first: {wrong[0]}"

    def assert_all_live(self, kind, ids):
        """All of these are there, and not on their way out."""
        live = {item["id"] for item in self.states(kind) if item["state"] == "live"}
        missing = set(ids) - live
        assert not missing, f"{len(missing)} {kind}s are gone or going: {sorted(missing)[:5]}"

    def assert_gone(self, kind, ids):
        """None of these is there any more."""
        left = set(ids) & self.live(kind)
        assert not left, f"{len(left)} {kind}s are left: {sorted(left)[:5]}"

    def wait_until(self, condition, seconds=30, what="the condition"):
        """Polls condition(self) until it is true; AssertionError when it never is. Returns it."""
        deadline = time.monotonic() + seconds
        while True:
            value = condition(self)
            if value:
                return value
            assert time.monotonic() < deadline, f"{what} did not come true in {seconds} s"
            time.sleep(0.02)

    def wait_gone(self, kind, ids, seconds=30):
        """Waits until none of these is there any more."""
        ids = list(ids)
        self.wait_until(lambda sim: not set(ids) & sim.live(kind), seconds, f"{kind}s gone")


def start_process(build, directory, token=TOKEN, wait_s=20):
    """Starts `build`/sandsweep-sim on ports of its own. Returns (process, Sim)."""
    directory = pathlib.Path(directory)
    ready = directory / "sim.ready"
    ready.unlink(missing_ok=True)
    with open(directory / "sim.log", "ab") as log:
        process = subprocess.Popen(
            [pathlib.Path(build) / "sandsweep-sim", "--listen", "127.0.0.1:0",
             "--control", "127.0.0.1:0", "--token", token, "--ready-file", ready],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    deadline = time.monotonic() + wait_s
    while not ready.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise RuntimeError(f"the simulator did not start, see {directory / 'sim.log'}")
        time.sleep(0.01)
    url, control_url = ready.read_text().split()
    return process, Sim(control_url, url, token)


@contextlib.contextmanager
def start(build, directory, token=TOKEN):
    """A simulator for the length of a `with`; it must end cleanly (AddressSanitizer has a say)."""
    process, sim = start_process(build, directory, token)
    try:
        yield sim
    finally:
        sim.close()
        process.terminate()
        try:
            code = process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
    assert code == 0, f"the simulator ended with {code}, see {pathlib.Path(directory) / 'sim.log'}"

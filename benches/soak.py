#!/usr/bin/env python3
"""Two million mixed requests, two thousand reloads and hostile clients beside them: are all answers right, and are
memory and descriptors flat? Prints the slopes after warm-up. Exits 1 on a wrong answer, a lost one, or a slope that
is not flat.
"""

import argparse
import collections
import itertools
import json
import multiprocessing
import os
import sys
import time
from pathlib import Path

from common import ROOT, machine, say, table
from hostile import KINDS, hostile
from served import CONTEXT, Answers, Server, ask, connect, request

#: Growth after warm-up that still counts as flat, for 100,000 requests.
FLAT_KIB = 256
FLAT_DESCRIPTORS = 1.0
#: With fewer requests the slope says more about the warm-up and the scheduler than about growth.
LEAST_FOR_VERDICT = 400_000
#: The share of the requests that warm caches, pools and the allocator up.
WARM_UP = 0.25
#: Requests that are sent before their answers are read.
DEPTH = 16
#: How many different moments the questions have: enough to miss the cache after a reload, few enough to fill it early.
MOMENTS = 300

Want = collections.namedtuple("Want", "kind port status marks")


def native(moment, user="u-dk-fda-dm", device="d-dk"):
    context = {**CONTEXT, "now": moment}
    return {
        "principal": f'Fleet::User::"{user}"',
        "action": 'Fleet::Action::"ViewDevice"',
        "resource": f'Fleet::Device::"{device}"',
        "context": context,
    }


def authzen(moment, user, device):
    return {
        "subject": {"type": "User", "id": user},
        "action": {"name": "ViewDevice"},
        "resource": {"type": "Device", "id": device},
        "context": {**CONTEXT, "now": moment},
    }


def gateway(prefix, secret=True, path="/dongle/devices/d-dk/"):
    headers = [(f"{prefix}-method", "GET"), (f"{prefix}-uri", path), (f"{prefix}-host", "api.autopi.io")]
    return headers + ([("authorization", "APIToken secret")] if secret else [])


def questions():
    """What is asked and what must be answered: method, path, body, headers, host, and a Want. In the mix's shares."""
    allow, deny = b'"decision":"Allow"', b'"decision":"Deny"'
    for n in range(MOMENTS):
        moment = f"2026-11-21T12:{n // 60:02}:{n % 60:02}Z"
        yes, no = native(moment), native(moment, user="nobody")
        bad = {**yes, "principal": "alice"}
        batch = {"requests": [yes, no, bad, yes]}
        for body, marks in ((yes, (allow,)), (no, (deny, b"unknown_entity")), (yes, (allow,))):
            yield "POST", "/v1/is_authorized", body, (), Want("single", "decisions", 200, marks)
        yield "POST", "/v1/is_authorized", bad, (), Want("invalid", "decisions", 400, (b"invalid_uid",))
        yield "POST", "/v1/is_authorized/batch", batch, (), Want("batch", "decisions", 200, (allow, deny, deny, allow))
        for user, mark in (("u-dk-fda-dm", b'"decision":true'), ("nobody", b'"decision":false')):
            yield "POST", "/access/v1/evaluation", authzen(moment, user, "d-dk"), (), Want(
                "AuthZEN", "decisions", 200, (mark,)
            )
        for path, prefix in (("/gateway/nginx", "x-original"), ("/gateway/forward", "x-forwarded")):
            for secret, status in ((True, 200), (False, 401), (True, 200)):
                kind = path.rpartition("/")[2]
                yield "GET", path, None, gateway(prefix, secret), Want(kind, "decisions", status, ())
            unmatched = gateway(prefix, True, f"/not/a/route/{n}")
            yield "GET", path, None, unmatched, Want(kind, "decisions", 403, (b'"code"',))
        yield "GET", "/gateway/envoy/dongle/devices/d-dk/", None, (("authorization", "APIToken secret"),), Want(
            "envoy", "decisions", 200, ()
        )
        if n % 4 == 0:
            yield "GET", "/v1/status", None, (), Want("admin", "admin", 200, (b'"revision"',))
            yield "GET", "/metrics", None, (), Want("admin", "admin", 200, (b"palisade_decisions_total",))
            yield "GET", "/readyz", None, (), Want("admin", "admin", 200, (b'"ready"',))
        if n % 50 == 0:
            yield "GET", "/v1/bundle", None, (), Want("admin", "admin", 200, (b'"policies"', b"}"))


def in_order(body, marks):
    at = 0
    for mark in marks:
        at = body.find(mark, at)
        if at < 0:
            return False
        at += len(mark)
    return True


class Asker:
    """One load process: a connection to each listener, requests in groups, answers checked one by one."""

    def __init__(self, me, ports, share, shared):
        self.me, self.ports, self.share, self.shared = me, ports, share, shared
        self.open, self.seen = {}, collections.Counter()
        self.wrong, self.lost, self.examples = 0, 0, []

    def run(self):
        # two bundles are written at a time, so one process asks for them
        mine = (question for question in questions() if self.me == 0 or question[1] != "/v1/bundle")
        heads = [self._render(*question) for question in mine]
        stride = [heads[(i * 37 + self.me * 101) % len(heads)] for i in range(len(heads))]
        groups = itertools.cycle(
            [(port, [h for h in stride if h[2].port == port]) for port in ("decisions",) * 12 + ("admin",)]
        )
        places, number = collections.Counter(), 0
        while number < self.share and not self.shared.stop.value:
            port, questions_here = next(groups)
            size = min(DEPTH if port == "decisions" else 4, self.share - number)
            at = places[port]
            places[port] += size
            group = [questions_here[(at + i) % len(questions_here)] for i in range(size)]
            self._group(port, group, number)
            number += size
            self.shared.done[self.me] = number
            while self.shared.ahead() and not self.shared.stop.value:
                time.sleep(0.002)
        return {"seen": self.seen, "wrong": self.wrong, "lost": self.lost, "examples": self.examples}

    def _render(self, method, path, body, headers, want):
        data = json.dumps(body).encode() if body is not None else b""
        host = "api.autopi.io" if want.kind == "envoy" else "localhost"
        head, _, rest = request(method, path, data, headers, host).partition(b"\r\n\r\n")
        return head + b"\r\nx-request-id: ", b"\r\n\r\n" + rest, want

    def _group(self, port, group, number):
        ids = [b"s-%d-%d" % (self.me, number + i) for i in range(len(group))]
        answered = 0
        try:
            if port not in self.open:
                client = connect(self.ports[port])
                self.open[port] = client, Answers(client)
            client, answers = self.open[port]
            client.sendall(b"".join(head + name + rest for (head, rest, _), name in zip(group, ids)))
            for (_, _, want), name in zip(group, ids):
                self._check(want, name, *answers.next())
                answered += 1
        except OSError as error:
            self.lost += len(group) - answered
            self._example(f"lost {len(group) - answered} answers on the {port} listener: {error}")
            client = self.open.pop(port, (None,))[0]
            if client:
                client.close()

    def _check(self, want, name, status, head, body):
        self.seen[want.kind] += 1
        if status == want.status and in_order(body, want.marks) and b"x-request-id: " + name + b"\r\n" in head:
            return
        self.wrong += 1
        self._example(f"{want.kind}: wanted {want.status} with {want.marks}, got {status} {body[:300]!r} for {name!r}")

    def _example(self, text):
        if len(self.examples) < 5:
            self.examples.append(text)


class Shared:
    """What the processes see of each other."""

    def __init__(self, askers, requests, reloads):
        self.done = multiprocessing.Array("q", askers, lock=False)
        self.reloaded = multiprocessing.Value("q", 0, lock=False)
        self.stop = multiprocessing.Value("b", 0, lock=False)
        self.requests, self.reloads = requests, reloads

    def total(self):
        return sum(self.done)

    def ahead(self):
        """Whether the requests have run away from the reloads: both shall end together."""
        return self.reloads and self.total() * self.reloads > (self.reloaded.value + 8) * self.requests


def version_policy(n):
    """One more policy: in even versions it permits what nothing else does, so that the version can be asked for."""
    user = "u-dk-fda-dm" if n % 2 == 0 else f"soak-{n}"
    return (
        f'@id("soak.version")\npermit (principal == Fleet::User::"{user}", '
        f'action == Fleet::Action::"ViewDevice", resource == Fleet::Device::"d-hq"); // {n}\n'
    )


def reload(server, shared, reloads):
    """Renames and PUTs in turn; after each the decision must be the new one: a PUT's at once, a file's soon."""
    base = json.loads(ask(server.admin, request("GET", "/v1/bundle"))[2])
    # each PUT lays over whatever serves by then
    del base["revision"]
    question = request("POST", "/v1/is_authorized", json.dumps(native(CONTEXT["now"], device="d-hq")).encode())
    problems, took = [], {"rename": [], "PUT": []}
    client = connect(server.decisions)
    answers = Answers(client)

    def allowed():
        client.sendall(question)
        return b'"decision":"Allow"' in answers.next()[2]

    for n in range(reloads):
        # the load goes first, and waits for the reloads where it is faster
        while shared.total() * reloads < n * shared.requests and not shared.stop.value:
            time.sleep(0.005)
        if shared.stop.value:
            break
        # each reload turns the decision over, and each kind turns it both ways
        kind, even, started = ("rename", "PUT", "PUT", "rename")[n % 4], n % 2 == 0, time.monotonic()
        text = version_policy(2 * n if even else 2 * n + 1)
        if kind == "PUT":
            body = json.dumps({**base, "policies": {**base["policies"], "soak.version": text}}).encode()
            status, _, answer = ask(server.admin, request("PUT", "/v1/bundle", body))
            if status != 200:
                problems.append(f"PUT {n}: {status} {answer[:300]!r}")
            elif allowed() != even:
                problems.append(f"PUT {n}: acknowledged, and a decision after it does not know it")
        else:
            aside = server.dir / "policies" / ".soak.cedar"
            aside.write_text(text)
            os.rename(aside, server.dir / "policies" / "soak.cedar")
            end = started + 20
            while allowed() != even and time.monotonic() < end:
                time.sleep(0.002)
            if time.monotonic() >= end:
                problems.append(f"rename {n}: not loaded within 20 s")
        took[kind].append(time.monotonic() - started)
        shared.reloaded.value = n + 1
        if len(problems) > 20:
            break
    shared.reloaded.value = reloads  # the load goes on to its end in any case
    return {"problems": problems, "took": took}


def slope(xs, ys):
    """Least squares: how much y grows for each x."""
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    spread = sum((x - mean_x) ** 2 for x in xs)
    return sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys)) / spread if spread else 0.0


def run_into(results, name, work, *arguments):
    try:
        results.put((name, work(*arguments)))
    except BaseException as error:  # whatever it was, the run must not count as good
        results.put((name, {"failed": f"{type(error).__name__}: {error}"}))


def soak(options, server):
    shared = Shared(options.askers, options.requests, options.reloads)
    ports = {"decisions": server.decisions, "admin": server.admin}
    results, processes = multiprocessing.Queue(), {}

    def start(name, work, *arguments):
        processes[name] = multiprocessing.Process(target=run_into, args=(results, name, work, *arguments), daemon=True)
        processes[name].start()

    for me in range(options.askers):
        share = options.requests * (me + 1) // options.askers - options.requests * me // options.askers
        start(f"asker {me}", Asker(me, ports, share, shared).run)
    if options.reloads:
        start("reloads", reload, server, shared, options.reloads)
    if options.hostile:
        start("hostile", hostile, server.decisions, shared.stop)
    samples, found = [], {}
    started = told = time.monotonic()
    working = {name for name in processes if name != "hostile"}
    while working - found.keys():
        while not results.empty():
            name, result = results.get()
            found[name] = result
            if result.get("failed"):
                shared.stop.value = 1
        now = time.monotonic()
        if not server.alive() or now - started > options.longest:
            shared.stop.value = 1
            found.setdefault("run", {"failed": "the sidecar ended" if not server.alive() else "it took too long"})
            break
        samples.append((shared.total(), server.memory()[0], server.descriptors(), now - started))
        if now - told > 20:
            told = now
            done, resident, descriptors, seconds = samples[-1]
            say(f"{seconds:5.0f} s: {done:,} requests, {shared.reloaded.value:,} reloads, {resident >> 10} MiB, {descriptors} descriptors")
        time.sleep(1 - (time.monotonic() - now) % 1)
    seconds = time.monotonic() - started
    shared.stop.value = 1
    end = time.monotonic() + 20
    while processes.keys() - found.keys() and time.monotonic() < end:
        try:
            name, result = results.get(timeout=0.5)
            found[name] = result
        except Exception:
            pass
    for process in processes.values():
        process.terminate()
    return samples, found, seconds


def report(options, samples, found, seconds):
    askers = [result for name, result in found.items() if name.startswith("asker")]
    failures = [f"{name}: {result['failed']}" for name, result in found.items() if result.get("failed")]
    kinds = collections.Counter()
    for asker in askers:
        kinds.update(asker.get("seen", {}))
    answered = sum(kinds.values())
    wrong, lost = (sum(asker.get(what, 0) for asker in askers) for what in ("wrong", "lost"))
    missing = options.requests - answered
    reloads = found.get("reloads", {})
    took = reloads.get("took", {})
    print("# A soak of the sidecar\n\n" + machine() + f"\n- took: {seconds:.0f} s\n")
    print(table(("requests", "answers"), [(kind, f"{n:,}") for kind, n in sorted(kinds.items())]))
    print(f"\n{answered:,} of {options.requests:,} answered, {wrong:,} wrong, {lost:,} lost.")
    for kind, times in took.items():
        if times:
            print(f"{len(times):,} reloads by {kind}: median {sorted(times)[len(times) // 2]:.3f} s, slowest {max(times):.3f} s.")
    counts = found.get("hostile", {})
    if counts:
        print("Hostile clients, rounds: " + ", ".join(f"{kind} {n:,}" for kind, n in sorted(counts.items())) + ".")
    for asker in askers:
        failures += asker.get("examples", [])
    failures += reloads.get("problems", [])
    if missing > 0:
        failures.append(f"{missing:,} requests were not answered")
    if options.hostile and (counts.get("failed") or set(KINDS) - counts.keys()):
        failures.append(f"hostile clients did not run: {sorted(set(KINDS) - counts.keys())}")
    failures += flat(options, samples)
    if options.json:
        Path(options.json).write_text(json.dumps({"samples": samples, "failures": failures, "kinds": kinds}))
    print("\n" + ("\n".join(f"FAILED: {text}" for text in failures) or "All answers were right, and none was lost."))
    return not failures and not wrong and not lost


def flat(options, samples):
    """Prints the slopes after warm-up. Returns what is not flat."""
    after = [sample for sample in samples if sample[0] >= WARM_UP * options.requests]
    if len(after) < 3:
        print("\nToo few samples for a slope.")
        return []
    done, found = [sample[0] / 100_000 for sample in after], []
    short = options.requests < LEAST_FOR_VERDICT
    print()
    rows = []
    for name, at, bound, unit in (("resident memory", 1, FLAT_KIB, "KiB"), ("descriptors", 2, FLAT_DESCRIPTORS, "")):
        values = [sample[at] for sample in after]
        grows = slope(done, values)
        says = "too short to say" if short else "flat" if grows <= bound else "**not flat**"
        if not short and grows > bound:
            found.append(f"{name} grows by {grows:,.1f} {unit} for 100,000 requests; {bound} is flat")
        rows.append((name, f"{values[0]:,}", f"{values[-1]:,}", f"{max(values):,}", f"{grows:+,.2f} {unit}", f"≤ {bound} {unit}", says))
    print(table(("after warm-up", "first", "last", "most", "slope for 100,000 requests", "bound", "verdict"), rows))
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", default=ROOT / "target/release/palisade", help="the sidecar; %(default)s")
    parser.add_argument("--requests", type=int, default=2_000_000)
    parser.add_argument("--reloads", type=int, default=2_000)
    parser.add_argument("--askers", type=int, default=3, help="processes that ask; %(default)s")
    parser.add_argument("--port", type=int, default=29000, help="the first of three ports; %(default)s")
    parser.add_argument("--no-hostile", dest="hostile", action="store_false", help="without hostile clients")
    parser.add_argument("--longest", type=float, default=1500, help="seconds after which the run is given up")
    parser.add_argument("--json", help="a file for the samples")
    options = parser.parse_args()
    # Files are read soon, so that two thousand reloads fit in ten minutes; the log is made, and goes nowhere; the
    # cache is small, so that it is full when warm-up ends and does not look like growth.
    settings = {"reload": {"quiet": "10ms"}, "decision_log": {"sink": "/dev/null"}, "cache": {"max_bytes": "8MiB"}}
    with Server(options.binary, options.port, settings) as server:
        server.until_ready()
        passed = report(options, *soak(options, server))
    sys.exit(0 if passed else 1)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""How long single changes wait while a large reload and a large transaction are built at the same time.

Builds the release binary, unless --binary names one. Starts it with --entities entities in files, and with --durable a
store. One client changes one user again and again and asks for the decision; first while nothing else happens, then
while the files are loaded again and a transaction of --bulk changes is made. Prints Markdown: latencies from sending a
change to a decision that knows it, and what the rest took, in wall time and in CPU of the process. With --restart more
changes follow, in transactions of --bulk, until there are --overlay; then it is killed, and the CPU of its start printed.
"""

import argparse
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time

from common import build, count, quantile, say, table
from served import Server

SCHEMA = "entity Group; entity User in [Group] = { age: Long }; entity Doc; action read appliesTo { principal: User, resource: Doc };"
POLICY = 'permit (principal in Group::"staff", action, resource);'
CHANGES = "/v1/changes"
TICKS = os.sysconf("SC_CLK_TCK")


def user(name, age, groups=()):
    parents = [{"type": "Group", "id": group} for group in groups]
    return {"uid": {"type": "User", "id": name}, "attrs": {"age": age}, "parents": parents}


def write_entities(path, many, age):
    with open(f"{path}.tmp", "w") as out:
        for entity in ({"uid": {"type": "Group", "id": "staff"}, "attrs": {}, "parents": []},
                       {"uid": {"type": "Doc", "id": "d"}, "attrs": {}, "parents": []}):
            out.write(json.dumps(entity) + "\n")
        for n in range(many):
            out.write(json.dumps(user(f"f{n}", age)) + "\n")
    os.rename(f"{path}.tmp", path)


def cpu(pid):
    fields = open(f"/proc/{pid}/stat").read().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


class Client:
    def __init__(self, port):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)

    def ask(self, method, path, body=None, media="application/json"):
        if body is not None and not isinstance(body, str):
            body = json.dumps(body)
        self.connection.request(method, path, body, {"Content-Type": media})
        answer = self.connection.getresponse()
        said = answer.read()
        if answer.status != 200:
            sys.exit(f"{method} {path}: {answer.status} {said[:500]}")
        return json.loads(said)


def single(server, until, samples):
    """Changes one user until it is asked to stop; each time the next decision must know it."""
    admin, decisions = Client(server.admin), Client(server.decisions)
    question = {"principal": 'User::"single"', "action": 'Action::"read"', "resource": 'Doc::"d"'}
    allowed = False
    while not until.is_set():
        allowed = not allowed
        change = {"changes": [{"upsert": user("single", 1, ["staff"] if allowed else [])}]}
        start = time.perf_counter()
        admin.ask("POST", CHANGES, change)
        said = decisions.ask("POST", "/v1/is_authorized", question)
        samples.append(time.perf_counter() - start)
        if (said["decision"] == "Allow") != allowed:
            sys.exit(f"a decision that does not know an acknowledged change: {said}")


def during(server, work):
    """Latencies of single changes while `work` is done."""
    samples, until = [], threading.Event()
    thread = threading.Thread(target=single, args=(server, until, samples))
    thread.start()
    try:
        said = work()
    finally:
        until.set()
        thread.join()
    return samples, said


def row(name, samples):
    ms = lambda seconds: f"{seconds * 1000:.1f} ms"
    return [name, f"{len(samples):,}", ms(quantile(samples, 0.5)), ms(quantile(samples, 0.99)), ms(max(samples))]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entities", type=int, default=1_000_000)
    parser.add_argument("--bulk", type=int, default=100_000)
    parser.add_argument("--durable", action="store_true")
    parser.add_argument("--restart", action="store_true")
    parser.add_argument("--overlay", type=int, default=1_000_000)
    parser.add_argument("--port", type=int, default=28300)
    parser.add_argument("--binary")
    args = parser.parse_args()
    binary = args.binary or build("http")["palisade"]
    settings = {"reload": {"quiet": "100ms"}, "decision_log": {"sink": "off"}}
    if args.durable or args.restart:
        settings["store"] = {"path": "state/palisade.store", "durability": "fsync"}
    server = Server(binary, args.port, settings, {"s.cedarschema": SCHEMA, "p.cedar": POLICY}, {"e.ndjson": ""})
    file = server.dir / "entities" / "e.ndjson"
    say(f"{count(args.entities)} entities ...")
    write_entities(file, args.entities, 0)


    def changes(first):
        return "".join(json.dumps({"upsert": user(f"b{n}", 1)}) + "\n" for n in range(first, first + args.bulk))

    bulk = changes(0)
    with server:
        server.until_ready(600)
        admin = Client(server.admin)
        while admin.ask("GET", "/v1/status")["entities"] < args.entities:
            time.sleep(0.2)
        seen = {}

        def reload_and_bulk():
            start, before = time.perf_counter(), cpu(server.pid)
            write_entities(file, args.entities, 1)
            seen["written"] = time.perf_counter() - start

            def send():
                begun = time.perf_counter()
                Client(server.admin).ask("POST", CHANGES, bulk, "application/x-ndjson")
                seen["bulk"] = time.perf_counter() - begun

            begun = time.perf_counter()
            sending = threading.Thread(target=send)
            sending.start()
            entity = f"/v1/entities/User/f{args.entities - 1}"
            while admin.ask("GET", entity)["entity"]["attrs"]["age"] != 1:
                time.sleep(0.05)
            seen["reload"] = time.perf_counter() - begun
            sending.join()
            if "bulk" not in seen:
                sys.exit("the transaction was not made")
            seen["cpu"] = cpu(server.pid) - before

        quiet, _ = during(server, lambda: time.sleep(5))
        busy, _ = during(server, reload_and_bulk)
        print(f"{count(args.entities)} entities in files, a transaction of {count(args.bulk)} changes, "
              f"{'with' if 'store' in settings else 'without'} a store; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n")
        print(table(["single changes", "made", "median", "p99", "worst"], [row("quiet", quiet), row("beside", busy)]))
        print(f"\nreload: {seen['reload']:.2f} s, transaction: {seen['bulk']:.2f} s of wall time; "
              f"{seen['cpu']:.2f} s of CPU in all, the single changes among it")
        if args.restart:
            for first in range(args.bulk, args.overlay, args.bulk):
                admin.ask("POST", CHANGES, changes(first), "application/x-ndjson")
            overlay = admin.ask("GET", "/v1/status")["overlay"]["entities"]
            os.kill(server.pid, signal.SIGKILL)
            server.process.wait()
            start = time.perf_counter()
            server.process = subprocess.Popen([str(binary), "serve"], cwd=server.dir, stdout=subprocess.DEVNULL, stderr=server.log)
            server.until_ready(600)
            print(f"\nrestart with {overlay:,} changed entities above the files, to ready: "
                  f"{time.perf_counter() - start:.2f} s of wall time, {cpu(server.pid):.2f} s of CPU")


if __name__ == "__main__":
    main()

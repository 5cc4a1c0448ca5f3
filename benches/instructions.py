#!/usr/bin/env python3
"""Instructions a request, all of the server's own process and none of the kernel's, counted by callgrind.

    benches/instructions.py                  # one check, a batch of 100, AuthZEN; cache and log off
    benches/instructions.py --functions 30   # with the functions that take most
    benches/instructions.py --gateways       # what gateways ask, in each dialect
    benches/instructions.py --binary PATH --data PATH    # another binary, with its own policies and routes, to compare

Times differ between machines and from run to run; instructions hardly do. Needs valgrind.
"""

import argparse
import ctypes
import errno
import json
import os
import platform
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import gateways
from common import ROOT

# What the sidecar asks the kernel for at its start is an address that valgrind does not map. Refused, it looks for it where
# valgrind answers.
PR_GET_AUXV = 0x41555856


def refuse_auxv():
    """Lets `prctl(PR_GET_AUXV)` fail in this process and what it starts: a seccomp filter of six instructions."""
    prctl = {"x86_64": 157, "aarch64": 167}[platform.machine()]
    load, equal, give = 0x20, 0x15, 0x06
    program = [
        (load, 0, 0, 0),
        (equal, 0, 3, prctl),
        (load, 0, 0, 16),
        (equal, 0, 1, PR_GET_AUXV),
        (give, 0, 0, 0x00050000 | errno.EINVAL),
        (give, 0, 0, 0x7FFF0000),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in program))
    filter = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(program), ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    no_new_privileges, set_seccomp, by_filter = 38, 22, 2
    if libc.prctl(no_new_privileges, 1, 0, 0, 0) or libc.prctl(set_seccomp, by_filter, filter, 0, 0):
        raise OSError(ctypes.get_errno(), "no filter could be set")


def questions():
    scenarios = json.loads((ROOT / "policies/tests/scenarios.json").read_text())
    return [scenario["request"] for scenario in scenarios]


def authzen(request):
    split = re.compile(r'Fleet::(?:Action|(\w+))::"(.*)"$')
    part = lambda uid: dict(zip(("type", "id"), split.match(uid).groups()))
    context = {k: v for k, v in request["context"].items()}
    return {
        "subject": part(request["principal"]),
        "action": {"name": split.match(request["action"]).group(2)},
        "resource": part(request["resource"]),
        "context": context,
    }


def rows(asked):
    dump = lambda value: json.dumps(value, separators=(",", ":"))
    evaluations = [authzen(request) for request in asked]
    hundred = dump({"requests": (asked * 2)[:100]})
    many = dump({"evaluations": (evaluations * 2)[:100]})
    return [
        ("check", "/v1/is_authorized", [dump(request) for request in asked], 1),
        ("a check in a batch of 100", "/v1/is_authorized/batch", [hundred], 100),
        ("AuthZEN evaluation", "/access/v1/evaluation", [dump(one) for one in evaluations], 1),
        ("an evaluation of 100", "/access/v1/evaluations", [many], 100),
    ]


class Server:
    """A sidecar under callgrind, which counts only when it is asked to."""

    def __init__(self, binary, port, data, env, with_gateways):
        self.dir = tempfile.mkdtemp(prefix="palisade-")
        self.issuer = gateways.Issuer(self.dir, data) if with_gateways else None
        self.out = f"{self.dir}/callgrind"
        command = ["valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={self.out}", str(binary), "serve"]
        if self.issuer:
            command += ["--config", self.issuer.config]
        env = {
            **os.environ,
            "PALISADE_LISTEN__DECISIONS": f"127.0.0.1:{port}",
            "PALISADE_LISTEN__ADMIN": "off",
            "PALISADE_LISTEN__GRPC": f"127.0.0.1:{port + 1}" if with_gateways else "off",
            "PALISADE_AUTHZEN__NAMESPACE": "Fleet",
            "PALISADE_POLICIES": f"{data}/policies",
            "PALISADE_ENTITIES": f"{data}/entities",
            **env,
        }
        log = open(f"{self.dir}/log", "wb")
        self.process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=log, preexec_fn=refuse_auxv)
        self.port = port
        self.stream = None

    def ask(self, path, body):
        """One request over a kept connection; its status and body."""
        if self.stream is None:
            self.stream = socket.create_connection(("127.0.0.1", self.port), timeout=60)
            self.stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        body = body.encode()
        head = f"POST {path} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        self.stream.sendall(head.encode() + body)
        status, _, body = gateways.answer(self.stream)
        return status, body

    def wait(self, path, body):
        for _ in range(600):
            try:
                if self.ask(path, body)[0] == 200:
                    return
            except OSError:
                self.stream = None
            time.sleep(0.5)
        sys.exit(f"the sidecar does not answer; its log is {self.dir}/log")

    def control(self, *args):
        subprocess.run(["callgrind_control", *args, str(self.process.pid)], check=True, capture_output=True)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)


def dumped(server):
    """Lets callgrind write what it counted since the last time; the total, and the files."""
    before = set(Path(server.dir).glob("callgrind.*"))
    server.control("-d")
    for _ in range(200):
        new = sorted(set(Path(server.dir).glob("callgrind.*")) - before)
        found = [re.search(r"^totals: (\d+)", path.read_text(errors="replace"), re.M) for path in new]
        if new and all(found):
            return sum(int(one.group(1)) for one in found), new
        time.sleep(0.1)
    sys.exit("callgrind wrote nothing")


def count(server, name, one, requests):
    """Instructions of so many requests, and the files that say where. `one` asks the request of a number."""

    def ask(times):
        for i in range(times):
            status, answer = one(i)
            if status != 200:
                sys.exit(f"{name}: status {status}: {answer[:300]}")

    ask(max(requests // 4, 5))
    dumped(server)
    ask(requests)
    return dumped(server)


def of_checks(server, asked):
    for name, path, bodies, items in asked:
        yield name, lambda i: server.ask(path, bodies[i % len(bodies)]), items


def of_gateways(server):
    token = server.issuer.token
    for fields, what in (("", ""), (gateways.BROWSER, ", with a browser's headers")):
        for name, head in gateways.DIALECTS:
            asker = gateways.Http(server.port, head + fields, token)
            yield name + what, lambda _: asker.ask(), 1
    asker = gateways.Grpc(server.port + 1, token)
    yield "Envoy over gRPC", lambda _: asker.ask(), 1


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--binary", type=Path, default=ROOT / "target/release/palisade")
    args.add_argument("--port", type=int, default=23990)
    args.add_argument("--requests", type=int, default=1130)
    args.add_argument("--functions", type=int, default=0)
    args.add_argument("--inclusive", action="store_true", help="count what a function calls as its own")
    args.add_argument("--only", default="")
    args.add_argument("--gateways", action="store_true", help="what gateways ask instead")
    args.add_argument("--data", type=Path, default=ROOT, help="where policies, entities and routes are")
    args.add_argument("--log", action="store_true", help="with a decision log, to /dev/null")
    args.add_argument("--cache", action="store_true", help="with the cache on")
    args = args.parse_args()
    inclusive = ["--inclusive=yes"] if args.inclusive else []
    env = {"PALISADE_CACHE__ENABLED": str(args.cache).lower()}
    if args.log:
        env["PALISADE_DECISION_LOG__SINK"] = "/dev/null"
    asked = rows(questions())
    server = Server(args.binary, args.port, args.data, env, args.gateways)
    try:
        server.wait(asked[0][1], asked[0][2][0])
        server.control("-i", "on")
        print("| what | instructions |\n|---|---|")
        for name, one, items in of_gateways(server) if args.gateways else of_checks(server, asked):
            if args.only not in name:
                continue
            requests = args.requests if items == 1 else args.requests // items + 5
            total, dumps = count(server, name, one, requests)
            print(f"| {name} | {total / requests / items:,.0f} |", flush=True)
            if args.functions:
                shown = subprocess.run(
                    ["callgrind_annotate", "--auto=no", "--threshold=100", *inclusive, *map(str, dumps)], capture_output=True, text=True
                )
                lines = [line for line in shown.stdout.splitlines() if re.match(r"^ *[\d,]+ \(", line)]
                for line in lines[: args.functions]:
                    instructions = int(line.split()[0].replace(",", ""))
                    place = re.sub(r"\[.*\]$", "", line.split(")", 1)[1].strip())
                    print(f"{instructions / requests / items:10,.0f}  {place[-150:]}")
    finally:
        server.stop()


if __name__ == "__main__":
    main()

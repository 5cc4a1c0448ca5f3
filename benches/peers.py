#!/usr/bin/env python3
"""Other authorization servers beside Palisade: same state, same questions, same load, same answers.

    benches/peers.py                       # installs the peers, then runs some 15 minutes
    benches/peers.py --quick               # few and short rounds
    benches/peers.py --entities 1000       # one size alone

Each server runs on the first core and the load on the second. A server that gives another answer than stock
Cedar to any question stops the run; one that cannot be installed is named in the report.

Needs Python 3.11, npm for Cerbos, cargo for cedar-agent.
"""

import argparse
import http.client
import json
import re
import shutil
import socket
import subprocess
import sys
import time as clock
from dataclasses import dataclass, field
from pathlib import Path

import common
import peers_data as data
from common import median, ratio, say

CONNECTIONS = (1, 8, 64)
NAMED = {"Cerbos": "npm's `@cerbos/cerbos-linux-x64`", "cedar-agent": "`cargo install cedar-agent`"}
LEFT_OUT = """Left out, since the registries have them only as libraries and a server around one would be ours: the
OPA evaluator, regorus, SpiceDB. OPA, Topaz, OpenFGA and Permify are not there as servers at all."""


@dataclass
class Server:
    """A process, and how to ask it."""

    name: str
    process: subprocess.Popen
    port: int
    questions: Path
    allows: object
    cpu: dict = field(default_factory=dict)
    rate: dict = field(default_factory=dict)
    p50: dict = field(default_factory=dict)
    resident: str = ""


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def install(cache):
    """Paths of what could be installed, and reasons for the rest."""
    cache.mkdir(parents=True, exist_ok=True)
    cerbos = cache / "node_modules/@cerbos/cerbos-linux-x64/cerbos-linux-x64"
    agent = cache / "bin/cedar-agent"
    npm = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(cache), "@cerbos/cerbos-linux-x64"]
    cargo = ["cargo", "install", "cedar-agent", "--locked", "--root", str(cache), "--target-dir", str(cache / "build")]
    found, skipped = {}, {}
    for name, path, command in (("Cerbos", cerbos, npm), ("cedar-agent", agent, cargo)):
        if not path.exists():
            say(f"installing {name}: {' '.join(command)}")
            try:
                done = subprocess.run(command, cwd=cache, capture_output=True, text=True)
                reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            except OSError as error:
                reason = str(error)
        if path.exists():
            found[name] = path
        else:
            skipped[name] = reason
            say(f"{name} cannot be installed: {reason}")
    return found, skipped


def versions(found):
    out = {}
    for name, command in (("Cerbos", ["server", "--version"]), ("cedar-agent", ["--version"])):
        if name in found:
            text = subprocess.run([found[name], *command], capture_output=True, text=True)
            number = re.search(r"\d+\.\d+\.\d+", text.stdout + text.stderr)
            out[name] = number.group() if number else "of unknown version"
    return out


def start(command, log, env=None):
    """On the first core from its first instruction: runtimes size themselves by it."""
    pinned = ["taskset", "-c", "0"] if shutil.which("taskset") else []
    with open(log, "wb") as output:
        return subprocess.Popen([*pinned, *map(str, command)], stdout=output, stderr=output, env=env)


def servers(found, palisade, state, questions, directory, out):
    """Starts them all into `out`. The first one is what the others are compared with."""
    directory.mkdir(parents=True, exist_ok=True)
    native = data.write_questions(directory / "native.jsonl", "/v1/is_authorized", questions.cedar())
    policies, stored = data.write_palisade(directory / "palisade", state)
    for name, cache in (("Palisade, cache off", "false"), ("Palisade, cache on", "true")):
        port = free_port()
        env = {
            "PALISADE_LISTEN__DECISIONS": f"127.0.0.1:{port}", "PALISADE_LISTEN__ADMIN": "off", "PALISADE_LISTEN__GRPC": "off",
            "PALISADE_POLICIES": str(policies), "PALISADE_ENTITIES": str(stored), "PALISADE_CACHE__ENABLED": cache,
        }
        process = start([palisade, "serve"], directory / f"palisade-{cache}.log", env)
        out.append(Server(name, process, port, native, lambda answer: answer["decision"] == "Allow"))
    if "cedar-agent" in found:
        port = free_port()
        rules, entities = data.write_cedar_agent(directory / "cedar-agent", state)
        # from files: over HTTP it takes a MiB; its default log level triples its cost
        command = [found["cedar-agent"], "--port", port, "--addr", "127.0.0.1", "--log-level", "error",
                   "--data", entities, "--policies", rules]
        process = start(command, directory / "cedar-agent.log")
        out.append(Server("cedar-agent", process, port, native, lambda answer: answer["decision"] == "Allow"))
    if "Cerbos" in found:
        port = free_port()
        config = data.write_cerbos(directory / "cerbos", port, free_port())
        process = start([found["Cerbos"], "server", f"--config={config}", "--log-level=error"], directory / "cerbos.log")
        own = data.write_questions(directory / "cerbos.jsonl", "/api/check/resources", questions.cerbos())
        authzen = data.write_questions(directory / "authzen.jsonl", "/access/v1/evaluation", questions.authzen())
        allowed = lambda answer: answer["results"][0]["actions"]["ViewDevice"] == "EFFECT_ALLOW"
        out.append(Server("Cerbos", process, port, own, allowed))
        out.append(Server("Cerbos, AuthZEN", process, port, authzen, lambda answer: answer["decision"]))


def wait(server):
    """Until it takes connections."""
    for _ in range(600):
        if server.process.poll() is not None:
            sys.exit(f"{server.name} ended ({server.process.returncode}); its log is beside its questions")
        try:
            socket.create_connection(("127.0.0.1", server.port), timeout=1).close()
            return
        except OSError:
            clock.sleep(0.1)
    sys.exit(f"{server.name} does not listen")


def check(server, expected):
    """Asks every question once and compares the answers with stock Cedar's."""
    for attempt in range(100):
        wrong = differences(server, expected)
        # a server may listen before it has read its state
        if not wrong:
            return
        clock.sleep(0.2)
        if attempt == 99:
            sys.exit(f"{server.name} answers {len(wrong)} questions unlike stock Cedar, the first being {wrong[0]}")


def differences(server, expected):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    wrong = []
    for line, allowed in zip(server.questions.read_text().splitlines(), expected, strict=True):
        question = json.loads(line)
        try:
            connection.request("POST", question["path"], question["body"], {"content-type": "application/json"})
            response = connection.getresponse()
            text = response.read()
            said = server.allows(json.loads(text)) if response.status == 200 else text
        except (OSError, http.client.HTTPException, KeyError, ValueError) as error:
            said = repr(error)
        if said is not allowed:
            wrong.append((question["body"], said))
            if len(wrong) > 3:
                break
    connection.close()
    return wrong


def measure(driver, all_servers, rounds, seconds):
    for turn in range(rounds + 1):
        say(f"round {turn} of {rounds}" if turn else "warming up")
        for connections in CONNECTIONS:
            for server in all_servers:
                command = [driver, "--drive", f"127.0.0.1:{server.port}", "--requests", server.questions,
                           "--pid", server.process.pid, "--connections", connections, "--seconds", seconds]
                done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
                if done.returncode:
                    sys.exit(f"the load on {server.name} failed:\n{done.stderr}")
                if turn:
                    sample = json.loads(done.stdout)
                    server.cpu.setdefault(connections, []).append(sample["cpu_us"])
                    server.rate.setdefault(connections, []).append(sample["per_second"])
                    server.p50.setdefault(connections, []).append(sample["p50"])
    for server in all_servers:
        status = Path(f"/proc/{server.process.pid}/status").read_text()
        resident = re.search(r"VmRSS:\s+(\d+)", status).group(1)
        server.resident = f"{int(resident) / 1024:.0f}"


def result(all_servers):
    """A table: CPU and rate at each number of connections, ratios to the first server."""
    head = ["server"]
    for connections in CONNECTIONS:
        head += [f"CPU µs at {connections}", "x Palisade", "requests/s", "p50 µs"]
    rows = []
    for server in all_servers:
        row = [server.name]
        for n in CONNECTIONS:
            times = ratio(server.cpu[n], all_servers[0].cpu[n])
            row += [f"{median(server.cpu[n]):,.1f}", f"{times:,.2f}" if times < 10 else f"{times:,.0f}",
                    f"{median(server.rate[n]):,.0f}", f"{median(server.p50[n]):,.0f}"]
        rows.append([*row, server.resident])
    return common.table([*head, "RSS MiB"], rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few and short rounds over 1,000 entities")
    parser.add_argument("--entities", type=int, nargs="+", help="how many entities, at least; several for several runs")
    parser.add_argument("--questions", type=int, default=1_000)
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=float, help="of each round")
    parser.add_argument("--cache", type=Path, default=common.ROOT / "target/peers", help="where peers are installed")
    parser.add_argument("--out", type=Path, default=common.ROOT / "target/bench-report", help="directory of the report")
    args = parser.parse_args()
    rounds = args.rounds or (2 if args.quick else 9)
    seconds = args.seconds or (0.3 if args.quick else 1.5)
    facts = common.machine()
    found, skipped = install(args.cache.resolve())
    built = common.build("table", "http")
    ratios, sections = [], []
    for wanted in args.entities or ([1_000] if args.quick else [1_000, 10_000]):
        state = data.entities(wanted)
        questions = data.Questions(state, args.questions)
        directory = args.cache.resolve() / f"run-{wanted}"
        running = []
        try:
            servers(found, built["palisade"], state, questions, directory, running)
            bodies = directory / "bodies"
            bodies.write_text("".join(json.dumps(body) + "\n" for body in questions.cedar()))
            where = (directory / "palisade/policies", directory / "palisade/entities", bodies)
            stock = subprocess.run([built["table"], "answers", *where], capture_output=True, text=True, check=True)
            expected = [line == "true" for line in stock.stdout.splitlines()]
            for server in running:
                wait(server)
                check(server, expected)
            say(f"{len(expected)} questions, {sum(expected)} allowed: all {len(running)} agree with stock Cedar")
            measure(built["http"], running, rounds, seconds)
        finally:
            for server in running:
                server.process.kill()
                server.process.wait()
        sections.append(
            f"## {len(state):,} entities\n\n{len(expected):,} questions, {sum(expected):,} of them allowed; all servers "
            f"answered each as stock Cedar does.\n\n{result(running)}\n"
        )
        palisade = running[0].cpu[64]
        ratios += [{"peer": s.name, "entities": len(state), "ratio": ratio(s.cpu[64], palisade)} for s in running[2:]]
    ratios += [{"peer": f"{name} (skipped)", "entities": 1_000, "ratio": None} for name in skipped]
    installed = ", ".join(f"{name} {version} ({NAMED[name]})" for name, version in versions(found).items())
    missing = "".join(f"\nSkipped: {name}, which could not be installed: {why}\n" for name, why in skipped.items())
    report = (
        f"# Peers\n\n{facts}\n- peers: {installed}\n\nCPU time of the server process a check (user and system), medians of "
        f"{rounds} interleaved rounds of {seconds:g} s; the server on one core, the load on another. Ratios are medians of the "
        f"rounds' ratios to Palisade with its cache off. Cerbos stores no entities: its callers send roles, attributes and "
        f"ancestors with each question, and what finding those costs them is not in the figures.\n{missing}\n"
        + "\n".join(sections) + f"\n{LEFT_OUT}\n"
    )
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "peers.md").write_text(report)
    (args.out / "peers.json").write_text(json.dumps({"ratios": ratios}, indent=1))
    print("\n".join(sections))
    say(f"written: {args.out / 'peers.md'}")


if __name__ == "__main__":
    main()

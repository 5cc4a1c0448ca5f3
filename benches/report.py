#!/usr/bin/env python3
"""Runs the whole table, stock Cedar beside the compiled engine, and writes a report with a plot.

    benches/report.py                 # everything, some 40 minutes, 8 GB of memory
    benches/report.py --quick         # every row, smaller and with few rounds, in minutes
    benches/report.py --only world    # the rows whose name contains a word again, in the report of the last run

Needs Python 3.11 and matplotlib (`pip install matplotlib`); `--no-plot` goes without.
`--instructions` needs valgrind or a processor whose counters `perf` can read.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time as clock
from dataclasses import dataclass
from pathlib import Path

import common
import tables
from common import say


@dataclass(frozen=True)
class Plan:
    """How large and how often."""

    rounds: int
    milliseconds: int
    policies: int
    worlds: tuple
    growth: tuple
    store: int
    load_rounds: int
    changes: int
    stock_changes: int
    seconds: float


FULL = Plan(9, 200, 100_000, (10_000, 100_000, 1_000_000), (1_000_000, 4_000_000), 1_000_000, 9, 2_000, 3, 1.0)
QUICK = Plan(3, 20, 10_000, (10_000, 50_000), (50_000, 200_000), 50_000, 2, 300, 2, 0.15)


def rows(plan, bench, http, gateway):
    """Each row: its name, and the command that measures it."""
    pace = ["--rounds", plan.rounds, "--milliseconds", plan.milliseconds]
    yield "policies", [bench, "policies", "--size", plan.policies, *pace]
    yield "depth", [bench, "depth", *pace]
    yield "context", [bench, "context", *pace]
    yield "decode", [bench, "decode", *pace]
    for size in plan.worlds:
        # each in a process of its own: stock Cedar's four gigabytes are gone with it
        command = [bench, "world", "--size", size, *pace]
        if size == plan.worlds[-1]:
            command += ["--changes", plan.changes, "--stock-changes", plan.stock_changes]
        yield f"world {size}", command
    yield "world, all packs", [bench, "world", "--size", plan.worlds[-1], "--packs", *pace]
    yield "growth", [bench, "growth", "--size", plan.growth[0], "--larger", plan.growth[1], *pace]
    yield "memory", [bench, "memory", "--size", plan.store]
    yield "memory of stock", [bench, "memory", "--size", plan.store, "--stock"]
    yield "load", [bench, "load", "--size", plan.store, "--rounds", plan.load_rounds]
    yield "gateway", [gateway, "--bench", "--json", "--rounds", plan.rounds, "--seconds", plan.seconds]
    yield "http", [http, "--bench", "--json", "--rounds", plan.rounds, "--seconds", plan.seconds]


INSTRUCTIONS = [("packs", 0), ("depth", 16), ("context", 10)]


def instructions(bench):
    """Instructions a decision, by a simulator or by the processor's own counter."""
    perf = counts_with_perf()
    if not perf and not shutil.which("valgrind"):
        say("no instruction counts: neither valgrind nor a counter that `perf` can read")
        return
    for case, size in INSTRUCTIONS:
        for engine, decisions in (("compiled", 20_000), ("stock", 1_000)):
            command = [str(bench), "count", case, "--size", str(size)] + ["--stock"] * (engine == "stock")
            say(f"instructions: {case} {size}, {engine}")
            counted = (by_perf if perf else by_valgrind)(command, decisions)
            yield {
                "group": "instructions",
                "values": {"case": case, "size": size, "engine": engine, "count": counted,
                           "by": "perf" if perf else "callgrind"},
            }


def counts_with_perf():
    try:
        done = subprocess.run(["perf", "stat", "-x,", "-e", "instructions:u", "true"], capture_output=True, text=True)
    except OSError:
        return False
    return bool(re.search(r"^\d+,,instructions", done.stderr, re.M))


def by_perf(command, decisions):
    """The difference of two runs, so that what the start costs falls out."""

    def counted(n):
        perf = ["perf", "stat", "-x,", "-e", "instructions:u", *command, "--decisions", str(n)]
        done = subprocess.run(perf, capture_output=True, text=True, check=True)
        return int(re.search(r"^(\d+),,instructions", done.stderr, re.M).group(1))

    return (counted(10 * decisions) - counted(decisions)) / (9 * decisions)


def by_valgrind(command, decisions):
    """Counts within the one function that decides."""
    with tempfile.TemporaryDirectory() as directory:
        valgrind = ["valgrind", "--tool=callgrind", "--toggle-collect=*decisions*count*",
                    f"--callgrind-out-file={directory}/out"]
        done = subprocess.run([*valgrind, *command, "--decisions", str(decisions)], capture_output=True, text=True)
    found = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode or not found:
        sys.exit(f"callgrind failed:\n{done.stderr[-2000:]}")
    return int(found.group(1)) / decisions


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="every row, smaller and with few rounds")
    parser.add_argument("--only", default="", help="only rows whose name contains this; the others stay as they were")
    parser.add_argument("--instructions", action="store_true", help="count instructions, too")
    parser.add_argument("--no-plot", action="store_true", help="do without matplotlib")
    parser.add_argument("--out", type=Path, default=common.ROOT / "target/bench-report", help="directory of the report")
    args = parser.parse_args()
    if not args.no_plot:
        try:
            import plot
        except ModuleNotFoundError as missing:
            sys.exit(f"{missing.name} is missing: `pip install matplotlib`, or run with --no-plot")
    plan = QUICK if args.quick else FULL
    facts = common.machine()
    built = common.build("table", "http", "gateway")
    started = clock.monotonic()
    found = []
    for name, command in rows(plan, built["table"], built["http"], built["gateway"]):
        if args.only in name:
            say(f"[{clock.monotonic() - started:5.0f} s] {name}")
            found += common.lines(command)
    if args.instructions:
        found += instructions(built["table"])
    took = clock.monotonic() - started
    args.out.mkdir(parents=True, exist_ok=True)
    lines = args.out / "report.jsonl"
    if args.only and lines.exists():
        # rows measured again stand among those of the last run
        new = {line["group"] for line in found}
        found = [line for line in map(json.loads, lines.read_text().splitlines()) if line["group"] not in new] + found
    lines.write_text("".join(json.dumps(line) + "\n" for line in found))
    peers = args.out / "peers.json"
    results = tables.Results(found, json.loads(peers.read_text()) if peers.exists() else None)
    picture = ""
    if not args.no_plot and plot.draw(results, args.out):
        picture = "![What a decision costs as things grow](report.svg)\n\n"
    kind = "A quick run: smaller sizes and few rounds, so verdicts are hints." if args.quick else ""
    report = f"# Benchmarks\n\n{facts}\n- it ran for {took / 60:.0f} minutes\n\n{kind}\n\n"
    report += f"{tables.targets(results)}\n\n{picture}{tables.details(results)}\n"
    (args.out / "report.md").write_text(re.sub(r"\n{3,}", "\n\n", report))
    print(tables.targets(results))
    say(f"\nwritten: {args.out / 'report.md'}")


if __name__ == "__main__":
    main()

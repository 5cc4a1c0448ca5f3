"""What the scripts share: building the benches, running them, medians, Markdown, the machine's facts."""

import json
import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def say(text):
    """Tells how far the run is, apart from its results."""
    print(text, file=sys.stderr, flush=True)


def build(*benches):
    """Builds benches and the server. Returns their paths by name."""
    command = ["cargo", "bench", "--locked", "--no-run", "--message-format=json-render-diagnostics"]
    for bench in benches:
        command += ["--bench", bench]
    say(f"building {', '.join(benches)}; the first time this takes minutes ...")
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    messages = (json.loads(line) for line in done.stdout.splitlines() if line.startswith("{"))
    built = {m["target"]["name"]: Path(m["executable"]) for m in messages if m.get("executable")}
    missing = {*benches, "palisade"} - built.keys()
    if missing:
        sys.exit(f"cargo built no {', '.join(sorted(missing))}")
    return built


def lines(command):
    """Runs a bench and returns its lines of JSON. Its progress goes on to the terminal."""
    say("+ " + " ".join(str(part) for part in command[1:]))
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    if done.returncode:
        sys.exit(f"{command[0]} failed ({done.returncode}); what it said is above")
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def median(samples):
    return statistics.median(samples)


def ratio(above, below):
    """The median of the rounds' ratios: what drifts within a run touches both sides of a round."""
    return statistics.median(a / b for a, b in zip(above, below))


def quantile(samples, share):
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def time(ns):
    """Nanoseconds for people."""
    for unit, size in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if ns >= size:
            return f"{ns / size:.3g} {unit}" if ns < 100 * size else f"{ns / size:,.0f} {unit}"
    return f"{ns:.0f} ns"


def count(number):
    """A size for people."""
    for unit, size in (("M", 1_000_000), ("k", 1_000)):
        if number >= size and number % (size // 10) == 0:
            return f"{number / size:g}{unit}"
    return str(number)


def table(head, rows):
    """A Markdown table."""
    out = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    out += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(out)


def text_of(command):
    try:
        return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def machine():
    """The facts without which no figure means anything, as a Markdown list."""
    model = "unknown"
    try:
        found = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
        model = found[0].split(":", 1)[1].strip()
    except (OSError, IndexError):
        pass
    changed = " with uncommitted changes" if text_of(["git", "status", "--porcelain", "-uno"]) else ""
    load = ", ".join(f"{load:.2f}" for load in os.getloadavg())
    lto = os.environ.get("CARGO_PROFILE_RELEASE_LTO")
    profile = "release" + (f", but LTO {lto}" if lto else "")
    return "\n".join(
        f"- {name}: {value}"
        for name, value in [
            ("cores", os.cpu_count()),
            ("CPU", model),
            ("kernel", f"{platform.system()} {platform.release()}"),
            ("rustc", text_of(["rustc", "-V"])),
            ("profile", profile),
            ("commit", text_of(["git", "rev-parse", "--short=12", "HEAD"]) + changed),
            ("load average at the start", load),
            ("started", text_of(["date", "-u", "+%Y-%m-%d %H:%M UTC"])),
        ]
    )


def verdict(passed):
    return "pass" if passed else "**miss**"

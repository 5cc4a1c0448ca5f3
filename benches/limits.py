#!/usr/bin/env python3
"""Drives a served sidecar to each of its bounds and writes the table of docs/limits.md: what happens there, in which
time, with how much memory of the whole process, and how long /livez took meanwhile. Exits 1 where a row at default
settings needs 1 GiB or more, where /livez took longer than a second, or where something else happened than it should.
"""

import argparse
import multiprocessing
import sys
import time

from common import ROOT, machine, say, table, verdict
from limits_rows import ROWS
from served import Server, Unknown, get

MOST_KIB = 1 << 20
LONGEST_LIVEZ = 1.0
DOCUMENT = ROOT / "docs/limits.md"
BEGIN, END = "<!-- written by benches/limits.py: begin -->", "<!-- written by benches/limits.py: end -->"


def poll(port, stop, worst, asked):
    """Asks /livez over new connections until it is stopped. A process of its own, so that the drive delays nothing."""
    while not stop.value:
        started = time.monotonic()
        try:
            good = get(port, "/livez", 30)[0] == 200
        except OSError:
            good = False
        worst.value = max(worst.value, time.monotonic() - started if good else 30.0)
        asked.value += 1
        time.sleep(0.02)


class Watch:
    """The poller of /livez while a row is driven."""

    def __init__(self, port):
        self.stop = multiprocessing.Value("b", 0)
        self.worst, self.asked = multiprocessing.Value("d", 0.0), multiprocessing.Value("q", 0)
        self.process = multiprocessing.Process(target=poll, args=(port, self.stop, self.worst, self.asked), daemon=True)

    def __enter__(self):
        self.process.start()
        return self

    def __exit__(self, *_):
        self.stop.value = 1
        self.process.join(35)
        self.process.terminate()


def measure(row, options):
    """Drives one row. Returns its cells and what is wrong."""
    if row.drive is None:
        return (row.what, row.key, row.default, row.test, "", "", "", "", "test"), []
    given = dict(row.given)
    pipe = given.pop("pipe", None)
    with Server(options.binary, options.port, pipe=pipe, **given) as server:
        server.until_ready()
        with Watch(server.admin) as watch:
            started = time.monotonic()
            try:
                happened = row.drive(server)
            except (OSError, IndexError) as error:
                happened = f"{type(error).__name__}: {error}"
            seconds = time.monotonic() - started
            time.sleep(0.2)
        if not server.alive():
            return (row.what, row.key, row.default, "the sidecar ended", "", "", "", "", verdict(False)), [f"{row.what}: the sidecar ended: {server.logged(500)}"]
        resident, peak = server.memory()
    if happened.startswith("skipped"):
        return (row.what, row.key, row.default, happened, "", "", "", "", "skipped"), []
    wrong = []
    if row.want not in happened:
        wrong.append(f"{row.what}: {happened}, not {row.want}")
    if peak >= MOST_KIB:
        wrong.append(f"{row.what}: {peak >> 10:,} MiB at the peak, of 1,024")
    if watch.worst.value > LONGEST_LIVEZ or not watch.asked.value:
        wrong.append(f"{row.what}: /livez took {watch.worst.value:.2f} s")
    cells = (row.what, row.key, row.default, happened, shown(seconds), f"{peak >> 10:,}", f"{resident >> 10:,}", shown(watch.worst.value), verdict(not wrong))
    return cells, wrong


def shown(seconds):
    return f"{seconds:.2f} s" if seconds >= 1 else f"{1000 * seconds:.0f} ms"


def write(text):
    """Puts the table between the two comments of the document."""
    document = DOCUMENT.read_text()
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        sys.exit(f"{DOCUMENT} lacks the comments between which the table stands")
    DOCUMENT.write_text(before + begin + "\n\n" + text + "\n\n" + end + after)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", default=ROOT / "target/release/palisade", help="the sidecar; %(default)s")
    parser.add_argument("--port", type=int, default=29010, help="the first of three ports; %(default)s")
    parser.add_argument("--only", default="", help="only rows whose name contains this; the document stays as it is")
    options = parser.parse_args()
    found, wrong = [], []
    for row in ROWS:
        if options.only not in row.what:
            continue
        try:
            cells, problems = measure(row, options)
        except Unknown as error:
            say(f"skipped, the binary does not know it: {row.what}: {str(error).strip().splitlines()[-1]}")
            continue
        found.append(cells)
        wrong += problems
        if row.drive:
            say(" | ".join(str(cell) for cell in cells))
    head = ("what", "key", "default", "what happens", "time", "peak, MiB", "after, MiB", "worst `/livez`", "verdict")
    text = machine() + "\n\n" + table(head, found)
    print(text)
    if not options.only:
        write(text)
    for problem in wrong:
        print(f"FAILED: {problem}")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()

"""From measured lines to Markdown: the targets with verdicts, then every figure."""

from collections import defaultdict

from common import count, median, quantile, ratio, table, time, verdict


class Results:
    """What was measured, by group; and what `peers.py` found, if it ran."""

    def __init__(self, lines, peers=None):
        self.peers = peers
        self.sides = {}
        self.rounds = {}
        self.values = defaultdict(list)
        for line in lines:
            if "sides" in line:
                # two rows of one group differ in size
                self.sides.setdefault(line["group"], []).extend(line["sides"])
                self.rounds[line["group"]] = line["rounds"]
            else:
                self.values[line["group"]].append(line["values"])

    def group(self, start):
        """The sides of the first group whose name starts so."""
        return next((sides for name, sides in self.sides.items() if name.startswith(start)), [])

    def sizes(self, group, name="compiled"):
        return sorted(side["size"] for side in self.group(group) if side["name"] == name)

    def samples(self, group, name, size):
        return next((s["samples"] for s in self.group(group) if (s["name"], s["size"]) == (name, size)), None)

    def ratio(self, group, above, below):
        """Of two sides, each a name and a size."""
        above, below = self.samples(group, *above), self.samples(group, *below)
        return ratio(above, below) if above and below else None


def row(what, target, measured, passed):
    return (what, target, measured, verdict(passed)) if measured else (what, target, "not measured", "-")


def targets(results):
    """The lines of the engine's contract."""
    rows = []
    sizes = results.sizes("policies")
    if len(sizes) > 1:
        packs, largest = sizes[1], sizes[-1]
        own = median(results.samples("policies", "compiled", packs))
        found = results.ratio("policies", ("stock", packs), ("compiled", packs))
        rows.append(row("domain packs, cache off, in the engine", "≥ 20 x faster than stock",
                        f"{found:.0f} x ({time(own)})", found >= 20))
        grown = results.ratio("policies", ("compiled", largest), ("compiled", packs))
        found = results.ratio("policies", ("stock", largest), ("compiled", largest))
        what = f"{count(largest)} linked policies, same number of candidates"
        rows.append(row(what, "≤ 1.5 x the packs' cost", f"{grown:.2f} x", grown <= 1.5))
        # stock's cost is linear: a smaller run must show its share
        least = 20_000 * largest / 100_000
        rows.append(row(what, f"≥ {least:,.0f} x faster than stock", f"{found:,.0f} x", found >= least))
    for size in results.sizes("world, ")[-1:]:
        found = results.ratio("world, ", ("stock", size), ("compiled", size))
        own = median(results.samples("world, ", "compiled", size))
        rows.append(row(f"random requests over {count(size)} entities, about 20 policies", "≥ 5 x faster than stock",
                        f"{found:.1f} x ({time(own)})", found >= 5))
    sizes = results.sizes("growth")
    if len(sizes) == 2:
        found = results.ratio("growth", ("compiled", sizes[1]), ("compiled", sizes[0]))
        rows.append(row(f"{count(sizes[1])} entities beside {count(sizes[0])}", "≤ 1.4 x", f"{found:.2f} x", found <= 1.4))
    for found in results.values["memory"]:
        if found["engine"] == "compiled":
            each = found["resident"] / found["entities"]
            rows.append(row(f"memory per entity at {count(found['size'])}", "≤ 400 B", f"{each:.0f} B", each <= 400))
    for size in results.sizes("cold load"):
        found = results.ratio("cold load", ("stock", size), ("compiled", size))
        own = median(results.samples("cold load", "compiled", size))
        rows.append(row(f"cold load of {count(size)} entities", "≥ 8 x less CPU than stock",
                        f"{found:.1f} x ({time(own)})", found >= 8))
    for found in results.values["changes"]:
        what = {"upsert": "one upsert", "delete": "one delete"}.get(
            found["kind"], f"one edge move of a customer with {found['below']:,} descendants")
        p99 = quantile(found["wall_ns"], 0.99)
        measured = f"{time(median(found['wall_ns']))}, p99 {time(p99)}, max {time(max(found['wall_ns']))}"
        rows.append(row(f"{what} at {count(found['size'])}", "≤ 1 ms", measured, p99 <= 1e6))
    for connections in (64, 1):
        found = results.ratio("http", ("palisade, cache off", connections), ("floor", connections))
        rows.append(row(f"whole HTTP check, cache and decision log off, {connections} connection{'s' * (connections > 1)}",
                        "≤ 1.3 x the floor's CPU", found and f"{found:.2f} x", found and found <= 1.3))
    for cache in ("off", "on"):
        sides = (f"palisade, cache {cache}, decision log", 64), (f"palisade, cache {cache}", 64)
        found = results.ratio("http", *sides)
        late = [next((s["p99"] for s in results.group("http") if (s["name"], s["size"]) == side), None) for side in sides]
        late = ratio(*late) if all(late) else 0
        rows.append(row(f"whole HTTP check, cache {cache}, 64 connections, decision log on beside off",
                        "≤ 1.35 x the CPU, p99 ≤ 1.2 x", found and f"{found:.2f} x, p99 {late:.2f} x",
                        found and found <= 1.35 and late <= 1.2))
    for dialect in ("nginx", "forward", "envoy", "grpc"):
        found = results.ratio("gateway", (dialect, 64), (dialect + ALLOWS, 64))
        rows.append(row(f"a gateway's question, {dialect}, token known, 64 connections",
                        "≤ 1.5 x a handler that only allows", found and f"{found:.2f} x", found and found <= 1.5))
    for peer in (results.peers or {}).get("ratios", [{"peer": "Cerbos and cedar-agent", "ratio": None, "entities": 1000}]):
        found = peer["ratio"]
        what = f"{peer['peer']}, {peer['entities']:,} entities, 64 connections, CPU per HTTP check"
        rows.append(row(what, "≥ 20 x less", found and f"{found:.0f} x (`peers.py`)", found and found >= 20))
    return table(("what", "target", "measured", "verdict"), rows)


def details(results):
    """Every group with its figures."""
    out = ["## Decisions", "", SAID_OF_DECISIONS]
    for group, sides in results.sides.items():
        if group.startswith("http") or group == "gateway":
            continue
        out += ["", f"### {group[0].upper()}{group[1:]}", "", grown(results, group, sides)]
    out += ["", "## Store", "", store(results)]
    if results.values["instructions"]:
        out += ["", "## Instructions a decision", "", instructions(results.values["instructions"])]
    for group, title in (("http", "HTTP"), ("http batch of 1,000", "HTTP batch of 1,000"), ("gateway", "Gateways")):
        if group in results.sides:
            out += ["", f"## {title}", "", http(results, group)]
    return "\n".join(out)


SAID_OF_DECISIONS = (
    "CPU time of the thread, medians of interleaved rounds. `compiled` goes from a decoded question to a decision "
    "with its reasons, checks against the schema included; `stock` is Cedar's authorizer alone, from a request in "
    "Cedar's own form; `stock, request included` makes that form of the decoded question, too. Ratios are medians "
    "of the rounds' ratios and take the stock that does less."
)


def grown(results, group, sides):
    """A line for each size: what every side took, and how often, and the ratio."""
    names = list(dict.fromkeys(side["name"] for side in sides))
    head = ["size", *names, "stock / compiled", "operations a round"]
    rows = []
    for size in sorted({side["size"] for side in sides}):
        own = {side["name"]: side for side in sides if side["size"] == size}
        cells = [time(median(own[name]["samples"])) if name in own else "-" for name in names]
        found = results.ratio(group, ("stock", size), ("compiled", size))
        often = ", ".join(f"{own[name]['operations']:,}" for name in names if name in own)
        rows.append([count(size), *cells, f"{found:,.1f}" if found else "-", often])
    unit = {"decode": "Size is the bytes of a body."}.get(group, "")
    return f"{table(head, rows)}\n\n{results.rounds[group]} rounds. {unit}"


def store(results):
    rows = []
    for found in results.values["memory"]:
        counted = f", {found['counted'] / found['entities']:.0f} B of it counted" if "counted" in found else ""
        each = f"{found['resident'] / found['entities']:.0f} B an entity{counted}"
        rows.append((f"memory, {found['engine']}, {found['entities']:,} entities", each))
    for found in results.values["changes"]:
        wall, cpu, stock = found["wall_ns"], found["cpu_ns"], found["stock_cpu_ns"]
        rows.append((
            f"{found['kind']} at {count(found['size'])}, {len(wall):,} changes",
            f"wall: median {time(median(wall))}, p99 {time(quantile(wall, 0.99))}, max {time(max(wall))}; "
            f"CPU: median {time(median(cpu))}, max {time(max(cpu))}",
        ))
        if stock:
            rows.append((f"the same, stock, {len(stock)} changes", f"CPU: median {time(median(stock))}"))
    return table(("what", "measured"), rows)


def instructions(found):
    cases = {}
    for value in found:
        cases.setdefault((value["case"], value["size"], value["by"]), {})[value["engine"]] = value["count"]
    rows = []
    for (case, size, by), counts in cases.items():
        own, stock = counts.get("compiled"), counts.get("stock")
        rows.append((f"{case} {size or ''}".strip(), f"{own:,.0f}", f"{stock:,.0f}", f"{stock / own:.0f}", by))
    return table(("case", "compiled", "stock", "stock / compiled", "counted by"), rows)


# what the gateway bench calls a handler without policies
ALLOWS = ", only allows"


def http(results, group):
    """CPU of the server a request, the ratio to the floor, rate and latency."""
    rows = []
    batch = "batch" in group
    for side in results.sides[group]:
        beside = "floor" if group != "gateway" else side["name"].removesuffix(ALLOWS) + ALLOWS
        floor = results.samples(group, beside, side["size"])
        rows.append((
            side["name"], side["size"], f"{median(side['samples']) / (1000 if batch else 1):.2f}",
            f"{ratio(side['samples'], floor):.2f}" if floor else "-", f"{median(side['per_second']):,.0f}",
            f"{median(side['p50']):.0f}", f"{median(side['p99']):.0f}",
        ))
    cpu = "CPU µs a decision" if batch else "CPU µs a request"
    head = ("server", "connections", cpu, "x floor", "requests/s", "p50 µs", "p99 µs")
    return f"{table(head, rows)}\n\nMedians of {results.rounds[group]} rounds; server and load have a core each."

"""The report's picture: what a decision costs as things grow, and what HTTP adds."""

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

from common import median

PANELS = [
    ("policies", "policies", True),
    ("world, ", "entities, random requests", True),
    ("depth", "depth of the hierarchy", False),
    ("context", "attributes of the context", False),
]

STYLES = {"compiled": ("C0", "o-"), "stock": ("C3", "s-"), "stock, request included": ("C1", "s:")}


def draw(results, directory):
    """Writes report.svg and report.png. Returns whether there was anything to draw."""
    panels = [panel for panel in PANELS if results.group(panel[0])]
    http = [side for side in results.sides.get("http", []) if side["size"] == 64]
    if not panels and not http:
        return False
    total = len(panels) + bool(http)
    columns = min(total, 3)
    figure, axes = pyplot.subplots(-(-total // columns), columns, figsize=(5 * columns, 4 * -(-total // columns)),
                                   squeeze=False, layout="constrained")
    axes = list(axes.flat)
    for axis, (group, label, logarithmic) in zip(axes, panels):
        lines(axis, results, group)
        axis.set_xlabel(label)
        axis.set_ylabel("CPU time a decision, µs")
        axis.set_yscale("log")
        if logarithmic:
            axis.set_xscale("log")
        axis.grid(alpha=0.3, which="both")
        axis.legend(fontsize="small")
    if http:
        axis = axes[len(panels)]
        # long names would take the room of the panels above
        bars = axis.barh([side["name"].replace(", ", ",\n") for side in http], [median(side["samples"]) for side in http], color="C0")
        axis.bar_label(bars, fmt="%.1f", padding=3)
        axis.invert_yaxis()
        axis.set_xlabel("CPU time of the server a request at 64 connections, µs")
        axis.margins(x=0.15)
    for axis in axes[total:]:
        axis.remove()
    for name in ("report.svg", "report.png"):
        figure.savefig(directory / name, dpi=130)
    pyplot.close(figure)
    return True


def lines(axis, results, group):
    sides = list(results.group(group))
    if group.startswith("world"):
        # the compiled engine goes on where stock stops; both sizes are of another run
        sides += [side for side in results.group("growth") if side["size"] not in results.sizes(group)]
    for name, (colour, style) in STYLES.items():
        own = sorted((side["size"], median(side["samples"]) / 1e3) for side in sides if side["name"] == name)
        if own:
            axis.plot(*zip(*own), style, color=colour, label=name)

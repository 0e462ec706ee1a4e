"""The table, the figures behind it (results.tsv) and the chart of a run."""
import os

from benchlib import chart
from benchlib.place import OUT, disk_type


def table(rows):
    header = ["row", "what", "dhtfs", "its CPU", "null", disk_type(), "ratio (min to max)", "bound", ""]
    lines = [[row.name, row.what, row.show("dhtfs"), row.show_cpu(), row.show("nullfs"), row.show("disk"),
              row.show_ratio(), row.show_bound(), row.verdict()] for row in rows]
    widths = [max(len(line[i]) for line in [header, *lines]) for i in range(len(header))]
    for line in [header, *lines]:
        yield "  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip()


def figures(rows):
    yield "row\tsystem\tround\tfigure\tamount\tunit"
    for row in rows:
        for name, took in [*row.took.items(), ("dhtfs-yardstick", row.own), ("dhtfs-cpu", row.cpu)]:
            for i, value in enumerate(took):
                yield f"{row.name}\t{name}\t{i + 1}\t{value:.6f}\t{row.amount:g}\t{row.unit}"


def write(rows, circumstances):
    os.makedirs(OUT, exist_ok=True)
    print(*table(rows), "", *circumstances, sep="\n")
    picture = os.path.join(OUT, "chart.svg")
    for path, words in ((os.path.join(OUT, "results.tsv"), "\n".join(figures(rows))),
                        (picture, chart.draw(rows, disk_type(), circumstances))):
        with open(path, "w", encoding="utf-8") as file:
            file.write(words + "\n")
        print(path)

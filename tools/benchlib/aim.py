"""One figure of the ring, with its aim, and what a null filesystem made of the same."""
import statistics


class Aim:
    """A function of the bench gives one figure, or one and that of the null filesystem.

    ${least}: the figure is to be at least so much (a rate), else at most (a time, an amount)."""

    def __init__(self, name, what, function, aim, unit, least=False, digits=1, once=False):
        self.name, self.what, self.function = name, what, function
        self.aim, self.unit, self.least, self.digits, self.once = aim, unit, least, digits, once
        self.found, self.null, self.cpu = [], [], []
        self.fault = None

    def measure(self, bench):
        bench.cpu_s = None
        found = self.function(bench)
        found, null = found if isinstance(found, tuple) else (found, None)
        self.found.append(found)
        if null is not None:
            self.null.append(null)
        if bench.cpu_s is not None:
            self.cpu.append(bench.cpu_s)

    def show(self, values):
        return f"{statistics.median(values):,.{self.digits}f} {self.unit}" if values else "-"

    def show_range(self):
        return f"{min(self.found):,.{self.digits}f} to {max(self.found):,.{self.digits}f}" if len(self.found) > 1 else "-"

    def show_cpu(self):
        return f"{statistics.median(self.cpu):.2f} s" if self.cpu else "-"

    def show_aim(self):
        return f"{'>=' if self.least else '<='} {self.aim:g} {self.unit}"

    def verdict(self):
        if self.fault or not self.found:
            return self.fault or "not measured"
        found = statistics.median(self.found)
        return "PASS" if (found >= self.aim if self.least else found <= self.aim) else "MISSED"


def table(aims):
    header = ["row", "what", "dhtfs", "min to max", "CPU of all", "null", "aim", ""]
    lines = [[aim.name, aim.what, aim.show(aim.found), aim.show_range(), aim.show_cpu(), aim.show(aim.null),
              aim.show_aim(), aim.verdict()] for aim in aims]
    widths = [max(len(line[i]) for line in [header, *lines]) for i in range(len(header))]
    for line in [header, *lines]:
        yield "  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip()


def figures(aims):
    yield "row\tsystem\tround\tfigure\tunit"
    for aim in aims:
        for name, values, unit in (("dhtfs", aim.found, aim.unit), ("nullfs", aim.null, aim.unit),
                                   ("dhtfs-cpu", aim.cpu, "s")):
            for i, value in enumerate(values):
                yield f"{aim.name}\t{name}\t{i + 1}\t{value:.6f}\t{unit}"

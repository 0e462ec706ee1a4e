"""One row of the table: what was measured, against what, and whether its bound was held."""
import statistics

NOTE = {"null": "null", "disk": "disk", "lower": "the lower of null, disk", "own": "its own",
        "own or disk": "the lower of its own, disk"}


class Row:
    """A function of a system gives seconds, or seconds and those of another thing: dhtfs's own yardstick.

    Bound: of dhtfs's speed, as a multiple of the yardstick's: null, disk, lower (of the two, of each
    round), own (dhtfs's other thing), or own or disk (the lower)."""

    def __init__(self, name, what, function, bound, yardstick, unit, amount=1, cold=False, once=False):
        self.name, self.what, self.function = name, what, function
        self.bound, self.yardstick = bound, yardstick
        self.unit, self.amount, self.cold, self.once = unit, amount, cold, once
        self.took = {}  # by system: seconds, by round
        self.own = []
        self.cpu = []  # of dhtfs's process: seconds, by round
        self.fault = None  # why it was not measured to the end

    def measure(self, system):
        system.cpu_s = None
        took = self.function(system)
        took, own = took if isinstance(took, tuple) else (took, None)
        self.took.setdefault(system.name, []).append(took)
        if system.name == "dhtfs" and own is not None:
            self.own.append(own)
        if system.name == "dhtfs" and system.cpu_s is not None:
            self.cpu.append(system.cpu_s)

    def concerns(self, system):
        """A million files on the disk would say nothing about dhtfs, and take minutes to remove."""
        return system != "disk" or not self.once

    def yardsticks(self):
        null, disk = self.took.get("nullfs", []), self.took.get("disk", [])
        return {"null": null, "disk": disk, "own": self.own,
                "lower": [max(pair) for pair in zip(null, disk)],
                "own or disk": [max(pair) for pair in zip(self.own, disk)]}[self.yardstick]

    def ratios(self):
        """Of speeds, round by round."""
        return sorted(y / t for t, y in zip(self.took.get("dhtfs", []), self.yardsticks()))

    def verdict(self):
        ratios = self.ratios()
        if self.fault or not ratios:
            return self.fault or "not measured"
        return "PASS" if statistics.median(ratios) >= self.bound else "MISSED"

    def is_time(self):
        return self.unit == "s" and self.bound < 1

    def show(self, system):
        took = self.took.get(system)
        if not took:
            return "-"
        speed = self.amount / statistics.median(took)
        return f"{1 / speed:.3f} s" if self.unit == "s" else f"{speed:,.0f} {self.unit}"

    def show_bound(self):
        if self.is_time():
            return f"<= {1 / self.bound:.1f} x the time of {NOTE[self.yardstick]}"
        return f">= {self.bound:g} x {NOTE[self.yardstick]}"

    def show_ratio(self):
        """In the terms of the bound: of times where it is one of times."""
        ratios = self.ratios()
        if not ratios:
            return "-"
        if self.is_time():
            ratios = [1 / ratio for ratio in reversed(ratios)]
        digits = 0 if ratios[0] >= 10 else 2
        range_words = f" ({ratios[0]:.{digits}f} to {ratios[-1]:.{digits}f})" if len(ratios) > 1 else ""
        return f"{statistics.median(ratios):.{digits}f} x{range_words}"

    def show_cpu(self):
        return f"{statistics.median(self.cpu):.2f} s" if self.cpu else "-"


class Limit(Row):
    """A function of dhtfs gives a figure that must stay below a limit."""

    def __init__(self, name, what, function, limit, unit, scale, cold=False, once=False):
        super().__init__(name, what, function, 1, "limit", unit, cold=cold, once=once)
        self.limit, self.scale = limit, scale

    def concerns(self, system):
        return system == "dhtfs"

    def yardsticks(self):
        return [self.limit] * len(self.took.get("dhtfs", []))

    def show(self, system):
        took = self.took.get(system)
        return f"{statistics.median(took) * self.scale:.2f} {self.unit}" if took else "-"

    def show_bound(self):
        return f"< {self.limit * self.scale:g} {self.unit}"

    def ratios(self):
        return sorted(self.limit / max(t, 1e-9) for t in self.took.get("dhtfs", []))

    def show_ratio(self):
        took = sorted(self.took.get("dhtfs", []))
        if len(took) < 2:
            return "-"
        return f"{took[0] * self.scale:.2f} to {took[-1] * self.scale:.2f} {self.unit}"

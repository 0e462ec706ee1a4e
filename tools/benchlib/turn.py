"""What a run of either bench needs beside what it measures: signals, words on the way, and the machine's state."""
import signal
import subprocess
import sys

from benchlib import place

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
FAULTS = (OSError, RuntimeError, ValueError, subprocess.SubprocessError)


class Interrupted(Exception):
    pass


def on_signal(number, _frame):
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)  # what is cleaned up now must not be interrupted again
    raise Interrupted(signal.Signals(number).name)


def catch_signals():
    for number in SIGNALS:
        signal.signal(number, on_signal)


def progress(text, end=False):
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
    elif end:
        print(text, file=sys.stderr, flush=True)


def stolen():
    """Ticks of this machine's processors: all, and those that the host gave to others."""
    with open("/proc/stat", encoding="ascii") as file:
        ticks = [int(word) for word in file.readline().split()[1:9]]
    return sum(ticks), ticks[7]


def circumstances(load, before):
    total, stolen_ticks = (b - a for a, b in zip(before, stolen()))
    return [place.machine(),
            f"median of {place.RUNS} rounds; load average before: {load:.2f}; "
            f"processor time taken by the host: {100 * stolen_ticks / max(total, 1):.1f} %"]

"""benchchart: the rows of bench as a picture: each one's speed as a multiple of its yardstick's."""
import math
import statistics
from xml.sax.saxutils import escape

LOW, HIGH = 0.02, 200.0  # of the axis; what lies beyond is drawn at its end
LEFT, WIDTH, RIGHT = 250, 560, 250
TOP, ROW_HEIGHT, BAR = 84, 34, 14
COLOURS = {"ok": "#2e7d4f", "MISSED": "#b3402a", "nullfs": "#6b7a90", "disk": "#c28a1c"}
TICKS = (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200)


def x_of(ratio):
    ratio = min(max(ratio, LOW), HIGH)
    return LEFT + WIDTH * math.log(ratio / LOW) / math.log(HIGH / LOW)


def text(x, y, words, anchor="start", size=12, colour="#222"):
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" '
            f'fill="{colour}">{escape(words)}</text>')


def line(x1, y1, x2, y2, colour, width=1, dash=""):
    return (f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" '
            f'stroke-width="{width}"{f" stroke-dasharray={chr(34)}{dash}{chr(34)}" if dash else ""}/>')


def dot(x, y, colour):
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" fill="{colour}"/>'


def axis(bottom):
    for tick in TICKS:
        x = x_of(tick)
        yield line(x, TOP - 8, x, bottom, "#999" if tick == 1 else "#e4e4e4", 1.5 if tick == 1 else 1)
        yield text(x, TOP - 14, f"{tick:g}", "middle", 11, "#666")


def row_parts(row, y):
    middle = y + BAR / 2
    ratios, verdict = row.ratios(), row.verdict()
    yield text(LEFT - 12, middle + 4, row.what, "end")
    if ratios:
        start, end = sorted((x_of(1), x_of(statistics.median(ratios))))
        yield (f'<rect x="{start:.1f}" y="{y}" width="{max(end - start, 1):.1f}" height="{BAR}" '
               f'fill="{COLOURS[verdict]}" fill-opacity="0.75"/>')
        yield line(x_of(ratios[0]), middle, x_of(ratios[-1]), middle, "#222", 1.5)
    yardsticks = row.yardsticks()
    for system in ("nullfs", "disk"):
        took = row.took.get(system)
        if took and yardsticks and row.yardstick != "own":
            yield dot(x_of(statistics.median(yardsticks) / statistics.median(took)), middle, COLOURS[system])
    yield line(x_of(row.bound), y - 6, x_of(row.bound), y + BAR + 6, "#111", 2, "3 2")
    words = row.show_speed("dhtfs")
    if ratios:
        words += f"   {statistics.median(ratios):.2f} x   {verdict}"
    yield text(LEFT + WIDTH + 12, middle + 4, words, colour=COLOURS.get(verdict, "#222"))


def legend(disk):
    x = LEFT
    for label, colour in ((f"null filesystem", COLOURS["nullfs"]), (disk, COLOURS["disk"])):
        yield dot(x, 44, colour)
        yield text(x + 10, 48, label)
        x += 30 + 7 * len(label)
    for label, colour in (("dhtfs, bound held", COLOURS["ok"]), ("missed", COLOURS["MISSED"])):
        yield f'<rect x="{x}" y="37" width="14" height="14" fill="{colour}" fill-opacity="0.75"/>'
        yield text(x + 20, 48, label)
        x += 40 + 7 * len(label)
    yield line(x, 37, x, 51, "#111", 2, "3 2")
    yield text(x + 8, 48, "bound")


def draw(rows, disk, machine):
    bottom = TOP + ROW_HEIGHT * len(rows)
    parts = [text(16, 24, "Speed as a multiple of the yardstick's (to the right is faster)", size=15)]
    parts += legend(disk)
    parts += axis(bottom)
    for i, row in enumerate(rows):
        parts += row_parts(row, TOP + ROW_HEIGHT * i + 8)
    parts.append(text(16, bottom + 28, machine, size=11, colour="#666"))
    width, height = LEFT + WIDTH + RIGHT, bottom + 44
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
            f'viewBox="0 0 {width} {height}" font-family="sans-serif">\n'
            f'<rect width="{width}" height="{height}" fill="#fff"/>\n' + "\n".join(parts) + "\n</svg>\n")

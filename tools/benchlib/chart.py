"""The rows as a picture: each one's speed as a multiple of its yardstick's, on a logarithmic axis."""
import math
import statistics
from xml.sax.saxutils import escape

LOW, HIGH = 0.01, 1000.0  # of the axis; what lies beyond is drawn at its end
LEFT, WIDTH, RIGHT = 250, 520, 330
TOP, ROW_HEIGHT, BAR = 92, 34, 14
COLOURS = {"PASS": "#2e7d4f", "MISSED": "#b3402a", "nullfs": "#6b7a90", "disk": "#c28a1c"}
FAINT, GREY, BLACK = "#e4e4e4", "#777", "#222"
TICKS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
LABELLED = (0.01, 0.1, 1, 10, 100, 1000)


def x_of(ratio):
    ratio = min(max(ratio, LOW), HIGH)
    return LEFT + WIDTH * math.log(ratio / LOW) / math.log(HIGH / LOW)


def text(x, y, words, anchor="start", size=12, colour=BLACK):
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" '
            f'fill="{colour}">{escape(words)}</text>')


def line(x1, y1, x2, y2, colour, width=1.0):
    return (f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" '
            f'stroke-width="{width}"/>')


def rectangle(x, y, width, height, colour):
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height}" fill="{colour}"/>'


def dot(x, y, colour):
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}" stroke="#fff"/>'


def bound_mark(x, y):
    return line(x, y - 11, x, y + 11, "#000", 2.5)


def axis(bottom):
    for tick in TICKS:
        x = x_of(tick)
        yield line(x, TOP - 8, x, bottom, "#999" if tick == 1 else FAINT, 1.5 if tick == 1 else 1)
        if tick in LABELLED:
            yield text(x, TOP - 14, f"{tick:g} x", "middle", 11, GREY)


def row_parts(row, middle):
    ratios, verdict = row.ratios(), row.verdict()
    colour = COLOURS.get(verdict, GREY)
    yield text(LEFT - 12, middle + 4, row.what, "end")
    if ratios:
        start, end = sorted((x_of(1), x_of(statistics.median(ratios))))
        yield rectangle(start, middle - BAR / 2, max(end - start, 2), BAR, colour)
        yield line(x_of(ratios[0]), middle, x_of(ratios[-1]), middle, "#000", 1.5)
    for system in ("nullfs", "disk"):
        took, yardsticks = row.took.get(system), row.yardsticks()
        if took and yardsticks and not row.own:
            yield dot(x_of(statistics.median(yardsticks) / statistics.median(took)), middle, COLOURS[system])
    yield bound_mark(x_of(row.bound), middle)
    x = LEFT + WIDTH + 16
    yield text(x + 74, middle + 4, row.show("dhtfs"), "end")
    yield text(x + 92, middle - 3, verdict[:40], size=11, colour=colour)
    yield text(x + 92, middle + 10, row.show_bound(), size=10, colour=GREY)


def legend(disk):
    y = 46
    key = ((0, 20, rectangle, (y - BAR / 2, 14, BAR, COLOURS["PASS"]), "held its bound"),
           (120, 20, rectangle, (y - BAR / 2, 14, BAR, COLOURS["MISSED"]), "missed it"),
           (214, 8, bound_mark, (y,), "bound"),
           (272, 20, lambda x: line(x, y, x + 14, y, "#000", 1.5), (), "min to max"),
           (378, 10, dot, (y, COLOURS["nullfs"]), "null filesystem"),
           (494, 10, dot, (y, COLOURS["disk"]), disk))
    for at, gap, shape, arguments, label in key:
        yield shape(LEFT + at, *arguments)
        yield text(LEFT + at + gap, y + 4, label, size=11)


def draw(rows, disk, notes):
    bottom = TOP + ROW_HEIGHT * len(rows)
    parts = [text(16, 24, "dhtfs: speed as a multiple of the yardstick's (to the right is faster or smaller)",
                  size=15)]
    parts += legend(disk)
    for i, row in enumerate(rows):
        if i % 2 == 0:
            parts.append(rectangle(0, TOP + ROW_HEIGHT * i, LEFT + WIDTH + RIGHT, ROW_HEIGHT, "#f7f7f7"))
    parts += axis(bottom)
    for i, row in enumerate(rows):
        parts += row_parts(row, TOP + ROW_HEIGHT * i + ROW_HEIGHT / 2)
    for i, note in enumerate(notes):
        parts.append(text(16, bottom + 24 + 16 * i, note, size=11, colour=GREY))
    width, height = LEFT + WIDTH + RIGHT, bottom + 24 + 16 * len(notes)
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
            f'viewBox="0 0 {width} {height}" font-family="sans-serif">\n'
            f'<rect width="{width}" height="{height}" fill="#fff"/>\n' + "\n".join(parts) + "\n</svg>")

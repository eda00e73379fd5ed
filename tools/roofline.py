#!/usr/bin/env python3
"""Draws the roofline of a run of seesaw_bench_gpu from its JSON. Needs nothing but Python.

usage: roofline.py RESULTS.json FIGURE.svg

Roofs are those measured in the same run: the read bandwidth, and the rate of cuBLAS's bfloat16
product where cuBLAS was there. A point is a shape: full where calls ran back to back, a ring where
each was timed alone. Its name and figures show when a pointer rests on it.
"""

import html
import json
import math
import pathlib
import sys

WIDTH, HEIGHT = 860, 520
LEFT, RIGHT, TOP, BOTTOM = 70, 620, 50, 460
INTENSITIES = (10, 1000)  # FLOP a byte
# What a colour stands for: told apart by colour-blind readers.
CLASSES = (
    ("64 requests and more", "#0072b2", lambda row: row["batch"] >= 64),
    ("8 to 63 requests", "#009e73", lambda row: row["batch"] >= 8),
    ("fewer than 8 requests", "#d55e00", lambda row: True),
)


def scaled(value, low, high, begin, end):
    return begin + math.log(value / low) / math.log(high / low) * (end - begin)


class Figure:
    def __init__(self, most_tflops):
        self.most = most_tflops
        self.least = most_tflops / 1000
        self.parts = []

    def x(self, intensity):
        return scaled(intensity, *INTENSITIES, LEFT, RIGHT)

    def y(self, tflops):
        return scaled(max(tflops, self.least), self.least, self.most, BOTTOM, TOP)

    def text(self, x, y, words, anchor="middle", extra=""):
        self.parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="#333"{extra}>'
            f"{html.escape(words)}</text>"
        )

    def line(self, x1, y1, x2, y2, color="#ddd", width=1):
        self.parts.append(
            f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{color}" '
            f'stroke-width="{width}"/>'
        )

    def axes(self, title):
        for tick in (10, 20, 50, 100, 200, 500, 1000):
            self.line(self.x(tick), TOP, self.x(tick), BOTTOM)
            self.text(self.x(tick), BOTTOM + 18, f"{tick:,}")
        tick = 10.0 ** math.ceil(math.log10(self.least))
        while tick <= self.most:
            for step in (1, 2, 5):
                if tick * step <= self.most:
                    self.line(LEFT, self.y(tick * step), RIGHT, self.y(tick * step))
                    self.text(LEFT - 8, self.y(tick * step) + 4, f"{tick * step:g}", "end")
            tick *= 10
        self.text((LEFT + RIGHT) / 2, BOTTOM + 42, "FLOP for each byte of latents, Q and O")
        self.text(LEFT - 8, TOP - 12, "TFLOPS", "end")
        self.text((LEFT + RIGHT) / 2, TOP - 24, title, extra=' font-weight="bold"')

    def roofs(self, read_gbps, product_tflops):
        peak = product_tflops or self.most
        low, high = INTENSITIES
        ridge = min(high, max(low, peak * 1e3 / read_gbps))
        self.line(self.x(low), self.y(low * read_gbps * 1e-3), self.x(ridge),
                  self.y(ridge * read_gbps * 1e-3), "#333", 2)
        self.text(RIGHT + 14, TOP + 130, f"slope: {read_gbps:,.0f} GB/s read", "start")
        if product_tflops:
            self.line(self.x(ridge), self.y(peak), self.x(high), self.y(peak), "#333", 2)
            self.text(RIGHT + 14, TOP + 150, f"top: {product_tflops:,.0f} TFLOPS cuBLAS", "start")

    def point(self, row, kind, color):
        fill = color if kind == "burst" else "none"
        x = self.x(row["operations"] / row["bytes"])
        y = self.y(row[f"{kind}_tflops"])
        words = (
            f"{row['name']}, {'back to back' if kind == 'burst' else 'alone'}: "
            f"{row[f'{kind}_us']:.1f} us, {row[f'{kind}_tflops']:.0f} TFLOPS, "
            f"{row[f'{kind}_gbps']:,.0f} GB/s"
        )
        self.parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{fill}" stroke="{color}" '
            f'stroke-width="1.5"><title>{html.escape(words)}</title></circle>'
        )

    def legend(self):
        for i, (words, color, _) in enumerate(CLASSES):
            y = TOP + 10 + 22 * i
            self.parts.append(f'<circle cx="{RIGHT + 20}" cy="{y - 4}" r="4" fill="{color}"/>')
            self.text(RIGHT + 32, y, words, "start")
        self.text(RIGHT + 14, TOP + 84, "full: back to back; ring: alone", "start")

    def svg(self):
        body = "\n".join(self.parts)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
            f'font-family="sans-serif" font-size="12">\n'
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>\n{body}\n</svg>\n'
        )


def draw(results):
    limits = results["limits_before"]
    product = limits["matrix_product_tflops"]
    peak = product["median"] if product else 0
    rows = [row for row in results["rows"] if "failure" not in row and row["operations"] > 0]
    highest = max([peak] + [row["burst_tflops"] for row in rows] + [1])
    machine = results["machine"]
    figure = Figure(most_tflops=1.25 * highest)
    figure.axes(f"Dense decode, {machine['gpu']}, commit {machine['git_commit']}")
    figure.roofs(limits["read_gbps"]["median"], peak)
    for row in rows:
        color = next(color for _, color, holds in CLASSES if holds(row))
        figure.point(row, "single", color)
        figure.point(row, "burst", color)
    figure.legend()
    return figure.svg()


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    results = json.loads(pathlib.Path(sys.argv[1]).read_text(encoding="utf-8"))
    pathlib.Path(sys.argv[2]).write_text(draw(results), encoding="utf-8")


if __name__ == "__main__":
    main()

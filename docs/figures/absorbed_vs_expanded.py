#!/usr/bin/env python3
"""Draws absorbed_vs_expanded.svg, which docs/mla.md shows. Needs nothing but Python.

usage: absorbed_vs_expanded.py [--check]   --check compares with the file instead of writing it
"""

import math
import pathlib
import sys

# DeepSeek-V2, V3, R1, V3.2 and Kimi-K2: dimensions of one head.
D_NOPE, D_ROPE, D_LATENT, D_V = 128, 64, 512, 128
EXPANSION = D_LATENT * (D_NOPE + D_V)  # E: multiply-adds to expand one key, or absorb one query
EXCESS = 2 * D_LATENT - D_NOPE - D_V  # Delta: what the absorbed form adds for each pair


def flops(s_q, s_k):
    """FLOP of one head without a mask: (absorbed, expanded)."""
    pairs = s_q * s_k
    absorbed = 2 * (pairs * (2 * D_LATENT + D_ROPE) + s_q * EXPANSION)
    expanded = 2 * (pairs * (D_NOPE + D_ROPE + D_V) + s_k * EXPANSION)
    return absorbed, expanded


def break_even(s_k):
    """Queries for which both forms cost the same, without a mask."""
    return EXPANSION / (EXCESS + EXPANSION / s_k)


def break_even_causal(s_k):
    """The same where query i of s_q sees keys 0 .. s_k - s_q + i."""
    a = (s_k + 0.5) * EXCESS + EXPANSION
    return (a - math.sqrt(a * a - 2 * EXCESS * s_k * EXPANSION)) / EXCESS


WIDTH, HEIGHT, TOP, BOTTOM = 860, 380, 44, 320
COLORS = ["#0072b2", "#d55e00", "#009e73"]  # told apart by colour-blind readers


class Panel:
    """A plot with a logarithmic x axis, between two x coordinates of the figure."""

    def __init__(self, left, right, x_range, y_range, y_is_log):
        self.left, self.right = left, right
        self.x_range, self.y_range, self.y_is_log = x_range, y_range, y_is_log
        self.parts = []

    def x(self, value):
        low, high = (math.log(v) for v in self.x_range)
        return self.left + (math.log(value) - low) / (high - low) * (self.right - self.left)

    def y(self, value):
        scale = math.log if self.y_is_log else float
        low, high = (scale(v) for v in self.y_range)
        return BOTTOM - (scale(value) - low) / (high - low) * (BOTTOM - TOP)

    def text(self, x, y, words, anchor="middle", color="#333", extra=""):
        self.parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{color}"{extra}>{words}</text>'
        )

    def line(self, x1, y1, x2, y2, color="#ddd", extra=""):
        self.parts.append(
            f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{color}"{extra}/>'
        )

    def axes(self, title, x_label, x_ticks, y_ticks):
        for tick in x_ticks:
            self.line(self.x(tick), TOP, self.x(tick), BOTTOM)
            self.text(self.x(tick), BOTTOM + 18, f"{tick:,}")
        for tick in y_ticks:
            self.line(self.left, self.y(tick), self.right, self.y(tick))
            self.text(self.left - 8, self.y(tick) + 4, f"{tick:g}", "end")
        middle = (self.left + self.right) / 2
        self.text(middle, TOP - 16, title, extra=' font-weight="bold"')
        self.text(middle, BOTTOM + 40, x_label)

    def curve(self, function, color, extra=""):
        low, high = (math.log(v) for v in self.x_range)
        points = [math.exp(low + (high - low) * i / 120) for i in range(121)]
        path = " ".join(
            f"{self.x(x):.1f},{self.y(function(x)):.1f}"
            for x in points
            if self.y_range[0] <= function(x) <= self.y_range[1]
        )
        self.parts.append(
            f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2"{extra}/>'
        )


def ratio_panel():
    panel = Panel(64, 410, (1, 1024), (0.25, 256), True)
    panel.axes(
        "FLOP of the expanded form / of the absorbed form",
        "queries s_q that share the keys, no mask",
        [1, 4, 16, 64, 256, 1024],
        [0.25, 1, 4, 16, 64, 256],
    )
    panel.line(panel.left, panel.y(1), panel.right, panel.y(1), "#333", ' stroke-dasharray="5 4"')
    for i, s_k in enumerate([256, 1024, 8192]):
        def ratio(s_q, keys=s_k):
            absorbed, expanded = flops(s_q, keys)
            return expanded / absorbed

        panel.curve(ratio, COLORS[i])
        panel.text(panel.right - 8, TOP + 18 + 18 * i, f"s_k = {s_k:,}", "end", COLORS[i])
    return panel


def break_even_panel():
    panel = Panel(492, 838, (64, 131072), (0, 200), False)
    panel.axes(
        "break-even s_q",
        "keys s_k",
        [64, 512, 4096, 32768],
        [0, 50, 100, 150, 200],
    )
    limit = EXPANSION / EXCESS
    panel.line(panel.left, panel.y(limit), panel.right, panel.y(limit), "#333", ' stroke-dasharray="5 4"')
    panel.text(panel.left + 6, panel.y(limit) - 6, f"E / &#916; = {limit:.1f}", "start")
    panel.curve(break_even, COLORS[0])
    panel.curve(break_even_causal, COLORS[1], ' stroke-dasharray="8 3"')
    panel.text(panel.x(900), panel.y(188), "expanded is cheaper")
    panel.text(panel.x(4096), panel.y(70), "absorbed is cheaper")
    panel.text(panel.right - 8, panel.y(30), "no mask", "end", COLORS[0])
    panel.text(panel.right - 8, panel.y(18), "causal", "end", COLORS[1])
    return panel


def figure():
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
    ]
    for panel in (ratio_panel(), break_even_panel()):
        parts += panel.parts
    return "\n".join(parts + ["</svg>", ""])


def main():
    path = pathlib.Path(__file__).with_suffix(".svg")
    if sys.argv[1:] == ["--check"]:
        if path.read_text(encoding="utf-8") != figure():
            sys.exit(f"{path.name} is not what {pathlib.Path(__file__).name} draws: run it again")
    elif sys.argv[1:]:
        sys.exit(__doc__)
    else:
        path.write_text(figure(), encoding="utf-8")


if __name__ == "__main__":
    main()

"""Draw the diagrams: ``python docs/diagrams/draw.py`` writes an .svg beside each .txt.

A text has a title, a line of lanes, and a line for each step: what takes it, its lane, and what happens.
"""

from __future__ import annotations

from pathlib import Path
from textwrap import wrap
from xml.sax.saxutils import escape

WIDTH, HEIGHT, GAP, LANE, TOP = 230, 56, 22, 262, 76
"""Of a box, between two of them, of a lane, and above the first, in pixels."""
LETTERS = 31
"""How many fit into a line of a box."""

STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#1f2933}.title{font-size:16px;font-weight:600}"
    ".lane{font-weight:600;text-anchor:middle}.who{font-weight:600}.box{fill:#fff;stroke:#52606d}"
    ".band{fill:#eef2f6}.arrow{fill:none;stroke:#52606d;stroke-width:1.5}"
)

HEAD = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    ' role="img" aria-labelledby="title desc">\n'
    '<title id="title">{title}</title>\n<desc id="desc">{told}.</desc>\n'
    f"<style>{STYLE.replace('{', '{{').replace('}', '}}')}</style>\n"
    '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
    '<path d="M0 0 8 4 0 8z" fill="#52606d"/></marker></defs>'
)


def as_svg(text: str) -> str:
    """Return the drawing of a text."""
    title, heads, *lines = text.strip().splitlines()
    lanes = [lane.strip() for lane in heads.split("|")]
    steps = [[part.strip() for part in line.split("|")] for line in lines]
    width, height = LANE * len(lanes) + 20, TOP + (HEIGHT + GAP) * len(steps) + 10
    told = ". ".join(f"{who} ({lane}): {what}" for who, lane, what in steps)
    drawn = [
        HEAD.format(width=width, height=height, title=escape(title), told=escape(told)),
        f'<rect width="{width}" height="{height}" rx="8" fill="#fafbfc"/>',
        f'<text class="title" x="16" y="28">{escape(title)}</text>',
    ]
    for number, lane in enumerate(lanes):
        left = 10 + LANE * number
        drawn.append(f'<rect class="band" x="{left + 4}" y="40" width="{LANE - 8}" height="{height - 50}" rx="6"/>')
        drawn.append(f'<text class="lane" x="{left + LANE // 2}" y="60">{escape(lane)}</text>')
    before: tuple[int, int] | None = None
    for number, (who, lane, what) in enumerate(steps):
        left, top = 10 + LANE * lanes.index(lane) + (LANE - WIDTH) // 2, TOP + (HEIGHT + GAP) * number
        middle = left + WIDTH // 2
        if before is not None:
            bend = before[1] + GAP // 2
            drawn.append(
                f'<path class="arrow" marker-end="url(#tip)" d="M{before[0]} {before[1]}V{bend}H{middle}V{top}"/>'
            )
        drawn.append(f'<rect class="box" x="{left}" y="{top}" width="{WIDTH}" height="{HEIGHT}" rx="6"/>')
        drawn.append(f'<text class="who" x="{left + 10}" y="{top + 17}">{escape(who)}</text>')
        for row, words in enumerate(wrap(what, LETTERS)):
            drawn.append(f'<text x="{left + 10}" y="{top + 33 + 15 * row}">{escape(words)}</text>')
        before = (middle, top + HEIGHT)
    return "\n".join([*drawn, "</svg>", ""])


def main() -> None:
    """Write all of them."""
    for source in sorted(Path(__file__).parent.glob("*.txt")):
        source.with_suffix(".svg").write_text(as_svg(source.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()

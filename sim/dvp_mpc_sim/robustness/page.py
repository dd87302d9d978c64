"""One HTML file that needs no other: no script, no font, no address. Every text is escaped here and nowhere else."""

import base64
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

STYLE = """
:root { color-scheme: light dark; --ink: #1d2530; --soft: #5d6875; --page: #fff; --line: #d5dbe1; --band: #f3f5f7;
  --good: #1c7a46; --bad: #c01f2e; --good-band: #e3f4ea; --bad-band: #fde5e7; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8ed; --soft: #9aa5b1; --page: #161b21; --line: #36404b;
  --band: #1f262e; --good: #6fd69b; --bad: #ff7b86; --good-band: #17332a;
  --bad-band: #431e25; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 74rem; padding: 2rem 1.5rem 4rem; background: var(--page); color: var(--ink);
  font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", "Helvetica Neue", Arial, "DejaVu Sans", sans-serif; }
h1 { margin: 0; font-size: 1.9rem; line-height: 1.2; }
h2 { margin: 2.6rem 0 .6rem; font-size: 1.25rem; }
p, ul { max-width: 62rem; }
.soft, figcaption, small { color: var(--soft); }
.soft, figcaption { font-size: .9rem; }
figcaption { margin-top: .5rem; }
.key { margin: 1.4rem 0; padding: 1rem 1.2rem 1rem 2.2rem; max-width: none; background: var(--band);
  border-left: 4px solid #33658a; border-radius: 4px; font-size: 1.08rem; }
.key li { margin: .35rem 0; }
figure { margin: 0; }
img { display: block; width: 100%; padding: .8rem; background: #fff; border: 1px solid var(--line); border-radius: 6px; }
.wide { overflow-x: auto; }
.side { display: flex; flex-wrap: wrap; gap: 0 3rem; }
table { border-collapse: collapse; font-size: .92rem; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .7rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
thead th { border-bottom: 2px solid var(--line); vertical-align: bottom; }
tbody th { font-weight: 600; min-width: 10rem; }
.n { text-align: right; } td.n, .w { white-space: nowrap; }
small { display: block; font-size: .85em; font-weight: 400; white-space: normal; }
.good { color: var(--good); } .bad { color: var(--bad); font-weight: 600; }
td.good { background: var(--good-band); } td.bad { background: var(--bad-band); }
details { margin: .6rem 0; } details table { font-size: .8rem; } summary { cursor: pointer; }
code { padding: .15rem .4rem; background: var(--band); border-radius: 4px; font-size: .95em; overflow-wrap: anywhere; }
@media print { :root { color-scheme: light; --ink: #000; --soft: #444; --page: #fff; --line: #bbb; --band: #f3f5f7;
    --good: #1c7a46; --bad: #c01f2e; --good-band: #e3f4ea; --bad-band: #fde5e7; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  html { font-size: 11px; } body { padding: 0; max-width: none; } .wide { overflow: visible; }
  h2, thead { break-after: avoid; } figure, tr, .key { break-inside: avoid; } @page { margin: 14mm; } }
"""


class Cell(NamedTuple):
    """A table's cell; `kind`: n for a number, w for one line, good or bad, or several of them; `note` stands below, smaller."""

    text: str
    kind: str = ""
    note: str = ""
    colour: str = ""
    """That of its line in the pictures."""


def _cell(cell: Cell, tag: str) -> str:
    chip = f'<span style="color:{escape(cell.colour)}">■</span>&nbsp;' if cell.colour else ""
    note = f"<small>{escape(cell.note)}</small>" if cell.note else ""
    kind = f' class="{escape(cell.kind)}"' if cell.kind else ""
    return f"<{tag}{kind}>{chip}{escape(cell.text)}{note}</{tag}>"


def table(head: Sequence[Cell], body: Iterable[Sequence[Cell]]) -> str:
    """A table whose first column names the rows."""
    lines = ["".join(_cell(c, "th" if i == 0 else "td") for i, c in enumerate(row)) for row in body]
    rows = "".join(f"<tr>{line}</tr>\n" for line in lines)
    titles = "".join(_cell(cell, "th") for cell in head)
    return f'<div class="wide"><table><thead><tr>{titles}</tr></thead>\n<tbody>\n{rows}</tbody></table></div>\n'


def heading(title: str) -> str:
    """The title of the page."""
    return f"<h1>{escape(title)}</h1>\n"


def section(title: str, *parts: str) -> str:
    """A heading and its content, already HTML."""
    return f"<section><h2>{escape(title)}</h2>\n{''.join(parts)}</section>\n"


def paragraph(text: str, kind: str = "") -> str:
    """A paragraph; `kind`: soft for what explains."""
    return f'<p class="{kind}">{escape(text)}</p>\n' if kind else f"<p>{escape(text)}</p>\n"


def bullets(items: Iterable[Cell], kind: str = "") -> str:
    """A list; each item may be good or bad."""
    lines = "".join(f"{_cell(item, 'li')}\n" for item in items)
    return f'<ul class="{kind}">\n{lines}</ul>\n' if kind else f"<ul>\n{lines}</ul>\n"


def picture(path: Path, caption: str) -> str:
    """A PNG within the page; white in the dark too, since its ink is dark."""
    data = base64.b64encode(path.read_bytes()).decode()
    image = f'<img alt="{escape(caption)}" src="data:image/png;base64,{data}">'
    return f"<figure>{image}\n<figcaption>{escape(caption)}</figcaption></figure>\n"


def code(text: str) -> str:
    """What is typed."""
    return f"<p><code>{escape(text)}</code></p>\n"


def folded(title: str, content: str) -> str:
    """Content that shows when its title is clicked."""
    return f"<details><summary>{escape(title)}</summary>\n{content}</details>\n"


def page(title: str, body: str) -> str:
    """The whole file."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{body}</body>\n</html>\n"
    )

"""Texts of others on one's own terminal: one line, cut, and without what a terminal would obey."""

from __future__ import annotations

import unicodedata

from rich.cells import cell_len, set_cell_size

SIGNS_A_CELL = 4
"""Characters that are looked at for each column: a text of a megabyte is as cheap as a short one."""


def plain(text: str, *, cells: int) -> str:
    r"""Return a text as one line of at most ``cells`` columns.

    >>> plain("a\x1b[2Jb\n\u202ec", cells=20)
    'a�[2Jb c'
    >>> plain("[bold]" + "x" * 50, cells=10)
    '[bold]xxx…'
    >>> plain("日本語", cells=5)
    '日本…'
    """
    looked_at = text[: cells * SIGNS_A_CELL]
    shown = " ".join("".join(_shown(sign) for sign in looked_at).split())
    if cell_len(shown) > cells or (len(looked_at) < len(text) and cell_len(shown) == cells):
        return f"{set_cell_size(shown, cells - 1).rstrip()}…"
    return shown


def harmless(text: str) -> str:
    r"""Return a text with its lines, and without what a terminal would obey.

    >>> harmless("a\x1b[2J\n\tb")
    'a�[2J\n\tb'
    """
    return "".join(sign if sign in "\n\t" else _shown(sign) for sign in text)


def _shown(sign: str) -> str:
    if sign.isprintable():
        return sign
    if sign.isspace():
        return " "
    return "" if unicodedata.category(sign) == "Cf" else "�"  # joiners, and what turns the direction of writing

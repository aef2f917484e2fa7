"""Did you mean ...? The words for a name that is not there."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """The message for a name that is not there: did you mean, and what there is."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=2, cutoff=0.6)
    hint = f" Did you mean {' or '.join(repr(n) for n in near)}?" if near else ""
    return f"no {what} called {name!r}.{hint} Known: {', '.join(known) or 'none'}."

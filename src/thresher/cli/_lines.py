"""What the command line says: nothing in it steers a terminal, and on stderr it is JSON where that was asked for."""

from __future__ import annotations

import json
import logging
import re
import sys
from datetime import UTC, datetime

import click

# C0 but tab and newline, DEL, C1 (a lone byte of it starts a sequence too), and what turns the direction of writing
_STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_as_json = False


def shown(text: object) -> str:
    r"""The text with every character that would steer a terminal written out, such as \x1b."""
    return _STEERING.sub(lambda found: found[0].encode("unicode_escape").decode(), str(text))


def echo(text: object = "", *, err: bool = False) -> None:
    """A line on stdout; on stderr, a log line."""
    if err and _as_json:
        click.echo(_line("INFO", "thresher", str(text)), err=True)
    else:
        click.echo(shown(text), err=err)


def document(value: object) -> str:
    """JSON that reads well and steers nothing."""
    text = json.dumps(value, ensure_ascii=False, indent=1)
    return _STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def settle(as_json: bool) -> None:
    """How log lines look from now on."""
    global _as_json
    _as_json = as_json
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if as_json else _Plain())
    logging.basicConfig(handlers=[handler])
    logging.getLogger("thresher").setLevel(logging.INFO)
    if as_json:
        logging.captureWarnings(True)
        logging.getLogger("thresher.core.events").setLevel(logging.DEBUG)


def error(message: str) -> None:
    """The sentence a failed command ends with."""
    click.echo(_line("ERROR", "thresher", message) if _as_json else shown(message), err=True)


def bars() -> bool:
    """Whether progress bars may be drawn."""
    return not _as_json


def _line(level: str, logger: str, message: str, **more: object) -> str:
    now = datetime.now(UTC).isoformat()
    return json.dumps({"time": now, "level": level, "logger": logger, "message": message, **more}, default=str)


class _Plain(logging.Formatter):
    """The bare message."""

    def format(self, record: logging.LogRecord) -> str:
        return shown(super().format(record))


class _Json(logging.Formatter):
    """One JSON document a line; an event brings its own fields."""

    def format(self, record: logging.LogRecord) -> str:
        more = {"event": record.event} if hasattr(record, "event") else {}
        if record.exc_info:
            more["traceback"] = self.formatException(record.exc_info)
        return _line(record.levelname, record.name, record.getMessage(), **more)

"""The command line: parse, build, one call, print. One command per file, imported when it is asked for.

Results go to stdout, everything else to stderr. Exit codes: 0 done, 1 a fault of ours or an
iteration that did not converge, 2 the user's mistake, 130 interrupted (run the same command again to go on).
"""

from __future__ import annotations

import os
import sys
import traceback
from importlib import import_module
from pathlib import Path

import click

from thresher import __version__
from thresher.cli import _lines, _stop
from thresher.compute.process import settle
from thresher.core.suggest import unknown
from thresher.errors import ThresherError

SHORT = (
    "out of memory. What is finished is kept: free some, or take less at a time (micro_batch and max_tokens in the "
    "recipe, max_tokens in the task, fewer --workers, a smaller model), and run the same command again to go on."
)


class Commands(click.Group):
    """Files of this folder as commands."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every file whose name does not start with an underscore."""
        return sorted(path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("_"))

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import one command's file.

        Raises:
            UsageError: no such command.
        """
        if name not in self.list_commands(ctx):
            raise click.UsageError(unknown("command", name, self.list_commands(ctx)))
        return import_module(f"thresher.cli.{name}").command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Help without importing the commands: the first line of each file."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, _first_line(name)) for name in self.list_commands(ctx)])


def _first_line(name: str) -> str:
    with (Path(__file__).parent / f"{name}.py").open(encoding="utf-8") as file:
        return file.readline().strip().strip('"')


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, "--version", prog_name="thresher")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
@click.option("--give-memory-back", is_flag=True, help="Leave the C library's allocator as it is (slower).")
@click.option("--json-logs", is_flag=True, help="Everything on stderr as one JSON document a line; no bars.")
@click.option("--max-unpacked", metavar="SIZE", help="What a packed file may unpack to: 50GB [100 times its size].")
@click.pass_context
def app(ctx: click.Context, debug: bool, give_memory_back: bool, json_logs: bool, max_unpacked: str | None) -> None:
    """Choose fine-tuning data under a compute budget, counting what the choosing costs."""
    ctx.obj = {"debug": debug}
    _lines.settle(json_logs)
    if max_unpacked is not None:
        os.environ["THRESHER_MAX_UNPACKED"] = max_unpacked  # worker processes read files too
    settle(keep_memory=not give_memory_back)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit."""
    with _stop.twice():
        _main(arguments)


def _main(arguments: list[str] | None) -> None:
    debug = "--debug" in (arguments if arguments is not None else sys.argv)
    try:
        app.main(args=arguments, prog_name="thresher", standalone_mode=False)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.ClickException as error:
        error.show(sys.stderr) if _lines.bars() else _lines.error(error.format_message())
        sys.exit(2)
    except ThresherError as error:
        _say(error, debug)
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.exceptions.Abort):
        _lines.error("interrupted; what is finished is kept, run the same command again to go on")
        sys.exit(_stop.STOPPED)
    except BrokenPipeError:
        sys.exit(0)
    except Exception as error:  # noqa: BLE001 - the last resort: a sentence instead of a page
        if _memory_ran_out(error):
            _say(ThresherError(SHORT), debug)
            sys.exit(2)
        _say(error, debug)
        if not debug:
            _lines.error("this looks like a fault of thresher's own; --debug shows where")
        sys.exit(1)


def _memory_ran_out(error: Exception) -> bool:
    """By name, for torch need not be imported here."""
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"


def _say(error: Exception, debug: bool) -> None:
    if debug:
        traceback.print_exception(error)
    name = "error" if isinstance(error, ThresherError) else type(error).__name__
    _lines.error(f"{name}: {error}")

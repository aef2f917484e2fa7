"""The results table: one line per trained and evaluated model."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from thresher.core.store import write_bytes
from thresher.errors import ResultsError

REQUIRED = ("method", "model", "task", "metric", "score", "selection_flops", "training_flops")
SIZES = ("fraction", "rows")  # at least one of them is required
COLUMNS = (
    "method", "scorer", "scorer_params", "model", "model_params", "fraction", "rows", "train_tokens", "seed",
    "task", "metric", "score", "score_se", "selection_flops", "training_flops", "total_flops",
    "selection_seconds", "training_seconds",
)  # fmt: skip
# ours: which pool, the budget as it was asked for, how long training goes on, how many rows were scored
EXTRA = ("pool", "budget", "protocol", "test_rows")
_TEXT = ("method", "scorer", "model", "task", "metric", "pool", "budget", "protocol")
EQUAL_EPOCHS, EQUAL_STEPS = "equal-epochs", "equal-steps"
_WHOLE = ("rows", "train_tokens", "seed", "test_rows")
_LOWER_IS_BETTER = frozenset((
    "loss", "answer_loss", "held_out", "held_out_loss", "eval_loss", "nll", "nll_per_token", "cross_entropy",
    "perplexity", "ppl", "bits_per_byte", "bpb", "bits_per_token", "error", "error_rate", "wer", "cer", "mae",
    "mse", "rmse", "brier", "edit_distance", "unwanted",
))  # fmt: skip


def higher_is_better(metric: str) -> bool:
    """Losses, perplexities and error rates are better low; every other metric is better high."""
    return metric.strip().lower().replace("-", "_").replace(" ", "_") not in _LOWER_IS_BETTER


@dataclass(frozen=True, kw_only=True)
class Run:
    """One line of the table; what is not known is None, or empty text."""

    method: str
    model: str
    task: str
    metric: str
    score: float
    selection_flops: float
    training_flops: float
    scorer: str = ""
    scorer_params: float | None = None
    model_params: float | None = None
    fraction: float | None = None
    rows: int | None = None
    train_tokens: int | None = None
    seed: int | None = None
    score_se: float | None = None
    selection_seconds: float | None = None
    training_seconds: float | None = None
    pool: str = ""
    budget: str = ""
    protocol: str = ""
    test_rows: int | None = None

    @property
    def total_flops(self) -> float:
        """Selection and training together: the only cost methods are compared at."""
        return self.selection_flops + self.training_flops

    @property
    def anywhere(self) -> bool:
        """A model as it was found, scored apart from any pool: it belongs beside what is trained on each."""
        return not (self.pool or self.protocol or self.total_flops or self.rows or self.fraction)


@dataclass(frozen=True)
class Panel:
    """Runs that may be compared: one task and metric, one model, one pool, one protocol."""

    task: str
    metric: str
    model: str
    pool: str
    runs: tuple[Run, ...]
    protocol: str = ""

    @property
    def axis(self) -> str:
        """What arms are compared at: where every subset is trained for as many steps, fewer rows are no cheaper."""
        return "rows" if self.protocol == EQUAL_STEPS else "total_flops"

    @property
    def higher(self) -> bool:
        """Whether a higher score is the better one."""
        return higher_is_better(self.metric)

    @property
    def full_flops(self) -> float | None:
        """Training cost of one run on the whole pool, from runs that say what share of it they took.

        None where steps are equal: the cost does not grow with the share.
        """
        if self.protocol == EQUAL_STEPS:
            return None
        known = sorted(
            r.training_flops / r.fraction for r in self.runs if r.fraction and r.training_flops > 0
        )
        return known[len(known) // 2] if known else None


@dataclass(frozen=True)
class Results:
    """All lines of one or several tables."""

    runs: tuple[Run, ...]

    def __len__(self) -> int:
        return len(self.runs)

    def panels(self) -> list[Panel]:
        """One per (task, metric, model, pool, protocol), in the order they first appear.

        A model that was trained on nothing and names no pool stands in every panel of its task, metric and model that
        has not such a line of its own.
        """
        groups: dict[tuple[str, str, str, str, str], list[Run]] = {}
        for run in self.runs:
            groups.setdefault((run.task, run.metric, run.model, run.pool, run.protocol), []).append(run)
        for key in [key for key, runs in groups.items() if all(run.anywhere for run in runs)]:
            homes = [runs for other, runs in groups.items() if other != key and other[:3] == key[:3]]
            for home in homes:
                there = {run.method for run in home}
                home += [run for run in groups[key] if run.method not in there]
            if homes:
                del groups[key]
        return [Panel(*key[:4], tuple(runs), key[4]) for key, runs in groups.items()]


def read(paths: Path | str | Sequence[Path | str]) -> Results:
    """Read tables (.csv, .parquet, or a run's folder); a line that stands in two of them counts once.

    Raises:
        ResultsError: the table cannot be read.
    """
    several = [paths] if isinstance(paths, (str, Path)) else list(paths)
    if not several:
        raise ResultsError(
            "No results table was given. Name one or more .csv or .parquet files, or a run's folder."
        )
    runs: list[Run] = []
    for path in several:
        seen = set(runs)
        runs += [run for run in _read_one(Path(path)) if run not in seen]
    return Results(tuple(runs))


def write(rows: Iterable[Run | Mapping[str, object]], folder: Path | str) -> Path:
    """Write results.parquet and results.csv; returns the parquet file."""
    folder = Path(folder)
    runs = _all_checked(rows)
    for name in ("results.parquet", "results.csv"):
        write_file(runs, folder / name)
    return folder / "results.parquet"


def write_file(rows: Iterable[Run | Mapping[str, object]], path: Path) -> None:
    """Write one table, a .csv or a .parquet."""
    runs = _all_checked(rows)
    names = COLUMNS + tuple(name for name in EXTRA if any(getattr(run, name) for run in runs))
    values = {name: [getattr(run, name) for run in runs] for name in names}
    write_bytes(path, _as_csv(values) if path.suffix == ".csv" else _as_parquet(values))


def columns_of(path: Path) -> list[str]:
    """The columns that a table has, also those that are not read."""
    return _csv(path)[1] if path.suffix == ".csv" else list(pq.read_schema(path).names)


def _all_checked(rows: Iterable[Run | Mapping[str, object]]) -> list[Run]:
    return [
        r if isinstance(r, Run) else checked(r, f"the results to write, line {i}") for i, r in enumerate(rows, 1)
    ]


def _as_parquet(values: Mapping[str, list]) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table({name: pa.array(column, _arrow_type(name)) for name, column in values.items()}), buffer)
    return buffer.getvalue()


def _as_csv(values: Mapping[str, list]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(values)
    writer.writerows(
        ["" if v is None else repr(v) if isinstance(v, float) else _harmless(v) for v in line]
        for line in zip(*values.values(), strict=True)
    )
    return text.getvalue().encode()


_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def _harmless(value: object) -> object:
    """Text that a spreadsheet would run as a formula gets an apostrophe before it; `read` takes it away again."""
    marked = isinstance(value, str) and value.lstrip("'").startswith(_FORMULA)
    return f"'{value}" if marked else value


def _as_written(text: str) -> str:
    return text[1:] if text.startswith("'") and text.lstrip("'").startswith(_FORMULA) else text


def _arrow_type(name: str) -> pa.DataType:
    if name in _TEXT:
        return pa.string()
    return pa.int64() if name in _WHOLE else pa.float64()


def _read_one(path: Path) -> list[Run]:
    if path.is_dir():
        path = path / "results.parquet"
    if not path.is_file():
        raise ResultsError(
            f"There is no results table {path}. `thresher run` leaves results.parquet and results.csv."
        )
    if path.suffix not in (".csv", ".parquet"):
        raise ResultsError(
            f"{path} ends in {path.suffix or 'nothing'}; a results table is a .csv or .parquet file."
        )
    try:
        records, names = _csv(path) if path.suffix == ".csv" else _parquet(path)
    except (OSError, UnicodeDecodeError, csv.Error, pa.ArrowException) as problem:
        raise ResultsError(f"{path} cannot be read as {path.suffix[1:]}: {problem}.") from problem
    _check_columns(path, names)
    if not records:
        raise ResultsError(f"{path} has the columns of a results table but no line below them.")
    return [checked(values, f"{path} line {line}") for line, values in records]


def _csv(path: Path) -> tuple[list[tuple[int, dict]], list[str]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file, restkey="")
        records = []
        for values in reader:
            if "" in values or None in values.values():
                raise ResultsError(
                    f"{path} line {reader.line_num} has not as many cells as the first line has columns."
                )
            texts = {name: _as_written(cell) if name in _TEXT else cell for name, cell in values.items()}
            records.append((reader.line_num, texts))
        return records, list(reader.fieldnames or [])


def _parquet(path: Path) -> tuple[list[tuple[int, dict]], list[str]]:
    table = pq.ParquetFile(path).read()
    return list(enumerate(table.to_pylist(), 1)), table.column_names


def _check_columns(path: Path, names: list[str]) -> None:
    missing = [name for name in REQUIRED if name not in names]
    if not any(name in names for name in SIZES):
        missing.append("fraction or rows")
    if missing:
        raise ResultsError(
            f"{path} lacks the column{'s' if len(missing) > 1 else ''} {', '.join(missing)}. "
            f"It has: {', '.join(names) or 'none'}. Required: {', '.join(REQUIRED)}, and fraction or rows; "
            f"read where present: {', '.join(n for n in COLUMNS + EXTRA if n not in REQUIRED + SIZES)}."
        )


def checked(values: Mapping[str, object], where: str) -> Run:
    """One line, every cell checked.

    Raises:
        ResultsError: the table cannot be read.
    """
    known = {f.name for f in fields(Run)}
    cells = {name: _cell(name, value, where) for name, value in values.items() if name in known}
    for name in REQUIRED:
        if cells.get(name) in (None, "") and name != "metric":
            raise ResultsError(f"{where}: {name} is empty. Every line needs {', '.join(REQUIRED)}.")
    run = Run(**cells)
    if run.fraction is None and run.rows is None and run.training_flops > 0:
        raise ResultsError(f"{where}: neither fraction nor rows says how much was trained on.")
    for name in ("selection_flops", "training_flops", "rows", "fraction", "score_se"):
        if (getattr(run, name) or 0) < 0:
            raise ResultsError(f"{where}: {name} is {getattr(run, name)}; it cannot be negative.")
    if (run.fraction or 0.0) > 1:
        raise ResultsError(f"{where}: fraction is {run.fraction}; it is a share: 0.05 for 5 %.")
    total = _cell("total_flops", values.get("total_flops"), where)
    if total is not None and abs(total - run.total_flops) > 0.005 * run.total_flops:
        raise ResultsError(
            f"{where}: total_flops is {total:.6g}, but selection and training give {run.total_flops:.6g}. "
            "Mend the line, or leave total_flops out: it is their sum."
        )
    return run


def _cell(name: str, value: object, where: str) -> str | float | int | None:
    text = "" if value is None else str(value).strip()
    if name in _TEXT:
        return text
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        raise ResultsError(f"{where}: {name} is {text!r}, which is not a number.") from None
    if not math.isfinite(number):
        raise ResultsError(f"{where}: {name} is {text}; a results table holds finite numbers only.")
    if name not in _WHOLE:
        return number
    if number != int(number):
        raise ResultsError(f"{where}: {name} is {text}, which is not a whole number.")
    return int(text) if text.lstrip("+-").isdigit() else int(number)

"""Every exception a user can meet.

ThresherError                 anything that is the user's to mend; the command line prints it and exits 2
├── PoolError                 a pool or target file that cannot be used as it is
│   └── RowError              one row of it, with its line number and the reason
├── UnknownName               a method, signal, selector or field that does not exist (did you mean ...)
├── FieldError                a value that a method's field cannot have
├── KindError                 a selector was given another kind of signal than it needs
├── BudgetError               a budget that cannot be parsed or that nothing is left of
├── ModelError                a model or tokenizer that cannot be opened or used
├── TaskError                 an evaluation task file that cannot be used
├── RecipeError               a recipe file that cannot be used
├── ResultsError              a results table that cannot be read
├── StoreError                a store, card or output folder that cannot be used
├── NonFinite                 a measurement that gave NaN or infinity, with the row ids
└── Unconverged               an iteration that did not reach its tolerance (exit code 1)
"""


class ThresherError(Exception):
    """A mistake the user can mend: what was given, what is possible, what to do."""

    exit_code = 2


class PoolError(ThresherError):
    """A pool or target that cannot be used as it is."""


class RowError(PoolError):
    """One row that cannot be read.

    Attributes:
        line: line (or record) number in its file, from 1.
        reason: what is wrong with it.
    """

    def __init__(self, source: str, line: int, reason: str) -> None:
        self.source, self.line, self.reason = source, line, reason
        super().__init__(f"{source} line {line}: {reason}. Mend the row, or pass --skip-bad to leave such rows out.")

    def __reduce__(self) -> tuple[type, tuple[str, int, str]]:
        """Pickle by parts, so that it crosses process borders."""
        return type(self), (self.source, self.line, self.reason)


class UnknownName(ThresherError):
    """A name that is not in the registry."""


class FieldError(ThresherError):
    """A value that a method's field cannot have."""


class KindError(ThresherError):
    """A selector and a signal that do not fit together."""


class BudgetError(ThresherError):
    """A budget that cannot be parsed, or that nothing is left of."""


class ModelError(ThresherError):
    """A model or tokenizer that cannot be opened or used."""


class TaskError(ThresherError):
    """An evaluation task that cannot be used."""


class RecipeError(ThresherError):
    """A recipe that cannot be used."""


class ResultsError(ThresherError):
    """A results table that cannot be read."""


class StoreError(ThresherError):
    """A store, card or output folder that cannot be used."""


class NonFinite(ThresherError):
    """A measurement that gave NaN or infinity."""


class Unconverged(ThresherError):
    """An iteration that did not reach its tolerance: nothing is passed off as its result."""

    exit_code = 1

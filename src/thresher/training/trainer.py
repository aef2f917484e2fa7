"""The Trainer, imported with stdout turned away: under WANDB_MODE=offline transformers says so there as it is imported.

Stdout is for results; what else is said goes to stderr.
"""

from __future__ import annotations

import sys
from contextlib import redirect_stdout

with redirect_stdout(sys.stderr):
    from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments, set_seed
    from transformers.integrations.integration_utils import (
        INTEGRATION_TO_CALLBACK,
        get_available_reporting_integrations,
    )
    from transformers.trainer_pt_utils import BatchRebalanceSampler

__all__ = [
    "INTEGRATION_TO_CALLBACK", "BatchRebalanceSampler", "PrinterCallback", "Trainer", "TrainerCallback",
    "TrainingArguments", "get_available_reporting_integrations", "set_seed",
]  # fmt: skip

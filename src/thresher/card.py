"""card.json: all that is needed to get a subset again, and to judge it."""

from __future__ import annotations

import platform
import shlex
import sys
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import numpy as np

import thresher
from thresher.core.method import Subset, describe, name_of
from thresher.core.pool import Pool
from thresher.models import load
from thresher.models.device import choose_device, choose_dtype
from thresher.setting import Setting

if TYPE_CHECKING:
    from thresher.choosing import Choice

LIBRARIES = ("torch", "transformers", "peft", "numpy", "pyarrow", "bm25s")


def card(choice: Choice, command: str) -> dict[str, Any]:
    """All that is needed to get the subset again, and to judge it."""
    setting, selection = choice.setting, choice.selection
    model = setting.cost_model(selection.budget.unit)
    used = float(selection.price[choice.trained].sum())
    left = selection.budget.amount - selection.spent
    reasons_left_out: dict[str, int] = {}
    for reason in selection.excluded.values():
        reasons_left_out[reason] = reasons_left_out.get(reason, 0) + 1
    return {
        "thresher": thresher.__version__,
        "command": command,
        "method": choice.method.name,
        "signals": [describe(signal) for signal in choice.signals],
        "selector": describe(choice.selector),
        "accounts": selection.accounts,
        "by_group": choice.method.by_group,
        "order": choice.method.order,
        "seed": choice.seed,
        "request": {
            "sources": asdict(setting.sources), "budget": choice.budget_text, "overrides": dict(choice.overrides),
            "recipe": setting.recipe.to_dict(),
        },
        "pool": _about_pool(setting),
        "target": None if setting.target is None else {
            "name": setting.target.name, "rows": len(setting.target), "fingerprint": setting.target.fingerprint,
            "groups": setting.target.group_names,
        },
        "model": _about_model(setting.sources.model, setting.model),
        "scorer": _about_model(setting.sources.scorer, setting.scorer),
        "encoder": _about_encoder(setting.sources.encoder, setting.encoder),
        "budget": {
            "asked": choice.budget_text, "unit": selection.budget.unit, "amount": selection.budget.amount,
            "selection": selection.spent, "left_for_training": left, "training": used, "unspent": left - used,
        },
        "chosen": {
            "rows": len(selection.subset),
            "with_repeats": len(choice.trained),
            "tokens": None if setting.model is None else int(setting.encoded.lengths()[choice.trained].sum()),
            "groups": _groups(setting.pool, selection.subset),
        },
        "left_out": reasons_left_out,
        "notes": list(selection.subset.notes),
        "domains": None if choice.closest is None else choice.closest.to_dict(),
        "diagnostics": _diagnostics(choice),
        "cost": {
            "estimated": {
                "selection_flops": selection.estimate.flops, "selection_cpu_seconds": selection.estimate.cpu_seconds,
                "training_flops": choice.training_flops,
            },
            "measured": {"selection_flops": choice.selection_flops,
                         "shared_flops": sum(r.flops for r in selection.receipts if r.shared),
                         "selection_seconds": sum(r.seconds for r in selection.receipts)},
            "stages": [receipt.to_dict() for receipt in selection.receipts],
            "hardware": model.hardware.name,
        },
        "versions": {"python": platform.python_version(), **_versions()},
    }  # fmt: skip


def _diagnostics(choice: Choice) -> dict[str, Any]:
    """What signals say of the choice in their own terms, beside the rows that could have been chosen."""
    setting, selection = choice.setting, choice.selection
    rows = setting.pool.without(selection.excluded) if selection.excluded else setting.pool
    chosen = np.searchsorted(selection.kept, choice.index)
    found = {
        name_of(signal): signal.diagnose(setting.store.own(selection.keys[name_of(signal)]), rows, chosen)
        for signal in choice.signals
    }
    return {name: said for name, said in found.items() if said}


def _about_pool(setting: Setting) -> dict[str, Any]:
    pool = setting.pool
    about: dict[str, Any] = {
        "name": pool.name, "format": pool.format, "rows": len(pool), "fingerprint": pool.fingerprint,
        "skipped": len(pool.skipped), "skipped_first": [asdict(row) for row in pool.skipped[:10]],
        "notes": list(pool.notes),
    }  # fmt: skip
    if setting.model is not None:
        cut = setting.encoded.cut
        about |= {"tokens": int(setting.encoded.lengths().sum()), "template": setting.encoded.template,
                  "truncated": {"rows": int((cut > 0).sum()), "tokens": int(cut.sum())}}  # fmt: skip
    return about


def _about_model(name: str | None, path: str | None) -> dict[str, Any] | None:
    if name is None or path is None:
        return None
    chosen = {"device": choose_device("auto")}
    chosen["dtype"] = choose_dtype("auto", chosen["device"], load.architecture(path))
    chosen["padding"] = load.padding(load.open_tokenizer(path))[1]
    params = load.architecture(path).params
    return {"name": name, "sha256": load.weights_hash(path), "params": params, **chosen, "about": load.about(path)}


def _about_encoder(name: str | None, path: str | None) -> dict[str, Any] | None:
    if name is None or path is None:
        return None
    from thresher.models import encoder

    return {"name": name, "sha256": encoder.encoder_hash(path), "params": encoder.architecture(path).params}


def _groups(pool: Pool, subset: Subset) -> dict[str, int]:
    names = np.array([*pool.group_names, "(none)"], dtype=object)
    found, counts = np.unique(pool.group_index()[subset.index], return_counts=True)
    return {str(names[g]): int(c) for g, c in zip(found, counts, strict=True)} if pool.group_names else {}


def _versions() -> dict[str, str]:
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def command_line() -> str:
    """The command that is running, as a user would type it."""
    return shlex.join(["thresher", *sys.argv[1:]])

"""From hidden states to logits, at chosen positions only."""

from __future__ import annotations

from collections.abc import Callable

import torch
from transformers import PreTrainedModel

from thresher.errors import ModelError

_checked: dict[int, PreTrainedModel] = {}


def head_of(model: PreTrainedModel) -> Callable[[torch.Tensor], torch.Tensor]:
    """The function (m, d) hidden states -> (m, V) logits of a causal language model.

    Families differ in what they do to the logits (a factor, a soft cap); the result is compared with the
    model's own logits once, so that a family nobody thought of cannot give wrong numbers.

    Raises:
        ModelError: the model's logits are made in another way.
    """
    linear = model.get_output_embeddings()
    config = model.config.get_text_config()
    factor = float(getattr(config, "logit_scale", None) or 1.0) / float(getattr(config, "logits_scaling", None) or 1.0)
    cap = getattr(config, "final_logit_softcapping", None)

    def head(hidden: torch.Tensor) -> torch.Tensor:
        logits = linear(hidden)
        logits = logits * factor if factor != 1.0 else logits
        return torch.tanh(logits / cap) * cap if cap else logits

    if _checked.get(id(model)) is not model:
        _compare(model, head)
        _checked.clear()
        _checked[id(model)] = model
    return head


@torch.inference_mode()
def _compare(model: PreTrainedModel, head: Callable[[torch.Tensor], torch.Tensor]) -> None:
    ids = torch.arange(4, device=model.device)[None] % model.config.get_text_config().vocab_size
    own = model(input_ids=ids, use_cache=False).logits.float()
    ours = head(model.base_model(input_ids=ids, use_cache=False).last_hidden_state).float()
    if not torch.isfinite(own).all():
        return  # broken weights: whoever reads rows with them names the rows
    if not torch.allclose(own, ours, rtol=1e-2, atol=1e-2 * float(own.abs().max())):
        raise ModelError(
            f"the logits of a {model.config.model_type} model are not its output layer applied to its last hidden "
            "state; losses for that family cannot be computed yet. Use another model."
        )

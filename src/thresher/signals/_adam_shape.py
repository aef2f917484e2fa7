"""What one Adam step would do with a gradient, given the moments so far."""

from __future__ import annotations

import torch
from jaxtyping import Float

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
COLUMNS = 1 << 20  # parameters shaped at once, so that little is held besides the gradients


def shape_(
    gradients: Float[torch.Tensor, "b p"], first: Float[torch.Tensor, " p"], second: Float[torch.Tensor, " p"],
    *, epsilon_inside: bool = True,
) -> Float[torch.Tensor, "b p"]:  # fmt: skip
    """In place, and given back.

        m' = 0.9 m + 0.1 g      v' = 0.999 v + 0.001 g^2      u = m' / sqrt(v' + 1e-8)

    No bias correction. With `epsilon_inside = False` u = m' / (sqrt(v') + 1e-8): where v is far below 1e-8, as an
    adapter's often is, that is another number altogether.
    """
    for at in range(0, gradients.shape[1], COLUMNS):
        g = gradients[:, at : at + COLUMNS]
        m, v = first[at : at + COLUMNS], second[at : at + COLUMNS]
        below = g.square().mul_(1 - BETA2).add_(v, alpha=BETA2)
        below = below.add_(EPSILON).sqrt_() if epsilon_inside else below.sqrt_().add_(EPSILON)
        g.mul_(1 - BETA1).add_(m, alpha=BETA1).div_(below)
    return gradients

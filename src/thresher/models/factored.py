"""Projection of weight matrices from both sides: the matrix itself, or its rank-s factors, is never multiplied out.

    Pi(G) = sum over matrices of  rotate(L G R^T)        L (k1, rows), R (k2, columns), k1 k2 <= d

L and R hold +-1/sqrt(k); a side short enough to stay whole keeps its length and gets random signs only, so an
adapter's matrices, 16 wide say, are projected along their long side alone. A gradient `sum_u l_u r_u^T` needs
`sum_u (L l_u)(R r_u)^T`: 2 s (k1 rows + k2 columns + k1 k2) FLOPs a matrix instead of a product over all p numbers.
Unbiased like the others; with k the shorter of the projected sides' lengths the variance is about 2 / k, not 1 / d,
where gradients have rank one, and nears 1 / d as their rank grows.
Source: METHODS.md 1.6.1; Choe et al. 2024 arXiv:2405.13954 (LoGra) for both sides. Differs: there each matrix has its
own coordinates; here all share d, which keeps the size of a row whatever the number of layers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float

from thresher.errors import FieldError
from thresher.models.projection import Projection
from thresher.models.signs import signs, words


class Factored(Projection):
    """Both sides of every weight matrix; the matrices follow one another in the vector."""

    def __init__(self, p: int, d: int, seed: int, shapes: Sequence[Sequence[int]]) -> None:
        super().__init__(p, d, seed)
        if sum(math.prod(shape) for shape in shapes) != p:
            raise FieldError(
                f"a factored projection needs the shapes of all parameters, which together have {p:,} numbers; given "
                f"are {len(shapes)} with {sum(math.prod(shape) for shape in shapes):,}. Use sjlt for a plain vector."
            )
        self.shapes = [(int(shape[0]), math.prod(shape[1:])) for shape in shapes]
        sizes = [rows * columns for rows, columns in self.shapes]
        self.starts = [sum(sizes[:i]) for i in range(len(sizes))]
        self._number = {start: i for i, start in enumerate(self.starts)}

    def kept(self, number: int) -> tuple[int, int]:
        """Lengths of the sides of matrix `number` after projection."""
        rows, columns = self.shapes[number]
        short = min(rows, columns, max(1, math.isqrt(self.d)))
        long = min(max(rows, columns), self.d // short)
        return (short, long) if rows <= columns else (long, short)

    def add_product(
        self, out: Float[torch.Tensor, "b d"], left: Float[torch.Tensor, "b s m"], right: Float[torch.Tensor, "b s k"],
        offset: int,
    ) -> None:  # fmt: skip
        """As of every projection, without the product of the whole sides."""
        number = self._number[offset]
        small = torch.bmm(self._side(left, number, 0).transpose(1, 2), self._side(right, number, 1))
        self._place(out, small.flatten(1), number)

    def _add(self, out: torch.Tensor, g: torch.Tensor, offset: int) -> None:
        end = offset + g.shape[1]
        for number, (start, (rows, columns)) in enumerate(zip(self.starts, self.shapes, strict=True)):
            low, high = max(start, offset), min(start + rows * columns, end)
            if low >= high:
                continue
            whole = torch.zeros(len(g), rows * columns, device=g.device)
            whole[:, low - start : high - start] = g[:, low - offset : high - offset]
            half = self._side(whole.view(-1, rows, columns), number, 1)  # (b, rows, k2)
            self._place(out, self._side(half.transpose(1, 2), number, 0).transpose(1, 2).flatten(1), number)

    def _side(self, x: torch.Tensor, number: int, side: int) -> torch.Tensor:
        """(b, any, length) -> (b, any, k): random signs, or a random matrix of them."""
        length, k = self.shapes[number][side], self.kept(number)[side]
        n = length if k == length else length * k
        drawn = signs(words(self.seed, "factored", 2 * number + side, 1 + -(-n // 64))[1:], n).to(x.device)
        return x.float() * drawn if k == length else x.float() @ drawn.view(length, k).mul_(k**-0.5)

    def _place(self, out: torch.Tensor, small: torch.Tensor, number: int) -> None:
        """Add at a random place, running over the end of d to its start."""
        turn = int(words(self.seed, "factored", 2 * number, 1)[0] % self.d)
        before = min(small.shape[1], self.d - turn)
        out[:, turn : turn + before] += small[:, :before]
        out[:, : small.shape[1] - before] += small[:, before:]

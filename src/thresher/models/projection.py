"""Random projections of long vectors, never held as a matrix: p numbers -> d numbers that keep inner products.

    unbiased     E <Pi g, Pi h> = <g, h>
    spread       variance about (|g|^2 |h|^2 + <g, h>^2) / d: the error falls as 1/sqrt(d)

    rademacher   +-1/sqrt(d) everywhere                                                2 p d FLOPs a row
    sjlt         each coordinate, signed, into 4 of d places, times 1/2                8 p
    srht         signs, Hadamard transform, d of its rows; in blocks                   2 p log2(2 d)
    factored     each weight matrix from both sides; see `factored`
    none         as it is; so is every kind where d >= p

Everything is drawn from (seed, number of a block of coordinates), so the same seed is the same projection on every
device, for every batch, and for a vector that comes in slices, in any order. Linear, so slices are summed.
Source: METHODS.md 1.6.1; Achlioptas 2003; Kane & Nelson 2014 (sjlt); Ailon & Chazelle 2006, Tropp 2011 (srht).
Differs: sjlt takes the places of d neighbouring coordinates from one random rotation per sign, not one by one. Two
coordinates still meet with probability 1/d (neighbours never), so mean and variance are as above, and the sums run
along memory. srht transforms blocks of 2d to 4d coordinates, not all p at once, and adds the blocks up.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float

from thresher.core.suggest import unknown
from thresher.errors import FieldError, UnknownName
from thresher.models.signs import signs, words

Kind = Literal["rademacher", "sjlt", "srht", "factored", "none"]
KINDS: tuple[Kind, ...] = ("rademacher", "sjlt", "srht", "factored", "none")
SPREAD = 4  # places each coordinate goes to under sjlt
GROUPS = 16  # of eight coordinates, whose signed sums exist at once; part of what a seed means
ROWS = 64  # rows at once: with GROUPS, sums of one megabyte


class Projection(ABC):
    """One drawn projection.

    Attributes:
        p: numbers that come in.
        d: numbers that go out.
        seed: fixes it.
    """

    def __init__(self, p: int, d: int, seed: int) -> None:
        if p < 1 or d < 1:
            raise FieldError(f"a projection goes from p >= 1 numbers to d >= 1, not from {p} to {d}.")
        self.p, self.d, self.seed = p, d, seed

    def __call__(self, g: Float[torch.Tensor, "b part"], offset: int = 0) -> Float[torch.Tensor, "b d"]:
        """(b, part) -> (b, d) float32: the share of coordinates offset..offset+part-1; shares are summed.

        Raises:
            FieldError: coordinates beyond p.
        """
        out = torch.zeros(g.shape[0], self.d, device=g.device)
        self.add(out, g, offset)
        return out

    def add(self, out: Float[torch.Tensor, "b d"], g: Float[torch.Tensor, "b part"], offset: int = 0) -> None:
        """Add that share to `out`.

        Raises:
            FieldError: coordinates beyond p.
        """
        if offset < 0 or offset + g.shape[1] > self.p:
            raise FieldError(f"coordinates {offset} to {offset + g.shape[1]} of a vector of {self.p} do not exist.")
        self._add(out, g, offset)

    def add_product(
        self, out: Float[torch.Tensor, "b d"], left: Float[torch.Tensor, "b s m"], right: Float[torch.Tensor, "b s k"],
        offset: int,
    ) -> None:  # fmt: skip
        """Add the share of a matrix (m, k) given as a sum of products, `sum_u left_u right_u^T`."""
        self.add(out, torch.bmm(left.transpose(1, 2), right).flatten(1).float(), offset)

    @abstractmethod
    def _add(self, out: torch.Tensor, g: torch.Tensor, offset: int) -> None: ...


def make(kind: str, p: int, d: int, seed: int, shapes: Sequence[Sequence[int]] | None = None) -> Projection:
    """A projection; one that does nothing where d >= p.

    Args:
        kind: see above.
        p: numbers that come in.
        d: numbers that go out.
        seed: the same seed, kind, p and d are the same projection.
        shapes: for `factored`, the parameters' shapes in their order.

    Raises:
        UnknownName: no such kind.
        FieldError: sizes below 1, or `factored` without shapes that make p.
    """
    if kind not in KINDS:
        raise UnknownName(unknown("projection", kind, KINDS))
    if kind == "none" or d >= p:
        return Identity(p, p, seed)
    if kind == "factored":
        from thresher.models.factored import Factored  # it is a Projection itself

        return Factored(p, d, seed, shapes or ())
    return {"rademacher": Rademacher, "sjlt": Sparse, "srht": Hadamard}[kind](p, d, seed)


class Identity(Projection):
    """No projection: d is p."""

    def _add(self, out: torch.Tensor, g: torch.Tensor, offset: int) -> None:
        out[:, offset : offset + g.shape[1]] += g


class Rademacher(Projection):
    """Independent signs, eight coordinates at a time.

    Eight coordinates can be added up with signs in 256 ways. All of them are computed, and each of the d numbers takes
    the one that its random byte names: an eighth of the additions, and no matrix of signs.
    """

    def _add(self, out: torch.Tensor, g: torch.Tensor, offset: int) -> None:
        ways = 1.0 - 2.0 * (torch.arange(16)[:, None] >> torch.arange(4) & 1).float().to(g.device)  # (16, 4)
        base = torch.arange(GROUPS, dtype=torch.int32, device=g.device) * 256
        bags = torch.arange(0, self.d * GROUPS + 1, GROUPS, dtype=torch.int32, device=g.device)
        for start in range(0, len(g), ROWS):
            some = g[start : start + ROWS]
            total = torch.zeros(self.d, len(some), device=g.device)
            sums = torch.empty(GROUPS, 16, 16, len(some), device=g.device)
            for block, here, low, high in _blocks(some, offset, 8 * GROUPS):
                drawn = words(self.seed, "rademacher", block, self.d * GROUPS // 8).astype("<u8", copy=False)
                named = torch.from_numpy(drawn.view(np.uint8).reshape(self.d, GROUPS)).to(g.device) + base
                whole = F.pad(here.float(), (low, 8 * GROUPS - high)).T  # (8 GROUPS, b)
                fours = (ways @ whole.reshape(2 * GROUPS, 4, -1)).view(GROUPS, 2, 16, -1)
                torch.add(fours[:, 0, None], fours[:, 1, :, None], out=sums)
                flat = sums.view(256 * GROUPS, -1)
                total += F.embedding_bag(named.flatten(), flat, bags, mode="sum", include_last_offset=True)
            out[start : start + ROWS].add_(total.T, alpha=self.d**-0.5)


class Sparse(Projection):
    """Each coordinate into `SPREAD` different places of d."""

    def _add(self, out: torch.Tensor, g: torch.Tensor, offset: int) -> None:
        d, copies = self.d, min(SPREAD, self.d)
        for block, here, low, high in _blocks(g, offset, d):
            drawn = words(self.seed, "sjlt", block, copies + -(-copies * d // 64))
            sign = signs(drawn[copies:], copies * d).mul_(copies**-0.5).view(copies, d)[:, low:high].to(g.device)
            here = here.float()
            for copy, turn in enumerate(_distinct(drawn[:copies].tolist(), d)):
                end = min(max(d - turn - low, 0), high - low)  # before it, places do not run over the end of d
                for a, b, by in ((0, end, turn), (end, high - low, turn - d)):
                    if a < b:
                        out[:, low + a + by : low + b + by].addcmul_(here[:, a:b], sign[copy, a:b])


class Hadamard(Projection):
    """Signs, Hadamard transform and d random rows of it, block after block."""

    def _add(self, out: torch.Tensor, g: torch.Tensor, offset: int) -> None:
        size = 1 << (2 * self.d - 1).bit_length()
        for block, here, low, high in _blocks(g, offset, size):
            drawn = words(self.seed, "srht", block, size + -(-size // 64))
            sign = signs(drawn[size:], size)[low:high].to(g.device)
            kept = torch.from_numpy(drawn[:size].argsort(kind="stable")[: self.d]).to(g.device)
            spread = torch.zeros(len(g), size, device=g.device)
            torch.mul(here, sign, out=spread[:, low:high])
            out.add_(hadamard(spread)[:, kept], alpha=self.d**-0.5)


def hadamard(x: Float[torch.Tensor, "b size"]) -> Float[torch.Tensor, "b size"]:
    """The transform of each row, not normalised, its coordinates in another (fixed) order; size a power of two."""
    b, size = x.shape
    left = size.bit_length() - 1
    rounds = max(1, -(-left // 7))
    for i in range(rounds):  # a Kronecker product of small Hadamard matrices: one matrix product each
        bits = left // (rounds - i)
        left -= bits
        x = (x.view(b, -1, 1 << bits) @ _small(bits, x.device)).transpose(1, 2).reshape(b, size)
    return x


def _small(bits: int, device: torch.device) -> torch.Tensor:
    made = torch.ones(1, 1, device=device)
    for _ in range(bits):
        made = torch.cat([torch.cat([made, made], 1), torch.cat([made, -made], 1)])
    return made


def _blocks(g: torch.Tensor, offset: int, size: int) -> Iterator[tuple[int, torch.Tensor, int, int]]:
    """(block, its columns of g, first and last place in the block) of every block the slice touches."""
    end = offset + g.shape[1]
    for block in range(offset // size, math.ceil(end / size)):
        low, high = max(offset, block * size), min(end, (block + 1) * size)
        yield block, g[:, low - offset : high - offset], low - block * size, high - block * size


def _distinct(drawn: list[int], d: int) -> list[int]:
    """As many different numbers below d as words are given, every set equally likely."""
    taken: list[int] = []
    chosen = []
    for i, word in enumerate(drawn):
        place = word % (d - i)
        for other in taken:  # ascending: step over what is taken
            place += place >= other
        chosen.append(place)
        taken = sorted([*taken, place])
    return chosen

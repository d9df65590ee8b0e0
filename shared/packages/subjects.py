"""Splits data by subject, for recipes: no patient on two sides, or a model is praised for knowing them (S091)."""

from collections.abc import Hashable, Mapping, Sequence

import numpy as np


class SharedSubject(ValueError):
    """A subject is in two sets at once."""


def split_subjects(subjects: Sequence[str], shares: Mapping[str, float], seed: int = 0) -> dict[str, list[str]]:
    """The distinct subjects in sets of these shares, drawn with `seed`; the same whatever their order and repetition.

    Raises:
        ValueError: there are fewer subjects than sets, or a share is not positive.
    """
    distinct = sorted(set(subjects))
    if len(distinct) < len(shares) or min(shares.values()) <= 0:
        raise ValueError(f"{len(distinct)} subjects can't be split into {len(shares)} sets of positive shares")
    order = [distinct[i] for i in np.random.default_rng(seed).permutation(len(distinct))]
    wanted = np.cumsum(list(shares.values())) / sum(shares.values()) * len(order)
    ends = [max(round(float(end)), n) for n, end in enumerate(wanted, 1)]
    ends = [min(end, len(order) - (len(ends) - 1 - n)) for n, end in enumerate(ends)]
    return {name: order[begin:end] for name, begin, end in zip(shares, [0, *ends], ends, strict=False)}


def refuse_shared(sets: Mapping[str, Sequence[Hashable]]) -> None:
    """Refuses sets that share a subject; the message says how many and which sets, and names nobody.

    Raises:
        SharedSubject: a subject is in two of them.
    """
    names = list(sets)
    for n, one in enumerate(names):
        for other in names[n + 1 :]:
            both = set(sets[one]) & set(sets[other])
            if both:
                raise SharedSubject(f"{len(both)} subject(s) are in both {one} and {other}: put each into one set only")

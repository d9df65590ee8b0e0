"""A patient is in one set only; and what it would look like otherwise."""

import numpy as np
import pytest

from shared.packages.subjects import SharedSubject, refuse_shared, split_subjects
from shared.phantoms.brain_mr import brain_volume

SHARES = {"train": 0.6, "validate": 0.2, "test": 0.2}


def test_every_subject_is_in_one_set_whatever_the_order() -> None:
    subjects = [f"p{n}" for n in range(20)]
    found = split_subjects([*subjects, *subjects], SHARES, seed=1)
    assert {name: len(who) for name, who in found.items()} == {"train": 12, "validate": 4, "test": 4}
    assert sorted(s for who in found.values() for s in who) == sorted(subjects)
    assert split_subjects(subjects[::-1], SHARES, seed=1) == found
    assert all(len(who) == 1 for who in split_subjects(["a", "b", "c"], SHARES).values())
    refuse_shared(found)


def test_a_subject_in_two_sets_is_refused_and_not_named() -> None:
    with pytest.raises(SharedSubject, match=r"1 subject\(s\) are in both train and test") as refused:
        refuse_shared({"train": ["DOE", "ROE"], "test": ["DOE"]})
    assert "DOE" not in str(refused.value)
    with pytest.raises(ValueError, match="can't be split"):
        split_subjects(["a"], SHARES)


def test_a_split_by_slice_scores_higher_than_one_by_patient_on_the_same_heads() -> None:
    """Labels drawn by patient, which nothing in the picture tells: what a split by slice scores is memory."""
    heads = {n: brain_volume(n, slices=6, size=48, spacing_mm=(2.0, 4.8)) for n in range(16)}
    labels = {n: int(np.random.default_rng([3, n]).random() < 0.5) for n in heads}
    slices = [(n, one.ravel(), labels[n]) for n, head in heads.items() for one in head]

    def accuracy(known: list[int], asked: list[int]) -> float:
        seen = np.stack([slices[i][1] for i in known])
        nearest = [known[int(np.argmin(((seen - slices[i][1]) ** 2).sum(1)))] for i in asked]
        return float(np.mean([slices[a][2] == slices[b][2] for a, b in zip(asked, nearest, strict=True)]))

    order = [int(i) for i in np.random.default_rng(0).permutation(len(slices))]
    by_slice = accuracy(order[32:], order[:32])
    sets = split_subjects([str(n) for n in heads], {"train": 2, "test": 1})
    by_patient = accuracy(*([i for i, s in enumerate(slices) if str(s[0]) in sets[k]] for k in ("train", "test")))
    assert by_slice > by_patient + 0.2
    refuse_shared(sets)
    with pytest.raises(SharedSubject):
        refuse_shared({"train": [slices[i][0] for i in order[32:]], "test": [slices[i][0] for i in order[:32]]})

"""What splitting by slice instead of by person does to the figures: the paper's warning, shown on one set of data.

Every slice of the same few people is judged once by a network that did not train on it. Split by slice, its neighbours
from the same person were in training; split by person, none of that person's were.
"""

from pathlib import Path

import numpy as np
import torch
from network import SliceNetwork
from numpy.typing import NDArray
from pool import Slices
from training import predict, train

from shared.packages.subjects import refuse_shared, split_subjects
from shared.packages.validation.figures import auroc

FOLDS = 3


def compare_splits(slices: Slices, out: Path, minutes: float, seed: int) -> dict[str, float]:
    """AUROC over all `slices` out of fold, split by slice and by person; each network trains for `minutes`."""
    people = np.unique(slices.person)
    folds = split_subjects([str(person) for person in people], {str(fold): 1.0 for fold in range(FOLDS)}, seed)
    refuse_shared(folds)
    fold_of = {int(person): int(fold) for fold, members in folds.items() for person in members}
    by_person = np.array([fold_of[int(person)] for person in slices.person])
    by_slice = np.random.default_rng(seed).integers(0, FOLDS, len(slices.person))
    truth = slices.shows.astype(np.float64)
    return {
        "people_of_the_comparison": float(len(people)),
        "auroc_split_by_slice": auroc(truth, _out_of_fold(slices, by_slice, out / "by_slice", minutes, seed)),
        "auroc_split_by_person": auroc(truth, _out_of_fold(slices, by_person, out / "by_person", minutes, seed)),
    }


def _out_of_fold(slices: Slices, folds: NDArray[np.int64], out: Path, minutes: float, seed: int) -> NDArray[np.float64]:
    out.mkdir(parents=True, exist_ok=True)
    logits = np.zeros(len(folds))
    for fold in range(FOLDS):
        torch.manual_seed(seed)
        network = SliceNetwork()
        train(network, slices.of(folds != fold), out / f"{fold}.pt", seed, minutes)
        logits[folds == fold] = predict(network, slices.of(folds == fold))
    return logits

"""What the demonstration pushes: made-up but realistic studies, or what lies below a person's folder."""

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset

from shared.demo.modality import Found, Sendable, find_studies
from shared.phantoms.brain_mr import brain_volume
from shared.phantoms.chest_dx import chest_radiograph
from shared.phantoms.dicom import BRAIN_PATIENT, CHEST_PATIENT, Patient, Visit, dx_image, mr_series
from shared.phantoms.motion import corrupt
from shared.phantoms.orders import order_message

BRAIN_SEED, CHEST_SEED, CLEAR_CHEST_SEED = 1, 1, 2


@dataclass(frozen=True)
class DemoStudy:
    """One study and the order that comes before it."""

    title: str
    files: Sequence[Sendable]
    order: str = ""
    truth: dict[str, Any] = field(default_factory=dict)  # what was made up, for who wants to compare


def made_up_studies(folder: Path) -> Iterator[DemoStudy]:
    """A chest radiograph with planted opacities and one without; a clean brain MR and the same head moved.

    Writes the files below `folder`, one study at a time. UIDs and accession numbers are new each time, so that a real
    PACS can be shown the demonstration twice.
    """
    salt = secrets.token_hex(6)
    number = int(salt[:6], 16) % 1_000_000
    now = datetime.now()

    def visit(patient: Patient, accession_number: str) -> Visit:
        return Visit(patient, accession_number, now, salt)

    for letter, title, seed, opacities in (("A", "with opacities", CHEST_SEED, 2), ("B", "clear", CLEAR_CHEST_SEED, 0)):
        chest = chest_radiograph(seed, opacities)
        image = dx_image(chest.pixels, visit(CHEST_PATIENT, f"DX{number:06d}{letter}"), spacing_mm=chest.spacing_mm)
        planted = {"opacities": [asdict(opacity) for opacity in chest.opacities]}
        yield _written(f"chest radiograph, {title}", [image], folder / f"chest-{letter}", planted)
    head = brain_volume(BRAIN_SEED)
    still = mr_series(head, visit(BRAIN_PATIENT, f"MR{number:06d}A"))
    yield _written("brain MR, still", still, folder / "brain-A", {"motion": "none"})
    corrupted = corrupt(head, "strong", np.random.default_rng(BRAIN_SEED))
    moved = mr_series(corrupted, visit(BRAIN_PATIENT, f"MR{number:06d}B"))
    yield _written("brain MR, head moved", moved, folder / "brain-B", {"motion": "strong"})


def studies_below(folder: Path) -> tuple[list[DemoStudy], Found]:
    """Every study below `folder`, each with an order where its header allows one."""
    found = find_studies(folder)
    studies = [
        DemoStudy(f"study {n} of {len(found.studies)}", files, _order_of(files[0].path))
        for n, files in enumerate(found.studies.values(), start=1)
    ]
    return studies, found


def _written(title: str, datasets: Sequence[Dataset], folder: Path, truth: dict[str, Any]) -> DemoStudy:
    folder.mkdir(parents=True)
    files: list[Sendable] = []
    for number, ds in enumerate(datasets):
        path = folder / f"{number:04d}.dcm"
        ds.save_as(path, enforce_file_format=True)
        syntax = str(ds.file_meta.TransferSyntaxUID)
        files.append(Sendable(path, ds.StudyInstanceUID, ds.SOPClassUID, ds.SOPInstanceUID, syntax))
    return DemoStudy(title, files, order_message(datasets[0]), {"title": title, **truth})


def _order_of(path: Path) -> str:
    try:
        ds = pydicom.dcmread(path, stop_before_pixels=True)
        return order_message(ds, ordered=datetime.now()) if ds.get("AccessionNumber") else ""
    except Exception:  # a header too broken to write an order from: the study comes without one
        return ""

"""Compressed pictures and segmentations are the same pixels, in objects that a validator accepts."""

import shutil
import subprocess
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian, JPEGLSLossless, RLELossless

from services.report.facts import ResultObject, RunFacts
from shared.result_profiles import Flavour


@pytest.mark.parametrize(("name", "syntax"), [("rle", RLELossless), ("jpeg-ls", JPEGLSLossless)])
def test_a_picture_is_the_same_compressed(
    name: str, syntax: str, dx_facts: RunFacts, written: Callable[..., list[ResultObject]], tmp_path: Path
) -> None:
    (plain,), (small,) = (written(dx_facts, "SC", Flavour(transfer_syntax=t)) for t in ("explicit", name))
    before, after = (dcmread(BytesIO(made.content)) for made in (plain, small))
    assert after.file_meta.TransferSyntaxUID == syntax
    assert after.SOPInstanceUID == after.file_meta.MediaStorageSOPInstanceUID == small.identifier
    assert after.SOPInstanceUID != before.SOPInstanceUID
    assert np.array_equal(after.pixel_array, before.pixel_array)
    assert len(small.content) < len(plain.content) / 2
    if shutil.which("dciodvfy"):
        (tmp_path / small.file_name).write_bytes(small.content)
        run = subprocess.run(
            ["dciodvfy", "-new", str(tmp_path / small.file_name)], capture_output=True, text=True, check=False
        )
        assert not [line for line in (run.stdout + run.stderr).splitlines() if line.startswith("Error")]


def test_a_bit_mask_stays_as_it_is(dx_facts: RunFacts, written: Callable[..., list[ResultObject]]) -> None:
    (made,) = written(dx_facts, "SEG", Flavour(transfer_syntax="rle"))
    assert dcmread(BytesIO(made.content)).file_meta.TransferSyntaxUID == ExplicitVRLittleEndian

"""Triton's dynamic batching over studies: one execution holds rows of several, and each study gets its own answer."""

from pathlib import Path

import numpy as np
import pytest
from sqlmodel import select

from shared.store import Run, open_book
from tests import sick
from tests.images import noise
from tests.inferring import Infer, until

pytestmark = pytest.mark.triton
STUDIES, HANDS = 12, 6


def test_one_execution_holds_rows_of_several_studies(tmp_path: Path, triton_environment: Path) -> None:
    (package,) = sick.write_packages(tmp_path / "models", ["mean"])
    sick.make(package, sick.HANGS)  # for 1.5 s: what comes meanwhile waits in Triton, and is executed together
    book = open_book(f"sqlite:///{tmp_path}/isocenter.db")
    book.migrate()
    infer = Infer(book, tmp_path, triton_environment, hands=HANDS, timeout_s=60)
    try:
        pixels = [noise(seed=n) // 4 + 3000 * n for n in range(STUDIES)]
        expected = {infer.add_image("mean", one.astype(np.uint16)): one.mean() for one in pixels}
        until(lambda: infer.states("mean")["read"] == STUDIES)
        said = infer.models.statistics("mean")
        with book.read() as session:
            runs = session.exec(select(Run)).all()
    finally:
        infer.close()
        book.close()
    assert {run.study_instance_uid: run.findings[0]["value"] for run in runs} == pytest.approx(expected, rel=1e-5)
    executed = {int(one["batch_size"]): int(one["compute_infer"]["count"]) for one in said["batch_stats"]}
    assert sum(size * count for size, count in executed.items()) == said["inference_count"] == STUDIES, "a row a study"
    assert sum(executed.values()) == said["execution_count"] < STUDIES, executed
    assert 1 < max(executed) <= HANDS, executed

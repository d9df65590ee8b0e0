"""Agreement of versions: held against scikit-learn and numpy, on findings made by hand."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from shared.findings import Classification, Code, Measurement, SourceImage, dump_findings
from shared.packages.installed import Installed
from shared.store import Book, Run, ShadowRun, Study, utc_now
from shared.versions.agreement import agreement, paired, spread
from shared.versions.choice import use
from shared.versions.shadows import differ
from tests.versioned import NAME, add_version

CODE = Code(value="27925004", scheme="SCT", meaning="Nodule")
Json = list[dict[str, Any]]


def nodule(probability: float, image: str = "1.1") -> Json:
    source = SourceImage(sop_class_uid="1.2", sop_instance_uid=image, series_instance_uid="1.0")
    return dump_findings([Classification(
        name="nodule", code=CODE, package=NAME, version="1.0.0", sources=(source,), present=probability >= 0.5,
        probability=probability, threshold=0.5,
    )])  # fmt: skip


def angle(value: float, unit: str = "deg") -> Json:
    return dump_findings([
        Measurement(name="angle", code=CODE, package=NAME, version="1.0.0", value=value, unit=unit)
    ])  # fmt: skip


def test_classes_and_probabilities_pair_by_pair() -> None:
    rng = np.random.default_rng(1)
    runs = rng.random(60)
    shadows = np.clip(runs + rng.normal(0.05, 0.3, 60), 0, 1)
    (found,) = paired((nodule(float(a)), nodule(float(b))) for a, b in zip(runs, shadows, strict=True))
    one, other = runs >= 0.5, shadows >= 0.5
    assert (found.output, found.pairs, found.one_alone) == ("nodule", 60, 0)
    assert found.agree == pytest.approx(np.mean(one == other))
    assert found.kappa == pytest.approx(cohen_kappa_score(one, other))
    difference = shadows - runs
    assert found.mean_difference == pytest.approx(difference.mean())
    half = 1.96 * difference.std(ddof=1)
    assert found.limits == pytest.approx((difference.mean() - half, difference.mean() + half))


def test_numbers_have_no_class_and_other_units_are_not_taken_from_each_other() -> None:
    (found,) = paired([(angle(10), angle(12)), (angle(20), angle(21)), (angle(5), angle(0.1, "rad"))])
    assert (found.unit, found.mean_difference, found.agree, found.kappa) == ("deg", 1.5, None, None)


def test_what_one_of_the_two_says_alone_is_counted_apart() -> None:
    (found,) = paired([(nodule(0.9), []), (nodule(0.9), nodule(0.8, image="1.2")), (nodule(0.9), nodule(0.9))])
    assert (found.pairs, found.one_alone, found.agree, found.kappa) == (1, 3, 1.0, None)
    assert differ(nodule(0.9), [])
    assert differ(nodule(0.9), nodule(0.1))
    assert not differ(nodule(0.9), nodule(0.6))
    assert not differ(angle(1), angle(90)), "no number is another class"


def test_a_spread() -> None:
    (found,) = spread([nodule(0.9), nodule(0.7), nodule(0.2), []])
    assert (found.count, found.classes) == (3, {"absent": pytest.approx(1 / 3), "present": pytest.approx(2 / 3)})
    assert found.mean == pytest.approx(0.6)


def test_the_whole_of_it_from_the_book(book: Book, tmp_path: Path) -> None:
    for number in (1, 2):
        add_version(tmp_path / "models", number)
    installed = Installed(tmp_path / "models")
    facts = {"study_instance_uid": "1.2", "package": NAME}
    with book.write() as session:
        session.add(Study(study_instance_uid="1.2"))
        session.flush()
        for n, (version, state, findings) in enumerate([
            ("1.0.0", "delivered", nodule(0.9)), ("1.0.0", "held", []), ("1.0.0", "ready", []),
            ("2.0.0", "dead", []), ("2.0.0", "delivered", nodule(0.1)),
        ]):  # fmt: skip
            session.add(Run(
                id=str(n), revision=1, version=version, kind="reader", state=state, findings=findings, **facts,
            ))  # fmt: skip
        session.flush()
        session.add(
            ShadowRun(id="s", run_id="0", version="2.0.0", state="read", findings=nodule(0.2), differs=True, **facts)
        )
        session.add(ShadowRun(id="t", run_id="1", version="2.0.0", state="dead", **facts))
        use(session, installed, NAME, "1.0.0", canary="2.0.0", share=0.5, who="anna")
    with book.read() as session:
        found = agreement(session, installed, NAME, utc_now() - timedelta(hours=1))
        assert not agreement(session, installed, NAME).shadows, "none since the newest choice"
    (shadow,) = found.shadows
    assert (shadow.version, shadow.states, shadow.differ) == ("2.0.0", {"read": 1, "dead": 1}, 1)
    assert [(output.pairs, output.agree) for output in shadow.outputs] == [(1, 0.0)]
    assert [(v.version, v.runs, v.held, v.dead) for v in found.versions] == [("1.0.0", 3, 0.5, 0), ("2.0.0", 2, 0, 0.5)]
    assert [(choice.version, choice.canary, choice.who) for choice in found.choices] == [("1.0.0", "2.0.0", "anna")]

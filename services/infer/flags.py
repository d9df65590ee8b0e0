"""Which images a flagging gate leaves to read (S091): a package that names one reads those alone."""

from collections.abc import Sequence

from sqlmodel import Session, select

from shared.findings import QualityScore, SourceImage, load_findings
from shared.imaging.frames import Frame
from shared.store import Run


class NothingFlagged(Exception):
    """The gate flagged no image of the run's series, or scored none: there is nothing to read; the text says which."""


def flagged_images(session: Session, run: Run, gate: str) -> set[SourceImage] | None:
    """What `gate` flagged in the run's series, of the same revision of the study; None where it scored none of them."""
    told = session.exec(
        select(Run)
        .where(Run.study_instance_uid == run.study_instance_uid)
        .where(Run.revision == run.revision)
        .where(Run.package == gate)
    ).all()
    scores = [finding for one in told for finding in load_findings(one.findings) if isinstance(finding, QualityScore)]
    own = [score for score in scores if score.series_instance_uid in run.series]
    return {image for score in own for image in score.flagged()} if own else None


def only_flagged(gate: str, flagged: set[SourceImage] | None, series: Sequence[Sequence[Frame]]) -> list[list[Frame]]:
    """The frames of each series that are flagged, in their order; series without one are left out.

    Raises:
        NothingFlagged: there is none at all.
    """
    if flagged is None:
        raise NothingFlagged(f"{gate} could not score these images, so none is known to be worth reading")
    left = [[frame for frame in frames if frame.source in flagged] for frames in series]
    if not any(left):
        raise NothingFlagged(f"{gate} flagged no image: there is nothing to read")
    return [frames for frames in left if frames]

"""Where a study stands on the path collect → decide → gate → infer → report → send, from its rows alone."""

from collections.abc import Sequence

from shared.result_profiles import NOTICE
from shared.store.tables import Delivery, Run, Study
from shared.store.view_models import StepStatus, StepView
from shared.study import DELIVERY_ENDED, RUN_ENDED, DeliveryState, RunState, StudyState

PATH = ("collect", "decide", "gate", "infer", "report", "send")

_AT_STUDY: dict[str, str] = {
    StudyState.COLLECTING: "collect",
    StudyState.WAITING: "decide",
    StudyState.REFUSED: "decide",
    StudyState.GATING: "gate",
    StudyState.DELIVERED: "send",
    StudyState.HELD: "send",
}
_AT_RUN: dict[str, str] = {
    RunState.WAITING: "gate",
    RunState.READY: "infer",
    RunState.READ: "report",
    RunState.HOLDING: "report",
    RunState.FAILING: "report",
    RunState.SENDING: "send",
}
_STOPPED: dict[str, StepStatus] = {
    StudyState.REFUSED: "refused",
    StudyState.CANCELLED: "cancelled",
    StudyState.DEAD: "dead",
}


def journey(
    study: Study, runs: Sequence[Run], deliveries: Sequence[Delivery], retrying: bool = False
) -> list[StepView]:
    """Each stage with its status; `runs` and `deliveries` are those of the study's revision."""
    at = PATH.index(_stage(study, runs, deliveries))
    statuses: list[StepStatus] = ["done" if i < at else "ahead" for i in range(len(PATH))]
    if study.state in (StudyState.DELIVERED, StudyState.HELD):
        statuses[at] = "done"
    else:
        statuses[at] = _STOPPED.get(study.state, "retrying" if retrying else "now")
    infer, gate = PATH.index("infer"), PATH.index("gate")
    readers = [run for run in runs if run.kind == "reader"]
    if at > infer and all(_was_held(run) for run in readers):
        statuses[infer] = "skipped"
    if at > gate and any(run.verdict == "hold" for run in runs):
        statuses[gate] = "held"
    return [StepView(stage=stage, status=status) for stage, status in zip(PATH, statuses, strict=True)]


def _was_held(run: Run) -> bool:
    return run.verdict == "hold" and run.read_at is None


def _stage(study: Study, runs: Sequence[Run], deliveries: Sequence[Delivery]) -> str:
    if study.state in _AT_STUDY:
        return _AT_STUDY[study.state]
    if study.state == StudyState.RUNNING:
        stages = [_AT_RUN[run.state] for run in runs if run.state not in RUN_ENDED]
        stages += ["send" for d in deliveries if d.state not in DELIVERY_ENDED]
        return min(stages, key=PATH.index, default="send")
    return _where_it_ended(study, runs, deliveries)


def _where_it_ended(study: Study, runs: Sequence[Run], deliveries: Sequence[Delivery]) -> str:
    """A dead or cancelled study: the furthest stage that it had come to."""
    if study.completed_at is None or study.completed_at < study.last_instance_at:
        return "collect"
    if not runs:
        return "decide"
    unfinished = [run for run in runs if run.state in (RunState.DEAD, RunState.CANCELLED)]
    results = [d for d in deliveries if d.kind != NOTICE]
    if any(d.state in (DeliveryState.DEAD, DeliveryState.CANCELLED) for d in results):
        return "send"
    return min((_stage_of_ended(run) for run in unfinished), key=PATH.index, default="send")


def _stage_of_ended(run: Run) -> str:
    if run.reported_at:
        return "send"
    if run.read_at:
        return "report"
    return "infer" if run.verdict else "gate"

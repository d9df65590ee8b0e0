"""The path of a study as data: every pair of state and event is either in the table or raises."""

from itertools import product

import pytest

from shared.study import (
    BELLS,
    DELIVERY_ENDED,
    RUN_ENDED,
    SETTLED,
    TRANSITIONS,
    CommitmentEvent,
    CommitmentState,
    DeliveryEvent,
    DeliveryState,
    ImpossibleMove,
    RunEvent,
    RunState,
    ShadowEvent,
    ShadowState,
    StudyEvent,
    StudyState,
    next_state,
)  # fmt: skip

MACHINES = [
    (StudyState, StudyEvent), (RunState, RunEvent), (DeliveryState, DeliveryEvent), (CommitmentState, CommitmentEvent),
    (ShadowState, ShadowEvent),
]  # fmt: skip
PAIRS = [pair for states, events in MACHINES for pair in product(states, events)]


@pytest.mark.parametrize(("state", "event"), PAIRS, ids=lambda p: f"{type(p).__name__}.{p}")
def test_every_pair_moves_or_raises(state, event):
    if (state, event) in TRANSITIONS:
        assert type(next_state(state, event)) is type(state)
    else:
        with pytest.raises(ImpossibleMove, match=str(state)):
            next_state(state, event)


def test_the_table_mixes_no_machines():
    assert set(TRANSITIONS) <= set(PAIRS)


@pytest.mark.parametrize("states", [StudyState, RunState, DeliveryState, CommitmentState, ShadowState])
def test_every_state_can_be_reached_and_none_is_a_trap(states):
    first = next(iter(states))
    reached = {target for (source, _), target in TRANSITIONS.items() if type(source) is states} | {first}
    left = {source for source, _ in TRANSITIONS if type(source) is states}
    assert reached == set(states)
    assert set(states) - left <= {RunState.SUPERSEDED, ShadowState.READ, ShadowState.DEAD}


@pytest.mark.parametrize("state", [*StudyState, *RunState, *DeliveryState], ids=repr)
def test_a_state_has_ended_or_somebody_works_on_it(state):
    """Nothing can lie in a state that no stage is rung for, unless its end depends on other rows or on the PACS."""
    ended = state in SETTLED | RUN_ENDED | DELIVERY_ENDED
    depends = state in {StudyState.COLLECTING, StudyState.RUNNING, RunState.WAITING, RunState.SENDING}
    assert (state in BELLS) + ended + depends == 1


def test_late_images_reopen_a_study_wherever_it_is():
    assert {next_state(s, StudyEvent.INSTANCE_STORED) for s in StudyState} == {StudyState.COLLECTING}

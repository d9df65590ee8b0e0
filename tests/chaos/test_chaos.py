"""The short form of `make chaos`: thirty studies on each store, with a seed that stays the same."""

import pytest

from tests.chaos.run import run_chaos
from tests.chaos.table import table

pytestmark = [pytest.mark.system, pytest.mark.triton, pytest.mark.timeout(480)]

SEED, STUDIES, SECONDS = 1, 30, 30.0


@pytest.mark.parametrize(
    "store", ["embedded", pytest.param("servers", marks=[pytest.mark.postgres, pytest.mark.rabbitmq])]
)
def test_nothing_is_lost_stuck_or_doubled(store, request, capsys, triton_environment):
    if store == "servers":
        request.getfixturevalue("servers")
    told = []
    run = run_chaos(SEED, store, STUDIES, SECONDS, say=told.append)
    with capsys.disabled():
        print(
            f"\nchaos on {store}: SEED={SEED}, {run.faults.total()} faults, {run.count.acknowledged} instances", end=""
        )
    assert run.faults.total() > 5, run.missed
    assert not run.count.violations, "\n".join([*told, table([run]), *run.count.violations])
    assert run.count.acknowledged > 60

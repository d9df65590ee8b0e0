"""Each guard is needed: the same fault at the same moment is harmless with it, and is counted without it."""

import pytest

from tests.chaos import scenarios

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


def test_a_power_cut_loses_nothing_that_was_acknowledged():
    found = scenarios.power_cut()
    assert found.acknowledged > 20
    assert found.violations == []


@pytest.mark.parametrize("off", ["no-file-fsync", "no-folder-fsync"])
def test_without_fsync_before_success_a_power_cut_loses_images(off):
    assert scenarios.power_cut(off).lost


@pytest.mark.triton
def test_a_worker_that_hung_commits_nothing_stale(triton_environment):
    assert scenarios.stale_commit().violations == []


@pytest.mark.triton
def test_without_the_lease_check_stale_work_is_committed(triton_environment):
    found = scenarios.stale_commit("no-lease-check")
    assert any("has no report of all its" in what for what in found.missing)


def test_a_bell_that_the_broker_lost_is_rung_again():
    assert scenarios.lost_bell().violations == []


def test_without_the_sweeper_a_lost_bell_leaves_a_study_stuck():
    assert scenarios.lost_bell("no-sweeper").stuck


@pytest.mark.postgres
@pytest.mark.rabbitmq
def test_what_happens_while_the_broker_is_away_is_told_when_it_is_back(servers):
    assert scenarios.broker_away().violations == []


@pytest.mark.postgres
@pytest.mark.rabbitmq
def test_without_the_outbox_what_happens_while_the_broker_is_away_is_never_told(servers):
    found = scenarios.broker_away("no-outbox")
    assert any("study.completed" in what for what in found.missing)


@pytest.mark.triton
def test_a_replay_overwrites_what_the_pacs_has(triton_environment):
    assert scenarios.replay().violations == []


@pytest.mark.triton
def test_without_derived_uids_a_replay_duplicates(triton_environment):
    assert scenarios.replay("random-uids").duplicates

"""Derived identifiers are stable, valid and different for different input."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.uids import derived_uid, is_valid_uid


@given(st.lists(st.text(), min_size=1), st.lists(st.text(), min_size=1))
def test_derived_uids(one, other):
    assert is_valid_uid(derived_uid(*one))
    assert derived_uid(*one) == derived_uid(*one)
    assert (derived_uid(*one) == derived_uid(*other)) == (one == other)


def test_a_known_value_never_changes():
    """What has been sent to a PACS must be overwritten by a replay, after an update too."""
    assert derived_uid("study", "package") == "2.25.265484851189909053194120044505451550254"


@pytest.mark.parametrize("uid", ["1.2.840.10008.1.1", "2.25.123", "0.1"])
def test_valid(uid):
    assert is_valid_uid(uid)


@pytest.mark.parametrize(
    "uid", ["", "1", "1..2", "1.2.", "1.02", "../1.2", "1.2/3", "1.2\n", "1.a", "1.٣", "1." + "2" * 64]
)
def test_invalid(uid):
    assert not is_valid_uid(uid)

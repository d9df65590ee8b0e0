"""Digests say their algorithm, and what can't be said here is an error of its own."""

import hashlib

import pytest

from shared import digest
from shared.digest import ALGORITHM, MOST_CHARACTERS, algorithm_of, hex_of, new_hash, value_of


@pytest.mark.parametrize("algorithm", sorted({ALGORITHM, *digest.EARLIER}))
def test_a_value_says_how_it_was_made_whatever_the_pieces(algorithm: str) -> None:
    whole, pieces, data = new_hash(algorithm), new_hash(algorithm), b"abcdefgh" * 1000
    whole.update(data)
    for start in range(0, len(data), 999):
        pieces.update(memoryview(data)[start : start + 999])
    value = value_of(whole, algorithm)
    assert value == value_of(pieces, algorithm)
    assert (algorithm_of(value), len(hex_of(value)), len(value) <= MOST_CHARACTERS) == (algorithm, 64, True)


def test_the_values_are_those_of_the_algorithms() -> None:
    pytest.importorskip("blake3", reason="no BLAKE3 on this platform")
    expected = "blake3:6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85"
    hashed = new_hash("blake3")
    hashed.update(b"abc")
    assert value_of(hashed, "blake3") == expected
    hashed = new_hash("sha256")
    hashed.update(b"abc")
    assert value_of(hashed, "sha256") == f"sha256:{hashlib.sha256(b'abc').hexdigest()}"


def test_what_is_not_to_be_had_here_says_nothing_of_the_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digest, "blake3", None)
    for algorithm in ("blake3", "md5", ""):
        with pytest.raises(OSError, match="can't be made"):
            new_hash(algorithm)

"""Files appear whole or not at all, and a failure leaves nothing behind."""

import os

import pytest

from shared.durable import sync_file, sync_folder, write_durably


def test_a_file_is_whole_replaces_the_old_one_and_makes_its_folders(tmp_path):
    path = tmp_path / "study" / "run" / "SR_1.dcm"
    write_durably(path, b"first")
    write_durably(path, b"second")
    sync_file(path)
    sync_folder(path.parent)
    assert path.read_bytes() == b"second"
    assert list(path.parent.iterdir()) == [path]


def test_bytes_are_forced_to_the_disk_before_the_file_has_its_name(tmp_path, monkeypatch):
    path, named = tmp_path / "x", []
    monkeypatch.setattr(os, "fsync", lambda _: named.append(path.exists()))
    write_durably(path, b"x")
    assert named == [False]


def test_a_disk_that_refuses_leaves_the_old_file_and_no_part(tmp_path, monkeypatch):
    path = tmp_path / "x"
    path.write_bytes(b"old")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="space"):
        write_durably(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]

"""What an administrator writes: every mistake in a page or a manifest is told in words, and none is a traceback."""

from pathlib import Path

import pytest

from tests.fuzz import toml_pages
from tests.fuzz.driver import drive


@pytest.mark.parametrize(
    ("target", "make", "quick"), [("page", toml_pages.page, 60), ("package", toml_pages.manifest, 60)]
)
def test_a_mistake_is_told_in_words(target, make, quick, tmp_path: Path):
    drive(target, make, tmp_path, quick, share=0.3)

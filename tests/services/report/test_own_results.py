"""What report makes is known as Isocenter's own when it comes back."""

from services.report.identity import MANUFACTURER
from services.report.result_kinds import BUILDERS
from shared import own_results
from shared.dicom.header import read_header


def test_every_object_is_known_by_its_header(tmp_path, dx_facts, written) -> None:
    assert own_results.MANUFACTURER == MANUFACTURER
    for made in [made for kind in BUILDERS for made in written(dx_facts, kind)]:
        path = tmp_path / made.file_name
        path.write_bytes(made.content)
        assert own_results.is_own_result(read_header(path).attributes)


def test_a_source_is_not(dx_paths) -> None:
    assert not own_results.is_own_result(read_header(dx_paths[0]).attributes)

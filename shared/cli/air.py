"""IHE AI Results (AIR): which of its actors and primitives there are, and the tests that show each."""

# What, its state, and tests of TESTS_IN that read it back from the objects of profile `air`.
TESTS_IN = "tests/services/report/test_air_content.py"
_ROWS: list[tuple[str, str, list[str]]] = [
    (
        "Evidence Creator: store results (RAD-43), SR",
        "yes, profile `air`",
        [
            "test_root_is_a_measurement_report_that_names_its_template",
            "test_device_observer_has_a_uid_that_stays",
            "test_a_report_names_the_one_that_it_replaces",
            "test_dcmtk_reads_the_report",
        ],
    ),
    (
        "Evidence Creator: storage commitment (RAD-10)",
        "yes, where the destination asks for it (tests/services/test_commitment_with_orthanc.py)",
        [],
    ),
    (
        "Qualitative findings",
        "yes: present or absent, grades of a scale with their probabilities, gate verdicts, use mark",
        ["test_qualitative_findings"],
    ),
    (
        "Measurements",
        "yes, with algorithm and unit; lengths, angles and areas inferred from SCOORD or SCOORD3D",
        ["test_measurements", "test_algorithm_is_identified_by_name_and_version"],
    ),
    (
        "Locations (coded finding sites)",
        "yes, with their side, where the package says it",
        ["test_finding_sites_and_their_sides"],
    ),
    ("Locations (points)", "yes: SCOORD or SCOORD3D POINT", ["test_locations"]),
    ("Regions (planar)", "yes: SCOORD POLYLINE or SCOORD3D POLYGON", ["test_regions_that_are_outlined"]),
    (
        "Regions (segmentation)",
        "yes: SEG, and TID 1411 groups of the SR that point into it",
        ["test_regions_that_are_segmented"],
    ),
    (
        "Parametric maps",
        "yes: PM, of images with a place in the patient; the SR points to it",
        ["test_parametric_maps", "test_a_receiver_without_parametric_maps_is_pointed_to_none"],
    ),
    (
        "Tracking identifiers",
        "yes; kept over a patient's studies for the only finding of its name",
        ["test_tracking_identifiers"],
    ),
    (
        "Image references",
        "yes: image library, source images of groups and regions",
        ["test_image_references", "test_image_references_name_the_frame"],
    ),
    ("Key images", "yes: KOS", ["test_key_images"]),
    (
        "'Not analysed' for runs that were held or failed",
        "yes: NASR; not for a study given up before its gates spoke",
        ["test_a_run_that_was_not_analysed_says_so"],
    ),
    ("Image Manager, Image Display, Imaging Workflow (AIW-I)", "no", []),
]


def air_rows() -> list[list[str]]:
    """The rows of the table: what, its state, and the tests' names."""
    return [[what, state, ", ".join(f"`{test}`" for test in tests)] for what, state, tests in _ROWS]

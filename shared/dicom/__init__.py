"""DICOM files as Isocenter reads them."""

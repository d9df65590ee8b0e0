"""What is wrong with a DICOM file."""


class UnreadableInstance(Exception):
    """The bytes are no usable DICOM instance; the text says why, without quoting any value of the file."""

    @property
    def reason(self) -> str:
        """Why, in words."""
        return str(self)

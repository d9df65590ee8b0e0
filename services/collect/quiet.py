"""Libraries that say what must not be said."""

import logging
import warnings

from pydicom import config as pydicom_config


def quiet_pydicom() -> None:
    """pydicom's warnings quote values, which may name a patient; collect judges values itself."""
    pydicom_config.settings.reading_validation_mode = pydicom_config.IGNORE
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", module=r"pydicom\.")

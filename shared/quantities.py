"""Numbers as people read them: what pages, pictures and messages print, and what `verify-results` looks for there."""

PRINTED_UNITS = {"mm2": "mm²", "mm3": "mm³", "cm2": "cm²", "cm3": "cm³", "Cel": "°C", "deg": "°", "[hnsf'U]": "HU"}
DIGITS = (2, 3, 6)  # behind the point, as one or the other object prints them


def number(value: float, digits: int) -> str:
    """At most `digits` behind the point, no exponent, no zeros at the end."""
    text = f"{value:.{digits}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("", "-0") else text


def quantity(value: float, unit: str, digits: int) -> str:
    """A number with its UCUM unit; `1` is no unit."""
    return number(value, digits) if unit == "1" else f"{number(value, digits)} {PRINTED_UNITS.get(unit, unit)}"

"""Units of measure: one unit for each kind of measurand, whatever the station chose to write.

Hides prefixes, multipliers, spellings and defaults (OCPP 1.6 edition 2, section 7.43 and UnitOfMeasure; OCPP
2.1 part 2, UnitOfMeasureType, and its appendix of standardized units). Promises results without the noise of
binary fractions: 3051.11 kWh are 3051110 Wh. Pure.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, NamedTuple

from ocpp_mongo_plugin.fields import EXACT, decimal, number, plain

ENERGY_REGISTER = "Energy.Active.Import.Register"
"""The measurand of a sampled value that names none (OCPP 1.6 edition 2, section 7.43)."""


class _Scaled(NamedTuple):
    """How a unit becomes the normal one: times a power of ten."""

    unit: str
    power: int = 0


# Spellings that are clear in any case.
_UNITS = {
    "wh": _Scaled("Wh"),
    "kwh": _Scaled("Wh", 3),
    "w": _Scaled("W"),
    "kw": _Scaled("W", 3),
    "varh": _Scaled("varh"),
    "kvarh": _Scaled("varh", 3),
    "var": _Scaled("var"),
    "kvar": _Scaled("var", 3),
    "vah": _Scaled("VAh"),
    "kvah": _Scaled("VAh", 3),
    "va": _Scaled("VA"),
    "kva": _Scaled("VA", 3),
    "a": _Scaled("A"),
    "ka": _Scaled("A", 3),
    "v": _Scaled("V"),
    "kv": _Scaled("V", 3),
    "hz": _Scaled("Hz"),
    "hertz": _Scaled("Hz"),
    "percent": _Scaled("Percent"),
    "%": _Scaled("Percent"),
    "rpm": _Scaled("RPM"),
    "celsius": _Scaled("Celsius"),
    "celcius": _Scaled("Celsius"),  # so in the JSON schemas of OCPP 1.6
    "°c": _Scaled("Celsius"),
}

# An m may be a thousandth and an M a million: these only as they are written here. The rest are those of the
# specification, found at once.
_EXACT_UNITS = {
    **{name: _UNITS[name.lower()] for name in ("Wh", "kWh", "W", "kW", "A", "V", "Percent", "Celsius", "varh", "var")},
    "mWh": _Scaled("Wh", -3),
    "MWh": _Scaled("Wh", 6),
    "mW": _Scaled("W", -3),
    "MW": _Scaled("W", 6),
    "mA": _Scaled("A", -3),
    "mV": _Scaled("V", -3),
}


class _Shifted(NamedTuple):
    """How a unit of temperature becomes Celsius: minus the zero point, times a fraction."""

    zero: Decimal
    numerator: int = 1
    denominator: int = 1


_TEMPERATURES = {
    "k": _Shifted(Decimal("273.15")),
    "kelvin": _Shifted(Decimal("273.15")),
    "fahrenheit": _Shifted(Decimal(32), 5, 9),
    "°f": _Shifted(Decimal(32), 5, 9),
}

# The unit of a measurand that comes without one: of the first that it begins with. The specification names Wh
# alone, for any energy; reactive and apparent energy get the name of their own unit, which alters no value.
_DEFAULTS = (
    ("Energy.Reactive", "varh"),
    ("Energy.Apparent", "VAh"),
    ("Energy", "Wh"),
    ("Power.Factor", None),
    ("Power.Reactive", "var"),
    ("Power", "W"),
    ("Current", "A"),
    ("Voltage", "V"),
    ("Frequency", "Hz"),
    ("Temperature", "Celsius"),
    ("SoC", "Percent"),
    ("RPM", "RPM"),
    ("Display.PresentSOC", "Percent"),
    ("Display.MinimumSOC", "Percent"),
    ("Display.TargetSOC", "Percent"),
    ("Display.MaximumSOC", "Percent"),
    ("Display.RemainingTime", "s"),
    ("Display.BatteryEnergyCapacity", "Wh"),
)


def normalise(
    value: Any, unit: str | None, multiplier: int = 0, measurand: str = ENERGY_REGISTER
) -> tuple[int | float | None, str | None]:
    """Return a measured value and its unit, normalised.

    Args:
        value: the number as it was written, as JSON number or as text; anything else gives None.
        unit: as it was written; None or blank when it was left out. An unknown one stays as it is.
        multiplier: the power of ten of OCPP 2.x; it scales the value, it does not change the unit.
        measurand: decides the unit that was left out.
    """
    known = _EXACT_UNITS.get(unit or "")
    if known is None:
        name = (unit or "").strip()
        if not name:
            return _scaled(value, multiplier), default_unit(measurand)
        known = _EXACT_UNITS.get(name) or _UNITS.get(name.lower())
    if known is not None:
        return _scaled(value, multiplier + known.power), known.unit
    degrees = _TEMPERATURES.get(name.lower())
    if degrees is not None:
        return _celsius(value, multiplier, degrees), "Celsius"
    return _scaled(value, multiplier), unit


def default_unit(measurand: str) -> str | None:
    """Return the unit of a measurand that comes without one; None where it has none, or none is known."""
    return next((unit for beginning, unit in _DEFAULTS if measurand.startswith(beginning)), None)


def _scaled(value: Any, power: int) -> int | float | None:
    if not power:
        return number(value)
    exact = decimal(value)
    return None if exact is None else plain(EXACT.scaleb(exact, power))


def _celsius(value: Any, multiplier: int, degrees: _Shifted) -> int | float | None:
    exact = decimal(value)
    if exact is None:
        return None
    above = EXACT.subtract(EXACT.scaleb(exact, multiplier), degrees.zero)
    return plain(EXACT.divide(EXACT.multiply(above, degrees.numerator), degrees.denominator))

"""Units of measure: one unit for each quantity, whatever the station chose.

Promises that a value it understands comes back in Wh, W, varh, var, VAh, VA, A, V, Celsius, Hz or Percent, exact in
decimal; that a unit it does not know stays as it is. Pure.
"""

from __future__ import annotations

from decimal import Decimal

from ocpp_mongo_plugin.fields import plain

_THOUSAND = Decimal(1000)

_UNITS: dict[str, tuple[str, Decimal]] = {
    **{unit.lower(): (unit, Decimal(1)) for unit in ("Wh", "W", "varh", "var", "VAh", "VA", "A", "V", "Hz", "Percent")},
    **{f"k{unit}".lower(): (unit, _THOUSAND) for unit in ("Wh", "W", "varh", "var", "VAh", "VA", "A", "V")},
    **{f"M{unit}".lower(): (unit, _THOUSAND**2) for unit in ("Wh", "W")},
    "%": ("Percent", Decimal(1)),
    "celsius": ("Celsius", Decimal(1)),
    "celcius": ("Celsius", Decimal(1)),  # as the schema of OCPP 1.6 spells it
}

_OF_QUANTITY = {
    "Energy.Active": "Wh",
    "Energy.Reactive": "varh",
    "Energy.Apparent": "VAh",
    "Power.Active": "W",
    "Power.Offered": "W",
    "Power.Reactive": "var",
    "Current": "A",
    "Voltage": "V",
    "Frequency": "Hz",
    "Temperature": "Celsius",
    "SoC": "Percent",
}


def default_unit(measurand: str) -> str | None:
    """Return the unit of a measurand that came without one (OCPP 1.6 edition 2, section 7.43)."""
    return next((unit for start, unit in _OF_QUANTITY.items() if measurand.startswith(start)), None)


def normalise(
    value: Decimal | None, unit: str | None, measurand: str, multiplier: int = 0
) -> tuple[int | float | None, str | None]:
    """Return value and unit in the one unit of its quantity.

    Args:
        value: as on the wire; None stays None.
        unit: as on the wire; the measurand's own when None or empty.
        measurand: says the unit where none came.
        multiplier: power of ten of the value (OCPP 2.x, UnitOfMeasureType).
    """
    name, factor = unit or default_unit(measurand), Decimal(1)
    scaled = None if value is None else value * Decimal(10) ** multiplier
    if name in ("K", "Fahrenheit"):
        return _celsius(scaled, name), "Celsius"
    # Reactive power is written "var" and "VAr", active energy "Wh" and "WH": only case differs.
    if name is not None and name.lower() in _UNITS:
        name, factor = _UNITS[name.lower()]
    return None if scaled is None else plain(scaled * factor), name


def _celsius(value: Decimal | None, unit: str) -> int | float | None:
    if value is None:
        return None
    if unit == "K":
        return plain(value - Decimal("273.15"))
    return plain(round((value - 32) * 5 / 9, 6))

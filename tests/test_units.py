"""Values and units as stations write them, and what they are."""

from __future__ import annotations

import decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ocpp.v16.enums import Measurand, UnitOfMeasure
from ocpp.v21.enums import MeasurandEnumType

from ocpp_mongo_plugin.units import default_unit, normalise

VALUES = [
    # value, unit, multiplier: value, unit
    ("3051.11", "kWh", 0, 3051110, "Wh"),
    (3051.11, "kWh", 0, 3051110, "Wh"),
    (0.1, "kWh", 0, 100, "Wh"),
    ("3051113", "Wh", 0, 3051113, "Wh"),
    ("17137496.44", "Wh", 0, 17137496.44, "Wh"),
    ("12.3456", "kWh", 0, 12345.6, "Wh"),
    ("1", "KWH", 0, 1000, "Wh"),
    ("1", "wh", 0, 1, "Wh"),
    ("1", " kWh ", 0, 1000, "Wh"),
    ("1", "MWh", 0, 1000000, "Wh"),
    ("1", "mWh", 0, 0.001, "Wh"),
    ("1.1", "kW", 0, 1100, "W"),
    ("7", "W", 0, 7, "W"),
    ("1", "kvarh", 0, 1000, "varh"),
    ("1", "kVArh", 0, 1000, "varh"),
    ("1.5", "kvar", 0, 1500, "var"),
    ("1.5", "kVA", 0, 1500, "VA"),
    ("1.5", "kVAh", 0, 1500, "VAh"),
    ("1.5", "VA", 0, 1.5, "VA"),
    ("1500", "mA", 0, 1.5, "A"),
    ("16", "A", 0, 16, "A"),
    ("230000", "mV", 0, 230, "V"),
    ("226.92", "V", 0, 226.92, "V"),
    ("21.5", "Celsius", 0, 21.5, "Celsius"),
    ("21.5", "Celcius", 0, 21.5, "Celsius"),
    ("98.6", "Fahrenheit", 0, 37, "Celsius"),
    ("-40", "fahrenheit", 0, -40, "Celsius"),
    ("300", "K", 0, 26.85, "Celsius"),
    ("80", "Percent", 0, 80, "Percent"),
    ("80", "%", 0, 80, "Percent"),
    ("50", "Hertz", 0, 50, "Hz"),
    (12, "Wh", 3, 12000, "Wh"),
    (12, "kWh", 3, 12000000, "Wh"),
    (123456, "W", -3, 123.456, "W"),
    (3, "K", 2, 26.85, "Celsius"),
    (5, "lx", 1, 50, "lx"),
    (5, "Furlong", 0, 5, "Furlong"),
    # A thousandth or a million? Nobody knows: it stays.
    ("1", "MWH", 0, 1, "MWH"),
    ("1", "MA", 0, 1, "MA"),
    # No number: the unit is known all the same.
    (None, "kWh", 0, None, "Wh"),
    ("", "kWh", 0, None, "Wh"),
    ([], "K", 0, None, "Celsius"),
    ("1", "Wh", 10**30, None, "Wh"),
    ("1", "kWh", 2**63, None, "Wh"),
    ("1e18", "kWh", 0, None, "Wh"),
]


@pytest.mark.parametrize(("value", "unit", "multiplier", "expected", "normal"), VALUES)
def test_a_value_gets_the_one_unit_of_its_kind(value, unit, multiplier, expected, normal):
    found, found_unit = normalise(value, unit, multiplier)
    assert (found, found_unit) == (expected, normal)
    assert type(found) is type(expected)


DEFAULTS = [
    ("Energy.Active.Import.Register", "Wh"),
    ("Energy.Active.Export.Interval", "Wh"),
    ("Energy.Reactive.Import.Register", "varh"),
    ("Energy.Apparent.Net", "VAh"),
    ("EnergyRequest.Target", "Wh"),
    ("Power.Active.Import", "W"),
    ("Power.Offered", "W"),
    ("Power.Reactive.Export", "var"),
    ("Power.Factor", None),
    ("Current.Import", "A"),
    ("Voltage", "V"),
    ("Frequency", "Hz"),
    ("Temperature", "Celsius"),
    ("SoC", "Percent"),
    ("RPM", "RPM"),
    ("Display.PresentSOC", "Percent"),
    ("Display.RemainingTimeToTargetSOC", "s"),
    ("Display.BatteryEnergyCapacity", "Wh"),
    ("Display.ChargingComplete", None),
    ("Vendor.Something", None),
]


@pytest.mark.parametrize(("measurand", "unit"), DEFAULTS)
@pytest.mark.parametrize("left_out", [None, "", " "])
def test_a_unit_that_was_left_out_follows_from_the_measurand(measurand, unit, left_out):
    assert normalise("5.5", left_out, 0, measurand) == (5.5, unit)


def test_a_value_alone_is_an_energy():
    assert normalise("5", None) == (5, "Wh")


@pytest.mark.parametrize("measurand", sorted({m.value for m in Measurand} | {m.value for m in MeasurandEnumType}))
def test_every_measurand_of_the_library_has_a_unit_or_none_at_all(measurand):
    without = {"Power.Factor", "Display.ChargingComplete", "Display.InletHot"}
    assert (default_unit(measurand) is None) == (measurand in without)


@pytest.mark.parametrize("unit", [unit.value for unit in UnitOfMeasure])
def test_every_unit_of_ocpp_16_is_known(unit):
    normal = {"Wh", "varh", "W", "VA", "var", "A", "V", "Celsius", "Percent", "Hz"}
    assert normalise("1", unit)[1] in normal


@given(
    value=st.none() | st.integers() | st.floats() | st.text() | st.decimals(-1000, 1000, places=3).map(str),
    unit=st.none() | st.text(max_size=5) | st.sampled_from(["kWh", "K", "Fahrenheit", "mA"]),
    multiplier=st.integers(-(2**63), 2**63 - 1) | st.integers(-30, 30),
    measurand=st.text(max_size=10),
)
def test_nothing_raises_and_every_result_fits_64_bits(value, unit, multiplier, measurand):
    found, _ = normalise(value, unit, multiplier, measurand)
    assert found is None or -(2**63) <= found < 2**63


@given(wh=st.integers(-(10**15), 10**15))
def test_the_way_of_writing_an_energy_does_not_change_it(wh):
    kwh = str(decimal.Decimal(wh).scaleb(-3))
    assert normalise(wh, "Wh") == normalise(kwh, "kWh") == normalise(kwh, "Wh", 3) == (wh, "Wh")


def test_the_decimal_context_of_the_host_program_changes_nothing():
    with decimal.localcontext(decimal.Context(prec=3, traps=[decimal.Inexact, decimal.Rounded])):
        assert normalise("3051.11", "kWh") == (3051110, "Wh")
        assert normalise("98.6", "Fahrenheit") == (37, "Celsius")

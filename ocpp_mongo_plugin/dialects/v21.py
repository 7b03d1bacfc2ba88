"""What OCPP 2.1 messages mean where they differ from 2.0.1 (OCPP 2.1, part 2).

Hides nothing but the differences: the station may calculate the cost itself, and there are more actions. The
measurands that 2.1 adds are in ``units``. NotifyPeriodicEventStream gives no facts: it names a monitor by its
number, and only the configuration of the station says what that monitors. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from ocpp_mongo_plugin import facts
from ocpp_mongo_plugin.dialects import v201
from ocpp_mongo_plugin.fields import mapping, number
from ocpp_mongo_plugin.frames import Message

Json: TypeAlias = Mapping[str, Any]
Facts: TypeAlias = tuple[facts.Fact, ...]


def _transaction_event(call: Json) -> Facts:
    """Read TransactionEvent with costDetails: the cost that the station has calculated (I12)."""
    total = mapping(mapping(mapping(call.get("costDetails")).get("totalCost")).get("total"))
    gross, net = number(total.get("inclTax")), number(total.get("exclTax"))
    transaction_id = mapping(call.get("transactionInfo")).get("transactionId")
    cost = v201.authorized(transaction_id, cost=net if gross is None else gross)
    return v201.CALLS["TransactionEvent"](call) + cost


CALLS: dict[str, Callable[[Json], Facts]] = {
    **v201.CALLS,
    "TransactionEvent": _transaction_event,
}
"""What a call means, by action."""

ANSWERS: dict[str, Callable[[Json, Json], Facts]] = v201.ANSWERS
"""What a CallResult means, by the action of its call."""

REFUSALS: dict[str, Callable[[Json, Message], Facts]] = v201.REFUSALS
"""What a CallError means, by the action of its call."""

FROM_STATION = v201.FROM_STATION | {
    "BatterySwap",
    "ClosePeriodicEventStream",
    "GetCertificateChainStatus",
    "NotifyDERAlarm",
    "NotifyDERStartStop",
    "NotifyPeriodicEventStream",
    "NotifyPriorityCharging",
    "NotifySettlement",
    "OpenPeriodicEventStream",
    "PullDynamicScheduleUpdate",
    "ReportDERControl",
    "VatNumberValidation",
}
"""The calls and unanswered messages that a station sends (part 2, messages)."""

FROM_CSMS = v201.FROM_CSMS | {
    "AFRRSignal",
    "AdjustPeriodicEventStream",
    "ChangeTransactionTariff",
    "ClearDERControl",
    "ClearTariffs",
    "GetDERControl",
    "GetPeriodicEventStream",
    "GetTariffs",
    "NotifyAllowedEnergyTransfer",
    "NotifyWebPaymentStarted",  # the driver pays on a web page, of which the station learns so (C25.FR.21)
    "RequestBatterySwap",
    "SetDERControl",
    "SetDefaultTariff",
    "UpdateDynamicSchedule",
    "UsePriorityCharging",
}
"""The calls that a CSMS sends (part 2, messages)."""

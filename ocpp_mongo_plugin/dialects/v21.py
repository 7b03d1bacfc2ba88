"""OCPP 2.1: only what differs from 2.0.1.

The messages that make transactions, meter values and states are those of 2.0.1 with further fields; 2.1 adds actions
around them, and the unanswered Send for NotifyPeriodicEventStream (part 4, section 4.2.5).
"""

from __future__ import annotations

from ocpp_mongo_plugin.dialects import v201

CALLS = v201.CALLS
ANSWERS = v201.ANSWERS
REFUSALS = v201.REFUSALS

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
    "NotifyWebPaymentStarted",
    "RequestBatterySwap",
    "SetDERControl",
    "SetDefaultTariff",
    "UpdateDynamicSchedule",
    "UsePriorityCharging",
}

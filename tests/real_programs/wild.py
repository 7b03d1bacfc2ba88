"""What real stations also send: frames that are no OCPP, or barely."""

from __future__ import annotations

from stations import Station

WILD: tuple[str | list[str], ...] = (
    "AT+CSQ\r\n",
    "",
    "\u00e9\u4e2d\U0001f697 \x00 \x7f\u2028",
    "{}",
    "[]",
    "[2]",
    "null",
    '[2,"cut","Heartbeat",{',
    '[2,"twice","Heartbeat",{}]',
    '[2,"twice","Heartbeat",{}]',
    '[2,17,"Heartbeat",{}]',
    '[2,"unknown","FlyToTheMoon",{"height":384400}]',
    ' [ 2 , "spaced" ,\t"Heartbeat" , { } ] \n',
    '[2,"\\ud83d\\ude97 \\u0000","Heartbeat",{}]',
    '[2,"keys","Heartbeat",{"a":1,"a":2,"$b":{"c.d":null},"":""}]',
    '[2,"numbers","MeterValues",{"connectorId":1e400,"meterValue":[NaN,Infinity,1234567890123456789012345678901234567890]}]',
    '[2,"wrong","StatusNotification",{"connectorId":"one"}]',
    '[2,"empty","Authorize",{}]',
    '[3,"nobody asked",{}]',
    '[4,"nobody asked","GenericError","",{}]',
    '[5,"nobody asked","GenericError","",{}]',
    '[6,"sent","NotifyPeriodicEventStream",{}]',
    '[9,"no kind",{}]',
    ["[2,", '"in fragments"', ',"Heartbeat"', ",{}]"],
    '[2,"long","DataTransfer",{"vendorId":"v","data":"' + "x" * 300_000 + '"}]',
)
LAST_WORDS = (
    '[2,"list",["BootNotification"],{}]',
    '[2,"deep","Heartbeat",' + '{"a":' * 3000 + "1" + "}" * 3000 + "]",
    '[2,"digits","Heartbeat",{"a":' + "1" * 5000 + "}]",
)
"""Each ends the read loop of the ocpp library, so it comes last on its connection."""


async def play_wild(station: Station) -> None:
    """Say all of it; a heartbeat between any two shows that the program read the one before."""
    for number, text in enumerate(WILD):
        await station.say(text)
        await station.call(f'[2,"own-{number}","Heartbeat",{{}}]')

"""Transcripts through the pure core: what each must give, whatever the way its frames come."""

from __future__ import annotations

import json

import pytest
from playing import Player, frames_of
from transcripts import T0, TRANSCRIPTS, Transcript, answer, call, start, started, stop

from ocpp_mongo_plugin.frames import decode

EACH = pytest.mark.parametrize("transcript", TRANSCRIPTS, ids=lambda t: t.name)

SEED = (
    "transaction_id",
    "station_id",
    "connector_id",
    "id_tag",
    "start_timestamp",
    "stop_timestamp",
    "meter_start",
    "meter_stop",
    "energy_consumed",
    "reason",
    "status",
    "protocol_version",
)


def _check(transcript: Transcript, player: Player) -> None:
    found = player.transactions()
    shown = [{name: t.get(name) for name in want} for t, want in zip(found, transcript.transactions, strict=False)]
    assert shown == transcript.transactions
    assert len(found) == len(transcript.transactions)
    for number, want in transcript.connectors.items():
        connector = next(c for c in player.station()["connectors"] if c["connector_id"] == number)
        assert {name: connector[name] for name in want} == want
    if transcript.values is not None:
        assert len(player.values()) == transcript.values


def _seed_fields(player: Player) -> list[dict]:
    return [{name: transaction.get(name) for name in SEED} for transaction in player.transactions()]


@EACH
def test_gives_its_documents(transcript: Transcript):
    player = Player()
    player.take(frames_of(transcript.frames, transcript.version))
    _check(transcript, player)


@EACH
def test_frame_by_frame(transcript: Transcript):
    player = Player()
    for frame in frames_of(transcript.frames, transcript.version):
        player.take([frame])
    _check(transcript, player)


@EACH
def test_the_same_from_the_station_as_from_the_csms(transcript: Transcript):
    csms, station = Player(), Player()
    csms.take(frames_of(transcript.frames, transcript.version, side="csms"))
    station.take(frames_of(transcript.frames, transcript.version, side="station"))
    _check(transcript, station)
    if all(t["start_timestamp"] is not None for t in csms.transactions()):
        assert _seed_fields(csms) == _seed_fields(station)
    assert {v["_id"] for v in csms.values()} == {v["_id"] for v in station.values()}


@EACH
def test_both_ends_in_one_process_double_nothing(transcript: Transcript):
    player = Player()
    ends = [
        frames_of(transcript.frames, transcript.version, side=side, session=number)
        for number, side in enumerate(("station", "csms"), start=1)
    ]
    player.take([frame for pair in zip(*ends, strict=True) for frame in pair])
    _check(transcript, player)
    assert len(player.messages()) == 2 * len(transcript.frames)


@EACH
def test_a_second_delivery_changes_nothing(transcript: Transcript):
    player = Player()
    frames = frames_of(transcript.frames, transcript.version)
    player.take(frames)
    before = json.dumps([player.transactions(), player.station(), len(player.inserts)], default=str)
    player.take(frames)
    assert json.dumps([player.transactions(), player.station(), len(player.inserts)], default=str) == before


@EACH
def test_every_frame_is_a_message_with_its_text(transcript: Transcript):
    player = Player()
    player.take(frames_of(transcript.frames, transcript.version))
    assert [m["raw"] for m in player.messages()] == [line[1:] for line in transcript.frames]
    assert [m["sequence"] for m in player.messages()] == list(range(len(transcript.frames)))


def _play(*lines: str, version: str = "1.6") -> Player:
    player = Player()
    player.take(frames_of(lines, version))
    return player


def test_an_answer_bears_the_action_and_the_correlation_id_of_its_call():
    player = _play(start("1"), started("1", 7), call("S", "1", "Heartbeat", {}), answer("C", "1", {}))
    first, first_answer, second, second_answer = player.messages()
    assert first["correlation_id"] == first_answer["correlation_id"] != second["correlation_id"]
    assert second["correlation_id"] == second_answer["correlation_id"]
    assert [m["action"] for m in player.messages()] == ["StartTransaction"] * 2 + ["Heartbeat"] * 2
    assert first_answer["latency_ms"] == 1000
    assert player.amended[first["_id"]] == {"outcome": "answered"}


def test_an_error_is_an_outcome():
    player = _play(call("C", "9", "Reset", {"type": "Hard"}), 'S[4,"9","NotSupported","no",{"a":1}]')
    _, error = player.messages()
    assert (error["message_type"], error["action"]) == ("CallError", "Reset")
    assert (error["error_code"], error["error_description"], error["error_details"]) == ("NotSupported", "no", {"a": 1})
    assert player.amended[player.messages()[0]["_id"]] == {"outcome": "error"}


def test_equal_ids_in_both_directions_are_paired_each_with_its_own():
    player = _play(
        call("S", "1", "Heartbeat", {}),
        call("C", "1", "Reset", {"type": "Soft"}),
        answer("C", "1", {"currentTime": T0}),
        answer("S", "1", {"status": "Accepted"}),
    )
    assert [m["action"] for m in player.messages()] == ["Heartbeat", "Reset", "Heartbeat", "Reset"]


def test_an_answer_nobody_asked_for_stands_alone():
    player = _play(answer("C", "nobody", {}))
    (message,) = player.messages()
    assert message["action"] is None
    assert message["correlation_id"] == message["_id"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("AT+CSQ", "not JSON"),
        ("", "not JSON"),
        ("{}", "not a JSON array but an object"),
        ("[]", "an empty array"),
        ('[9,"1","X",{}]', "message type 9"),
        ('[true,"1","X",{}]', "message type true"),
        ('[2,"1","X"]', "Call with 3 of 4 elements"),
        ('[2,"1",["X"],{}]', "the action is an array"),
        ('[2,"1",{"a":1},{}]', "the action is an object"),
        ('[2,null,"X",{}]', "the message id is null"),
        ('[2,"1","X",{"a":' + "1" * 5000 + "}]", "not JSON: Exceeds the limit"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_what_cannot_be_understood_is_kept_with_the_reason(text: str, reason: str):
    (message,) = _play("S" + text).messages()
    assert message["message_type"] == "Malformed"
    assert message["raw"] == text
    assert reason in message["error_description"]


def test_the_message_types_of_2_1():
    assert decode('[5,"1","FormatViolation","x",{}]').message_type == "CallResultError"
    send = decode('[6,"1","NotifyPeriodicEventStream",{"id":1}]')
    assert (send.message_type, send.action) == ("Send", "NotifyPeriodicEventStream")


def test_who_wrote_a_frame_is_inferred_from_the_actions():
    player = Player()
    frames = [f._replace(origin=None) for f in frames_of([start("1"), started("1", 7)], "1.6", side="station")]
    player.take(frames)
    assert [m["origin"] for m in player.messages()] == ["station", "csms"]
    session = player.recording.ledger.document("sessions", frames[0].session_id)
    assert session["role"] == "station"


def test_directions_that_an_import_does_not_know_are_inferred():
    player = Player()
    lines = [start("1"), started("1", 7), stop("2", 7)]
    player.take([f._replace(origin=None, direction="unknown") for f in frames_of(lines, "1.6")])
    assert [m["origin"] for m in player.messages()] == ["station", "csms", "station"]
    assert [m["direction"] for m in player.messages()] == ["received", "sent", "received"]
    assert player.transactions()[0]["status"] == "completed"


def test_left_out_messages_still_count_for_the_station():
    from ocpp_mongo_plugin.recording import Batch, Loaded, Recording  # noqa: PLC0415

    recording, batch = Recording(leave_out=["Heartbeat"]), Batch()
    frames = frames_of([call("S", "1", "Heartbeat", {}), answer("C", "1", {}), start("2")], "1.6")
    decoded = [recording.decode(frame) for frame in frames]
    recording.learn(recording.wanted(decoded), Loaded())
    for one in decoded:
        recording.take(one, batch, frames[0].timestamp)
    assert (batch.frames, batch.left_out) == (1, 2)
    assert recording.ledger.document("stations", "CP1")["last_heartbeat"] == frames[0].timestamp

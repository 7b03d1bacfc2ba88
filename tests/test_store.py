"""The store contract, on mongomock-motor, and on a real mongod through Motor and through PyMongo's async client."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from playing import frames_of
from transcripts import TRANSCRIPTS, Transcript, call, metered, start, started, stop

from ocpp_mongo_plugin import transcription
from ocpp_mongo_plugin.documents import MODELS
from ocpp_mongo_plugin.drivers import writer_of
from ocpp_mongo_plugin.frames import Frame, Session, SessionChange, new_session_id
from ocpp_mongo_plugin.indexes import INDEXES
from ocpp_mongo_plugin.recording import Batch, Recording
from ocpp_mongo_plugin.settings import read_settings
from ocpp_mongo_plugin.store import Store, Written

NAMES = read_settings({}).collections()


@pytest.fixture
def database(any_handle: Any) -> Iterator[Any]:
    """The synchronous database that is written to for each kind of handle."""
    database, close = writer_of(any_handle)()
    yield database
    if close is not None:
        close()


class Process:
    """One recording process, without its thread."""

    def __init__(self, database: Any, recorder: str = "elsewhere:1:aaaaaa") -> None:
        self.store = Store(database, read_settings({}), recorder)
        self.recording = Recording(recorder=recorder)

    def take(self, items: list[Any], *, everything: bool = True) -> Written:
        decoded = [self.recording.decode(item) for item in items]
        for _ in range(2):
            wanted = self.recording.wanted(decoded)
            self.recording.learn(wanted, self.store.load(wanted))
        batch, now = Batch(), datetime.now(timezone.utc)
        outgoing = self.store.outgoing(now)
        for one in decoded:
            self.recording.take(one, batch, now)
        self.recording.tally(everything=True)
        outgoing.finish(batch, lambda: None)
        return self.store.write(outgoing, self.recording.ledger, everything=everything, now=now, pause=lambda: None)


def _seed(database: Any) -> list[dict[str, Any]]:
    found = database["transactions"].find({}, {"_id": 1, "transaction_id": 1, "status": 1, "energy_consumed": 1})
    return sorted(found, key=lambda d: str(d["_id"]))


@pytest.mark.parametrize("transcript", TRANSCRIPTS, ids=lambda t: t.name)
def test_every_document_validates_as_its_model(database: Any, transcript: Transcript):
    process = Process(database)
    process.store.prepare()
    written = process.take(frames_of(transcript.frames, transcript.version))
    assert written.stored == len(transcript.frames)
    for key, name in NAMES.items():
        for document in database[name].find():
            assert set(document) <= {f.alias or n for n, f in MODELS[key].model_fields.items()}
            MODELS[key].model_validate(document)
    assert database["transactions"].count_documents({}) == len(transcript.transactions)


@pytest.mark.parametrize("transcript", TRANSCRIPTS, ids=lambda t: t.name)
def test_a_process_that_starts_in_the_middle_goes_on_where_the_first_died(database: Any, transcript: Transcript):
    frames = frames_of(transcript.frames, transcript.version)
    whole = Process(database)
    whole.take(frames)
    expected = _seed(database)
    for name in NAMES.values():
        database[name].delete_many({})
    for frame in frames:
        Process(database).take([frame])
    assert _seed(database) == expected
    actions = [m["action"] for m in database["ocpp_messages"].find().sort("sequence", 1)]
    assert None not in actions


@pytest.mark.parametrize("transcript", TRANSCRIPTS, ids=lambda t: t.name)
def test_two_processes_one_at_each_end_make_one_of_each(database: Any, transcript: Transcript):
    station, csms = Process(database, "elsewhere:1:aaaaaa"), Process(database, "elsewhere:2:bbbbbb")
    ends = [
        frames_of(transcript.frames, transcript.version, side=s, session=n) for n, s in ((1, "station"), (2, "csms"))
    ]
    for ours, theirs in zip(*ends, strict=True):
        station.take([ours])
        csms.take([theirs])
    assert database["transactions"].count_documents({}) == len(transcript.transactions)
    assert database["stations"].count_documents({}) == 1
    assert database["ocpp_messages"].count_documents({}) == 2 * len(transcript.frames)
    for wanted in transcript.transactions:
        names = ("transaction_id", "status", "energy_consumed")
        query = {name: wanted[name] for name in names if name in wanted}
        assert database["transactions"].count_documents(query) >= 1


def test_a_second_delivery_changes_no_byte(database: Any):
    frames = frames_of(TRANSCRIPTS[0].frames, "1.6")
    Process(database).take(frames)
    before = {name: list(database[name].find()) for name in NAMES.values()}
    Process(database).take(frames)
    assert {name: list(database[name].find()) for name in NAMES.values()} == before


POISON = {
    "NUL in a key": '{"a\\u0000b":1}',
    "a lone surrogate": '{"a":"\\ud800"}',
    "an integer over 64 bits": '{"a":1180591620717411303424}',
    "nested 95 levels": '{"a":' + "[" * 95 + "]" * 95 + "}",
    "nested 500 levels": '{"a":' + "[" * 500 + "]" * 500 + "}",
    "dollars and dots": '{"$set":{"a.b":1},"$where":"x"}',
    "an empty key": '{"":1}',
    "NaN": '{"a":NaN,"b":Infinity}',
    "repeated keys": '{"a":1,"a":2}',
}


@pytest.mark.parametrize("position", [0, 1, 2])
@pytest.mark.parametrize("payload", POISON.values(), ids=POISON.keys())
def test_no_document_costs_its_neighbours(database: Any, payload: str, position: int):
    lines = [call("S", "1", "Heartbeat", {}), call("S", "2", "Heartbeat", {})]
    poison = f'S[2,"p","DataTransfer",{payload}]'
    lines.insert(position, poison)
    written = Process(database).take(frames_of(lines, "1.6"))
    assert (written.stored, written.dead) == (3, [])
    stored = [m["raw"] for m in database["ocpp_messages"].find().sort("sequence", 1)]
    assert stored == [line[1:] for line in lines]


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (POISON["NUL in a key"], transcription.NUL_IN_KEY),
        (POISON["a lone surrogate"], transcription.SURROGATE),
        (POISON["an integer over 64 bits"], transcription.INT_OVER_64_BIT),
        (POISON["nested 500 levels"], transcription.TOO_DEEP),
    ],
)
def test_a_payload_that_differs_from_the_wire_says_so(database: Any, payload: str, reason: str):
    Process(database).take(frames_of([f'S[2,"p","DataTransfer",{payload}]'], "1.6"))
    (message,) = database["ocpp_messages"].find()
    assert message["lossy"] == [reason]


@pytest.mark.mongod
def test_a_frame_over_16_mib_is_kept_compressed(plain: Any):
    import zlib  # noqa: PLC0415

    text = json.dumps([2, "1", "DataTransfer", {"vendorId": "v", "data": "x" * 17_000_000}])
    written = Process(plain).take(frames_of(["S" + text, call("S", "2", "Heartbeat", {})], "1.6"))
    assert (written.stored, written.dead) == (2, [])
    message = plain["ocpp_messages"].find_one({"sequence": 0})
    assert zlib.decompress(message["raw_zlib"]).decode() == text
    assert transcription.RAW_COMPRESSED in message["lossy"]


@pytest.mark.mongod
def test_what_mongodb_refuses_becomes_a_dead_letter_with_its_text(plain: Any):
    plain.create_collection("ocpp_messages", validator={"message_id": {"$ne": "2"}})
    lines = [call("S", str(number), "Heartbeat", {}) for number in range(4)]
    written = Process(plain).take(frames_of(lines, "1.6"))
    assert written.stored == 3
    (letter,) = plain["dead_letters"].find()
    assert (letter["raw"], letter["sequence"], letter["reason"]) == (lines[2][1:], 2, "refused with code 121")


def test_an_answer_in_a_later_batch_tells_its_call(database: Any):
    frames = frames_of([start("1"), started("1", 7)], "1.6")
    process = Process(database)
    process.take(frames[:1])
    assert database["ocpp_messages"].find_one({"sequence": 0})["outcome"] is None
    process.take(frames[1:])
    assert database["ocpp_messages"].find_one({"sequence": 0})["outcome"] == "answered"


def test_a_reused_id_is_looked_up_among_what_other_processes_stored(database: Any):
    lines = [
        start("1"),
        started("1", 1),
        stop("2", 1),
        start("3", meter=5000, at="2026-03-02T10:00:00Z"),
        started("3", 1),
    ]
    frames = frames_of([*lines, metered("4", "5500", transactionId=1), stop("5", 1, meter=6000)], "1.6")
    first = Process(database)
    first.take(frames[:3])
    Process(database).take(frames[3:5])
    Process(database).take(frames[5:])
    assert sorted(t["energy_consumed"] for t in database["transactions"].find()) == [1000, 2000]


def test_what_a_person_configured_survives(database: Any):
    process = Process(database)
    process.take(frames_of([call("S", "1", "Heartbeat", {})], "1.6"))
    mine = {"name": "Garage", "tags": ["home"], "enabled": False, "auto_start": True}
    database["stations"].update_one({"_id": "CP1"}, {"$set": mine})
    boot = {"chargePointVendor": "v", "chargePointModel": "m"}
    process.take(frames_of([call("S", "2", "BootNotification", boot)], "1.6", session=2))
    station = database["stations"].find_one()
    assert {name: station[name] for name in mine} == mine
    assert station["vendor"] == "v"


def _opened(at: datetime, recorder: str) -> SessionChange:
    session = Session(
        new_session_id(int(at.timestamp() * 1e6), b"abcde"), "CP1", "csms", at, "connected", recorder=recorder
    )
    return SessionChange("opened", session, at)


def test_a_process_that_died_leaves_no_station_connected(database: Any):
    at = datetime(2026, 3, 1, tzinfo=timezone.utc)
    Process(database, "elsewhere:1:aaaaaa").take([_opened(at, "elsewhere:1:aaaaaa")])
    assert database["stations"].find_one()["connection_status"] == "connected"
    other = Store(database, read_settings({}), "elsewhere:2:bbbbbb")
    assert other.close_orphans(at + timedelta(seconds=30)) == 0
    assert other.close_orphans(at + timedelta(seconds=91)) == 1
    assert database["stations"].find_one()["connection_status"] == "disconnected"
    assert database["sessions"].find_one()["status"] == "closed"


def test_a_lease_that_is_renewed_lives_on(database: Any):
    at = datetime(2026, 3, 1, tzinfo=timezone.utc)
    process = Process(database, "elsewhere:1:aaaaaa")
    process.take([_opened(at, "elsewhere:1:aaaaaa")])
    process.store.renew_leases(at + timedelta(seconds=60), timedelta(seconds=90))
    assert Store(database, read_settings({}), "elsewhere:2:bbbbbb").close_orphans(at + timedelta(seconds=120)) == 0


def test_all_indexes_are_made(database: Any):
    store = Store(database, read_settings({}), "h:1:a")
    assert store.prepare() == []
    assert store.prepare() == []
    for key, models in INDEXES.items():
        there = {tuple(dict(i["key"]).items()) for i in database[NAMES[key]].list_indexes()}
        assert {tuple(m.document["key"].items()) for m in models} <= there


SEED_INDEXES = {
    "ocpp_messages": [
        ("station_id", "timestamp"),
        ("message_id",),
        ("correlation_id",),
        ("action", "timestamp"),
        ("timestamp",),
    ],
    "transactions": [("transaction_id",), ("station_id", "start_timestamp"), ("status",), ("id_tag",)],
    "stations": [("station_id",), ("connection_status",), ("enabled", "auto_start"), ("tags",), ("protocol_version",)],
}


@pytest.mark.parametrize("collection", SEED_INDEXES)
def test_the_indexes_of_the_original_system_are_there(database: Any, collection: str):
    Store(database, read_settings({}), "h:1:a").prepare()
    there = [tuple(dict(index["key"])) for index in database[collection].list_indexes()]
    for wanted in SEED_INDEXES[collection]:
        assert wanted in there
    unique = [tuple(dict(i["key"])) for i in database[collection].list_indexes() if i.get("unique")]
    assert unique == ([("station_id",)] if collection == "stations" else [])


@pytest.mark.mongod
def test_an_index_of_the_users_own_stays_and_keeps_nothing_out(plain: Any):
    plain["transactions"].create_index([("status", 1)], name="mine")
    plain["transactions"].create_index([("mine", 1)], name="id_tag_1")
    problems = Store(plain, read_settings({}), "h:1:a").prepare()
    assert len(problems) == 1
    assert "index id_tag_1" in problems[0]
    found = plain["transactions"].index_information()
    assert found["mine"]["key"] == [("status", 1)]
    assert found["id_tag_1"]["key"] == [("mine", 1)]


def test_frames_of_two_sessions_never_share_a_key():
    at = 1_772_362_800_000_000
    keys = {
        Frame("CP", new_session_id(at + n, bytes([n] * 5)), 0, "sent", None, "1.6", None, "").session_id
        for n in range(99)
    }
    assert len(keys) == 99


@pytest.mark.parametrize("text", ['[3,"\\ud800",{}]', '[2,"\\ud800","Heartbeat",{}]'])
def test_ids_that_no_query_can_hold_stop_nothing(database: Any, text: str):
    frames = frames_of(["S" + text, call("S", "2", "Heartbeat", {})], "1.6")
    odd = [frame._replace(station_id="CP\ud800", sequence=frame.sequence + 5) for frame in frames]
    written = Process(database).take([*odd])
    assert (written.stored, written.dead) == (2, [])
    assert database["stations"].find_one()["station_id"] == "CP?"


@pytest.mark.mongod
def test_a_frame_that_stays_over_16_mib_is_cut_and_says_so(plain: Any):
    import random  # noqa: PLC0415

    noise = random.Random(1).randbytes(20_000_000).hex()  # noqa: S311 - noise that zlib cannot shrink
    lines = ["S" + json.dumps([2, "1", "DataTransfer", {"data": noise}]), call("S", "2", "Heartbeat", {})]
    written = Process(plain).take(frames_of(lines, "1.6"))
    assert (written.stored, written.dead) == (2, [])
    message = plain["ocpp_messages"].find_one({"sequence": 0})
    assert transcription.RAW_CUT in message["lossy"]
    assert lines[0][1:].startswith(message["raw"])


@pytest.mark.mongod
def test_a_station_that_mongodb_refuses_keeps_nothing_else_out(plain: Any):
    plain.create_collection("stations", validator={"vendor": {"$ne": "bad"}})
    boot = {"chargePointVendor": "bad", "chargePointModel": "m"}
    frames = frames_of([call("S", "1", "BootNotification", boot)], "1.6")
    other = frames_of([start("1"), started("1", 7)], "1.6", station_id="CP2", session=2)
    Process(plain).take([*frames, *other])
    assert plain["ocpp_messages"].count_documents({}) == 3
    assert [s["_id"] for s in plain["stations"].find()] == ["CP2"]


def test_a_transaction_that_somebody_deleted_stays_deleted(database: Any):
    process, frames = Process(database), frames_of([start("1"), started("1", 7), stop("2", 7)], "1.6")
    process.take(frames[:2])
    database["transactions"].delete_many({})
    process.take(frames[2:])
    assert database["transactions"].count_documents({}) == 0


def test_a_recorder_that_was_taken_for_dead_takes_its_own_back(database: Any):
    at = datetime(2026, 3, 1, tzinfo=timezone.utc)
    process = Process(database, "elsewhere:1:aaaaaa")
    process.take([_opened(at, "elsewhere:1:aaaaaa")])
    Store(database, read_settings({}), "elsewhere:2:bbbbbb").close_orphans(at + timedelta(seconds=91))
    process.store.renew_leases(at + timedelta(seconds=92), timedelta(seconds=90), process.recording.living())
    station, session = database["stations"].find_one(), database["sessions"].find_one()
    assert (station["connection_status"], station["last_error"]) == ("connected", None)
    assert (session["status"], session["error"]) == ("open", None)


def test_evidence_is_bounded(database: Any):
    lines = [start("1"), started("1", 7), *(metered(str(n), str(n), transactionId=7) for n in range(10, 1500))]
    Process(database).take(frames_of(lines, "1.6"))
    transaction = database["transactions"].find_one()
    assert len(transaction["evidence"]) == 1000
    assert transaction["meter_latest"] == 1499


def test_frames_of_a_session_that_is_stored_without_figures_are_counted(database: Any):
    """Its first frame was lost, or it was closed before: what is stored of it has no last sequence number."""
    first, late = (frame for frame in frames_of([call("S", n, "Heartbeat", {}) for n in "12"], "1.6"))
    session = Session(first.session_id, "CP1", "csms", first.timestamp, "connected")
    process = Process(database)
    process.store.prepare()
    process.take([SessionChange("opened", session, session.opened_at)])
    assert database["sessions"].find_one()["last_sequence"] is None
    assert process.take([late]).stored == 1
    closed = replace(session, status="disconnected", closed_at=late.timestamp)
    process.take([SessionChange("closed", closed, late.timestamp)])
    assert process.take([late._replace(sequence=2)]).stored == 1
    (stored,) = database["sessions"].find()
    assert (stored["status"], stored["messages_received"], stored["last_sequence"]) == ("closed", 2, 2)

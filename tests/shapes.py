"""The shapes in which programs write ChargePoint classes: each a function from the base class to the station's class.

Beside each stands what people know it by and what is recorded of it; ``docs/shapes.md`` is made of that. The oracle
is always what the wire saw.
"""

from __future__ import annotations

import abc
import asyncio
import contextlib
import copy
import functools
import logging
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import attrs
import beartype
import test_capture
from ocpp.charge_point import ChargePoint
from wire import WireClosedError

ALL = "every text, once, in order"
NEAREST = "the text nearest the wire"


class Shape(NamedTuple):
    make: Callable[[Any], Any]
    words: str
    recorded: str
    made: tuple[str, ...] = ("before", "after")
    """Whether objects that were made before recording began are recorded too."""

    @property
    def name(self) -> str:
        return self.make.__name__


SHAPES = [
    Shape(getattr(test_capture, name), words, recorded)
    for name, words, recorded in [
        ("plain", "nothing is overridden", ALL),
        ("send_without_super", "`_send` overridden, without `super`", ALL),
        ("send_with_super", "`_send` overridden, with `super`", ALL),
        ("send_named_base", "`_send` that calls the base class by its name", ALL),
        ("send_through_a_helper", "`_send` that calls another method, which calls `super()._send`", ALL),
        ("three_levels", "three classes, each rewrites the text before `super`", NEAREST),
        ("rewriting", "`_send` that rewrites the text before `super`", NEAREST),
        ("spawning", "`_send` and `route_message` that leave `super()` to a task", ALL),
        ("spawning_and_awaiting", "`_send` that rewrites, and awaits `super()` in a task", NEAREST),
        ("slow_before_super", "`_send` that waits before and after `super`", ALL),
        ("plain_function", "`_send` and `route_message` as plain functions that return the coroutine", ALL),
        ("start_without_super", "`start` overridden, without `super`: a read loop of its own", ALL),
        ("route_with_super", "`route_message` overridden, with `super`", ALL),
        ("mixed_in", "`_send` comes from a mixin that is no ChargePoint", ALL),
        ("init_subclass_with_super", "a class with its own `__init_subclass__`", ALL),
        ("init_subclass_without_super", "a class with its own `__init_subclass__`, which does not call `super`", ALL),
    ]
]


def shape(words: str, recorded: str = ALL, **more: Any) -> Callable[[Callable[[Any], Any]], Callable[[Any], Any]]:
    def add(make: Callable[[Any], Any]) -> Callable[[Any], Any]:
        SHAPES.append(Shape(make, words, recorded, **more))
        return make

    return add


# -- what is overridden -----------------------------------------------------------------------------------------


@shape("`start` and `_send` without `super`, `ConnectionClosed` swallowed")
def nothing_of_super(base: Any) -> Any:
    class Station(base):
        async def start(self) -> None:
            with contextlib.suppress(WireClosedError):
                while True:
                    await self.route_message(await self._connection.recv())

        async def _send(self, message: str) -> None:
            with contextlib.suppress(WireClosedError):
                await self._connection.send(message)

    return Station


@shape("`start` that runs `super().start()` beside other tasks, as Home Assistant's integration does")
def start_beside_others(base: Any) -> Any:
    class Station(base):
        async def start(self) -> None:
            await asyncio.gather(super().start(), asyncio.sleep(0))

    return Station


@shape("`start` that reads into a queue, from which another task routes")
def through_a_queue(base: Any) -> Any:
    class Station(base):
        async def start(self) -> None:
            texts: asyncio.Queue[str] = asyncio.Queue()
            worker = asyncio.create_task(self.work(texts))
            try:
                while True:
                    texts.put_nowait(await self._connection.recv())
            finally:
                worker.cancel()

        async def work(self, texts: asyncio.Queue[str]) -> None:
            while True:
                await self.route_message(await texts.get())

    return Station


@shape("`call` overridden with fewer parameters")
def call_with_fewer_parameters(base: Any) -> Any:
    class Station(base):
        async def call(self, payload: Any) -> Any:
            return await super().call(payload)

    return Station


@shape("`_handle_call` replaced")
def handle_call_replaced(base: Any) -> Any:
    class Station(base):
        async def _handle_call(self, msg: Any) -> None:
            await self._send(msg.create_call_result({}).to_json())

    return Station


@shape("`route_message` that rewrites the text before `super`", "the text as it was received")
def route_that_rewrites(base: Any) -> Any:
    class Station(base):
        async def route_message(self, raw_msg: str) -> None:
            await super().route_message(f" {raw_msg}")

    return Station


@shape("`_send` that calls a method, which rewrites before `super()._send`", NEAREST)
def helper_that_rewrites(base: Any) -> Any:
    class Station(base):
        async def _send(self, message: str) -> None:
            await self._write_out(message)

        async def _write_out(self, message: str) -> None:
            await super()._send(f"{message}\t")

    return Station


@shape("`_send` that rewrites, and leaves `super()` to a task", NEAREST)
def rewriting_in_a_task(base: Any) -> Any:
    class Station(base):
        async def _send(self, message: str) -> None:
            self.kept = asyncio.ensure_future(super()._send(f"{message}\t"))

    return Station


@shape("`_send` as a plain function that returns a task", NEAREST)
def returning_a_task(base: Any) -> Any:
    class Station(base):
        def _send(self, message: str) -> Any:
            return asyncio.ensure_future(super()._send(f"{message}\t"))

    return Station


@shape("`_send` that returns an object with `__await__`, which calls `super()._send` when it is awaited")
def returning_an_awaitable(base: Any) -> Any:
    class Sending:
        def __init__(self, send: Any, message: str) -> None:
            self.send, self.message = send, message

        def __await__(self) -> Any:
            return self.send(self.message).__await__()

    class Station(base):
        def _send(self, message: str) -> Any:
            return Sending(super()._send, message)

    return Station


@shape("`_send` as a generator under `types.coroutine`")
def generator(base: Any) -> Any:
    class Station(base):
        @types.coroutine
        def _send(self, message: str) -> Any:
            return (yield from super()._send(message).__await__())

    return Station


@shape("`_send` that goes to `super` for some texts, and to the connection itself for others")
def now_and_then_super(base: Any) -> Any:
    class Station(base):
        async def _send(self, message: str) -> None:
            if "Heartbeat" in message:
                await self._connection.send(message)
            else:
                await super()._send(message)

    return Station


@shape("`_send` with other parameters before the text", NEAREST)
def text_is_the_second_parameter(base: Any) -> Any:
    class Middle(base):
        async def _send(self, urgency: str, message: str) -> None:
            await self._connection.send(message)

    class Station(Middle):
        async def _send(self, message: str) -> None:
            await super()._send(message=message, urgency="high")

    return Station


# -- how a method is made ---------------------------------------------------------------------------------------


def _logged(function: Any) -> Any:
    @functools.wraps(function)
    async def logged(*arguments: Any, **keywords: Any) -> Any:
        return await function(*arguments, **keywords)

    return logged


class _Instrument:
    """A decorator as instrumentation libraries have it: an object that binds as a function does."""

    def __init__(self, function: Any) -> None:
        self.function = function

    def __call__(self, *arguments: Any) -> Any:
        return self.function(*arguments)

    def __get__(self, instance: Any, owner: Any) -> Any:
        return self if instance is None else functools.partial(self.function, instance)


@shape("`_send` and `start` in a decorator")
def decorated(base: Any) -> Any:
    class Station(base):
        @_logged
        async def _send(self, message: str) -> None:
            await super()._send(message)

        @_logged
        async def start(self) -> None:
            await super().start()

    return Station


@shape("`_send` in a decorator that is an object, without `super`")
def instrumented(base: Any) -> Any:
    class Station(base):
        @_Instrument
        async def _send(self, message: str) -> None:
            await self._connection.send(message)

    return Station


@shape("`_send` as `functools.partialmethod`")
def partial_method(base: Any) -> Any:
    class Station(base):
        async def _write(self, end: str, message: str) -> None:
            await self._connection.send(message)

        _send = functools.partialmethod(_write, "\n")

    return Station


@shape("`_send` taken from another ChargePoint class")
def borrowed(base: Any) -> Any:
    class Lender(base):
        async def _send(self, message: str) -> None:
            await self._connection.send(message)

    class Station(base):
        _send = Lender._send

    return Station


# -- how a class is made ----------------------------------------------------------------------------------------


@shape("`ocpp.charge_point.ChargePoint` itself subclassed, `_ocpp_version` set after `__init__`")
def version_after_init(base: Any) -> Any:
    class Station(ChargePoint):
        _call, _call_result = base._call, base._call_result

        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            self._ocpp_version = base._ocpp_version

    return Station


@shape("`super().__init__` never called")
def init_never_called(base: Any) -> Any:
    class Station(base):
        def __init__(self, id: str, connection: Any) -> None:  # noqa: A002 - the library's own name
            made = base(id, connection)
            self.__dict__.update(vars(made))

    return Station


@shape("a dataclass")
def data_class(base: Any) -> Any:
    @dataclass(eq=False)
    class Station(base):
        name: str
        link: Any

        def __post_init__(self) -> None:
            super().__init__(self.name, self.link)

        async def _send(self, message: str) -> None:
            await self._connection.send(message)

    return Station


@shape("a dataclass with slots, which is made twice")
def data_class_with_slots(base: Any) -> Any:
    @dataclass(slots=True, eq=False)
    class Station(base):
        name: str
        link: Any

        def __post_init__(self) -> None:
            base.__init__(self, self.name, self.link)

        async def _send(self, message: str) -> None:
            await base._send(self, f"{message}\t")

    return Station


@shape("an attrs class, whose methods call `super()`")
def attrs_class(base: Any) -> Any:
    @attrs.define(eq=False)
    class Station(base):
        name: str
        link: Any

        def __attrs_post_init__(self) -> None:
            super().__init__(self.name, self.link)

        async def _send(self, message: str) -> None:
            await super()._send(f"{message}\t")

        async def route_message(self, raw_msg: str) -> None:
            await super().route_message(raw_msg)

    return Station


@shape("a class with `__slots__`")
def slots(base: Any) -> Any:
    class Station(base):
        __slots__ = ("extra",)

        async def _send(self, message: str) -> None:
            self.extra = message
            await super()._send(message)

    return Station


@shape("a class under beartype")
def beartyped(base: Any) -> Any:
    @beartype.beartype
    class Station(base):
        async def _send(self, message: str) -> None:
            await super()._send(message)

        async def route_message(self, raw_msg: str) -> None:
            await super().route_message(raw_msg)

    return Station


@shape("an abstract base class, made concrete")
def abstract(base: Any) -> Any:
    class Family(base, abc.ABC):
        @abc.abstractmethod
        async def _send(self, message: str) -> None: ...

    class Station(Family):
        async def _send(self, message: str) -> None:
            await self._connection.send(message)

    return Station


T = TypeVar("T")


@shape("a generic class, and a `typing.Protocol` among its bases")
def generic(base: Any) -> Any:
    class Sender(Protocol):
        async def _send(self, message: str) -> None: ...

    class Family(base, Generic[T]):
        async def _send(self, message: str) -> None:
            await super()._send(message)

    class Station(Family[int], Sender):
        pass

    return Station


class _Deaf(type):
    """A metaclass that forbids changes, and whose classes are all equal and have no hash."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(cls, other: object) -> bool:
        return isinstance(other, _Deaf)

    def __setattr__(cls, name: str, value: object) -> None:
        raise RuntimeError(name)

    def __delattr__(cls, name: str) -> None:
        raise RuntimeError(name)


@shape("a metaclass that forbids to change its classes, and makes them equal")
def odd_metaclass(base: Any) -> Any:
    class Family(base, metaclass=_Deaf):
        async def _send(self, message: str) -> None:
            await super()._send(f"{message}\t")

    class Station(Family):
        async def _send(self, message: str) -> None:
            await super()._send(f"{message}\n")

    return Station


@shape("a mixin whose `__init_subclass__` tells nobody")
def deaf_mixin(base: Any) -> Any:
    class Registry:
        known: tuple[type, ...] = ()

        def __init_subclass__(cls) -> None:
            Registry.known += (cls,)

    class Station(Registry, base):
        async def start(self) -> None:
            while True:
                await self.route_message(await self._connection.recv())

        async def _send(self, message: str) -> None:
            await self._connection.send(message)

        async def route_message(self, raw_msg: str) -> None:
            await super().route_message(raw_msg)

    return Station


# -- what the objects are ---------------------------------------------------------------------------------------


class Adapter:
    """All that an adapter must have."""

    def __init__(self, socket: Any) -> None:
        self.socket = socket

    async def send(self, text: str) -> None:
        await self.socket.send(text)

    async def recv(self) -> str:
        return await self.socket.recv()


@shape("a connection without `request`, `remote_address` or `state`")
def bare_adapter(base: Any) -> Any:
    class Station(base):
        def __init__(self, name: str, connection: Any) -> None:
            super().__init__(name, Adapter(connection))

    return Station


@shape("`_connection` is a property that makes an adapter each time")
def adapter_each_time(base: Any) -> Any:
    class Station(base):
        @property
        def _connection(self) -> Any:
            return Adapter(self.socket)

        @_connection.setter
        def _connection(self, socket: Any) -> None:
            self.socket = socket

    return Station


@shape("an adapter with `__getattr__`, some of whose attributes raise")
def raising_adapter(base: Any) -> Any:
    class Proxy(Adapter):
        @property
        def state(self) -> Any:
            raise RuntimeError("not yet")

        def __getattr__(self, name: str) -> Any:
            raise KeyError(name)

    class Station(base):
        def __init__(self, name: str, connection: Any) -> None:
            super().__init__(name, Proxy(connection))

    return Station


@shape("a charge point that is a copy of another")
def copied(base: Any) -> Any:
    return lambda name, connection: copy.copy(base(name, connection))


@shape("a replaced `logger`")
def other_logger(base: Any) -> Any:
    class Station(base):
        def __init__(self, name: str, connection: Any) -> None:
            super().__init__(name, connection, logger=logging.LoggerAdapter(logging.getLogger("other"), {}))

    return Station


@shape("a function put on one object while recording is on, around its `_send`", NEAREST, made=("after",))
def wrapped_on_the_object(base: Any) -> Any:
    class Station(base):
        def __init__(self, *arguments: Any, **keywords: Any) -> None:
            super().__init__(*arguments, **keywords)
            send = self._send

            async def marked(message: str) -> None:
                await send(f"{message}\t")

            self._send = marked

    return Station


# A function on the class, in place of a method that is there: with the plugin on before, it stands around ours.


@shape("a function put on the class in place of `_send`, which calls it", NEAREST)
def patched_around(base: Any) -> Any:
    class Station(base):
        async def _send(self, message: str) -> None:
            await super()._send(message)

    send = Station._send

    async def marked(self: Any, message: str) -> None:
        await send(self, f"{message}\t")

    Station._send = marked
    return Station


@shape("a function put on the class in place of `_send`, with `functools.wraps`, which does not call it")
def patched_away(base: Any) -> Any:
    class Station(base):
        async def _send(self, message: str) -> None:
            await super()._send(message)

    @functools.wraps(Station._send)
    async def direct(self: Any, message: str) -> None:
        await self._connection.send(message)

    Station._send = direct
    return Station

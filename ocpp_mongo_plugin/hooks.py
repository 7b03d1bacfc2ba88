"""Calls the plugins of others, and ours, through pluggy.

Hides pluggy's call loop, the entry points and the threads of slow plugins. Promises that no plugin harms
the recorded program, the sink or another plugin: one that raises is counted and named in the log, one that is
slow or hangs keeps only itself waiting, one that cannot be loaded is named and left out. The only module that
calls hooks.

The two frame hooks run in the host's turn. All others run behind the sink: each plugin that implements one
has a daemon thread and a bounded queue of its own. ``ocpp_redact`` is the one that is answered: the sink waits for it,
for a bounded time.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import inspect
import itertools
import re
import threading
import time
from asyncio import CancelledError
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Any, Literal, NamedTuple, TypeAlias

import pluggy

from ocpp_mongo_plugin import hookspecs
from ocpp_mongo_plugin.errors import ArgumentError
from ocpp_mongo_plugin.frames import Frame
from ocpp_mongo_plugin.log import warn

OWN_NAME = "ocpp-mongo"
OWN_DISTRIBUTION = "ocpp-mongo-plugin"
GROUP = "ocpp"
LOAD_PLUGINS = "OCPP_MONGO_LOAD_PLUGINS"
PluginManager: TypeAlias = pluggy.PluginManager

HOOKS: dict[str, str] = {
    name: next(iter(inspect.signature(function).parameters))
    for name, function in vars(hookspecs).items()
    if name.startswith("ocpp_")
}
"""Every hook, and the name of its one argument."""
FRAME_HOOKS = ("ocpp_frame_sent", "ocpp_frame_received")
REDACT_HOOK = "ocpp_redact"
LATER_HOOKS = tuple(name for name in HOOKS if name not in FRAME_HOOKS and name != REDACT_HOOK)

_SAY_AGAIN_AFTER = 60.0
"""Seconds of silence after a failing hook was named in the log."""


class Hooks:
    """The registered plugins, and the ways to call them.

    Args:
        own: our persistence. It implements the two frame hooks and is called first.
        load_entry_points: whether installed plugins of the entry-point group ``ocpp`` are loaded, or which ones.
        later: leave that to ``load``.
        queue_size: how many calls may wait for one plugin before further ones are dropped.
        patience: seconds that one answer to ``ocpp_redact`` is waited for.
        clock: seconds, rising; spaces the log lines about hooks that raise.
    """

    def __init__(
        self,
        own: object | None = None,
        *,
        load_entry_points: bool | Collection[str],
        later: bool = False,
        queue_size: int = 10_000,
        patience: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._queue_size = queue_size
        self._patience = patience
        self._redacting: tuple[_Call, ...] = ()
        self._asked: dict[str, _Asked] = {}
        self._clock = clock
        self._lock = threading.RLock()
        self._running = False
        self._listeners: dict[str, _Listener] = {}
        self._workers: dict[str, _Worker] = {}
        self._retired: list[_Worker] = []
        self.only_ours = False
        """Whether no plugin but ours has a frame hook: then ours need not be called by way of it."""
        self._sent: tuple[_Call, ...] = ()
        self._received: tuple[_Call, ...] = ()
        self._later: dict[str, tuple[_Worker, ...]] = {}
        self._errors: Counter[str] = Counter()
        self._dropped: Counter[str] = Counter()
        self._named: dict[tuple[str, str], float] = {}
        self.manager: _Plugins = _Plugins(self._lock, self._arrange)
        if own is not None:
            self.manager.register(own, OWN_NAME)
        self.installed: tuple[Installed, ...] = ()
        """What was found in the entry-point group, and what became of it; empty when nothing was to be loaded."""
        self._to_load: bool | Collection[str] | None = load_entry_points
        self._loaded = threading.Event()
        # Where there is nothing to import, nothing need wait.
        if not later or load_entry_points is False or all(Installed.of(entry).is_own for entry in _entry_points()):
            self.load()

    def load(self) -> None:
        """Load what is installed, in the caller's thread, unless that was done or another thread is at it."""
        with self._lock:
            to_load, self._to_load = self._to_load, None
        if to_load is None:
            return
        try:
            if to_load is not False:
                self.installed = tuple(self._load_entry_points(None if to_load is True else to_load))
        finally:
            self._loaded.set()

    @property
    def are_loaded(self) -> bool:
        """Whether what is installed is loaded, as far as it is to be."""
        return self._loaded.is_set()

    def wait_until_loaded(self) -> None:
        """Wait for the thread that loads what is installed."""
        if not self._loaded.is_set():
            self.load()
            self._loaded.wait()

    @property
    def hook_errors(self) -> dict[str, int]:
        """How many calls raised, by plugin."""
        with self._lock:
            return dict(self._errors)

    @property
    def hook_dropped(self) -> dict[str, int]:
        """How many calls were never made, by plugin: it was too slow, or was unregistered before its turn."""
        with self._lock:
            return dict(self._dropped)

    def register(self, plugin: object, name: str | None = None) -> str | None:
        """Register a plugin and return its name.

        Raises:
            ArgumentError: it could never be called as it is meant; the sentence names plugin and hook.
        """
        return self.manager.register(plugin, name)

    def unregister(self, plugin: object | None = None, name: str | None = None) -> object | None:
        """Take a plugin out, by itself or by name, and return it; calls that wait for it are dropped.

        Raises:
            ArgumentError: it is not registered.
        """
        unregistered: object | None = self.manager.unregister(plugin, name)
        return unregistered

    def frame_sent(self, frame: Frame) -> None:
        """Call ``ocpp_frame_sent`` of every plugin, here and now."""
        self._call_each(self._sent, frame)

    def frame_received(self, frame: Frame) -> None:
        """Call ``ocpp_frame_received`` of every plugin, here and now."""
        self._call_each(self._received, frame)

    def wants(self, hook_name: str) -> bool:
        """Whether any plugin would be called for that hook now."""
        if hook_name in FRAME_HOOKS:
            return bool(self._sent if hook_name == "ocpp_frame_sent" else self._received)
        if hook_name == REDACT_HOOK:
            return bool(self._redacting)
        return hook_name in self._later

    def later(self, hook_name: str, value: object) -> None:
        """Hand the value to the thread of every plugin that implements the hook; never waits.

        Between ``start`` and ``stop``; at other times nobody listens.
        """
        for worker in self._later.get(hook_name, ()):
            if not worker.offer(hook_name, value):
                self._refused(worker, hook_name)

    def redact(self, value: object) -> tuple[list[str], bool]:
        """Ask every plugin what is to be masked; return the paths, and whether each answered as it should."""
        paths: list[str] = []
        sound = True
        for call in self._redacting:
            answer = self._ask(call, value)
            if answer is None:
                sound = False
            else:
                paths += answer
        return paths, sound

    def _ask(self, call: _Call, value: object) -> list[str] | None:
        with self._lock:
            asked = self._asked.get(call.plugin)
            if asked is None or not asked.alive:
                asked = self._asked[call.plugin] = _Asked(call)
        try:
            answer = asked.ask(value, self._patience)
        except BaseException as error:  # noqa: BLE001 - sys.exit() in a hook must not end the sink either
            self._failed(call.plugin, call.hook, error)
            return None
        paths: list[str] = []
        for one in answer:  # pluggy gives a list, of what each implementation returned
            if not isinstance(one, list | tuple | set | str) or not all(isinstance(path, str) for path in one):
                self._failed(call.plugin, call.hook, TypeError())
                return None
            paths += [one] if isinstance(one, str) else one
        return paths

    def start(self) -> None:
        """Start the threads of the plugins that need one."""
        with self._lock:
            self._running = True
            self._arrange()

    def forked(self) -> None:
        """In a child process, where the threads are not: until ``start``, nobody listens behind the sink."""
        self._lock = self.manager._lock = threading.RLock()  # noqa: SLF001 - of this module
        self._running = False
        self._workers, self._later, self._retired, self._asked = {}, {}, [], {}
        self._loaded = threading.Event()
        if self._to_load is None:  # the thread that was at it is not here
            self._loaded.set()

    def stop(self, timeout: float) -> None:
        """End the threads; what waits is called for ``timeout`` seconds at most, the rest is dropped."""
        with self._lock:
            self._running = False
            workers = [*self._workers.values(), *self._retired]
            self._workers, self._later, self._retired = {}, {}, []
            asked, self._asked = [*self._asked.values()], {}
        for one in asked:
            one.close()
        for worker in workers:
            worker.close()
        deadline = time.monotonic() + timeout
        for worker in workers:
            if worker.join(max(0.0, deadline - time.monotonic())):
                continue
            busy, waiting = worker.abandon()
            self._count_dropped(worker.plugin, waiting)
            if busy is not None:
                warn(
                    "plugin %r: hook %s had not returned when recording ended; %d waiting calls were dropped",
                    worker.plugin,
                    busy,
                    waiting,
                )

    def _call_each(self, calls: tuple[_Call, ...], frame: Frame) -> None:
        for call in calls:
            try:
                call.function(frame)
            # One plugin's error is nobody else's. Nothing can have cancelled the host inside a plain call,
            # so a CancelledError is the plugin's own too.
            except (Exception, CancelledError) as error:  # noqa: BLE001
                self._failed(call.plugin, call.hook, error)

    def _failed(self, plugin: str, hook: str, error: BaseException) -> None:
        """Count a call that raised, and name it unless it was named lately.

        The error's text is not logged: it may quote a payload.
        """
        now = self._clock()
        with self._lock:
            self._errors[plugin] += 1
            count = self._errors[plugin]
            named = self._named.get((plugin, hook))
            if named is not None and now - named < _SAY_AGAIN_AFTER:
                return
            self._named[plugin, hook] = now
        kind, place = type(error).__name__, _place(error)
        warn("plugin %r: hook %s raised %s %s (%d errors of it so far)", plugin, hook, kind, place, count)

    def _refused(self, worker: _Worker, hook: str) -> None:
        self._count_dropped(worker.plugin, 1)
        with self._lock:
            said, worker.overflow_said = worker.overflow_said or not worker.open, True
        if not said:
            warn(
                "plugin %r is too slow: %d calls wait, so one of hook %s was dropped; more are only counted",
                worker.plugin,
                self._queue_size,
                hook,
            )

    def _count_dropped(self, plugin: str, count: int) -> None:
        if count:
            with self._lock:
                self._dropped[plugin] += count

    def _arrange(self) -> None:
        """Make anew what the calls go by; called under the lock when the plugins or ``_running`` change."""
        plugins = {name: plugin for name, plugin in self.manager.list_name_plugin() if plugin is not None}
        self._listeners = {
            name: self._listeners.get(name) or _Listener(name, plugin) for name, plugin in plugins.items()
        }
        self._sent, self._received = (self._calls(hook) for hook in FRAME_HOOKS)
        self.only_ours = {call.plugin for call in (*self._sent, *self._received)} == {OWN_NAME}
        self._redacting = self._calls(REDACT_HOOK)
        for name in self._asked.keys() - plugins.keys():
            self._asked.pop(name).close()
        for name in self._workers.keys() - plugins.keys():
            worker = self._workers.pop(name)
            self._count_dropped(name, worker.abandon().waiting)
            self._retired.append(worker)
        self._retired = [worker for worker in self._retired if worker.alive]
        later: dict[str, tuple[_Worker, ...]] = {}
        for hook in LATER_HOOKS if self._running else ():
            for call in self._calls(hook):
                later[hook] = (*later.get(hook, ()), self._worker(call.plugin))
        self._later = later

    def _calls(self, hook: str) -> tuple[_Call, ...]:
        """Return one call a plugin, in pluggy's order, ours first."""
        names = dict.fromkeys(impl.plugin_name for impl in reversed(getattr(self.manager.hook, hook).get_hookimpls()))
        ours_first = sorted(names, key=lambda name: name != OWN_NAME)
        return tuple(_Call(name, hook, self._listeners[name].function(hook)) for name in ours_first)

    def _worker(self, plugin: str) -> _Worker:
        if plugin not in self._workers:
            self._workers[plugin] = _Worker(self._listeners[plugin], self._queue_size, self._failed)
        return self._workers[plugin]

    def _load_entry_points(self, chosen: Collection[str] | None) -> Iterator[Installed]:
        """Load what is installed, or of that what is chosen, and tell what became of each.

        One bad entry point does not keep out the others, as in pluggy's loader.
        """
        missing = set(chosen or ())
        for entry in _entry_points():
            missing.discard(entry.name)
            plugin = Installed.of(entry)
            if plugin.is_own:
                # Ours is for the managers of others; in our own it would record everything a second time.
                if not self.manager.has_plugin(entry.name):
                    self.manager.set_blocked(entry.name)
                yield plugin._replace(state="ours")
            elif chosen is not None and entry.name not in chosen:
                yield plugin._replace(state="left out")
            else:
                yield self._load(entry, plugin)
        for name in sorted(missing):
            reason = f"{LOAD_PLUGINS} names it, and no plugin of this name is installed"
            warn("plugin %r is not loaded: %s", name, reason)
            yield Installed(name, state="failed", reason=reason)

    def _load(self, entry: importlib.metadata.EntryPoint, plugin: Installed) -> Installed:
        try:
            loaded = entry.load()
            self.manager.register(loaded, entry.name)
        # Importing it runs any code whatever, which may even call sys.exit().
        except (Exception, SystemExit) as error:  # noqa: BLE001
            told = isinstance(error, ArgumentError | ImportError)
            reason = f"{type(error).__name__}: {error}" if told else type(error).__name__
            warn(
                "plugin %r (%s, of distribution %s) is left out: %s",
                entry.name,
                entry.value,
                plugin.distribution,
                reason,
            )
            return plugin._replace(state="failed", reason=reason)
        called = self.manager.get_hookcallers(loaded) or []
        return plugin._replace(hooks=tuple(sorted(caller.name for caller in called if caller.name in HOOKS)))


class Installed(NamedTuple):
    """A plugin of the entry-point group, as it was found."""

    name: str
    distribution: str = "unknown"
    version: str = ""
    value: str = ""
    """Where its code is: a module, or a module and what is in it."""
    state: Literal["loaded", "ours", "left out", "failed"] = "loaded"
    """Left out: others were chosen. Ours is for plugin managers of others."""
    reason: str = ""
    """Why it failed."""
    hooks: tuple[str, ...] = ()
    """The hooks that it implements, where it was loaded."""

    @classmethod
    def of(cls, entry: importlib.metadata.EntryPoint) -> Installed:
        """Return what its metadata say of an entry point."""
        name = version = None
        with contextlib.suppress(Exception):  # they may be broken
            name, version = entry.dist.name, entry.dist.version  # type: ignore[union-attr]
        return cls(entry.name, name or "unknown", version or "", entry.value)

    @property
    def is_own(self) -> bool:
        """Whether it is of our distribution."""
        return re.sub(r"[-_.]+", "-", self.distribution).lower() == OWN_DISTRIBUTION


def _entry_points() -> Iterable[importlib.metadata.EntryPoint]:
    try:
        return importlib.metadata.entry_points(group=GROUP)
    except Exception as error:  # noqa: BLE001 - the metadata of any installed distribution may be broken
        warn("installed plugins are left out: their list raised %s", type(error).__name__)
        return ()


class _Call(NamedTuple):
    plugin: str
    hook: str
    function: Callable[[Any], object]


class _Plugins(pluggy.PluginManager):
    """A plugin manager that says when its plugins change, and refuses those that could never work."""

    def __init__(self, lock: threading.RLock, changed: Callable[[], None]) -> None:
        super().__init__(GROUP)
        self.add_hookspecs(hookspecs)
        self._lock = lock
        self._changed = changed

    def register(self, plugin: object, name: str | None = None) -> str | None:
        with self._lock:
            shown = name or self.get_canonical_name(plugin)
            if plugin is None:
                raise ArgumentError("None is no plugin")
            if self.is_registered(plugin):
                raise ArgumentError(f"plugin {shown!r} is registered already, as {self.get_name(plugin)!r}")
            if self.is_blocked(shown):
                raise ArgumentError(f"plugin {shown!r}: this name is blocked")
            if self.has_plugin(shown):
                raise ArgumentError(f"plugin {shown!r}: another plugin is registered under this name")
            self._verify(plugin, shown)
            try:
                registered = super().register(plugin, shown)
            except pluggy.PluginValidationError as error:
                if self.has_plugin(shown):  # pluggy before 1.7 keeps what it refuses half registered
                    super().unregister(name=shown)
                raise ArgumentError(" ".join(str(error).split())) from None
            self._changed()
            return registered

    def unregister(self, plugin: object | None = None, name: str | None = None) -> Any | None:
        with self._lock:
            if name is None and self.get_name(plugin) is None:
                raise ArgumentError(f"plugin {self.get_canonical_name(plugin)!r} is not registered")
            unregistered = super().unregister(plugin, name)
            self._changed()
            return unregistered

    def get_canonical_name(self, plugin: object) -> str:
        """Return a name that says something in a log line, where pluggy's own would be a number."""
        name = str(getattr(plugin, "__name__", None) or type(plugin).__qualname__)
        numbered = (f"{name}#{number}" for number in itertools.count(2))
        taken = {other for other, _ in self.list_name_plugin()}
        return next(free for free in itertools.chain([name], numbered) if free not in taken)

    def _verify(self, plugin: object, name: str) -> None:
        for attribute in dir(plugin):
            options = self.parse_hookimpl_opts(plugin, attribute)
            hook = (options and options.get("specname")) or attribute
            if hook not in HOOKS:
                if options is None or options.get("optionalhook"):
                    continue
                raise ArgumentError(f"plugin {name!r}: there is no hook {hook!r}; the hooks are {', '.join(HOOKS)}")
            if options is None:
                if callable(inspect.getattr_static(plugin, attribute, None)):
                    raise ArgumentError(f"plugin {name!r}: hook {hook!r} is not marked with @hookimpl")
                continue
            fault = _fault(plugin, attribute, wrapper=bool(options.get("wrapper") or options.get("hookwrapper")))
            if fault is not None:
                raise ArgumentError(f"plugin {name!r}: hook {hook!r} {fault}")


class _Listener:
    """One plugin, alone in a manager of its own.

    pluggy stops at the first implementation that raises, so each plugin is called by itself. A subset caller
    of the common manager would do that too, but only until the next plugin is registered: from then until the
    subset is made anew it would call that one as well.
    """

    def __init__(self, name: str, plugin: object) -> None:
        self.name = name
        self._alone = pluggy.PluginManager(GROUP)
        self._alone.add_hookspecs(hookspecs)
        self._alone.register(plugin, name)

    def function(self, hook: str) -> Callable[[Any], object]:
        """Return what calls this plugin's hook with a value."""
        caller, argument = getattr(self._alone.hook, hook), HOOKS[hook]
        if self.name == OWN_NAME:
            # Ours is a plain function of one argument, called for every frame: pluggy's call loop takes 1 us.
            function: Callable[[Any], object] = caller.get_hookimpls()[0].function
            return function
        return lambda value: caller(**{argument: value})

    def functions(self) -> dict[str, Callable[[Any], object]]:
        """Return what calls the hooks that this plugin implements behind the sink."""
        return {hook: self.function(hook) for hook in LATER_HOOKS if getattr(self._alone.hook, hook).get_hookimpls()}


class _Abandoned(NamedTuple):
    busy: str | None
    """The hook that runs, or would run next; None when there is neither."""
    waiting: int
    """How many calls were thrown away."""


class _Worker:
    """One plugin's thread, and the calls that wait for it."""

    def __init__(self, listener: _Listener, capacity: int, failed: Callable[[str, str, BaseException], None]) -> None:
        self.plugin = listener.name
        self.busy: str | None = None
        self.overflow_said = False
        self._functions = listener.functions()
        self._capacity = capacity
        self._failed = failed
        self._waiting: deque[tuple[str, object]] = deque()
        self._changed = threading.Condition()
        self.open = True
        self._thread = threading.Thread(target=self._run, name=f"ocpp-mongo-hook-{self.plugin}", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def offer(self, hook: str, value: object) -> bool:
        """Let a call wait; False when too many do, or when the thread is ending."""
        with self._changed:
            if not self.open or len(self._waiting) >= self._capacity:
                return False
            self._waiting.append((hook, value))
            self._changed.notify()
            return True

    def close(self) -> None:
        """End the thread once nothing waits."""
        with self._changed:
            self.open = False
            self._changed.notify()

    def join(self, timeout: float) -> bool:
        """Wait for the end of the thread; False when it has not ended."""
        # A plugin may stop us from within its hook: it must not wait for itself.
        if self._thread is not threading.current_thread():
            self._thread.join(timeout)
        return not self.alive

    def abandon(self) -> _Abandoned:
        """Throw away what waits; the thread ends when the hook that it is in returns."""
        with self._changed:
            waiting = len(self._waiting)
            busy = self.busy or (self._waiting[0][0] if waiting else None)
            self._waiting.clear()
            self.open = False
            self._changed.notify()
            return _Abandoned(busy, waiting)

    def _run(self) -> None:
        while (call := self._next()) is not None:
            hook, value = call
            try:
                self._functions[hook](value)
            except BaseException as error:  # noqa: BLE001 - sys.exit() in a hook must not end the thread either
                self._failed(self.plugin, hook, error)

    def _next(self) -> tuple[str, object] | None:
        with self._changed:
            self.busy = None
            while self.open and not self._waiting:
                self._changed.wait()
            if not self._waiting:
                return None
            call = self._waiting.popleft()
            self.busy = call[0]
            return call


class _Asked:
    """One plugin's thread for the hook that is answered.

    A hook that hangs is waited for once; until it returns, its plugin is taken to have given no answer.
    """

    def __init__(self, call: _Call) -> None:
        self._function = call.function
        self._questions: SimpleQueue[tuple[object, SimpleQueue[Any]] | None] = SimpleQueue()
        self._busy = False
        self._thread = threading.Thread(target=self._run, name=f"ocpp-mongo-redact-{call.plugin}", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def close(self) -> None:
        """End the thread, once its hook returns."""
        self._questions.put(None)

    def ask(self, value: object, patience: float) -> Any:
        """Return what the hook returned; raise what it raised, or TimeoutError."""
        if self._busy:
            raise TimeoutError
        self._busy = True
        reply: SimpleQueue[Any] = SimpleQueue()
        self._questions.put((value, reply))
        try:
            answer, error = reply.get(timeout=patience)
        except Empty:
            raise TimeoutError from None
        if error is not None:
            raise error
        return answer

    def _run(self) -> None:
        while (question := self._questions.get()) is not None:
            value, reply = question
            answer, error = None, None
            try:
                answer = self._function(value)
            except BaseException as raised:  # noqa: BLE001 - handed to whoever asked
                error = raised
            self._busy = False
            reply.put((answer, error))


def _fault(plugin: object, attribute: str, *, wrapper: bool) -> str | None:
    """Say why pluggy would take this implementation and it would still never do its work, or None."""
    function = getattr(plugin, attribute)
    if wrapper:
        return "is a wrapper, and there is nothing to wrap: each plugin is called on its own"
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        return "is an async function and would never run: hooks are plain functions"
    if inspect.isgeneratorfunction(function):
        return "is a generator function and would never run: hooks are plain functions"
    if inspect.isclass(plugin) and "self" in inspect.signature(function).parameters:
        return f"needs self, and {plugin.__name__} is a class: register an instance of it"
    return None


def _place(error: BaseException) -> str:
    """Return the line of the plugin's hook function at which it raised, without the directory."""
    step = error.__traceback__
    while step is not None and _is_machinery(step.tb_frame):
        step = step.tb_next
    if step is None:
        return "when it was called"
    return f"at {Path(step.tb_frame.f_code.co_filename).name}:{step.tb_lineno}"


def _is_machinery(frame: FrameType) -> bool:
    module = str(frame.f_globals.get("__name__"))
    return module == __name__ or module.partition(".")[0] == "pluggy"

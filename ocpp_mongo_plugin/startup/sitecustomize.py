"""What ``ocpp-mongo run`` has every Python of a command import at its start.

Hides itself: takes this directory off the path again, runs the sitecustomize that it stood before, as ``site`` would,
and leaves ``PYTHONPATH`` as the user had it. Promises to any interpreter, also one that lacks the package or is too
old for it, that its program runs, with one line on stderr at most. So it needs nothing but an old Python.
"""

import os
import sys

_HERE = os.path.dirname(os.path.abspath(__file__))
_ORIGINAL = "OCPP_MONGO_PYTHONPATH"
_OLDEST = (3, 10)


def _is_here(entry):
    return os.path.abspath(entry or os.curdir) == _HERE


def _restore_path():
    sys.path[:] = [entry for entry in sys.path if not _is_here(entry)]
    if os.environ.get("OCPP_MONGO_CHILDREN", "").lower() in ("1", "on", "t", "true", "y", "yes"):
        return
    told = os.environ.get("PYTHONPATH", "")
    original = os.environ.pop(_ORIGINAL, None)
    if told != _HERE + (os.pathsep + original if original else ""):
        # Somebody changed it on the way here.
        entries = [entry for entry in told.split(os.pathsep) if not entry or not _is_here(entry)]
        original = os.pathsep.join(entries) or None
    if original is None:
        os.environ.pop("PYTHONPATH", None)
    else:
        os.environ["PYTHONPATH"] = original


def _start_recording():
    try:
        if sys.version_info < _OLDEST:
            _say("it is older than Python %d.%d" % _OLDEST)
        else:
            import ocpp_mongo_plugin.auto
    except Exception as error:
        _say(error)


def _say(error):
    try:
        from importlib.util import find_spec

        if find_spec("ocpp") is not None:
            remedy = "; install ocpp-mongo-plugin there" if isinstance(error, ImportError) else ""
            sys.stderr.write("ocpp-mongo: %s is not recorded: %s%s\n" % (sys.executable, error, remedy))
    except Exception:
        pass


_restore_path()
_this = sys.modules.pop("sitecustomize", None)  # kept, since Python 2 empties a module that nobody refers to
try:
    # The one that this stands before; where there is none, the import of this one fails with the same words.
    import sitecustomize
finally:
    _start_recording()

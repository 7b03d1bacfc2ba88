"""The command line, ``ocpp-mongo``.

Hides its libraries, which come with the extra ``cli``. Promises one clear sentence where they are missing.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Run ``ocpp-mongo`` with the arguments of this process, and exit."""
    try:
        from ocpp_mongo_plugin.cli import app  # noqa: PLC0415 - only here are typer and rich needed
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("typer", "rich"):
            raise
        sys.stderr.write('ocpp-mongo: the command line needs: pip install "ocpp-mongo-plugin[cli]"\n')
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    app.main()

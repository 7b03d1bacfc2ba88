"""``python -m ocpp_mongo_plugin.cli``, where the console script is not on PATH."""

from ocpp_mongo_plugin.cli import main

main()

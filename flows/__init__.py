"""The only place that knows Prefect: the nightly flow, one scene's flow, the command line above them.

Prefect reads these variables when it is first imported, so they are set here, where every way in passes.
"""

import logging
import os

from pipeline.offline import NO_NETWORK

PREFECT_DEFAULTS = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",  # no figures of use are sent to Prefect's makers
    "PREFECT_LOGGING_EXTRA_LOGGERS": "pipeline,flows",  # scene log lines reach the server
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",  # the command logs outside flows too
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "90",  # a cold start takes 15 s
    "PREFECT_RESULTS_DEFAULT_SERIALIZER": "json",  # not the default pickle
}
for name, value in PREFECT_DEFAULTS.items():
    os.environ.setdefault(name, value)
os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.update(NO_NETWORK)  # whatever the user's says: files of strangers and of OUT are opened below
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that wait leave the cores to others

for name in ("pipeline", "flows"):  # Prefect gives them handlers and leaves them at the root's level, WARNING
    logging.getLogger(name).setLevel(logging.INFO)

"""Which Prefect server a night tells of itself: the one that PREFECT_API_URL names, or one of our own."""

from __future__ import annotations

import base64
import contextlib
import logging
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx

from flows import stopping
from flows.local_server import cleaned, own_server
from pipeline.errors import SettingsError
from pipeline.settings import Settings
from pipeline.text import one_line

log = logging.getLogger(__name__)

PATIENCE_S = 10.0
DRAIN_S = 4.0
PROFILE_MEND = "mend it with `prefect config validate`, or unset PREFECT_PROFILE, PREFECT_HOME and the like"


@contextlib.contextmanager
def server_of_a_night(settings: Settings) -> Iterator[None]:
    """Inside, this process talks to a server that answers.

    Scenes that run here need nothing of the user's Prefect: where the server that it names does not answer,
    or where it names none, one of our own is started for the night.

    Raises:
        SettingsError: Scenes go to a pool, and no server is named, or the user's Prefect cannot be read.
        OSError: The server that is named does not answer, and scenes go to a pool; or our own does not begin.
        StoppedError: The night was told to end meanwhile.
    """
    url = named_server(everywhere=settings.run.dispatch == "pool")
    fault = "" if url is None else what_is_wrong(url)
    if url is not None and not fault:
        import_prefect()
        try:
            yield
        finally:
            tell_the_rest()
    elif settings.run.dispatch == "pool":
        if url is None:
            raise SettingsError(
                "setting run.dispatch is pool, and no server is named: set PREFECT_API_URL and "
                "PREFECT_API_AUTH_STRING (deploy/slurm/README.md), or set run.dispatch to in_place"
            )
        raise OSError(f"{fault}; start that server, mend PREFECT_API_URL, or set run.dispatch to in_place")
    else:
        if fault:
            log.warning("%s: this night is told to a server of its own", fault)
        with (
            tempfile.TemporaryDirectory(prefix="thermal-sr-", ignore_cleanup_errors=True) as folder,
            own_server(Path(folder), lasting=False) as environment,
            talking_to(environment),
        ):
            try:
                yield
            finally:
                tell_the_rest()


def named_server(*, everywhere: bool) -> str | None:
    """Address of the server that the user names, if any.

    Args:
        everywhere: Ask the user's Prefect profile too, not only the environment.

    Raises:
        SettingsError: The user's Prefect cannot be read.
    """
    if everywhere or "prefect" in sys.modules:
        import_prefect()
        from prefect.settings import get_current_settings

        return get_current_settings().api.url
    return os.environ.get("PREFECT_API_URL") or None


def import_prefect() -> None:
    """Import Prefect, which reads the user's profile and variables.

    Raises:
        SettingsError: They cannot be read.
    """
    try:
        import prefect.main
        import prefect.settings  # noqa: F401
    except (ValueError, OSError, KeyError, TypeError, AttributeError) as error:
        raise SettingsError(
            f"your Prefect settings cannot be read: {one_line(error, 200)}; {PROFILE_MEND}"
        ) from error


def what_is_wrong(url: str) -> str:
    """Why a server cannot be used, in one line that names it, or ""."""
    shown = one_line(url.rpartition("@")[2], 100)
    try:
        httpx.get(f"{url}/health", timeout=PATIENCE_S).raise_for_status()
        answer = httpx.post(f"{url}/flow_runs/count", json={}, headers=_credentials(), timeout=PATIENCE_S)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        return f"the Prefect server {shown} (PREFECT_API_URL) does not answer: {type(error).__name__}"
    if answer.status_code == httpx.codes.UNAUTHORIZED:
        return f"the Prefect server {shown} (PREFECT_API_URL) refuses our password (PREFECT_API_AUTH_STRING)"
    return ""


@contextlib.contextmanager
def talking_to(environment: Mapping[str, str]) -> Iterator[None]:
    """Inside, this process and those that it starts talk to that server."""
    with _becoming({**cleaned(os.environ), **environment}):
        import_prefect()
        from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

        names = {
            PREFECT_API_URL: environment["PREFECT_API_URL"],
            PREFECT_API_AUTH_STRING: environment["PREFECT_API_AUTH_STRING"],
        }
        with temporary_settings(names):  # Prefect may have been imported before
            yield


@contextlib.contextmanager
def own_prefect(home: Path) -> Iterator[None]:
    """Inside, nothing of the user's Prefect counts."""
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    own = {"PREFECT_HOME": str(home), "PREFECT_PROFILES_PATH": str(home / "profiles.toml")}
    with _becoming({**cleaned(os.environ), **own}):
        import_prefect()
        yield


def tell_the_rest() -> None:
    """Wait a little until the server has all logs and events; afterwards it may end.

    What it has not taken by then would hold this process back at its end, for a minute and more.
    """
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    for worker in (APILogWorker, EventsWorker):
        drained = worker.drain_all(timeout=DRAIN_S)
        if isinstance(drained, tuple) and drained[1]:
            log.warning("the Prefect server does not take the last logs and events of this night")
            stopping.leave_at_once_afterwards()


@contextlib.contextmanager
def _becoming(environment: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    _become(environment)
    try:
        yield
    finally:
        _become(before)


def _become(environment: Mapping[str, str]) -> None:
    for name in os.environ.keys() - environment.keys():
        del os.environ[name]
    os.environ.update(environment)


def _credentials() -> dict[str, str]:
    if "prefect" in sys.modules:
        from prefect.settings import get_current_settings

        api = get_current_settings().api
        password = api.auth_string.get_secret_value() if api.auth_string else ""
        key = api.key.get_secret_value() if api.key else ""
    else:
        password, key = os.environ.get("PREFECT_API_AUTH_STRING", ""), os.environ.get("PREFECT_API_KEY", "")
    if password:
        return {"Authorization": f"Basic {base64.b64encode(password.encode()).decode()}"}
    return {"Authorization": f"Bearer {key}"} if key else {}

"""Install a fleet's rules and its queue for `redo` on its server: `python -m flows.automations`."""

from __future__ import annotations

import argparse
import logging
import sys

from flows.which_server import import_prefect, named_server, what_is_wrong
from pipeline.errors import SettingsError
from pipeline.settings import RunSettings
from pipeline.text import one_line

log = logging.getLogger(__name__)


def main() -> None:
    """Install the automations, and the pool's queue for `redo`, on the server that PREFECT_API_URL names."""
    default = str(RunSettings.model_fields["deployment"].default)
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--deployment", default=default, help="flow/name of the scene deployment")
    deployment = parser.parse_args().deployment
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        import_prefect()
        _install(deployment)
    except (SettingsError, OSError) as error:
        sys.exit(f"flows.automations: {error}")


def _install(deployment: str) -> None:
    import httpx
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound

    from flows.dispatch import make_queues
    from flows.notify import notifications
    from flows.rules import automations, install

    if (url := named_server(everywhere=True)) is None:
        raise SettingsError("no server is named: set PREFECT_API_URL and PREFECT_API_AUTH_STRING")
    if fault := what_is_wrong(url):
        raise OSError(f"{fault}; start that server, or mend PREFECT_API_URL")
    try:
        with get_client(sync_client=True) as client:
            pool = client.read_deployment_by_name(deployment).work_pool_name
            done = install(client, [*automations(deployment), *notifications()])
            for line in [*done, *(make_queues(client, pool) if pool else [])]:
                log.info(line)
    except ObjectNotFound as error:
        raise SettingsError(
            f"the server has no deployment {deployment!r}; run `prefect --no-prompt deploy --all`"
        ) from error
    except httpx.HTTPError as error:
        raise OSError(f"the Prefect server: {type(error).__name__} {one_line(error)}") from error


if __name__ == "__main__":
    main()

"""What the tests of the flows share."""

import gc
from contextlib import ExitStack

import pytest

import flows  # noqa: F401 - its variables for Prefect are there before a test could be blamed for them
from tests.leftovers import kept


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory):
    """One server for all flow tests, with a home of its own; starting it takes 15 s."""
    from prefect.testing.utilities import prefect_test_harness

    with ExitStack() as stack:
        with kept():
            environment = stack.enter_context(pytest.MonkeyPatch.context())
            environment.setenv("PREFECT_HOME", str(tmp_path_factory.mktemp("prefect")))
            stack.enter_context(prefect_test_harness(server_startup_timeout=90))
        yield
    gc.collect()  # sockets that Prefect's client leaves are told here, where the tests ignore them

"""Fixtures: a network of its own, and an Orthanc in it."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from orthanc_peer import Orthanc, require
from own_network import NoNetworkError, own_network


@pytest.fixture(scope="module")
def network() -> Iterator[None]:
    """The tests of the module run in a network of their own; skipped where that is not allowed."""
    with ExitStack() as stack:
        try:
            stack.enter_context(own_network())
        except NoNetworkError as error:
            pytest.skip(f"{error}: run as root, or by unshare --map-root-user --net")
        yield


@pytest.fixture(scope="module")
def running_orthanc(network: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    """One for the module."""
    require()
    one = Orthanc(tmp_path_factory.mktemp("orthanc"))
    yield one
    one.close()


@pytest.fixture
def orthanc(running_orthanc: Orthanc) -> Orthanc:
    """The same, empty."""
    running_orthanc.clear()
    return running_orthanc

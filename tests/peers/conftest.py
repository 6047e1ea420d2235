"""Fixtures: a network of its own, and what runs in it."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from grpc_js_peer import GrpcJs
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


@pytest.fixture(scope="session")
def grpc_js(tmp_path_factory: pytest.TempPathFactory) -> GrpcJs:
    """gRPC for Node, fetched outside of the network of the tests."""
    return GrpcJs(tmp_path_factory.mktemp("grpc_js"))


@pytest.fixture(scope="session")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped model with its serving kit. Read only."""
    from bone_age_tf.export.shipped_model import shipped_model
    from bone_age_tf.serving.serving_kit import write_serving_kit

    version = tmp_path_factory.mktemp("shipped") / "bone_age/1"
    shutil.copytree(shipped_model(), version)
    write_serving_kit(version)
    return version.parent

"""Fixtures of the fault plays: the layer below the node, and towns that are closed when the play ends."""

from __future__ import annotations

import pytest

from faults import recorder
from faults.town import Town


@pytest.fixture(scope="session")
def layer(tmp_path_factory):
    """The recording layer, built."""
    return recorder.build(tmp_path_factory.mktemp("layer"))


@pytest.fixture
def town(request):
    """`town(layer, record=True, …)`: a node in a play of faults."""
    towns: list[Town] = []
    request.node.people = [*getattr(request.node, "people", []), *towns]

    def opens(*arguments, **options) -> Town:
        one = Town(*arguments, **options)
        towns.append(one)
        request.node.people = [*getattr(request.node, "people", []), one]
        return one

    yield opens
    for one in towns:
        one.stop()

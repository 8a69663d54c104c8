"""One site for all tests of a module: each test has a room of its own in it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.site import Site
from tests.faults.site import site as running_site


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running_site(tmp_path_factory.mktemp("site")) as running:
        yield running

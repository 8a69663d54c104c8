"""Faults of what is around presence: the database of the site, and its deployment."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from presence_devtools.servers import wait_until
from tests.faults.site import Site, room
from tests.faults.site import site as running_site


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("site")
    with running_site(directory, PRESENCE_FETCH="tests.faults.people.fetch") as running:
        yield running


@pytest.mark.fault("the database of the worker is gone, and back")
def test_database_gone_and_back_shows_members_without_and_then_with_its_data(site: Site) -> None:
    with room(site, "database") as here:
        database = site.directory / "site.sqlite3"
        there = list(site.directory.glob("site.sqlite3*"))
        for path in there:
            path.rename(path.with_name("away-" + path.name))
        database.mkdir()  # no file can be made in its place
        here.crowd.go("ada")
        here.crowd.come("dan")
        here.end()
        here.judge()
        assert "users" not in info(here.snapshot(), "dan")
        database.rmdir()
        for path in there:
            path.with_name("away-" + path.name).rename(path)
        wait_until(lambda: "users" in info(here.snapshot(), "dan"), "the data is back")
        here.judge()


@pytest.mark.fault("two versions of this package, with different schemas, use one Redis")
def test_two_versions_on_one_redis_show_the_truth_while_and_after_they_run(site: Site) -> None:
    with room(site, "versions") as here:
        site.start("worker:next", DJANGO_SETTINGS_MODULE="tests.faults.next_settings")
        with site.redis_client() as client:
            wait_until(lambda: bool(client.keys("presence:2:*")), "the next version runs")
        here.crowd.go("ada")
        here.crowd.come("dan")
        site.kill("worker:next")
        here.end()
        here.judge()


def info(snapshot: dict, user: str) -> dict:
    (member,) = [each for each in snapshot["members"] if each["id"] == user]
    return member.get("info") or {}

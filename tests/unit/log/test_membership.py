"""What a group shows of its members, and which settings it takes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventresults.errors import ConfigError
from eventresults.log.membership import GroupSettings, Holding, address_in, addresses

ADDRESS = "http://10.0.0.7:8080"


def settings(**changes: object) -> GroupSettings:
    return GroupSettings(**{"group_id": "g", "address": ADDRESS, **changes})


@pytest.mark.parametrize(
    "address",
    [ADDRESS, "https://view-0.views.prod.svc.cluster.local:8443", "http://[::1]:80", "http://host:80/a;b?c=%20"],
)
def test_an_address_travels_in_the_client_id_and_back(address: str) -> None:
    assert address_in(settings(address=address).client_id) == address


@given(st.text(st.characters(codec="ascii", categories=["L", "N", "P", "S"]), min_size=1, max_size=80))
def test_whatever_address_is_taken_comes_back(rest: str) -> None:
    assert address_in(settings(address="http://" + rest).client_id) == "http://" + rest


@pytest.mark.parametrize("client_id", ["", "rdkafka", "eventresults", "eventresults;", "eventresults;ftp://x", "x;http://host:80", ADDRESS])
def test_a_client_id_that_is_not_ours_holds_no_address(client_id: str) -> None:
    assert address_in(client_id) is None


@pytest.mark.parametrize("address", ["", "host:80", "http://", "http://a b", "http://größe", "http://a\n", "http://" + "x" * 600])
def test_an_address_that_others_could_not_read_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match="address") as refusal:
        settings(address=address)
    assert refusal.value.facts["setting"] == "address"


@pytest.mark.parametrize("instance_id", ["", "a b", "a/b", "ä", "x" * 201])
def test_an_instance_id_that_brokers_refuse_is_refused_here(instance_id: str) -> None:
    with pytest.raises(ConfigError, match="instance_id"):
        settings(instance_id=instance_id)


@pytest.mark.parametrize("changes", [{"group_id": ""}, {"heartbeat_interval": 0.0}, {"heartbeat_interval": 10.0}, {"session_timeout": 2.0}])
def test_what_no_group_could_work_with_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        settings(**changes)


def test_an_instance_is_known_by_its_name_and_where_it_is() -> None:
    names = [settings(instance_id=one, address=f"http://{host}:1").group_instance_id for one in ("a", "b" * 200) for host in ("x", "y")]
    assert len(set(names)) == 4
    assert all(name is not None and len(name) < 250 for name in names)
    assert settings(instance_id="a").group_instance_id == settings(instance_id="a").group_instance_id
    assert settings().group_instance_id is None


def test_owners_are_those_of_this_topic_who_say_where_they_are() -> None:
    ours, other = settings().client_id, settings(address="http://b:1").client_id
    holdings = [
        Holding(ours, "topic", (0, 2)),
        Holding(other, "topic", (1,)),
        Holding("rdkafka", "topic", (3,)),
        Holding(other, "another", (4,)),
    ]
    assert addresses(holdings, "topic") == {0: ADDRESS, 1: "http://b:1", 2: ADDRESS}


def test_a_partition_that_two_claim_has_no_owner() -> None:
    holdings = [Holding(settings(address=f"http://{host}:1").client_id, "topic", (0,)) for host in "ab"]
    assert addresses(holdings, "topic") == {}

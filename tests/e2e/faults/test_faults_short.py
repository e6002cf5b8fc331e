"""The faults of one host and of a network, each at least once, in a minute: what `make soak` does for an hour.

A bug that a run found stays here as its seed.
"""

from __future__ import annotations

import sys

import pytest

from tests.e2e.faults import actions as harm
from tests.e2e.faults import network_actions as network
from tests.e2e.faults.actions import Action
from tests.e2e.faults.run import run_round
from tests.e2e.faults.scene import Scene

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="SIGSTOP, mount, prlimit")]

#: Seed, what is done, and what the seed found, if it found something.
ON_ONE_HOST: list[tuple[int, list[Action]]] = [
    (1, [harm.kill_owner, harm.kill_between_commit_and_telling, harm.kill_before_commit, harm.fork_reader, harm.kill_writer]),
    (2, [harm.delete_view, harm.damage_view, harm.append_hostile, harm.rebuild, harm.kill_reader, harm.kill_owner]),
    (3, [harm.stop_owner, harm.fill_disk, harm.stop_reader]),
]
ON_A_NETWORK: list[tuple[int, list[Action]]] = [
    # A connection that ended within the handshake was taken for "no view service", for good.
    (5, [network.cut_network, network.freeze_network, network.kill_service, network.stop_service]),
]


@pytest.mark.parametrize(("seed", "actions"), ON_ONE_HOST)
def test_whatever_happens_on_one_host_nothing_is_lost_told_twice_or_left_hanging(seed: int, actions: list[Action]):
    with Scene(seed) as scene:
        if harm.fill_disk in actions:
            scene.mount_small_disk()
        report = run_round(scene, actions, pause=0.1)
    assert report.violations == []
    assert report.fired > 100


@pytest.mark.parametrize(("seed", "actions"), ON_A_NETWORK)
def test_whatever_happens_to_the_network_nothing_is_lost_told_twice_or_left_hanging(seed: int, actions: list[Action]):
    with Scene(seed) as scene:
        scene.network = network.Network(scene)
        report = run_round(scene, actions, pause=0.1)
    assert report.violations == []
    assert report.fired > 100


def test_every_action_is_among_them():
    done = {action for _, actions in ON_ONE_HOST + ON_A_NETWORK for action in actions}
    assert done == {*harm.ON_ONE_HOST, *network.ON_A_NETWORK}

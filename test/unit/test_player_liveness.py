# Copyright 2026 The k2so_tts authors
# SPDX-License-Identifier: Apache-2.0
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""The state machine that follows a player: one test for each arrow of its diagram."""

from __future__ import annotations

import math

import pytest
from support.player_graph import Graph

from k2so_tts.ros.player_liveness import PlayerLiveness, PlayerState

START = 100.0
PATIENCE = 1.0
SILENCE_SECONDS = 0.7
NEWCOMER_SECONDS = 4.0


@pytest.fixture
def graph() -> Graph:
    """One player that subscribes and reports."""
    return Graph(1, frozenset({"one"}))


@pytest.fixture
def liveness(graph: Graph) -> PlayerLiveness:
    found = PlayerLiveness(graph, START - 60.0)
    found.announce(START - 1.0)
    return found


def starting(liveness: PlayerLiveness) -> PlayerLiveness:
    assert liveness.wait_for_player(START, START, PATIENCE) is None
    liveness.audio_outstanding(START)
    return liveness


def playing(liveness: PlayerLiveness, now: float = START) -> PlayerLiveness:
    starting(liveness)
    assert liveness.hear_from("one", now)
    liveness.confirm(at_part_start=False)
    return liveness


def by_clock(liveness: PlayerLiveness, graph: Graph) -> PlayerLiveness:
    graph.reporting = frozenset()
    return starting(liveness)


def lost(liveness: PlayerLiveness, now: float = START + 2.0) -> PlayerLiveness:
    liveness.lose(now)
    return liveness


def state_of(liveness: PlayerLiveness) -> PlayerState:
    return liveness.state


def test_it_begins_without_a_player(liveness: PlayerLiveness) -> None:
    assert liveness.state is PlayerState.WAITING
    assert not liveness.follows_clock
    assert not liveness.is_confirmed


def test_a_player_that_has_announced_itself_is_spoken_to_at_once(liveness: PlayerLiveness) -> None:
    assert starting(liveness).state is PlayerState.STARTING
    assert not liveness.follows_clock


@pytest.mark.parametrize("missing", ["announcement", "subscription", "subscriber"])
def test_a_player_that_is_not_ready_is_waited_for(graph: Graph, missing: str) -> None:
    liveness = PlayerLiveness(graph, START - 60.0)
    if missing != "announcement":
        liveness.announce(START)
    graph.subscribed = missing != "subscription"
    graph.listeners = int(missing != "subscriber")
    due = liveness.wait_for_player(START, START + 0.5, PATIENCE)
    assert due == pytest.approx(START + 0.505)
    assert liveness.state is PlayerState.WAITING
    assert liveness.wait_for_player(START, START + 0.998, PATIENCE) == START + PATIENCE
    assert liveness.wait_for_player(START, START + PATIENCE, PATIENCE) is None
    ready_enough = missing == "subscription"
    assert state_of(liveness) is (PlayerState.STARTING if ready_enough else PlayerState.UNHEARD)


def test_a_playhead_announces_a_player_as_well(graph: Graph) -> None:
    liveness = PlayerLiveness(graph, START - 60.0)
    assert liveness.hear_from("one", START)
    assert starting(liveness).state is PlayerState.STARTING


@pytest.mark.parametrize(("age", "at_once"), [(0.0, False), (0.999, False), (PATIENCE, True)])
def test_a_subscriber_that_reports_nothing_is_enough_some_time_after_the_start(
    age: float, at_once: bool
) -> None:
    liveness = PlayerLiveness(Graph(1), START - age)
    due = liveness.wait_for_player(START, START, PATIENCE)
    assert (due is None) is at_once
    assert liveness.state is (PlayerState.BY_CLOCK if at_once else PlayerState.WAITING)


def test_without_a_subscriber_it_is_unheard(graph: Graph, liveness: PlayerLiveness) -> None:
    graph.listeners, graph.reporting = 0, frozenset()
    assert liveness.wait_for_player(START, START, PATIENCE) is not None
    assert liveness.wait_for_player(START, START + PATIENCE, PATIENCE) is None
    assert liveness.state is PlayerState.UNHEARD
    assert liveness.follows_clock
    assert liveness.deadline(START, may_start=True) == math.inf


def test_the_first_playhead_shows_that_it_plays(liveness: PlayerLiveness) -> None:
    assert playing(liveness).state is PlayerState.PLAYING
    assert liveness.is_confirmed


def test_at_the_start_of_a_part_it_may_still_wait_for_more(liveness: PlayerLiveness) -> None:
    starting(liveness).confirm(at_part_start=True)
    assert liveness.state is PlayerState.RESUMING
    assert liveness.is_confirmed
    assert liveness.deadline(START, may_start=False) == math.inf


def test_a_player_that_has_played_all_it_had_may_be_silent(liveness: PlayerLiveness) -> None:
    playing(liveness).audio_outstanding(START + 3.0)
    assert liveness.state is PlayerState.RESUMING
    assert liveness.deadline(START + 3.0, may_start=False) == math.inf
    expected = START + 3.0 + SILENCE_SECONDS
    assert liveness.deadline(START + 3.0, may_start=True) == expected
    liveness.hear_from("one", START + 3.5)
    liveness.confirm(at_part_start=False)
    assert state_of(liveness) is PlayerState.PLAYING


def test_a_player_that_plays_is_lost_when_it_is_silent(liveness: PlayerLiveness) -> None:
    playing(liveness, START + 0.5)
    for may_start in (True, False):
        expected = START + 0.5 + SILENCE_SECONDS
        assert liveness.deadline(START + 9.0, may_start=may_start) == expected
    liveness.excuse_silence(START + 5.0)
    assert liveness.deadline(START, may_start=True) == START + 5.0 + SILENCE_SECONDS


def test_a_player_that_was_never_heard_is_given_more_time(liveness: PlayerLiveness) -> None:
    starting(liveness)
    assert liveness.deadline(START + 0.1, may_start=False) == math.inf
    assert liveness.deadline(START + 0.1, may_start=True) == START + 0.1 + NEWCOMER_SECONDS
    liveness.hear_from("one", START + 1.0)
    liveness.confirm(at_part_start=False)
    liveness.reset()
    starting(liveness)
    expected = START + 1.0 + SILENCE_SECONDS + 1.0
    assert liveness.deadline(START + 0.1, may_start=True) == expected, "it has proved itself"


def test_a_player_has_as_much_longer_to_start_as_it_usually_takes(
    liveness: PlayerLiveness,
) -> None:
    sent_at = START
    for number, took in enumerate([0.5, 0.25, 3.0, 0.5, 0.75]):
        sent_at += 10.0
        liveness.reset()
        assert liveness.wait_for_player(sent_at, sent_at, PATIENCE) is None
        liveness.audio_outstanding(sent_at)
        if number > 0:
            assert liveness.deadline(sent_at, may_start=True) > sent_at + SILENCE_SECONDS
        assert liveness.hear_from("one", sent_at + took)
        liveness.confirm(at_part_start=False)
        liveness.confirm(at_part_start=True)
    liveness.reset()
    sent_at += 10.0
    liveness.audio_outstanding(sent_at)
    expected = sent_at + SILENCE_SECONDS + 0.5
    assert liveness.deadline(sent_at, may_start=True) == expected


def test_a_player_that_joined_late_is_not_waited_for_as_long_again(
    liveness: PlayerLiveness,
) -> None:
    playing(liveness, START + 60.0)
    liveness.reset()
    liveness.audio_outstanding(START + 90.0)
    expected = START + 90.0 + NEWCOMER_SECONDS
    assert liveness.deadline(START + 90.0, may_start=True) == expected


def test_a_player_that_was_lost_is_given_more_time_until_it_is_heard_again(
    liveness: PlayerLiveness,
) -> None:
    lost(playing(liveness))
    liveness.reset()
    liveness.announce(START + 2.5)
    assert liveness.wait_for_player(START + 3.0, START + 3.0, PATIENCE) is None
    liveness.audio_outstanding(START + 3.0)
    assert liveness.deadline(START + 3.0, may_start=True) == START + 3.0 + NEWCOMER_SECONDS
    assert liveness.hear_from("one", START + 6.0)
    liveness.confirm(at_part_start=True)
    expected = START + 6.0 + SILENCE_SECONDS + 1.5  # it took 0 and 3 s to start
    assert liveness.deadline(START + 6.0, may_start=True) == expected


def test_what_goes_on_after_a_loss_within_an_utterance_is_proven_again(
    liveness: PlayerLiveness,
) -> None:
    lost(playing(liveness))
    liveness.resume(START + 3.0)
    assert liveness.deadline(START + 3.0, may_start=True) == START + 3.0 + NEWCOMER_SECONDS
    assert liveness.hear_from("one", START + 4.0)
    liveness.confirm(at_part_start=True)
    assert liveness.deadline(START + 4.0, may_start=True) == START + 4.0 + SILENCE_SECONDS


def test_another_player_makes_it_a_newcomer_again(graph: Graph, liveness: PlayerLiveness) -> None:
    playing(liveness)
    liveness.reset()
    graph.reporting = frozenset({"one", "two"})
    starting(liveness)
    assert liveness.deadline(START, may_start=True) == START + NEWCOMER_SECONDS


def test_who_listens_by_the_clock_is_lost_when_nobody_subscribes(
    graph: Graph, liveness: PlayerLiveness
) -> None:
    by_clock(liveness, graph)
    assert liveness.state is PlayerState.BY_CLOCK
    assert liveness.follows_clock
    graph.reporting = frozenset({"late"})
    assert liveness.follows_clock, "a player that has come too late does not matter"
    assert liveness.deadline(START, may_start=True) == math.inf
    graph.listeners = 0
    assert liveness.deadline(START, may_start=True) == -math.inf


def test_a_player_that_left_before_it_started_leaves_the_clock_to_others(
    graph: Graph, liveness: PlayerLiveness
) -> None:
    starting(liveness)
    graph.reporting = frozenset()
    assert liveness.follows_clock
    assert liveness.deadline(START, may_start=True) == math.inf


@pytest.mark.parametrize("leaves", ["subscription", "publisher"])
def test_a_player_that_leaves_is_lost_at_once(
    graph: Graph, liveness: PlayerLiveness, leaves: str
) -> None:
    playing(liveness)
    graph.listeners = int(leaves != "subscription")
    graph.reporting = frozenset() if leaves == "publisher" else graph.reporting
    assert liveness.deadline(START, may_start=True) == -math.inf


def test_a_lost_player_that_reports_again_plays(liveness: PlayerLiveness) -> None:
    lost(playing(liveness))
    assert liveness.state is PlayerState.LOST
    assert liveness.lost_at == START + 2.0
    assert liveness.is_confirmed
    liveness.confirm(at_part_start=False)
    assert state_of(liveness) is PlayerState.PLAYING
    assert liveness.lost_at is None


@pytest.mark.parametrize(("announced_at", "is_back"), [(START + 0.9, False), (START + 1.1, True)])
def test_a_loss_reports_whether_a_player_has_announced_itself_since(
    liveness: PlayerLiveness, announced_at: float, is_back: bool
) -> None:
    playing(liveness, START + 1.0)
    liveness.announce(announced_at)
    assert liveness.lose(START + 2.0) is not is_back


def test_what_is_outstanding_since_later_was_not_received_by_an_earlier_player(
    liveness: PlayerLiveness,
) -> None:
    playing(liveness, START + 1.0)
    liveness.audio_outstanding(START + 1.5)
    liveness.announce(START + 1.2)
    assert liveness.lose(START + 3.0)


def test_it_is_sent_again_to_another_player_only(graph: Graph, liveness: PlayerLiveness) -> None:
    lost(playing(liveness))
    liveness.announce(START + 3.0)
    assert not liveness.can_resend(), "the same one may have it all"
    graph.reporting = frozenset({"one", "two"})
    graph.subscribed = False
    assert not liveness.can_resend(), "it would not arrive"
    graph.subscribed = True
    graph.listeners = 0
    assert not liveness.can_resend()
    graph.listeners = 1
    assert liveness.can_resend()
    liveness.resume(START + 3.0)
    assert liveness.state is PlayerState.RESUMING
    assert liveness.lost_at is None
    assert liveness.deadline(START + 3.0, may_start=True) == START + 3.0 + NEWCOMER_SECONDS
    lost(liveness, START + 5.0)
    liveness.announce(START + 5.0)
    assert not liveness.can_resend(), "both have it now"


def test_what_was_sent_again_was_not_received_by_an_earlier_player(
    graph: Graph, liveness: PlayerLiveness
) -> None:
    lost(playing(liveness, START))
    liveness.announce(START + 3.0)
    graph.reporting = frozenset({"two"})
    liveness.resume(START + 4.0)
    assert liveness.lose(START + 9.0), "announced before, and silent since"


def test_a_late_player_that_was_heard_has_received_it(
    graph: Graph, liveness: PlayerLiveness
) -> None:
    by_clock(liveness, graph)
    graph.reporting = frozenset({"late"})
    liveness.hear_from("late", START + 1.0)
    liveness.confirm(at_part_start=False)
    lost(liveness, START + 3.0)
    liveness.announce(START + 4.0)
    assert not liveness.can_resend()


def test_a_player_that_has_left_and_come_back_is_another_one(
    graph: Graph, liveness: PlayerLiveness
) -> None:
    lost(playing(liveness))
    liveness.announce(START + 3.0)
    graph.reporting = frozenset()
    assert not liveness.can_resend()
    graph.reporting = frozenset({"one"})
    assert liveness.can_resend()


def test_a_restarted_player_has_to_announce_itself(graph: Graph, liveness: PlayerLiveness) -> None:
    lost(playing(liveness))
    graph.reporting = frozenset({"two"})
    assert not liveness.can_resend()
    liveness.announce(START + 3.0)
    assert liveness.can_resend()


def test_a_player_that_was_never_heard_starts_again(graph: Graph, liveness: PlayerLiveness) -> None:
    lost(starting(liveness))
    graph.reporting = frozenset({"two"})
    liveness.announce(START + 3.0)
    assert liveness.can_resend()
    liveness.resume(START + 3.0)
    assert liveness.state is PlayerState.STARTING


def test_a_subscriber_that_reports_nothing_is_sent_everything_again(
    graph: Graph, liveness: PlayerLiveness
) -> None:
    lost(by_clock(liveness, graph))
    assert liveness.follows_clock
    graph.listeners = 0
    assert not liveness.can_resend()
    graph.listeners = 1
    assert liveness.can_resend()
    liveness.resume(START + 3.0)
    assert liveness.state is PlayerState.BY_CLOCK


@pytest.mark.parametrize(("silence", "changes"), [(0.29, False), (0.3, True)])
def test_another_player_is_followed_when_the_first_is_silent(
    liveness: PlayerLiveness, silence: float, changes: bool
) -> None:
    playing(liveness, 0.0)
    assert liveness.hear_from("two", silence) is changes
    assert liveness.hear_from("one", silence) is not changes


def test_before_anything_is_heard_any_player_is_followed(liveness: PlayerLiveness) -> None:
    starting(liveness)
    assert liveness.hear_from("one", START)
    assert liveness.hear_from("two", START)


def test_a_player_with_a_device_is_followed_as_soon_as_it_reports(
    liveness: PlayerLiveness, graph: Graph
) -> None:
    graph.reporting = frozenset({"id of one", "id of two"})
    starting(liveness)
    assert liveness.hear_from("one", START, has_device=False)
    liveness.confirm(at_part_start=False)
    assert liveness.hear_from("two", START + 0.01)
    assert not liveness.hear_from("one", START + 0.02, has_device=False)
    liveness.reset()
    assert not liveness.hear_from("one", START + 9.0, has_device=False)
    assert liveness.followed == "two"


def test_a_player_without_a_device_is_followed_once_no_other_is_there(
    liveness: PlayerLiveness, graph: Graph
) -> None:
    graph.reporting = frozenset({"id of one", "id of two"})
    playing(liveness)
    graph.reporting = frozenset({"id of one", "id of two", "id of three"})
    assert not liveness.hear_from("three", START + 9.0, has_device=False)
    graph.reporting = frozenset({"id of two", "id of three"})
    assert liveness.hear_from("three", START + 9.1, has_device=False)


def test_one_that_joined_late_is_not_followed_while_another_may_have_the_beginning(
    liveness: PlayerLiveness, graph: Graph
) -> None:
    starting(liveness)
    assert liveness.hear_from("late", START, joined_late=True), "there is no other"
    graph.reporting = frozenset({"id of one", "id of late"})
    liveness.hear_from("one", START)
    assert not liveness.hear_from("late", START + 0.1, joined_late=True)
    assert liveness.hear_from("one", START + 0.5)
    liveness.confirm(at_part_start=False)
    assert not liveness.hear_from("late", START + 0.6, joined_late=True)
    assert liveness.hear_from("late", START + 0.9, joined_late=True), "the other is silent"


def test_a_player_that_loses_its_device_is_followed_on(liveness: PlayerLiveness) -> None:
    playing(liveness)
    assert liveness.hear_from("one", START + 0.1, has_device=False)
    assert liveness.followed == "one"


def test_the_next_utterance_begins_without_a_player(liveness: PlayerLiveness) -> None:
    lost(playing(liveness))
    liveness.reset()
    assert liveness.state is PlayerState.WAITING
    assert liveness.lost_at is None
    assert not liveness.is_confirmed

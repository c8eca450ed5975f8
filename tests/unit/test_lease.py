"""The election's state machine, by table, and as two replicas on one simulated Lease."""

import random
from dataclasses import dataclass, replace

import pytest

from pilotage.controller.lease import (
    Claim,
    Standing,
    Terms,
    after_losing,
    after_reading,
    after_release,
    after_silence,
    after_writing,
    expires_at,
    next_act,
    pause_seconds,
)

TERMS = Terms(lease_seconds=7, renew_seconds=4.0, retry_seconds=1.0)
ME = Standing("me", TERMS)
THEIRS = Claim("them", "5", 7.0)
MINE = Claim("me", "6", 7.0)


def test_who_knows_nothing_reads_at_once() -> None:
    assert next_act(ME, 100.0) == "read"
    assert pause_seconds(ME, 100.0) == 0.0


def test_a_missing_lease_is_created_at_once() -> None:
    standing = after_reading(ME, None, 100.0)
    assert (next_act(standing, 100.0), pause_seconds(standing, 100.0)) == ("create", 0.0)


def test_a_lease_that_was_given_back_is_taken_at_once() -> None:
    standing = after_reading(ME, Claim("", "5", 1.0), 100.0)
    assert (next_act(standing, 100.0), pause_seconds(standing, 100.0)) == ("take", 0.0)


def test_anothers_lease_is_read_each_second() -> None:
    standing = after_reading(ME, THEIRS, 100.0)
    assert (next_act(standing, 100.5), pause_seconds(standing, 100.25)) == ("read", 0.75)


def test_anothers_lease_expires_counted_from_when_it_was_first_seen_in_this_form() -> None:
    standing = after_reading(ME, THEIRS, 100.0)
    for second in range(101, 107):
        standing = after_reading(standing, THEIRS, float(second))
    assert expires_at(standing) == 107.0
    assert next_act(standing, 106.99) == "read"
    assert next_act(standing, 107.0) == "take"


def test_a_renewal_starts_the_count_anew() -> None:
    standing = after_reading(ME, THEIRS, 100.0)
    standing = after_reading(standing, replace(THEIRS, version="6"), 104.0)
    assert next_act(standing, 110.9) == "read"
    assert next_act(standing, 111.0) == "take"


def test_the_wait_is_cut_short_by_the_expiry() -> None:
    standing = replace(after_reading(ME, THEIRS, 100.0), looked_at=106.4)
    assert pause_seconds(standing, 106.4) == pytest.approx(0.6)


def test_a_failed_takeover_is_tried_again_only_after_the_retry_time() -> None:
    standing = after_silence(after_reading(ME, THEIRS, 100.0), 108.0)
    assert next_act(standing, 108.0) == "take"
    assert pause_seconds(standing, 108.0) == 1.0


def test_the_leader_counts_from_before_it_asked() -> None:
    standing = after_writing(after_reading(ME, None, 100.0), MINE, asked_at=100.0)
    assert standing.leads(103.99)
    assert not standing.leads(104.0)
    assert next_act(standing, 101.0) == "renew"
    assert pause_seconds(standing, 100.0) == 1.0


def test_a_leader_without_answers_runs_out_and_goes_on_trying() -> None:
    standing = after_silence(after_writing(ME, MINE, asked_at=100.0), 102.0)
    assert standing.leads(103.9)
    assert not standing.leads(104.0)
    assert next_act(standing, 104.0) == "renew"


def test_a_leader_whose_renewal_was_taken_but_not_answered_goes_on_leading() -> None:
    standing = after_losing(after_writing(ME, MINE, asked_at=100.0), 101.0)
    assert next_act(standing, 101.0) == "read"
    assert pause_seconds(standing, 101.0) == pytest.approx(0.1)
    standing = after_reading(standing, replace(MINE, version="7"), 101.1)
    assert standing.leads(103.9)


def test_a_leader_that_reads_anothers_name_stops_at_once() -> None:
    standing = after_losing(after_writing(ME, MINE, asked_at=100.0), 101.0)
    assert not after_reading(standing, THEIRS, 101.1).leads(101.1)


def test_who_gives_the_lease_back_leads_no_more() -> None:
    assert not after_release(after_writing(ME, MINE, asked_at=100.0)).leads(100.1)


@dataclass
class SharedLease:
    """What the API server does: one object, compare-and-swap."""

    claim: Claim | None = None
    version: int = 0

    def write(self, holder: str, seen: Claim | None) -> Claim | None:
        if seen != self.claim:
            return None
        self.version += 1
        self.claim = Claim(holder, str(self.version), float(TERMS.lease_seconds))
        return self.claim


@dataclass
class Replica:
    """A replica with its own monotonic clock (another offset) and its own luck with the network."""

    standing: Standing
    offset: float
    wake_at: float = 0.0

    def turn(self, shared: SharedLease, now: float, *, reaches: bool, returns: bool = True) -> None:
        local = now + self.offset
        act = next_act(self.standing, local)
        if reaches and not returns and act != "read":
            shared.write(self.standing.identity, self.standing.claim)
        if not (reaches and returns):
            self.standing = after_silence(self.standing, local)
        elif act == "read":
            self.standing = after_reading(self.standing, shared.claim, local)
        elif (claim := shared.write(self.standing.identity, self.standing.claim)) is None:
            self.standing = after_losing(self.standing, local)
        else:
            self.standing = after_writing(self.standing, claim, local)
        self.wake_at = now + pause_seconds(self.standing, local)


@pytest.mark.parametrize("seed", range(40))
def test_two_replicas_never_lead_at_once_however_the_network_breaks(seed: int) -> None:
    chance, shared = random.Random(seed), SharedLease()
    replicas = [Replica(Standing(name, TERMS), chance.uniform(-1e6, 1e6)) for name in "ab"]
    cut = {"a": 0.0, "b": 0.0}
    led, now = 0, 0.0
    while now < 600.0:
        for replica in replicas:
            name = replica.standing.identity
            if chance.random() < 0.001:
                cut[name] = now + chance.uniform(0.5, 20.0)
            if replica.wake_at <= now:
                replica.turn(shared, now, reaches=now >= cut[name], returns=chance.random() > 0.05)
        leaders = [each for each in replicas if each.standing.leads(now + each.offset)]
        assert len(leaders) <= 1
        led += len(leaders)
        now += 0.05
    assert led > 0.4 * 600.0 / 0.05  # somebody leads for a good part of the time, however bad the network


def test_after_a_crash_the_other_leads_within_eight_seconds() -> None:
    shared = SharedLease()
    leader, other = Replica(Standing("a", TERMS), 0.0), Replica(Standing("b", TERMS), 0.37)
    now, crashed_at = 0.0, 30.0
    while not other.standing.leads(now + other.offset):
        if leader.wake_at <= now < crashed_at:
            leader.turn(shared, now, reaches=True)
        if other.wake_at <= now and now >= 0.5:
            other.turn(shared, now, reaches=True)
        now += 0.01
        assert now < crashed_at + 8.1
    assert now > crashed_at

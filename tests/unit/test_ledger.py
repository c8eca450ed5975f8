"""The record's file: each decision in order and once, whatever happens to the process, the file or the disk."""

import asyncio
import errno
import fcntl
import json
import os
import random
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from pilotage.controller.ledger import Ledger
from pilotage.controller.ledger_file import LedgerFile, LedgerLockedError, Line
from pilotage.resources.rollout import PilotRollout
from pilotage.resources.status import HISTORY_LIMIT, HistoryEntry
from tests.builders import make_rollout
from tests.unit.manual_clock import ManualClock, settle

START = datetime(2030, 1, 1, tzinfo=UTC)


def entry(sequence: int) -> HistoryEntry:
    return HistoryEntry(
        time=START + timedelta(seconds=sequence),
        sequence=sequence,
        generation=1,
        action="Hold",
        reason="NoData",
        message="größer als \u2028 »1 %«\n" * (sequence % 3 + 1),
    )


def decided(last: int, name: str = "search") -> PilotRollout:
    """A rollout whose history is what is left of this many decisions."""
    rollout = make_rollout(name).step("all", percent=100).obj()
    history = tuple(entry(number) for number in range(max(1, last - HISTORY_LIMIT + 1), last + 1))
    return rollout.model_copy(update={"status": rollout.status.model_copy(update={"history": history})})


def lines_of(rollout: PilotRollout) -> list[Line]:
    return [Line(rollout.metadata, each) for each in rollout.status.history]


def read(*paths: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for path in paths for line in path.read_bytes().split(b"\n")[:-1]]


def sequences(path: Path, name: str = "search") -> list[int]:
    return [line["data"]["sequence"] for line in read(path) if line["data"]["name"] == name]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "decisions.jsonl"


def test_what_is_written_is_not_written_again_by_the_next_process(path: Path) -> None:
    first = LedgerFile(path)
    assert first.write(lines_of(decided(3))) == 3
    first.close()
    second = LedgerFile(path)
    assert second.write(lines_of(decided(5))) == 2
    assert second.write(lines_of(decided(5))) == 0
    assert sequences(path) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("cut", [1, 2, 100, 10_000])
def test_a_last_line_that_a_crash_has_torn_is_cut_off_and_written_anew(path: Path, cut: int) -> None:
    first = LedgerFile(path)
    first.write(lines_of(decided(3)))
    first.close()
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut] if cut < len(whole) else b"\0" * 5)
    LedgerFile(path).write(lines_of(decided(3)))
    assert path.read_bytes() == whole


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_wherever_a_crash_cuts_the_file_each_decision_is_there_once_and_in_order(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("record") / "decisions.jsonl"
    names, made = ("a", "b", "c"), dict.fromkeys("abc", 0)
    for _ in range(data.draw(st.integers(1, 6))):
        file = LedgerFile(path)
        for name in data.draw(st.lists(st.sampled_from(names), max_size=6)):
            made[name] += data.draw(st.integers(1, 4))
            file.write(lines_of(decided(made[name], name)))
        file.close()
        if path.exists():
            size = path.stat().st_size
            os.truncate(path, max(0, size - data.draw(st.integers(0, 700))))
    final = LedgerFile(path)
    for name in names:
        final.write(lines_of(decided(made[name], name)))
    for name in names:
        assert sequences(path, name) == list(range(1, made[name] + 1))


def test_decisions_that_left_the_history_unwritten_are_named_as_a_gap(path: Path) -> None:
    file = LedgerFile(path)
    file.write(lines_of(decided(3)))
    file.write(lines_of(decided(30)))
    gap = read(path)[3]
    assert gap["type"] == "dev.pilotage.rollout.gap.v1"
    assert (gap["data"]["first"], gap["data"]["last"]) == (4, 10)
    assert gap["id"] == "uid-search.4-10"
    file.close()
    again = LedgerFile(path)
    assert again.write(lines_of(decided(31))) == 1
    assert [line["id"] for line in read(path)][-2:] == ["uid-search.30", "uid-search.31"]


def test_a_record_that_begins_late_says_what_it_does_not_have(path: Path) -> None:
    LedgerFile(path).write(lines_of(decided(25)))
    assert [line["id"] for line in read(path)][:2] == ["uid-search.1-5", "uid-search.6"]


def test_a_full_part_is_put_aside_and_its_decisions_stay_known(path: Path) -> None:
    file = LedgerFile(path, rotate_bytes=2000, keep=3)
    for last in range(1, 41):
        file.write(lines_of(decided(last)))
        file.write(lines_of(decided(1, "quiet")))
    file.close()
    parts = sorted(path.parent.glob("decisions.jsonl.0*"))
    assert len(parts) == 3
    kept = [line["data"]["sequence"] for line in read(*parts, path)]
    assert kept == list(range(kept[0], 41)), "in order and each once over all parts; `quiet` left with an old one"
    again = LedgerFile(path, rotate_bytes=2000, keep=3)
    assert again.write([*lines_of(decided(40)), *lines_of(decided(1, "quiet"))]) == 0


@pytest.mark.parametrize("point", ["rename", "unlink", "replace"])
def test_a_crash_in_the_middle_of_a_rotation_repeats_nothing(
    path: Path, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = LedgerFile(path, rotate_bytes=1500, keep=0)
    with monkeypatch.context() as broken:
        broken.setattr(Path, point, _die)
        with pytest.raises(KeyboardInterrupt):
            file.write(lines_of(decided(10)))
    file._close()
    again = LedgerFile(path)
    assert again.write(lines_of(decided(12))) == 2


def _die(*_: object) -> None:
    raise KeyboardInterrupt


def test_an_index_that_can_not_be_read_costs_no_decision(path: Path) -> None:
    path.with_name("decisions.jsonl.index").write_text('{"uid-search": "many"}')
    assert LedgerFile(path).write(lines_of(decided(2))) == 2


@pytest.mark.parametrize("how", ["moved", "emptied"])
def test_a_file_that_something_else_moves_or_empties_goes_on_without_repeating(path: Path, how: str) -> None:
    file = LedgerFile(path)
    file.write(lines_of(decided(3)))
    if how == "moved":
        path.rename(path.with_name("theirs"))
    else:
        os.truncate(path, 0)
    file.write(lines_of(decided(4)))
    file.close()
    assert sequences(path) == [4]
    assert LedgerFile(path).write(lines_of(decided(4))) == 0


def test_lines_of_others_are_left_as_they_are(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path.write_text("hello\n")
    LedgerFile(path).write(lines_of(decided(1)))
    assert path.read_text().startswith("hello\n{")
    assert "1 lines that are no decisions" in caplog.text


def test_two_processes_never_write_at_once(path: Path) -> None:
    first, second = LedgerFile(path), LedgerFile(path)
    first.write(lines_of(decided(2)))
    with pytest.raises(LedgerLockedError, match="another process writes it"):
        second.write(lines_of(decided(3)))
    first.write(lines_of(decided(4)))
    first.close()
    assert second.write(lines_of(decided(5))) == 1
    assert sequences(path) == [1, 2, 3, 4, 5]


@contextmanager
def full_disk(monkeypatch: pytest.MonkeyPatch, *, after_bytes: int) -> Iterator[None]:
    """A disk that takes this much more, and then nothing."""
    room = [after_bytes]

    def write(file: int, text: bytes) -> int:
        if room[0] == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        taken = min(room[0], len(text))
        room[0] -= taken
        return original(file, text[:taken])

    original = os.write
    with monkeypatch.context() as patched:
        patched.setattr("pilotage.controller.ledger_file.os.write", write)
        yield


def test_a_disk_that_fills_up_within_a_line_leaves_whole_lines_only(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = LedgerFile(path)
    file.write(lines_of(decided(2)))
    before = path.read_bytes()
    with full_disk(monkeypatch, after_bytes=700), pytest.raises(OSError, match="No space left"):
        file.write(lines_of(decided(6)))
    assert path.read_bytes() == before
    file.write(lines_of(decided(6)))
    assert sequences(path) == [1, 2, 3, 4, 5, 6]


class Writing:
    """A ledger at work."""

    def __init__(self, path: Path) -> None:
        self.clock, self.leading = ManualClock(), True
        self.file = LedgerFile(path)
        self.ledger = Ledger(self.file, self.clock, lambda: self.leading)
        self.task = asyncio.create_task(self.ledger.run())

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait for the thread that writes."""
        for _ in range(2000):
            if holds():
                return
            await asyncio.sleep(0.001)
        raise AssertionError("it did not come to that")

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


def metric(name: str) -> float:
    return REGISTRY.get_sample_value(f"pilotage_record_{name}") or 0.0


async def test_what_is_offered_again_and_again_is_written_once(path: Path) -> None:
    at_work, before = Writing(path), metric("decisions_total")
    for last in (1, 1, 2, 2, 3):
        at_work.ledger.offer(decided(last))
    await at_work.ledger.settle()
    await at_work.until(lambda: metric("waiting") == 0)
    assert sequences(path) == [1, 2, 3]
    assert metric("decisions_total") - before == 3
    await at_work.stop()


async def test_a_disk_that_is_full_is_told_and_tried_again_and_nobody_waits_for_it(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    at_work, before = Writing(path), metric("failures_total")
    with full_disk(monkeypatch, after_bytes=0):
        for last in (1, 2, 3):
            at_work.ledger.offer(decided(last))
            await at_work.until(lambda: metric("failing") == 1)
            await at_work.ledger.settle()
        await at_work.clock.advance(1.0)
        await at_work.until(lambda: metric("failures_total") - before >= 2)
        assert metric("waiting") == 3
        assert len([line for line in caplog.records if "can't be written" in line.message]) == 1
    for _ in range(100):
        await at_work.clock.advance(1.0)
        await asyncio.sleep(0.001)
    await at_work.until(lambda: metric("waiting") == 0)
    assert sequences(path) == [1, 2, 3]
    assert metric("failing") == 0
    await at_work.stop()


async def test_who_loses_the_lead_writes_what_waits_and_lets_go_of_the_file(path: Path) -> None:
    at_work = Writing(path)
    at_work.ledger.offer(decided(1))
    await at_work.until(lambda: metric("waiting") == 0)
    at_work.ledger.offer(decided(2))
    at_work.leading = False
    at_work.ledger.cease()
    successor = LedgerFile(path)

    def is_free() -> bool:
        try:
            return successor.write(lines_of(decided(4))) == 2
        except LedgerLockedError:
            return False

    await at_work.until(is_free)
    assert sequences(path) == [1, 2, 3, 4]
    successor.close()
    at_work.leading = True
    at_work.ledger.offer(decided(6))
    await at_work.until(lambda: sequences(path) == [1, 2, 3, 4, 5, 6])
    await at_work.stop()


async def test_who_can_not_write_and_does_not_lead_leaves_it_to_the_leader(path: Path) -> None:
    with path.with_name("decisions.jsonl.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        at_work = Writing(path)
        at_work.ledger.offer(decided(2))
        await at_work.until(lambda: metric("failing") == 1)
        at_work.leading = False
        at_work.ledger.cease()
        for _ in range(20):
            await at_work.clock.advance(1.0)
            await asyncio.sleep(0.001)
        await at_work.until(lambda: metric("waiting") == 0)
    assert not await asyncio.to_thread(path.exists)
    await at_work.stop()


async def test_a_long_outage_of_the_disk_fills_no_memory_and_loses_what_status_has_lost(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pilotage.controller.ledger._MOST_WAITING", 5)
    at_work = Writing(path)
    with full_disk(monkeypatch, after_bytes=0):
        for last in range(1, 31):
            at_work.ledger.offer(decided(last))
            await settle()
        assert metric("waiting") == 5
        await at_work.until(lambda: metric("failing") == 1)
    for _ in range(100):
        await at_work.clock.advance(1.0)
        await asyncio.sleep(0.001)
    for _ in range(10):
        at_work.ledger.offer(decided(30))
        await at_work.ledger.settle()
    await at_work.until(lambda: "uid-search.30" in path.read_text())
    identities = [line["id"] for line in read(path)]
    assert identities == [
        *(f"uid-search.{number}" for number in range(1, 6)),
        "uid-search.6-10",
        *(f"uid-search.{number}" for number in range(11, 31)),
    ]
    await at_work.stop()


def test_a_line_is_one_line_whatever_its_text_is() -> None:
    chance = random.Random(7)
    for _ in range(50):
        text = "".join(chr(chance.choice([10, 13, 34, 92, 0x85, 0x2028, 0x1F600, 65])) for _ in range(40))
        made = entry(1).model_copy(update={"message": text})
        line = Line(decided(1).metadata, made).text(after=0)
        assert len(re.findall(rb"\n", line)) == 1
        assert json.loads(line)["data"]["message"] == text

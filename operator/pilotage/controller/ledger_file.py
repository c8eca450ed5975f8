"""The record's file: lines are appended, each rollout's in order and each once, by one process at a time.

Each batch is on disk (fsync) before it counts as written. What was written is known from the file itself: from the
lines of the current part, and from a small index that is left beside it whenever a new part begins. A lock keeps others
out, such as a leader that was frozen and wakes up; who gets it reads anew what the one before has written.

Nothing here waits for the event loop, and all of it may block: `Ledger` calls it in a thread.
"""

import fcntl
import glob
import json
import logging
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pilotage.resources.base import ObjectMeta
from pilotage.resources.cloudevents import decision_event, gap_event, sequence_of, to_line
from pilotage.resources.status import HistoryEntry

_LOG = logging.getLogger(__name__)
_CHUNK = 1 << 20
_MODE = 0o640
_CLOSE_SECONDS = 1.0


class LedgerLockedError(OSError):
    """Another process writes this record."""


class Numbered(Protocol):
    """One of the things that happened to an object, in their order."""

    @property
    def sequence(self) -> int:
        """Its number, from 1 without a gap."""
        ...


class Written(Protocol):
    """What becomes a line of the record."""

    @property
    def meta(self) -> ObjectMeta:
        """Of the object that it is about."""
        ...

    @property
    def entry(self) -> Numbered:
        """What is told."""
        ...

    def text(self, *, after: int) -> bytes:
        """The line, and before it one that tells of what is missing since `after`."""
        ...


@dataclass(frozen=True, slots=True)
class Line:
    """One decision for the record.

    Attributes:
        meta: of the rollout.
        entry: what was decided.
    """

    meta: ObjectMeta
    entry: HistoryEntry

    def text(self, *, after: int) -> bytes:
        """The line, and before it one that tells of the decisions that are missing since `after`."""
        line = to_line(decision_event(self.meta, self.entry))
        if self.entry.sequence == after + 1:
            return line
        return to_line(gap_event(self.meta, first=after + 1, following=self.entry)) + line


@dataclass(slots=True)
class _Open:
    file: int
    lock: int
    size: int


class LedgerFile:
    """One record, with its older parts beside it.

    Args:
        path: of the current part; older ones have a number behind the name, the newest the highest.
        rotate_bytes: the size at which a new part begins; 0 for never.
        keep: how many older parts are kept.
    """

    def __init__(self, path: Path, *, rotate_bytes: int = 64 << 20, keep: int = 20) -> None:
        self._path = path
        self._rotate_bytes = rotate_bytes
        self._keep = keep
        self._open: _Open | None = None
        self._written: dict[str, int] = {}
        self._turn = threading.Lock()

    def write(self, lines: Sequence[Written]) -> int:
        """Write what is not written yet, and have it on disk; tells how many decisions it were.

        Raises:
            LedgerLockedError: another process writes it.
            OSError: nothing of it counts as written; the file is closed, and as it was before if that is possible.
        """
        with self._turn:
            return self._append(self._still_there(), lines)

    def close(self) -> None:
        """Let another process write; left to the end of this process where a disk that hangs keeps the file busy."""
        if self._turn.acquire(timeout=_CLOSE_SECONDS):
            try:
                self._close()
            finally:
                self._turn.release()

    def _take(self) -> _Open:
        """Take the lock, mend the last line, and learn what was written."""
        lock = os.open(self._beside(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _MODE)
        try:
            _lock(lock, self._path)
            file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, _MODE)
        except OSError:
            os.close(lock)
            raise
        self._open = _Open(file, lock, 0)
        try:
            self._open.size = _mend(file, self._path)
            self._written = self._read_index()
            self._scan(file)
        except OSError:
            self._close()
            raise
        return self._open

    def _append(self, at: _Open, lines: Sequence[Written]) -> int:
        written, text, count = dict(self._written), bytearray(), 0
        for line in lines:
            after, sequence = written.get(line.meta.uid, 0), line.entry.sequence
            if sequence > after:
                text += line.text(after=after)
                written[line.meta.uid] = sequence
                count += 1
        if not text:
            return 0
        try:
            _write(at.file, text)
        except OSError:
            self._give_up(at)
            raise
        at.size += len(text)
        self._written = written
        if 0 < self._rotate_bytes <= at.size:
            self._rotate()
        return count

    def _close(self) -> None:
        if self._open is not None:
            os.close(self._open.file)
            os.close(self._open.lock)
            self._open = None

    def _still_there(self) -> _Open:
        """The open file; a new one where somebody has moved or emptied it, such as a rotation that is not ours."""
        at = self._open or self._take()
        own = os.fstat(at.file)
        try:
            found = self._path.stat()
        except FileNotFoundError:
            found = None
        same = found is not None and (found.st_dev, found.st_ino) == (own.st_dev, own.st_ino)
        if same and own.st_size >= at.size:
            return at
        _LOG.warning("%s was moved or emptied by something else", self._path)
        self._write_index()
        self._close()
        return self._take()

    def _give_up(self, at: _Open) -> None:
        """A batch failed: nothing of it may stay, for all of it is written again."""
        with suppress(OSError):
            os.ftruncate(at.file, at.size)
        self._close()

    def _rotate(self) -> None:
        """Begin a new part. The index comes first: a crash in between loses no knowledge of what was written."""
        try:
            self._write_index()
            number = max((number for number, _ in self._parts()), default=0) + 1
            self._path.rename(self._beside(f".{number:06d}"))
            parts = sorted(self._parts())
            for _, path in parts[: max(len(parts) - self._keep, 0)]:
                path.unlink()
        except OSError as error:
            _LOG.warning("%s can't be rotated: %s", self._path, error)
        self._close()

    def _parts(self) -> Iterator[tuple[int, Path]]:
        for path in self._path.parent.glob(f"{glob.escape(self._path.name)}.*"):
            number = path.name.removeprefix(f"{self._path.name}.")
            if number.isdecimal():
                yield int(number), path

    def _write_index(self) -> None:
        index = self._beside(".index")
        fresh = self._beside(".index.new")
        fresh.write_text(json.dumps(self._written))
        with fresh.open("rb") as file:
            os.fsync(file.fileno())
        fresh.replace(index)
        _sync_folder(self._path.parent)

    def _read_index(self) -> dict[str, int]:
        index = self._beside(".index")
        if not index.exists():
            return {}
        try:
            read = json.loads(index.read_bytes())
            return {str(uid): int(sequence) for uid, sequence in read.items()}
        except (ValueError, TypeError, AttributeError):
            _LOG.warning("%s can't be read: what older parts say is not known", index)
            return {}

    def _scan(self, file: int) -> None:
        """Learn what the current part says."""
        damaged = 0
        with os.fdopen(os.dup(file), "rb") as lines:
            lines.seek(0)
            for line in lines:
                if (found := sequence_of(line)) is None:
                    damaged += 1
                else:
                    uid, sequence = found
                    self._written[uid] = max(sequence, self._written.get(uid, 0))
        if damaged:
            _LOG.warning("%s has %d lines that are no decisions: they are left as they are", self._path, damaged)

    def _beside(self, ending: str) -> Path:
        return self._path.with_name(self._path.name + ending)


def _lock(lock: int, path: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise LedgerLockedError(error.errno, "another process writes it", str(path)) from error


def _mend(file: int, path: Path) -> int:
    """Cut off what a crash has left of the last line; tells the size. The decision is written again from status."""
    size = os.fstat(file).st_size
    end = size
    while end:
        start = max(end - _CHUNK, 0)
        found = os.pread(file, end - start, start).rfind(b"\n")
        if found >= 0:
            end = start + found + 1
            break
        end = start
    if end < size:
        _LOG.warning("%s ended within a line: the last %d bytes are cut off", path, size - end)
        os.ftruncate(file, end)
        os.fsync(file)
    _sync_folder(path.parent)
    return end


def _write(file: int, text: bytes | bytearray) -> None:
    rest = memoryview(text)
    while rest:
        rest = rest[os.write(file, rest) :]
    os.fsync(file)


def _sync_folder(folder: Path) -> None:
    """Have names on disk as well."""
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)

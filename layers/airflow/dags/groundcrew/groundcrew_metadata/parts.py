"""Lines of CSV become compressed objects, with as little memory for a million rows as for ten.

Three threads, each waiting for the next with a short queue: the caller's takes lines from PostgreSQL, one compresses,
one uploads. zlib, hashlib and sockets let the others work meanwhile.
"""

import hashlib
import zlib
from collections.abc import Callable
from queue import Queue
from threading import Thread
from types import TracebackType
from typing import Any, Generic, Self, TypedDict, TypeVar

CHUNK_BYTES = 256 << 10
"""CSV that is compressed at once: large enough that threads seldom have to take turns."""

PART_BYTES = 3 << 20
"""About how large an object gets, compressed. Small enough that three are held in memory and each is one PutObject."""

LEVEL = 1
KIND = "application/gzip"
_GZIP = 31  # zlib's word for the largest window, with the header of gzip

Put = Callable[[str, bytearray, bytes, str], None]
_Item = TypeVar("_Item")


class Part(TypedDict):
    """An object that was written, as the receipt has it."""

    key: str
    rows: int
    bytes: int
    sha256: str


class Worker(Generic[_Item]):
    """A thread that does one thing to each item in turn. If that fails once, whoever gives it more is told."""

    def __init__(self, work: Callable[[_Item], None], waiting: int) -> None:
        self._work = work
        self._queue: Queue[_Item | None] = Queue(waiting)
        self._error: BaseException | None = None
        self._thread = Thread(target=self._run, name="groundcrew-export", daemon=True)
        self._thread.start()

    def give(self, item: _Item) -> None:
        """Raises what its work has raised."""
        if self._error:
            raise self._error
        self._queue.put(item)

    def finish(self) -> None:
        """Wait until all is done; raises what its work has raised."""
        self.stop()
        if self._error:
            raise self._error

    def stop(self) -> None:
        """Wait until it ends; may be called again."""
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            if self._error is None:
                try:
                    self._work(item)
                except BaseException as error:
                    self._error = error


class Parts:
    """The objects of one table: ``take`` its lines, then read ``written`` after the end of the ``with`` block.

    Every object is whole gzip of whole lines, with the header; a table without rows is one object of only that.
    """

    def __init__(self, prefix: str, put: Put, part_bytes: int = PART_BYTES) -> None:
        self.written: list[Part] = []
        self._prefix = prefix
        self._put = put
        self._part_bytes = part_bytes
        self._header = b""
        self._lines: list[bytes] = []
        self._size = 0
        self._part: _Growing | None = None
        self._number = 0
        self._compressor: Worker[tuple[bytes, int]] = Worker(self._compress, waiting=2)
        self._uploader: Worker[_Growing] = Worker(self._upload, waiting=1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, failed: type[BaseException] | None, *_: BaseException | TracebackType | None) -> None:
        try:
            if failed is None:
                self._flush()
                self._compressor.finish()
                if self._part or not self._number:
                    self._hand_over(self._part or self._begun())
                self._uploader.finish()
        finally:
            self._compressor.stop()
            self._uploader.stop()

    @property
    def rows(self) -> int:
        """Rows of the objects that were written."""
        return sum(part["rows"] for part in self.written)

    def take(self, line: bytes) -> None:
        """One whole line of CSV, the header first; raises what compressing or uploading has raised."""
        if not self._header:
            self._header = line
            return
        self._lines.append(line)
        self._size += len(line)
        if self._size >= CHUNK_BYTES:
            self._flush()

    def _flush(self) -> None:
        if self._lines:
            self._compressor.give((b"".join(self._lines), len(self._lines)))
            self._lines, self._size = [], 0

    # ------------------------------------------------------------------ in the compressing thread
    def _compress(self, chunk: tuple[bytes, int]) -> None:
        part = self._part = self._part or self._begun()
        part.add(*chunk)
        if len(part.body) >= self._part_bytes:
            self._part = None
            self._hand_over(part)

    def _begun(self) -> "_Growing":
        self._number += 1
        part = _Growing(f"{self._prefix}/part-{self._number:05d}.csv.gz")
        part.add(self._header, 0)
        return part

    def _hand_over(self, part: "_Growing") -> None:
        part.end()
        self._uploader.give(part)

    # ------------------------------------------------------------------ in the uploading thread
    def _upload(self, part: "_Growing") -> None:
        digest = hashlib.sha256(part.body)
        self._put(part.key, part.body, digest.digest(), KIND)
        self.written.append(Part(key=part.key, rows=part.rows, bytes=len(part.body), sha256=digest.hexdigest()))


class _Growing:
    """A part that is being compressed."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.rows = 0
        self.body = bytearray()
        self._compressor: Any = zlib.compressobj(LEVEL, zlib.DEFLATED, _GZIP)

    def add(self, lines: bytes, rows: int) -> None:
        self.body += self._compressor.compress(lines)
        self.rows += rows

    def end(self) -> None:
        self.body += self._compressor.flush()
        self._compressor = None

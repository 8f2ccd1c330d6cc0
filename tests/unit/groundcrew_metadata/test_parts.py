import gzip
import hashlib
import random
import threading
import tracemalloc

import pytest

from groundcrew_metadata import parts
from groundcrew_metadata.declaration import As, Column, Kind
from groundcrew_metadata.decoding import Decoding
from groundcrew_metadata.parts import KIND, Parts, Worker

HEADER = b"id,text\n"


class Kept:
    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def put(self, key: str, body: bytearray, sha256: bytes, kind: str) -> None:
        assert hashlib.sha256(body).digest() == sha256
        assert kind == KIND
        self.objects[key] = bytes(body)


def lines(count: int) -> list[bytes]:
    dice = random.Random(1)
    return [b'%d,"%s\n"\n' % (number, dice.randbytes(60).hex().encode()) for number in range(count)]


def test_parts_of_whole_lines_with_the_header(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "CHUNK_BYTES", 1000)
    kept, given = Kept(), lines(3000)
    with Parts("x", kept.put, part_bytes=20_000) as written:
        for line in [HEADER, *given]:
            written.take(line)
    assert [part["key"] for part in written.written] == list(kept.objects)
    assert list(kept.objects)[:2] == ["x/part-00001.csv.gz", "x/part-00002.csv.gz"]
    assert len(kept.objects) > 5
    found = []
    for part, body in zip(written.written, kept.objects.values(), strict=True):
        assert (part["bytes"], part["sha256"]) == (len(body), hashlib.sha256(body).hexdigest())
        assert len(body) < 20_000 + (32 << 10)  # what zlib holds back
        text = gzip.decompress(body)
        assert text.startswith(HEADER)
        own = text.removeprefix(HEADER)
        assert own.count(b"\n") == 2 * part["rows"]
        found.append(own)
    assert b"".join(found) == b"".join(given)
    assert written.rows == 3000


@pytest.mark.parametrize("count", [0, 1])
def test_a_few_lines_are_one_part(count: int) -> None:
    kept, given = Kept(), lines(count)
    with Parts("x", kept.put) as written:
        for line in [HEADER, *given]:
            written.take(line)
    assert [part["rows"] for part in written.written] == [count]
    assert gzip.decompress(kept.objects["x/part-00001.csv.gz"]) == b"".join([HEADER, *given])


def test_the_same_lines_are_the_same_bytes() -> None:
    kept = Kept(), Kept()
    for one in kept:
        with Parts("x", one.put) as written:
            for line in [HEADER, *lines(100)]:
                written.take(line)
    assert kept[0].objects == kept[1].objects


def test_what_cannot_be_written_ends_it_and_no_thread_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "CHUNK_BYTES", 100)
    given = 0

    def put(*_: object) -> None:
        raise OSError("no")

    written = Parts("x", put, part_bytes=1000)
    with pytest.raises(OSError, match="no"), written:  # noqa: PT012 - whichever line it is
        written.take(HEADER)
        for line in lines(100_000):
            written.take(line)
            given += 1
    assert given < 50_000  # it ended long before
    assert written.written == []
    assert _threads() == []


def test_when_the_source_fails_nothing_more_is_written() -> None:
    kept = Kept()
    with pytest.raises(ZeroDivisionError), Parts("x", kept.put) as written:  # noqa: PT012
        written.take(HEADER)
        written.take(b"1,x\n")
        raise ZeroDivisionError
    assert kept.objects == {}
    assert _threads() == []


def test_memory_does_not_grow_with_the_rows() -> None:
    def peak(count: int) -> int:
        tracemalloc.start()
        with Parts("x", lambda *_: None, part_bytes=200_000) as written:
            written.take(HEADER)
            for number in range(count):
                written.take(b"%d,%s\n" % (number, hashlib.sha256(b"%d" % number).hexdigest().encode()))
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    assert peak(80_000) < 1.2 * peak(40_000)


def test_a_worker_forgets_nothing_it_was_given() -> None:
    done: list[int] = []
    worker: Worker[int] = Worker(done.append, waiting=1)
    for number in range(100):
        worker.give(number)
    worker.finish()
    assert done == list(range(100))


def test_a_decoded_column_is_quoted_and_counted() -> None:
    taken: list[bytes] = []
    decoding = Decoding(Column("value", Kind.JSON, held=As.ENCODED), taken.append)
    for line in [
        b"id,value\n",
        b"1,\\x7b2261223a20312c2022222c7d\n",
        b"2,\n",
        b"3,\\x22c3bc22\n",
        b'"4\n",\\x7b7d\n',
        b"5,\\x\n",
    ]:
        decoding.take(line)
    assert taken == [b"id,value\n", b"1,\n", b"2,\n", '3,"""ü"""\n'.encode(), b'"4\n","{}"\n', b"5,\n"]
    assert decoding.undecoded == 2


def _threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "groundcrew-export"]

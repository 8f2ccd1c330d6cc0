"""A process that verifies an extract on disk once, as the function does, and prints how long that took and its memory.

``python -m bench.verify_process <folder>``: ``order.json`` and the objects of the bucket are there.
"""

import json
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from exports.order import Order
from exports.verify import verify
from groundcrew.aws.objects import Stored


class Folder:
    """A bucket that is a folder."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def get(self, key: str) -> tuple[None, bytes]:
        return None, (self._path / key).read_bytes()

    def put(self, key: str, content: bytes, **_more: Any) -> Stored:
        file = self._path / key
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        return Stored(key, None, etag="")


def main(folder: Path) -> None:
    order = Order.read(json.loads((folder / "order.json").read_text()))
    with tempfile.TemporaryDirectory() as scratch:
        began = time.monotonic()
        verify(order, Folder(folder), Path(scratch), order.ordered_at)  # type: ignore[arg-type] # as much of a bucket as is used
        seconds = time.monotonic() - began
    print(json.dumps({"seconds": seconds, "mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

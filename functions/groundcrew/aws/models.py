"""botocore's service models, found and read with less work than botocore's own loader takes.

Most of a client's making is that: EC2's model is 3 MB of JSON, and before botocore reads any it looks into the folders
of all its 400 services. That loader is replaced as botocore lets one (``Session.register_component``).
"""

import gzip
import json
from pathlib import Path
from typing import Any

from botocore.loaders import JSONFileLoader, Loader


class _Reader(JSONFileLoader):
    """Reads into plain dicts, which keep their order as well as botocore's ``OrderedDict`` does, in half the time."""

    def load_file(self, file_path: str) -> Any:
        """The content of a file, given without its extension; botocore's own way if it is not packed as it is today."""
        packed = Path(f"{file_path}.json.gz")
        return json.loads(gzip.decompress(packed.read_bytes())) if packed.is_file() else super().load_file(file_path)


class Models(Loader):
    """Service models by the folders they are in."""

    def __init__(self) -> None:
        """Search where botocore does."""
        super().__init__(file_loader=_Reader())

    def list_available_services(self, type_name: str) -> list[str]:  # noqa: ARG002 - botocore's signature
        """Every folder of the search path is a service; whether it has that type of model shows when it is read."""
        folders = [Path(path) for path in self.search_paths]
        return sorted({entry.name for folder in folders if folder.is_dir() for entry in folder.iterdir()})

"""Small wheels, made here for tests and the demonstration: a package of one module that knows its version."""

import hashlib
import zipfile
from base64 import urlsafe_b64encode
from pathlib import Path


def wheel(folder: Path, name: str, version: str) -> Path:
    """The file of a new wheel.

    https://packaging.python.org/en/latest/specifications/binary-distribution-format/
    """
    module, info = name.replace("-", "_"), f"{name.replace('-', '_')}-{version}.dist-info"
    files = {
        f"{module}.py": f"VERSION = {version!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: localcloud\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    digests = {
        path: urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=") for path, text in files.items()
    }
    record = [f"{path},sha256={digests[path].decode()},{len(text)}" for path, text in files.items()]
    files[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,", ""])
    found = folder / f"{module}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(found, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return found

"""The inside engine as it is shipped, run by a real Airflow's interpreter; and what it has written, read back."""

import gzip
import hashlib
import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localcloud.airflow import installed
from localcloud.airflow.settings import Place
from tests.support.airflow.bucket import OWNER, Bucket

SOURCE = installed.ROOT / "layers/airflow/dags/groundcrew"
BUCKET = f"groundcrew-exports-{OWNER}-us-east-1"
PLACE = {"bucket": BUCKET, "owner": OWNER, "account": "222222222222", "region": "us-east-1", "environment": "data"}
EXPORT_ID = "20261127T043000Z-0a1b2c3d"
PREFIX = f"extracts/222222222222/us-east-1/data/{EXPORT_ID}"
SECRET = "wJalrXUtnFEMI-not-a-secret"

Row = Mapping[str, str | None]
Window = Mapping[str, str | None]
WHOLE: Window = {"from": None, "until": None}


def ship(dags: Path, opt_in: tuple[str, ...] = ("rendered_task_instance_fields", "xcom")) -> Path:
    """Put the DAG below a DAG folder, with its place; where it is."""
    folder = dags / "groundcrew"
    shutil.copytree(SOURCE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "place.json").write_text(json.dumps({**PLACE, "opt_in": list(opt_in)}))
    return folder


def credentials(s3: str) -> dict[str, str]:
    """What an environment's process has of its execution role, and where its S3 is."""
    return {
        "AWS_ACCESS_KEY_ID": "AKIATEST",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_ENDPOINT_URL_S3": s3,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@dataclass(frozen=True)
class Engine:
    """Exports a database. ``runs_on``: the version of Airflow that does it."""

    home: Path
    bucket: Bucket
    runs_on: str = "2.10.3"

    def start(self, database: str, conf: object, version: str = "") -> subprocess.Popen[str]:
        """Begin; ``version``: that of the database, if it is another one."""
        shipped = self.home / "dags/groundcrew"
        if not shipped.exists():
            ship(self.home / "dags")
            (self.home / "tmp").mkdir()
        place = Place(
            self.runs_on,
            self.home,
            database,
            port=0,
            dags=self.home,
            path=[shipped],
            extra=credentials(self.bucket.url),
        )
        process = subprocess.Popen(
            [
                str(place.airflow.with_name("python")),
                str(Path(__file__).with_name("inside.py")),
                version or self.runs_on,
            ],
            env=place.variables(),
            cwd=self.home,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert process.stdin is not None
        process.stdin.write(json.dumps(conf))
        process.stdin.close()
        process.stdin = None
        return process

    def run(self, database: str, conf: object, version: str = "") -> str:
        """Export, and what was logged; raises ``AssertionError`` with that if it failed."""
        process = self.start(database, conf, version)
        said, _ = process.communicate()
        assert process.returncode == 0, said
        return said


def conf(tables: Mapping[str, Window]) -> dict[str, Any]:
    return {"export_id": EXPORT_ID, "tables": dict(tables)}


def receipt(bucket: Bucket) -> dict[str, Any]:
    return dict(json.loads(bucket.objects()[f"{PREFIX}/receipt.json"]))


def rows(bucket: Bucket, table: str) -> list[Row]:
    """The rows of a table in its parts, which must be as the receipt says."""
    said = receipt(bucket)["tables"][table]
    objects = bucket.objects()
    found: list[Row] = []
    for part in said["parts"]:
        body = objects[part["key"]]
        assert (len(body), hashlib.sha256(body).hexdigest()) == (part["bytes"], part["sha256"])
        lines = list(parsed(gzip.decompress(body).decode()))
        assert lines[0] == said["columns"]
        assert len(lines) - 1 == part["rows"]
        found += (dict(zip(said["columns"], line, strict=True)) for line in lines[1:])
    assert len(found) == said["rows"]
    return found


def parsed(text: str) -> Iterator[list[str | None]]:
    """CSV as PostgreSQL writes it: what is not quoted and empty is NULL. Python's own reader cannot tell."""
    line: list[str | None] = []
    at = 0
    while at < len(text):
        match = _FIELD.match(text, at)
        assert match is not None, text[at : at + 80]
        quoted, plain, end = match.groups()
        line.append(quoted[1:-1].replace('""', '"') if quoted else plain or None)
        at = match.end()
        if end == "\n":
            yield line
            line = []
    assert not line


_FIELD = re.compile(r'(?:("(?:[^"]|"")*")|([^,\n"]*))([,\n])')

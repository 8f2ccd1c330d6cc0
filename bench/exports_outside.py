"""Part ``exports``: the outside engine, in front of a door that lets so many calls a second through.

``python -m bench.exports_outside DOOR RATE`` is the engine in a process of its own, with the clients of a function.
"""

import json
import resource
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from bench.endless import PAGE, Endless
from bench.lambda_process import ROOT
from bench.results import Figure, NotMeasured, figure
from bench.size import Size
from exports.outside import extract
from exports.outside_pace import CALLS_PER_SECOND, Pace

ALLOWED = 10.0
"""Calls per second that MWAA allows an environment, of which the engine may use half."""

LATENCY_SECONDS = 0.1
ROWS, MANY, FEW = 12_000, 200_000, 20_000
LEAST_SHARE = 0.9
MOST_MEMORY = 256
"""MB."""


def measure(size: Size) -> list[Figure]:
    """About half a minute, for the rate is the machine's own time."""
    rows, many, few = size.of(ROWS), size.of(MANY), size.of(FEW)
    paced, unpaced = _engine(rows, CALLS_PER_SECOND, LATENCY_SECONDS), _engine(many, 10_000.0, 0.0)
    share = rows / paced["seconds"] / (CALLS_PER_SECOND * PAGE)
    growth = (_calls(many) - _calls(few)) / (many - few) * PAGE
    against = f"{CALLS_PER_SECOND:g} calls of {PAGE} rows a second, half of what is allowed; {LATENCY_SECONDS} s each"
    return [
        figure("exports.outside_share_of_budget", [share], "share", against, LEAST_SHARE),
        figure("exports.outside_refused_calls", [paced["refused"]], "calls", "throttled by the door", 0),
        figure("exports.outside_peak_memory", [unpaced["megabytes"]], "MB", f"{many} task instances", MOST_MEMORY),
        figure("exports.outside_calls_per_page", [growth], "calls", f"of {PAGE} rows, {few} to {many} rows", 1.0),
        figure(
            "exports.outside_rows_per_second_unpaced", [many / unpaced["seconds"]], "rows/s", "no limit, no latency"
        ),
    ]


def _calls(rows: int) -> int:
    airflow = Endless(rows)
    _extract(airflow.ask, Pace(lambda: 0.0, lambda _seconds: None))
    return airflow.calls


def _extract(ask: Callable[[str, Mapping[str, str]], tuple[int, Any]], pace: Pace) -> None:
    window = {"from": "2026-01-01T00:00:00+00:00", "until": "2026-12-31T00:00:00+00:00"}
    asked = {
        "export_id": "20261127T043000Z-0a1b2c3d",
        "environment": {"account": "222222222222", "region": "us-east-1", "name": "data"},
        "airflow_version": "3.3.1",
        "tables": {"task_instance": window, "rendered_task_instance_fields": window},
    }
    now = datetime(2027, 1, 1, tzinfo=UTC)
    if not extract(asked, ask, lambda _key, _body: None, pace, lambda: True, now)["done"]:
        raise NotMeasured("the export was not finished")


def _engine(rows: int, rate: float, latency: float) -> dict[str, float]:
    """What an engine's process says of itself, and how often the door refused."""
    with _door(Endless(rows), latency) as (url, refused):
        command = [sys.executable, "-m", "bench.exports_outside", url, str(rate)]
        done = subprocess.run(command, cwd=ROOT, env=_variables(), capture_output=True, text=True, check=False)
        if done.returncode:
            raise NotMeasured(done.stderr[-2000:])
        return {**json.loads(done.stdout.splitlines()[-1]), "refused": len(refused)}


def _variables() -> dict[str, str]:
    return {"PYTHONPATH": f"{ROOT / 'functions'}:{ROOT}", "AWS_REGION": "us-east-1", "POWERTOOLS_LOG_LEVEL": "ERROR"}


@contextmanager
def _door(airflow: Endless, latency: float) -> Iterator[tuple[str, list[str]]]:
    """An HTTP server in front of an Airflow, with MWAA's limit if there is a latency; what it refused."""
    refused: list[str] = []
    left, at = ALLOWED, time.monotonic()

    class Door(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            nonlocal left, at
            path, _, query = self.path.partition("?")
            now = time.monotonic()
            left, at = min(ALLOWED, left + (now - at) * ALLOWED), now
            if latency and left < 1:
                refused.append(self.path)
                return self._answer(429, {})
            left -= 1
            time.sleep(latency)
            asked = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))
            return self._answer(*airflow.ask(urllib.parse.unquote(path), asked))

        def _answer(self, status: int, body: Any) -> None:
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", refused
    finally:
        server.shutdown()
        server.server_close()


def main(url: str, rate: float) -> None:
    """The engine, with the clients that its function has."""
    from groundcrew.aws.session import own_client  # noqa: PLC0415 - of this process only

    clients = [own_client(service, "us-east-1") for service in ("mwaa", "s3", "sts")]

    def ask(path: str, query: Mapping[str, str]) -> tuple[int, Any]:
        try:
            with urllib.request.urlopen(f"{url}{urllib.parse.quote(path)}?{urllib.parse.urlencode(query)}") as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, {}

    began = time.monotonic()
    _extract(ask, Pace(time.monotonic, time.sleep, rate))
    seconds = time.monotonic() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "megabytes": peak, "clients": len(clients)}))


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))

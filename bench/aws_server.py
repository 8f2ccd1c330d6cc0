"""AWS for a function's process: the model behind a plain HTTP endpoint, without IAM, the same for all who ask."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

from botocore.awsrequest import AWSPreparedRequest
from botocore.compat import HTTPHeaders

from bench.http_server import Door, Server
from bench.lambda_process import HUB, REGION
from groundcrew.events import moment
from localcloud.inprocess.aws import InProcessAws
from localcloud.protocol import query, rest_json

HYPHENATED = {"airflow": "mwaa", "events": "eventbridge", "states": "sfn"}
"""Services whose signing name is not their hyphenated service id."""
REST = {"airflow": "mwaa", "codeartifact": "codeartifact"}
"""Services whose requests name their operation by path, by signing name."""
S3_OPERATIONS = {"GET": "GetObject", "HEAD": "HeadObject", "PUT": "PutObject", "DELETE": "DeleteObject"}
"""What is asked of an object."""
LISTINGS = {"versions": "ListObjectVersions", "list-type": "ListObjectsV2"}
"""What is asked of a bucket, by the name of the query's parameter."""


@contextmanager
def served(aws: InProcessAws) -> Iterator[str]:
    """The URL at which ``aws`` answers until the block ends."""
    server = _Server(_Door)
    server.aws = aws
    server.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.stop()


def variables(aws: InProcessAws, url: str, function: str) -> dict[str, str]:
    """The environment variables by which a function's process finds this AWS, with its role's credentials."""
    return {
        "AWS_ENDPOINT_URL": url,
        # MWAA's operations prefix the host ("api."), which no local name resolves
        "AWS_DISABLE_HOST_PREFIX_INJECTION": "true",
        "AWS_ACCESS_KEY_ID": aws.small.key_of(f"arn:aws:iam::{HUB}:role/groundcrew/groundcrew-{function}-{REGION}"),
        "AWS_SECRET_ACCESS_KEY": "bench",
        "AWS_SESSION_TOKEN": "bench",
    }


class _Server(Server):
    aws: InProcessAws


class _Door(Door):
    server: _Server

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        service, name = self._operation(body)
        headers = HTTPHeaders.from_pairs(self.headers.items())
        request = AWSPreparedRequest(self.command, self.path, headers, body, False)
        answer = self.server.aws.answer(service, name, request)
        content = answer.content
        self.send_response(answer.status_code)
        for header, value in ({"Content-Length": str(len(content))} | dict(answer.headers)).items():
            self.send_header(header, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _answer

    def _operation(self, body: bytes) -> tuple[str, str]:
        """The service, by its hyphenated id, and the operation's name."""
        scope = self.headers["Authorization"].split("Credential=", 1)[1].split(",", 1)[0]
        signed = scope.split("/")[3]
        if signed in REST:
            service = REST[signed]
            operation, _ = rest_json.parse(service, self.command, urlsplit(self.path).path, {}, b"")
            return service, operation.name
        if signed == "s3":
            asked = parse_qs(urlsplit(self.path).query, keep_blank_values=True)
            listing = next((LISTINGS[name] for name in LISTINGS if name in asked), None)
            return "s3", listing or S3_OPERATIONS[self.command]
        target = self.headers.get("X-Amz-Target")
        return HYPHENATED.get(signed, signed), target.rsplit(".", 1)[1] if target else query.form(body)["Action"]


def event_message(*events: Mapping[str, Any]) -> dict[str, Any]:
    """A batch of events as SQS hands it to a function.

    https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html#sample-standard-queue-message-event
    """
    records = [
        {
            "messageId": f"059f36b4-87a3-44ab-83d2-{number:012}",
            "receiptHandle": "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a",
            "body": json.dumps(event),
            "attributes": {
                "ApproximateReceiveCount": "1",
                # By the clock of the cloud that its events are of.
                "SentTimestamp": str(int(moment(event.get("time")).timestamp() * 1000)),
                "SenderId": "AIDAIENQZJOLO23YVJ4VO",
                "ApproximateFirstReceiveTimestamp": "1545082649185",
            },
            "messageAttributes": {},
            "eventSource": "aws:sqs",
            "eventSourceARN": f"arn:aws:sqs:{REGION}:{HUB}:groundcrew-endpoints",
            "awsRegion": REGION,
        }
        for number, event in enumerate(events)
    ]
    return {"Records": records}

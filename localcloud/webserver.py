"""The command lines of all environments, served over TLS on 127.0.0.1: POST /aws_mwaa/cli.

One listener for all of them: which environment is meant, the token says. Its certificate is made at the start, by an
authority of this cloud alone.
"""

import datetime as dt
import ipaddress
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from localcloud.cloud import Call, Cloud
from localcloud.faults import Fault
from localcloud.model.front_door import CliAnswer, FrontDoor, Token, cli_action

PATH = "/aws_mwaa/cli"
_REFUSALS: dict[str, CliAnswer] = {
    "throttle": (503, b"Service Unavailable"),
    "error": (500, b"Internal Server Error"),
    "denied": (403, b'{"message": "Forbidden"}'),
    "denied by scp": (403, b'{"message": "Forbidden"}'),
}


class WebServer:
    """The listener; ``authority`` is the certificate file that callers must trust."""

    def __init__(self, cloud: Cloud, directory: Path) -> None:
        self.cloud = cloud
        self.door: FrontDoor | None = None  # there before the first function runs
        self.authority = directory / "authority.pem"
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(_certificates(directory, self.authority))
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self._server.serve_forever, daemon=True, name="localcloud-webserver").start()

    @property
    def address(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self._server.server_port}"

    def answer(self, authorization: str, command: str) -> CliAnswer | None:
        """HTTP status and body; None where the answer gets lost."""
        assert self.door is not None
        token = self.door.token(authorization)
        fault = self._strike(token, command)
        if fault and fault.kind in _REFUSALS:
            return _REFUSALS[fault.kind]
        answer = self.door.cli(token, command, fault.seconds if fault else 0.0)
        return None if fault and fault.kind == "drop" else answer

    def _strike(self, token: Token | None, command: str) -> Fault | None:
        """The fault this command meets; the command becomes a call in the log, of whoever asked for the token."""
        if token is None:
            return None
        who, action = token.visitor, cli_action(command)
        fault = self.cloud.faults.strike(who.principal, action)
        caller, arn = token.environment.caller, token.environment.arn
        allowed = fault is None or fault.kind not in _REFUSALS
        self.cloud.calls.add(
            Call(
                self.cloud.clock.now(), who.principal, caller.account, caller.region, action, arn, allowed,
                fault.kind if fault else None, trace=who.trace,
            )
        )  # fmt: skip
        return fault


def _handler(server: WebServer) -> Any:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 30

        def do_POST(self) -> None:
            command = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            answer: CliAnswer | None = 404, b"Not Found"
            if self.path == PATH:
                answer = server.answer(self.headers.get("Authorization", ""), command)
            self.close_connection = True
            if answer is None:
                return
            status, body = answer
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: Any) -> None:
            """The call log has it."""

    return Handler


def _certificates(directory: Path, authority: Path) -> Path:
    """A new authority, and a file with the key and the certificate that it gives to 127.0.0.1."""
    directory.mkdir(parents=True, exist_ok=True)
    root_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    root_name = _name("localcloud authority")
    root = (
        _builder(root_name, root_name, root_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(root_key.public_key()), critical=False)
        .sign(root_key, hashes.SHA256())
    )
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key())
    host = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = (
        _builder(_name("127.0.0.1"), root_name, key)
        .add_extension(host, critical=False)
        .add_extension(issuer, critical=False)
        .sign(root_key, hashes.SHA256())
    )
    authority.write_bytes(root.public_bytes(serialization.Encoding.PEM))
    both = directory / "webserver.pem"
    both.touch(mode=0o600)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    both.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    return both


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    return builder.not_valid_before(now - dt.timedelta(days=1)).not_valid_after(now + dt.timedelta(days=30))

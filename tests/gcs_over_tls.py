"""storage.googleapis.com on the loopback device, for TensorFlow, whose gs:// code knows no other address.

libcurl asks a proxy for a tunnel to Google; the proxy answers itself, with a certificate of an authority that is made
for the test, and hands what comes through the tunnel to the emulator.
"""

import contextlib
import datetime
import ipaddress
import socketserver
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.retinanet_odm.conftest import Cloud, GcsHandler

_HOSTS = ("www.googleapis.com", "storage.googleapis.com")


def _certificate(path: Path) -> None:
    """Writes key and self-signed certificate of Google's hosts to one PEM file, which a client must trust."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "RetinaNet-ODM's tests")])
    now = datetime.datetime.now(datetime.UTC)
    names = [*map(x509.DNSName, _HOSTS), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    pem = serialization.Encoding.PEM
    path.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain) + certificate.public_bytes(pem))


class _OverTls(GcsHandler):
    """The emulator as it answers through the tunnel."""

    def send_header(self, keyword: str, value: str) -> None:
        # The emulator sees no TLS, so it would return an http:// address for the rest of an upload.
        super().send_header(keyword, value.replace("http://", "https://", 1) if keyword == "Location" else value)


class _Tunnel(socketserver.StreamRequestHandler):
    """One connection: CONNECT HOST:443, then TLS."""

    server: "_Proxy"

    def handle(self) -> None:
        host = self.rfile.readline().split()[1].decode().partition(":")[0]
        while self.rfile.readline().strip():
            pass
        if host not in _HOSTS:  # nothing leaves this machine
            self.wfile.write(b"HTTP/1.1 403 Forbidden\r\n\r\n")
            return
        self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
        with (
            contextlib.suppress(ConnectionError, ssl.SSLError),
            self.server.context.wrap_socket(self.request, server_side=True) as inner,
        ):
            _OverTls(self.server.cloud, inner, self.client_address, self.server)


class _Proxy(socketserver.ThreadingTCPServer):
    daemon_threads = True

    def __init__(self, cloud: Cloud, certificate: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Tunnel)
        self.cloud = cloud
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate)


@contextlib.contextmanager
def serve(cloud: Cloud, folder: Path) -> Iterator[dict[str, str]]:
    """Runs the proxy; gives the environment variables by which TensorFlow finds it."""
    certificate = folder / "google.pem"
    _certificate(certificate)
    proxy = _Proxy(cloud, certificate)
    threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield {
            "https_proxy": f"http://127.0.0.1:{proxy.server_address[1]}",
            "no_proxy": "localhost,127.0.0.1",  # else Beam's workers, by gRPC, would ask the proxy for their launcher
            "CURL_CA_BUNDLE": str(certificate),
            "GOOGLE_AUTH_TOKEN_FOR_TESTING": "a-token",
            "NO_GCE_CHECK": "true",
        }
    finally:
        proxy.shutdown()
        proxy.server_close()


@pytest.fixture
def tensorflow_cloud(cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """The bucket of the emulator, which TensorFlow's own gs:// code sees too, in this process and in its children."""
    with serve(cloud, tmp_path) as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        yield cloud

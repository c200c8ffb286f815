"""Addresses that a caller names: only public ones are reached, however written and whatever they resolve to."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from addresses import Fetcher, Unreachable, is_public


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "169.254.170.2",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "192.0.2.1",
        "::1",
        "::",
        "fe80::1",
        "fe80::1%eth0",
        "fd00:ec2::254",
        "fc00::1",
        "ff02::1",
        "fec0::1",
        "::ffff:10.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::1",
        "2001:0:1234::1",
        "2001:db8::1",
        "192.0.0.8",
        "192.88.99.1",
        "198.18.0.1",
        "3fff::1",
        "5f00::1",
        "::127.0.0.1",
        "::ffff:0:127.0.0.1",
        "64:ff9b:1::7f00:1",
        "::ffff:93.184.216.34",
        "2002:5db8:d822::1",
    ],
)
def test_what_is_not_the_open_internet_is_refused(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["93.184.216.34", "1.1.1.1", "2606:4700:4700::1111"])
def test_public_addresses_are_reached(address: str) -> None:
    assert is_public(address)


def reader(**more: Any) -> Fetcher:
    return Fetcher(most_bytes=1000, seconds=5, **more)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://example.com/a.png", "only https"),
        ("ftp://example.com/a.png", "only https"),
        ("file:///etc/passwd", "only https"),
        ("//example.com/a.png", "only https"),
        ("https:///a.png", "a host"),
        ("https://user:word@example.com/a.png", "no user name"),
        ("https://example.com:8443/a.png", "port"),
        ("https://example.com:99999/a.png", "could not be read"),
        ("https://[::1/a.png", "could not be read"),
        ("https://127.0.0.1/a.png", "not a public one"),
        ("https://2130706433/a.png", "not a public one"),
        ("https://[::ffff:127.0.0.1]/a.png", "not a public one"),
        ("https://localhost/a.png", "not a public one"),
        ("https://exa mple.com/\r\nHost: x", "could not be read"),
        ("s3://bucket/key", "only https"),
        ("HTTPS://127.0.0.1/", "not a public one"),
        ("https://127.1/", "not a public one"),
        ("https://0/", "not a public one"),
        ("https://0177.0.0.1/", "not a public one"),
        ("https://017700000001/", "not a public one"),
        ("https://0x7f.0.0.1/", "not a public one"),
        ("https://0x7f000001/", "not a public one"),
        ("https://169.254.169.254/latest/meta-data/", "not a public one"),
        ("https://127。0。0。1/", "not a public one"),
        ("https://①②⑦.⓪.⓪.①/", "not a public one"),
        ("https://%31%32%37.0.0.1/", "could not be read"),
        ("https://[::]/", "not a public one"),
        ("https://[64:ff9b::7f00:1]/", "not a public one"),
        ("https://[2002:7f00:1::]/", "not a public one"),
        ("https://[::ffff:7f00:1]:443/", "not a public one"),
        ("https://[fd00:ec2::254]/", "not a public one"),
        ("https://example.com@127.0.0.1/", "no user name"),
        ("https://@127.0.0.1/", "no user name"),
        ("https://127.0.0.1\\@example.com/", "no user name"),
        ("https://127.0.0.1#@example.com/", "not a public one"),
        ("https://127.0.0.1?@example.com/", "not a public one"),
        ("https://127.0.0.1:443:80/", "could not be read"),
        (" https://127.0.0.1/", "not a public one"),
        ("https:/127.0.0.1/", "a host"),
        ("https:127.0.0.1", "a host"),
    ],
)
def test_what_may_not_be_read_says_why(url: str, says: str) -> None:
    with pytest.raises(Unreachable, match=says):
        reader().read(url)


def test_one_private_address_among_public_ones_is_enough_to_refuse() -> None:
    found = reader(resolve=lambda host, port: ["93.184.216.34", "10.0.0.1"])
    with pytest.raises(Unreachable, match="not a public one"):
        found.read("https://example.com/a.png")
    with pytest.raises(Unreachable, match="not a public one"):
        reader(resolve=lambda host, port: []).read("https://example.com/a.png")


@pytest.mark.parametrize("host", ["localhost.", "127.0.0.1.", "internal.example.", "metadata"])
def test_a_name_is_judged_by_where_it_leads_however_it_is_written(host: str) -> None:
    with pytest.raises(Unreachable, match="not a public one"):
        reader(resolve=lambda host, port: ["127.0.0.1"]).read(f"https://{host}/a.png")


def test_a_name_that_leads_elsewhere_the_next_time_gains_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([["93.184.216.34"], ["169.254.169.254"], ["169.254.169.254"]])
    reached: list[object] = []

    def connect(address: object, *_: object, **__: object) -> socket.socket:
        reached.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "create_connection", connect)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: pytest.fail("a name was resolved a second time"))
    with pytest.raises(Unreachable, match="ConnectionRefusedError"):
        reader(resolve=lambda host, port: next(answers)).read("https://rebinding.example/a.png")
    assert reached == [("93.184.216.34", 443)]


class Site(BaseHTTPRequestHandler):
    """What a picture's server may do."""

    def do_GET(self) -> None:
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "https://169.254.169.254/latest/meta-data/")
            self.end_headers()
        elif self.path == "/missing":
            self.send_error(404)
        elif self.path == "/endless":
            self.send_response(200)
            self.end_headers()
            try:
                while True:
                    self.wfile.write(b"x" * 4096)
            except OSError:
                return
        elif self.path == "/silent":
            self.server.released.wait(20)  # type: ignore[attr-defined]
        else:
            body = f"{self.headers['Host']} {self.path}".encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        return


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a self-signed certificate for pictures.test."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "pictures.test")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("pictures.test")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "both.pem"
    form = serialization.PrivateFormat.PKCS8
    private = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    file.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return file


@pytest.fixture(scope="module")
def site(certificate: Path) -> Iterator[int]:
    """A TLS server on this machine; its port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    server.released = threading.Event()  # type: ignore[attr-defined]
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_port
    server.released.set()  # type: ignore[attr-defined]
    server.shutdown()
    server.server_close()


def local(certificate: Path, port: int, **more: Any) -> Fetcher:
    """A reader that may reach this machine under the name pictures.test."""
    asked: list[str] = []

    def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        assert len(asked) == 1, "a name is resolved once: a second answer could be another address"
        return ["127.0.0.1"]

    tls = ssl.create_default_context(cafile=str(certificate))
    given = {"most_bytes": 1000, "seconds": 5, **more}
    return Fetcher(
        ports=frozenset({port}),
        permitted=lambda a: ipaddress.ip_address(a).is_loopback,
        resolve=resolve,
        tls=tls,
        **given,
    )


def test_the_checked_address_is_reached_under_the_hosts_name(certificate: Path, site: int) -> None:
    body = local(certificate, site).read(f"https://pictures.test:{site}/a.png?b=c")
    assert body == f"pictures.test:{site} /a.png?b=c".encode()


def test_a_certificate_for_another_name_is_refused(certificate: Path, site: int) -> None:
    with pytest.raises(Unreachable, match="SSLCertVerificationError"):
        local(certificate, site).read(f"https://other.test:{site}/a.png")


@pytest.mark.parametrize(
    ("path", "says"), [("/moved", "redirects"), ("/missing", "answered 404"), ("/endless", "more than 1000 bytes")]
)
def test_a_server_cannot_lead_elsewhere_or_send_without_end(certificate: Path, site: int, path: str, says: str) -> None:
    with pytest.raises(Unreachable, match=says):
        local(certificate, site).read(f"https://pictures.test:{site}{path}")


def test_a_server_that_says_nothing_is_given_up(certificate: Path, site: int) -> None:
    with pytest.raises(Unreachable, match=r"TimeoutError|longer than"):
        local(certificate, site, seconds=0.3).read(f"https://pictures.test:{site}/silent")

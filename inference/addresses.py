"""Bytes behind a public https address, and nothing else: what a caller names may not reach into a private network.

A name is resolved once, every address it has is checked, and the connection goes to a checked one, so that a name
that changes its address in between gains nothing. Redirects are refused. Knows no pictures.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

CHUNK = 1 << 16
NAT64 = ipaddress.ip_network("64:ff9b::/96")
"""Addresses that a gateway translates to IPv4: the private ones among them look global."""
SET_APART = [ipaddress.ip_network(text) for text in ("192.0.0.0/24", "192.88.99.0/24", "3fff::/20")]
"""IANA's special purposes that `ipaddress` takes for the open internet: protocols, 6to4's relays, documentation."""


class Unreachable(Exception):
    """The address may not be read, or could not; the message says why and is meant for the caller."""


def is_public(address: str) -> bool:
    """True for an address of the open internet: not private, loopback, link-local, multicast, or wrapping one."""
    found = ipaddress.ip_address(address.partition("%")[0])
    # Ways of writing or reaching an IPv4 address that hide it from the check: refused, whatever they wrap.
    if isinstance(found, ipaddress.IPv6Address) and (
        found.ipv4_mapped or found.sixtofour or found.teredo or found in NAT64 or found.is_site_local
    ):
        return False
    if any(found.version == network.version and found in network for network in SET_APART):
        return False
    return found.is_global and not found.is_multicast and not found.is_reserved


def resolve(host: str, port: int) -> list[str]:
    """Every address of a host name. Raises OSError (socket.gaierror) when it has none."""
    return list(dict.fromkeys(str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))


@dataclass(frozen=True)
class Fetcher:
    """Reads https addresses: at most `most_bytes`, within `seconds` in all."""

    most_bytes: int
    seconds: float
    ports: frozenset[int] = frozenset({443})
    permitted: Callable[[str], bool] = is_public
    resolve: Callable[[str, int], list[str]] = resolve
    tls: ssl.SSLContext = field(default_factory=ssl.create_default_context)

    def read(self, url: str) -> bytes:
        """The body of a 200 answer. Raises Unreachable."""
        deadline = time.monotonic() + self.seconds
        try:
            host, port, path = self._parts(url)
            address = self._checked(host, port)
            return self._get(host, port, address, path, deadline)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise Unreachable(f"it could not be read ({type(error).__name__})") from error

    def _parts(self, url: str) -> tuple[str, int, str]:
        parts = urlsplit(url)
        if parts.scheme != "https":
            raise Unreachable("only https addresses are read")
        if not parts.hostname or parts.username is not None or parts.password is not None:
            raise Unreachable("it must have a host and no user name")
        port = parts.port or 443
        if port not in self.ports:
            raise Unreachable("its port is not 443")
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return parts.hostname, port, path

    def _checked(self, host: str, port: int) -> str:
        addresses = self.resolve(host, port)
        if not addresses or not all(self.permitted(address) for address in addresses):
            raise Unreachable("its host is not a public one")
        return addresses[0]

    def _get(self, host: str, port: int, address: str, path: str, deadline: float) -> bytes:
        connection = _Pinned(host, port, address, self.tls, self._left(deadline))
        try:
            connection.request("GET", path, headers={"Accept": "image/*", "User-Agent": "parley"})
            answer = connection.getresponse()
            if 300 <= answer.status < 400:
                raise Unreachable("it redirects, and redirects are not followed")
            if answer.status != 200:
                raise Unreachable(f"its server answered {answer.status}")
            return self._body(connection, answer, deadline)
        finally:
            connection.close()

    def _body(
        self, connection: http.client.HTTPSConnection, answer: http.client.HTTPResponse, deadline: float
    ) -> bytes:
        parts, size = [], 0
        while True:
            if connection.sock is not None:
                connection.sock.settimeout(self._left(deadline))
            part = answer.read1(CHUNK)
            if not part:
                break
            size += len(part)
            if size > self.most_bytes:
                raise Unreachable(f"it has more than {self.most_bytes} bytes")
            self._left(deadline)
            parts.append(part)
        return b"".join(parts)

    def _left(self, deadline: float) -> float:
        left = deadline - time.monotonic()
        if left <= 0:
            raise Unreachable(f"it took longer than {self.seconds:g} seconds")
        return left


class _Pinned(http.client.HTTPSConnection):
    """A connection to one given address that still asks for, and verifies, the host by its name."""

    def __init__(self, host: str, port: int, address: str, tls: ssl.SSLContext, timeout: float) -> None:
        super().__init__(host, port, timeout=timeout, context=tls)
        self._address = address
        self._tls = tls

    def connect(self) -> None:
        """Open the connection to the checked address."""
        plain = socket.create_connection((self._address, self.port), self.timeout)
        try:
            self.sock = self._tls.wrap_socket(plain, server_hostname=self.host)
        except OSError:
            plain.close()
            raise

"""Images of Label Studio's tasks, read by their addresses from the servers that the user has named, and from no other.

A task may hold any text where its address is, and a project may be shared: so the program must not become a means to
read local files, or pages of the network that only this machine reaches. Begin with `TaskImages.read`.
"""

import base64
import time
from collections.abc import Iterable, Iterator
from urllib.parse import urljoin, urlsplit

import requests
from requests.auth import AuthBase

from retinanet_odm.errors import DataError, UsageError

_MAX_BYTES = 1 << 29  # of one image; the largest image that Pillow accepts has 536 MB uncompressed
_MAX_REDIRECTS = 5
_TIMEOUT = (10, 60)  # seconds to connect, and between two packets
_TOKEN_SECONDS = 60  # an access token is valid for some minutes
_STORAGES = ("s3://", "gs://", "azure-blob://")
_PORTS = {"http": 80, "https": 443}


class TaskImages:
    """Reads images from Label Studio's server, with its token, and from other servers that are allowed, without it."""

    def __init__(self, url: str, token: str, other_hosts: Iterable[str]) -> None:
        """Prepare the connections; nothing is read.

        Args:
          url: address of Label Studio, with its scheme, and a port other than that of the scheme.
          token: the value of LABEL_STUDIO_API_KEY, a legacy token or a personal access token; "" for none.
          other_hosts: HOST or HOST:PORT of other servers.

        Raises:
          UsageError: url is no address of a server.
        """
        self.url = url.rstrip("/")
        self._server = _server(url)
        if self._server is None:
            raise UsageError(f"--url: expected the address of Label Studio, such as http://localhost:8080, found {url}")
        self._others = frozenset(server for host in other_hosts for server in _servers(host))
        self._session = requests.Session()
        self._token = _Token(self._session, self.url, token)

    def read(self, address: str, task: object = None) -> bytes:
        """Return the content of an image.

        Args:
          address: as a task has it: with a host, or a path of Label Studio's own server, or of a storage to which Label
            Studio has the key.
          task: id of the task, a number; without it, there are no storages.

        Raises:
          DataError: the address is not of an allowed server, or there is no image to be had.
        """
        path = _in_storage(address, task) if isinstance(task, int) else address
        first = current = _normalised(f"{self.url}/", path)
        steps = 0
        try:
            while steps <= _MAX_REDIRECTS:
                # Each address of a chain is checked: an allowed server may send on to one that is not.
                auth = self._auth_for(current, address if current == first else f"{address}, which leads to {current}")
                with self._session.get(
                    current, auth=auth, stream=True, allow_redirects=False, timeout=_TIMEOUT
                ) as response:
                    if not response.is_redirect:
                        return _content(response, current)
                    current, steps = _normalised(current, response.headers["Location"]), steps + 1
        except requests.RequestException as error:
            raise DataError("image_not_available", f"{current}: cannot be read: {type(error).__name__}") from error
        raise DataError("image_not_available", f"{address}: more than {_MAX_REDIRECTS} redirects")

    def _auth_for(self, url: str, shown: str) -> AuthBase:
        """Return what authenticates a request.

        Args:
          url: of the request, normalised.
          shown: the address in messages.

        Raises:
          DataError: the server is not allowed.
        """
        server = _server(url)
        if server == self._server:
            return self._token
        if server is not None and server[1:] in self._others:
            return _NoToken()
        detail = f"expected an address of {self.url}, or of a server in --image_hosts, found {shown}"
        raise DataError("image_not_allowed", detail)


def _in_storage(address: str, task: int) -> str:
    """Return the path by which Label Studio gives what lies in its storages (its io_storages/proxy_api.py)."""
    if not address.startswith(_STORAGES):
        return address
    return f"/tasks/{task}/resolve/?fileuri={base64.urlsafe_b64encode(address.encode()).decode()}"


def _normalised(base: str, address: str) -> str:
    """Return an address as requests will send it, so that the host that is checked is the one that is asked."""
    try:
        return str(requests.Request("GET", urljoin(base, address)).prepare().url)
    except ValueError as error:  # also those of requests
        raise DataError("image_not_allowed", f"expected the address of an image, found {address!r}: {error}") from error


def _server(url: str) -> tuple[str, str, int] | None:
    """Return scheme, host and port of a normalised address; None if it is not of HTTP, or has a user name."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:  # no host at all, or a port above 65535
        return None
    if parts.scheme not in _PORTS or not parts.hostname or "@" in parts.netloc:
        return None
    return parts.scheme, parts.hostname, port or _PORTS[parts.scheme]


def _servers(host: str) -> Iterator[tuple[str, int]]:
    """Yield host and port of a value of --image_hosts, HOST or HOST:PORT; without a port, those of HTTP and HTTPS."""
    server = None if "://" in host else _server(f"http://{host}")
    if server is None or urlsplit(f"http://{host}").path:
        raise UsageError(f"--image_hosts: expected HOST or HOST:PORT, found {host}")
    yield server[1:]
    if urlsplit(f"http://{host}").port is None:
        yield server[1], _PORTS["https"]


def _content(response: requests.Response, url: str) -> bytes:
    if response.status_code in (401, 403):
        detail = f"{url}: {response.status_code} {response.reason}: set LABEL_STUDIO_API_KEY to a token of Label Studio"
        raise DataError("image_not_available", detail)
    if response.status_code != 200:
        raise DataError("image_not_available", f"{url}: {response.status_code} {response.reason}")
    parts, size = [], 0
    # Not read at once: the length that a server announces may be wrong.
    for part in response.iter_content(1 << 20):
        parts.append(part)
        size += len(part)
        if size > _MAX_BYTES:
            raise DataError("image_not_available", f"{url}: more than {_MAX_BYTES >> 20} MB")
    return b"".join(parts)


class _NoToken(AuthBase):
    """Sends no credentials; without it, requests would look for some in ~/.netrc."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Return the request unchanged."""
        return request


class _Token(AuthBase):
    """Sends the token: a legacy token as it is, of a personal access token an access token (guide/access_tokens)."""

    def __init__(self, session: requests.Session, url: str, token: str) -> None:
        self._session = session
        self._url = url
        self._token = token
        self._access = ""
        self._since = -float("inf")

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Add the header to a request."""
        # A personal access token is a JSON Web Token, three parts of base64url (RFC 7519, section 3).
        if self._token.count(".") == 2:
            request.headers["Authorization"] = f"Bearer {self._fresh()}"
        elif self._token:
            request.headers["Authorization"] = f"Token {self._token}"
        return request

    def _fresh(self) -> str:
        if time.monotonic() - self._since > _TOKEN_SECONDS:
            answer = self._session.post(
                f"{self._url}/api/token/refresh/",
                json={"refresh": self._token},
                auth=_NoToken(),
                allow_redirects=False,
                timeout=_TIMEOUT,
            )
            if answer.status_code != 200:
                detail = f"{answer.url}: {answer.status_code}: Label Studio refuses the token in LABEL_STUDIO_API_KEY"
                raise DataError("image_not_available", detail)
            self._access, self._since = str(answer.json().get("access", "")), time.monotonic()
        return self._access

"""Who may ask the server: by which name, from which pages, with which token."""

import hmac
import ipaddress
import re
from urllib.parse import urlsplit

from npid_tf.errors import UserError
from npid_tf.server.limits import RequestError

LOOPBACK = ("127.0.0.1", "localhost", "::1")
# Routes that reveal nothing of the index: the page itself, and probes.
WITHOUT_TOKEN = ("/", "/page.js", "/page.css", "/healthz", "/readyz")
PREFLIGHT = {
    "access-control-allow-methods": "GET, HEAD, POST, DELETE",
    "access-control-allow-headers": "authorization, content-type",
    "access-control-max-age": "600",
}


class Access:
    """What of a request's sender is checked, before its body is read.

    A page of another server can make a browser send requests. Two of its ways are
    closed here. It may send them to this server's own name: then the browser says from
    where (`Origin`, `Sec-Fetch-Site`), and what changes or searches is refused. Or it
    may let a name of its own point here ("DNS rebinding"), so that the browser takes
    both for one server: a server for this machine only answers to known names.
    What begins with `Sec-` no page can set, and browsers send it only if the name
    is sure, by TLS or as localhost; so it is trusted, whatever name a proxy passes on.

    Args:
        token: required in `Authorization: Bearer`, or None.
        origins: of pages that may ask, as https://photos.example, besides the server's
            own; by these names it may be reached as well.
        proxies: addresses or networks whose X-Forwarded-Host and X-Forwarded-Proto are
            believed.
        root_path: where a proxy shows the server, as /search; "": at its root.

    Raises:
        ValueError: for values that cannot be what they are to be.
    """

    def __init__(self, token=None, origins=(), proxies=(), root_path=""):
        self.token = _check_token(token)
        self.origins = frozenset(map(_check_origin, origins))
        self._names = {origin[1] for origin in self.origins}
        self._proxies = tuple(map(_check_network, proxies))
        self.root_path = _check_root_path(root_path)

    def check(self, scope, local_only):
        """Raises RequestError for a request that is not to be answered."""
        headers = _headers(scope)
        if local_only and not self._is_known_name(headers):
            raise RequestError(
                421,
                "This server only answers requests to localhost. Start it with "
                "--allowed_origins=https://NAME where a proxy passes that name on, or "
                "with --host=ADDRESS to answer others.",
            )
        if self.is_preflight(scope):
            return
        if scope["method"] not in ("GET", "HEAD") and not self._is_own(scope, headers):
            raise RequestError(
                403,
                "Pages of other servers may not send this. Behind a proxy, start the "
                "server with --allowed_origins=ORIGIN of its page.",
            )
        if scope["path"] not in (*WITHOUT_TOKEN, self.root_path):
            self.check_token(headers.get("authorization"))

    def check_token(self, authorization):
        """Raises RequestError unless the header is `Bearer` and the token, if any."""
        if self.token is None:
            return
        kind, _, given = (authorization or "").partition(" ")
        # In constant time, which does not reveal how much of it is right.
        is_right = hmac.compare_digest(given.strip().encode(), self.token)
        if kind.lower() != "bearer" or not is_right:
            raise RequestError(
                401, "This needs the header `Authorization: Bearer TOKEN`."
            )

    def headers_for(self, scope):
        """Headers that let a page of an allowed origin read the answer: (name, value)
        of bytes."""
        if not self.origins:
            return []
        origin = _headers(scope).get("origin")
        headers = [(b"vary", b"origin")]
        if _split(origin) in self.origins:
            value = origin.encode("latin-1")
            headers.append((b"access-control-allow-origin", value))
        return headers

    def is_preflight(self, scope):
        """Whether a browser asks if a page of an allowed origin may send a request."""
        headers = _headers(scope)
        return (
            scope["method"] == "OPTIONS"
            and "access-control-request-method" in headers
            and _split(headers.get("origin")) in self.origins
        )

    def _is_known_name(self, headers):
        name, _ = _split_host(headers.get("host", ""))
        is_sure = "sec-fetch-site" in headers
        return name in LOOPBACK or name in self._names or is_sure

    def _is_own(self, scope, headers):
        site, origin = headers.get("sec-fetch-site"), headers.get("origin")
        if site == "same-origin" or _split(origin) in self.origins:
            return True
        if site not in (None, "none"):
            return False
        if origin is None:
            return True  # No page sends this.
        host = headers.get("host", "")
        proto = None
        if self._is_proxy(scope):
            host = _last(headers.get("x-forwarded-host", host))
            proto = _last(headers.get("x-forwarded-proto", "")) or None
        return self._is_same(_split(origin), host, proto, scope.get("server"))

    def _is_same(self, origin, host, proto, server):
        """Whether an origin is that of a Host header."""
        if origin is None or proto not in (None, origin[0]):
            return False
        name, port = _split_host(host)
        default = _default_port(origin[0])
        # No browser leaves out a port that is not the default one. If this server
        # listens at such a port, a proxy did: nginx's $host is without it.
        any_port = port is None and server and server[1] not in (80, 443)
        return name == origin[1] and (any_port or (port or default) == origin[2])

    def _is_proxy(self, scope):
        try:
            address = ipaddress.ip_address(scope["client"][0])
        except (KeyError, TypeError, ValueError):
            return False
        return any(address in network for network in self._proxies)


def _headers(scope):
    return {
        name.decode("latin-1"): value.decode("latin-1")
        for name, value in scope["headers"]
    }


def _last(values):
    """Of values that several proxies added, that of the nearest."""
    return values.rpartition(",")[2].strip()


def _split(origin):
    """(scheme, name, port) of an origin, or None if it is invalid."""
    try:
        parts = urlsplit(origin or "")
        port = parts.port
    except ValueError:
        return None
    default = _default_port(parts.scheme)
    if default is None or not parts.hostname or parts.path or parts.username:
        return None
    return parts.scheme, parts.hostname, port or default


def _default_port(scheme):
    return {"http": 80, "https": 443}.get(scheme)


def _split_host(host):
    """(name, port or None) of a Host header; the name is None if it is invalid."""
    found = re.fullmatch(
        r"(\[[0-9a-f:.]+\]|[^\[\]:/@?#]+)(?::([0-9]{1,5}))?", host.lower()
    )
    if found is None:
        return None, None
    name, port = found.groups()
    return name.strip("[]"), None if port is None else int(port)


def _check_token(token):
    if token is None:
        return None
    if not re.fullmatch("[!-~]+", token):
        raise UserError(
            "The API token must be one or more printable ASCII characters, no space."
        )
    return token.encode()


def _check_origin(origin):
    parts = _split(origin)
    if parts is None or "?" in origin or "#" in origin:
        raise UserError(
            "`allowed_origins` must be as https://photos.example or http://HOST:PORT, "
            f"separated by commas. Received: {origin!r}."
        )
    return parts


def _check_network(proxy):
    try:
        return ipaddress.ip_network(proxy)
    except ValueError as error:
        raise UserError(
            "`trusted_proxies` must be addresses or networks, as 127.0.0.1 or "
            f"10.0.0.0/8, separated by commas. Received: {proxy!r} ({error})."
        ) from None


def _check_root_path(root_path):
    root_path = root_path.rstrip("/")
    if root_path and not re.fullmatch("(/[A-Za-z0-9._~-]+)+", root_path):
        raise UserError(
            "`root_path` must be a path of letters, digits and -._~, as /search. "
            f"Received: {root_path!r}."
        )
    return root_path

"""Who may ask: names, pages behind proxies and of attackers, and the token."""

import pytest

from npid_tf.server.http.access import Access
from npid_tf.server.limits import RequestError


def status(access, *headers, method="POST", path="/v1/search", local=True, peer=None):
    """200, or the status of the refusal, of a request with these headers."""
    scope = {
        "method": method,
        "path": path,
        "headers": [(name.encode(), value.encode()) for name, value in headers],
        "client": (peer or "127.0.0.1", 1234),
        "server": ("127.0.0.1", 8501),
    }
    try:
        access.check(scope, local)
    except RequestError as error:
        return error.status
    return 200


def host(value="127.0.0.1:8501"):
    return "host", value


def origin(value="https://photos.example"):
    return "origin", value


def site(value="same-origin"):
    return "sec-fetch-site", value


def forwarded(name, proto="https"):
    return ("x-forwarded-host", name), ("x-forwarded-proto", proto)


@pytest.mark.parametrize(
    "headers",
    [
        [host()],  # No browser.
        [host("LOCALHOST:8501")],
        [host("[::1]:8501")],
        [host(), origin(), site()],  # proxy_pass alone, TLS before it.
        [host("photos.example"), origin(), site()],  # Host $host, or Caddy.
        [host("127.0.0.1"), origin("http://127.0.0.1:8080")],  # $host drops the port.
        [host("127.0.0.1:8080"), origin("http://127.0.0.1:8080")],
    ],
)
def test_pages_of_its_own_may_ask_behind_a_proxy_too(headers):
    assert status(Access(), *headers) == 200


@pytest.mark.parametrize(
    ("code", "headers"),
    [
        # A page elsewhere, that sends to this server's own name.
        (403, [host(), origin("https://evil.example")]),
        (403, [host(), origin("https://evil.example"), site("cross-site")]),
        (403, [host(), origin("http://localhost:9999"), site("same-site")]),
        (403, [host(), origin("null")]),
        (403, [host(), site("cross-site")]),
        (403, [host("localhost:8501"), origin("http://localhost:9999")]),
        # It cannot say what proxies say: those must be trusted.
        (403, [host(), origin(), *forwarded("photos.example")]),
        # A name of the page's own that points here: plain HTTP, so no browser vouches.
        (421, [host("evil.example:8501"), origin("http://evil.example:8501")]),
        (421, [host("evil.example:8501")]),
        (421, [host("evil.example"), *forwarded("localhost")]),
        (421, [host("localhost.evil.example")]),
        (421, [host("evil.example@127.0.0.1")]),
        (421, [host("127.0.0.1:8501:1")]),
        (421, [host("")]),
        (421, []),
    ],
)
def test_pages_of_others_may_not(code, headers):
    trusting = Access(proxies=["10.0.0.0/8"])
    for access in (Access(), trusting):
        assert status(access, *headers) == code


def test_reading_is_no_change_but_needs_a_known_name():
    headers = [host(), origin("https://evil.example"), site("cross-site")]
    assert status(Access(), *headers, method="GET") == 200  # Which it cannot read.
    assert status(Access(), host("evil.example:8501"), method="GET") == 421
    assert status(Access(), host("photos.example"), method="GET", local=False) == 200


@pytest.mark.parametrize(
    ("peer", "headers", "code"),
    [
        ("127.0.0.1", [origin(), *forwarded("photos.example")], 200),
        ("127.0.0.1", [origin(), *forwarded("evil.example, photos.example")], 200),
        ("127.0.0.1", [origin(), *forwarded("photos.example, evil.example")], 403),
        ("127.0.0.1", [origin(), *forwarded("photos.example", "http")], 403),
        ("127.0.0.1", [origin("https://evil.example"), *forwarded("photos.example")],
         403),
        ("fd00::7", [origin(), *forwarded("photos.example:443")], 200),
        ("10.0.0.2", [origin(), *forwarded("photos.example")], 403),
        ("127.0.0.1", [origin(), *forwarded("photos.example"), site("cross-site")],
         403),
    ],
)  # fmt: skip
def test_only_trusted_proxies_say_what_the_server_is_called(peer, headers, code):
    access = Access(proxies=["127.0.0.1", "fd00::/8"])
    assert status(access, host(), *headers, peer=peer) == code
    # No proxy makes an unknown name a known one: a page could have sent its headers.
    evil = host("evil.example:8501")
    assert status(access, evil, ("x-forwarded-host", "localhost"), peer=peer) == 421


def test_allowed_origins_are_names_of_the_server_and_of_pages_that_may_ask():
    access = Access(origins=["https://photos.example", "http://lan:8080"])
    assert status(access, host("photos.example")) == 200
    assert status(access, host("photos.example"), origin()) == 200
    assert status(access, host(), origin(), site("cross-site")) == 200
    assert status(access, host(), origin("http://lan:8080")) == 200
    assert status(access, host(), origin("http://lan")) == 403
    assert status(access, host(), origin("http://photos.example")) == 403
    assert status(access, host("other.example")) == 421
    ask = ("access-control-request-method", "DELETE")
    assert status(access, host(), origin(), ask, method="OPTIONS") == 200
    evil = origin("https://evil.example")
    assert status(access, host(), evil, ask, method="OPTIONS") == 403


def test_a_token_is_needed_for_all_but_the_page_and_its_health():
    access = Access(token="open-sesame")
    for header, code in [
        (None, 401),
        ("Bearer open-sesame", 200),
        ("bearer  open-sesame", 200),
        ("Bearer open-sesam", 401),
        ("Bearer open-sesame1", 401),
        ("Bearer ", 401),
        ("Bearer", 401),
        ("Basic open-sesame", 401),
        ("open-sesame", 401),
        ("Bearer \xff", 401),
    ]:
        headers = [] if header is None else [("authorization", header)]
        for method, path in [
            ("POST", "/v1/search"), ("GET", "/v1/items"), ("DELETE", "/v1/items/a"),
            ("GET", "/v1/thumbnail"), ("GET", "/v1/models/encoder"), ("GET", "/no"),
            ("POST", "/v1/models/encoder:predict"), ("GET", "/metrics"),
        ]:  # fmt: skip
            found = status(access, host(), *headers, method=method, path=path)
            assert found == code, (header, path)
    for path in ("/", "/page.js", "/page.css", "/healthz", "/readyz"):
        assert status(access, host(), method="GET", path=path) == 200


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"token": "a b"}, "printable ASCII"),
        ({"token": "ä"}, "printable ASCII"),
        ({"token": ""}, "printable ASCII"),
        ({"origins": ["photos.example"]}, "allowed_origins.*'photos.example'"),
        ({"origins": ["*"]}, "allowed_origins"),
        ({"origins": ["https://photos.example/"]}, "allowed_origins"),
        ({"origins": ["https://a:x"]}, "allowed_origins"),
        ({"proxies": ["localhost"]}, "trusted_proxies.*'localhost'"),
        ({"proxies": ["10.0.0.1/8"]}, "trusted_proxies"),
        ({"root_path": "search"}, "root_path.*'search'"),
        ({"root_path": "/a b"}, "root_path"),
    ],
)
def test_values_that_cannot_be_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        Access(**values)

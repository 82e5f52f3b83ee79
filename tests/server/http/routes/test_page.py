"""The page's files: whole, and from here alone."""

import re

import pytest

from npid_tf.server.http.routes.page import FILES


@pytest.mark.parametrize("address", FILES)
def test_the_files_of_the_page_name_no_outside_address(server, address):
    status, content = server.ask("GET", address)
    assert status == 200
    assert len(content) > 1000
    assert not re.search(rb"https?://|//[a-z]+\.[a-z]", content)


def test_the_page_loads_only_what_is_served(server):
    content = server.ask("GET", "/")[1].decode()
    addresses = set(re.findall(r'(?:src|href)="([^":]*)"', content))
    # Relative, since a proxy may show the page below a prefix.
    assert {f"/{address}" for address in addresses} == FILES.keys() - {"/"}
    assert not re.search(rb"""["'`]/[a-z]""", server.ask("GET", "/page.js")[1])

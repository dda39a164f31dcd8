"""Proxies as curl reads them from the environment: pure."""

from __future__ import annotations

import pytest

from b24oauth.errors import ConfigurationError
from b24oauth.wire.addresses import Origin
from b24oauth.wire.environment import Proxy, ProxyRules, parse_proxy

HTTPS = Origin("https", "portal.example", 443)
HTTP = Origin("http", "portal.example", 80)


def place(environ: dict[str, str], origin: Origin = HTTPS) -> str | None:
    proxy = ProxyRules(environ).proxy_for(origin)
    return None if proxy is None else proxy.place


@pytest.mark.parametrize(
    ("environ", "https", "http"),
    [
        ({}, None, None),
        ({"HTTPS_PROXY": "a:1"}, "a:1", None),
        ({"HTTP_PROXY": "a:1"}, None, "a:1"),
        ({"ALL_PROXY": "a:1"}, "a:1", "a:1"),
        ({"ALL_PROXY": "a:1", "https_proxy": "b:2"}, "b:2", "a:1"),
        ({"HTTPS_PROXY": "a:1", "https_proxy": "b:2"}, "b:2", None),
        ({"ALL_PROXY": "a:1", "all_proxy": "b:2"}, "b:2", "b:2"),
        ({"HTTPS_PROXY": "", "ALL_PROXY": " a:1 "}, "a:1", "a:1"),
        ({"HTTP_PROXY": "a:1", "REQUEST_METHOD": "GET"}, None, None),
        ({"http_proxy": "a:1", "REQUEST_METHOD": "GET"}, None, "a:1"),
        ({"FTP_PROXY": "a:1", "PROXY": "b:2"}, None, None),
    ],
)
def test_variables_are_read_as_curl_reads_them(environ: dict[str, str], https: str | None, http: str | None) -> None:
    assert (place(environ), place(environ, HTTP)) == (https, http)


@pytest.mark.parametrize(
    ("value", "scheme", "told"),
    [
        ("proxy:3128", "http", "proxy:3128"),
        ("proxy", "http", "proxy:80"),
        ("HTTP://Proxy.Example:3128/", "http", "proxy.example:3128"),
        ("https://proxy", "https", "proxy:443"),
        ("socks5://proxy", "socks5", "proxy:1080"),
        ("socks5h://proxy:9", "socks5", "proxy:9"),
        ("socks://proxy:9", "socks5", "proxy:9"),
        ("http://[::1]:3128", "http", "[::1]:3128"),
        ("user:word@proxy:1", "http", "proxy:1"),
    ],
)
def test_addresses_of_proxies(value: str, scheme: str, told: str) -> None:
    proxy = parse_proxy(value, "proxy")
    assert (proxy.scheme, proxy.place, proxy.url) == (scheme, told, f"{scheme}://{told}")


def test_credentials_are_decoded_and_not_shown() -> None:
    proxy = parse_proxy("http://us%40er:S3CR3T%3A@proxy:1", "proxy")
    assert (proxy.username, proxy.password) == ("us@er", "S3CR3T:")
    assert proxy.authorization == "Basic dXNAZXI6UzNDUjNUOg=="
    assert "S3CR3T" not in repr(proxy) + proxy.url
    assert parse_proxy("proxy:1", "proxy").authorization is None


@pytest.mark.parametrize(
    "value",
    ["http://", "://p", "ftp://p:1", "socks4://p:1", "socks4a://p", "http://p:x", "http://p:0", "http://p:99999",
     "http://[::1", "http://[p]:1", "p p:1", "http://p%20q:1", "http://й:1", "user:S3CR3T@"],
)  # fmt: skip
def test_what_is_no_proxy_names_where_it_stands_and_not_what(value: str) -> None:
    with pytest.raises(ConfigurationError, match=": ALL_PROXY is not the address") as caught:
        parse_proxy(value, "ALL_PROXY")
    assert caught.value.__context__ is None
    assert "S3CR3T" not in str(caught.value)


@pytest.mark.parametrize(
    ("no_proxy", "origin", "is_direct"),
    [
        ("*", HTTPS, True),
        ("portal.example", HTTPS, True),
        ("PORTAL.Example.", HTTPS, True),
        ("example", HTTPS, True),
        (".example", HTTPS, True),
        ("*.example", HTTPS, True),
        (".portal.example", HTTPS, True),
        ("ortal.example", HTTPS, False),
        ("sub.portal.example", HTTPS, False),
        ("other.example, portal.example", HTTPS, True),
        ("other.example portal.example", HTTPS, True),
        ("other.example,,portal.example,", HTTPS, True),
        ("portal.example:443", HTTPS, True),
        ("portal.example:8443", HTTPS, False),
        ("portal.example", Origin("https", "PORTAL.example.", 443), True),
        ("localhost", Origin("http", "localhost", 8000), True),
        ("[::1]", Origin("http", "::1", 8000), True),
        ("::1", Origin("http", "::1", 8000), True),
        ("[::1]:8000", Origin("http", "::1", 8000), True),
        ("[::1]:9", Origin("http", "::1", 8000), False),
        ("0:0:0:0:0:0:0:1", Origin("http", "::1", 80), True),
        ("fe80::/10", Origin("https", "fe80::1", 443), True),
        ("[fe80::]/10", Origin("https", "fe80::1", 443), True),
        ("[fe80::/10]", Origin("https", "fe81::1", 443), True),
        ("fe80::/10", Origin("https", "fd00::1", 443), False),
        ("10.0.0.0/8", Origin("https", "10.1.2.3", 443), True),
        ("10.1.0.1/16", Origin("https", "10.1.2.3", 443), True),
        ("10.0.0.0/8", Origin("https", "11.1.2.3", 443), False),
        ("10.1.2.3", Origin("https", "10.1.2.3", 443), True),
        ("10.1.2.3:8443", Origin("https", "10.1.2.3", 8443), True),
        ("10.1.2.3:8443", Origin("https", "10.1.2.3", 443), False),
        ("10.0.0.0/8", HTTPS, False),
        ("::/0", Origin("https", "10.1.2.3", 443), False),
        ("2.3", Origin("https", "10.1.2.3", 443), False),
    ],
)
def test_no_proxy_is_read_as_curl_reads_it(no_proxy: str, origin: Origin, is_direct: bool) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        assert (place({"ALL_PROXY": "a:1", name: no_proxy}, origin) is None) is is_direct


def test_the_lower_case_no_proxy_comes_first() -> None:
    assert place({"ALL_PROXY": "a:1", "no_proxy": "other.example", "NO_PROXY": "*"}) == "a:1"


def test_entries_that_cannot_be_read_are_counted() -> None:
    rules = ProxyRules({"NO_PROXY": "http://x, a.example, [::1, 10.0.0.0/99, b.example:x, 1.2.3, é"})
    assert rules.unreadable == (1, 3, 4, 5, 6, 7)


def test_only_the_proxy_that_is_needed_is_judged() -> None:
    rules = ProxyRules({"HTTPS_PROXY": "ftp://x", "HTTP_PROXY": "a:1", "NO_PROXY": "direct.example"})
    assert rules.proxy_for(HTTP) == Proxy(scheme="http", host="a", port=1, source="HTTP_PROXY")
    assert rules.proxy_for(Origin("https", "direct.example", 443)) is None
    with pytest.raises(ConfigurationError, match=": HTTPS_PROXY"):
        rules.proxy_for(HTTPS)

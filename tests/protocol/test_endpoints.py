from __future__ import annotations

import contextlib

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from b24oauth import ConfigurationError
from b24oauth.errors import UntrustedHostError
from b24oauth.protocol.endpoints import (
    DEFAULT_OAUTH_HOSTS,
    file_address,
    host_of,
    oauth_token_url,
    plain_domain,
    portal_origin,
    rest_root,
)

NOBODY: frozenset[str] = frozenset()

# The forged endpoint, and the host that it would reach; None where nothing could be reached.
FORGED: list[tuple[str, str | None]] = [
    ("https://evil.example/rest/", "evil.example"),
    ("https://oauth.bitrix.info.evil.example/rest/", "oauth.bitrix.info.evil.example"),
    ("https://oauth-bitrix.info/rest/", "oauth-bitrix.info"),
    ("https://bitrix.info/rest/", "bitrix.info"),
    ("https://x.oauth.bitrix.info/rest/", "x.oauth.bitrix.info"),
    ("https://evil.example/oauth.bitrix.info/", "evil.example"),
    ("https://oauth.bitrix.info@evil.example/rest/", "evil.example"),
    ("https://user:S3CR3T@oauth.bitrix.info/rest/", "oauth.bitrix.info"),
    ("https://S3CR3T@oauth.bitrix.info/rest/", "oauth.bitrix.info"),
    ("https://@oauth.bitrix.info/rest/", "oauth.bitrix.info"),
    ("https://user:S3CR3T@evil.example/rest/", "evil.example"),
    ("https://oauth.bitrix.info:8443/rest/", "oauth.bitrix.info"),
    ("https://oauth.bitrix.info:80/rest/", "oauth.bitrix.info"),
    ("https://oauth.bitrix.info:0/rest/", "oauth.bitrix.info"),
    ("https://oauth.bitrix.info:99999/rest/", None),
    ("https://oauth.bitrix.info:S3CR3T/rest/", None),
    ("https://oauth.bitrix.info:443:443/rest/", None),
    ("https://oauth.bitrix.info:/rest/", "oauth.bitrix.info"),
    ("http://oauth.bitrix.info/rest/", "oauth.bitrix.info"),
    ("http://oauth.bitrix.info:443/rest/", "oauth.bitrix.info"),
    ("ftp://oauth.bitrix.info/rest/", "oauth.bitrix.info"),
    ("javascript:alert(1)", None),
    ("https://93.184.216.34/rest/", "93.184.216.34"),
    ("https://127.0.0.1/rest/", "127.0.0.1"),
    ("https://2130706433/rest/", "2130706433"),
    ("https://0x7f.1/rest/", "0x7f.1"),
    ("https://[::1]/rest/", "::1"),
    ("https://[::ffff:93.184.216.34]/rest/", "::ffff:93.184.216.34"),
    ("https://[::1/rest/", None),
    ("https://evil.example[oauth.bitrix.info]/rest/", None),
    ("https://оauth.bitrix.info/rest/", "оauth.bitrix.info"),  # noqa: RUF001 - the first letter is the forgery
    ("https://oauth.bitrix．info/rest/", "oauth.bitrix．info"),  # noqa: RUF001 - so is the full stop
    ("https://user:S3CR3T@oauth.bitrix℀info/rest/", None),
    ("https://xn--auth-xdd.bitrix.info/rest/", "xn--auth-xdd.bitrix.info"),
    ("https://oauth.bitrix.info./rest/", "oauth.bitrix.info."),
    ("https://oauth.bitrix.info\\@evil.example/rest/", "evil.example"),
    ("https://evil.example\\oauth.bitrix.info/rest/", "evil.example\\oauth.bitrix.info"),
    ("https://evil.example\\.oauth.bitrix.info/", "evil.example\\.oauth.bitrix.info"),
    ("https://oauth.bitrix.info\t.evil.example/rest/", "oauth.bitrix.info.evil.example"),
    ("https://oauth.bitrix.info\n.evil.example/rest/", "oauth.bitrix.info.evil.example"),
    ("https://oauth.bit\trix.info/rest/", "oauth.bitrix.info"),
    ("\x01https://oauth.bitrix.info/rest/", "oauth.bitrix.info"),
    ("https://oauth.bitrix.info /rest/", "oauth.bitrix.info "),
    ("https://oauth.bitrix.info%2eevil.example/", "oauth.bitrix.info%2eevil.example"),
    ("https://oauth.bitrix.info%40evil.example/", "oauth.bitrix.info%40evil.example"),
    ("https://oauth.bitrix.info?@evil.example/", "oauth.bitrix.info"),
    ("https://oauth.bitrix.info#@evil.example/", "oauth.bitrix.info"),
    ("https://oauth.bitrix.info/rest/?x=S3CR3T", "oauth.bitrix.info"),
    ("https://oauth.bitrix.info/rest/#S3CR3T", "oauth.bitrix.info"),
    ("https://oauth.bitrix.info/rest/\\..\\x", "oauth.bitrix.info"),
    ("https://evil.example#oauth.bitrix.info", "evil.example"),
    ("https://evil.example?oauth.bitrix.info", "evil.example"),
    ("https:/oauth.bitrix.info/rest/", None),
    ("https:oauth.bitrix.info/rest/", None),
    ("https:/user:S3CR3T@oauth.bitrix.info/", None),
    ("https:///oauth.bitrix.info/rest/", None),
    ("//oauth.bitrix.info/rest/", "oauth.bitrix.info"),
    ("//user:S3CR3T@evil.example/rest/", "evil.example"),
    ("oauth.bitrix.info", None),
    ("/rest/", None),
    ("https://", None),
    ("", None),
    (" ", None),
]


@pytest.mark.parametrize(("forged", "host"), FORGED)
def test_t11_a_forged_server_endpoint_is_refused_by_the_name_of_its_host(forged: str, host: str | None) -> None:
    with pytest.raises(UntrustedHostError) as caught:
        oauth_token_url(forged, DEFAULT_OAUTH_HOSTS)
    error = caught.value
    assert error.host == (host or "")
    assert (host or "") in error.message
    assert error.message.startswith("server_endpoint ")
    assert "S3CR3T" not in f"{error} {error.host} {vars(error)}"
    # urllib's own errors repeat the address; a report of this one would print them.
    assert error.__context__ is None


def test_t11_user_information_is_refused_as_such_even_before_a_trusted_host() -> None:
    for judge in (oauth_token_url, rest_root):
        with pytest.raises(UntrustedHostError, match=r"oauth\.bitrix\.info, which must not carry user information"):
            judge("https://user:S3CR3T@oauth.bitrix.info/rest/", DEFAULT_OAUTH_HOSTS)


@pytest.mark.parametrize("host", sorted(DEFAULT_OAUTH_HOSTS))
@pytest.mark.parametrize(
    "form", ["https://{}/rest/", "https://{}/rest", "https://{}", "https://{}:443/", " https://{}/rest/\n"]
)
def test_t11_the_known_oauth_hosts_are_asked_at_their_token_address(host: str, form: str) -> None:
    url = oauth_token_url(form.format(host), DEFAULT_OAUTH_HOSTS)
    assert url.replace(":443", "") == f"https://{host}/oauth/token/"


def test_t11_upper_case_letters_of_a_host_do_not_matter() -> None:
    assert (
        oauth_token_url("https://OAuth.Bitrix.info/rest/", {"OAUTH.bitrix.INFO"})
        == "https://oauth.bitrix.info/oauth/token/"
    )


@given(st.text("a0.@:[]\\/?#%_- \t\n", max_size=12), st.text("a0.@:[]\\/?#%_- \t\n", max_size=12))
def test_t11_whatever_is_accepted_reaches_a_known_host_over_https(before: str, after: str) -> None:
    for url in (f"https://{before}oauth.bitrix.info{after}", f"{before}https://oauth.bitrix.info{after}"):
        try:
            accepted = oauth_token_url(url, DEFAULT_OAUTH_HOSTS)
        except UntrustedHostError:
            continue
        assert accepted == "https://oauth.bitrix.info/oauth/token/"


@given(st.text(max_size=40))
def test_t11_no_text_makes_the_judge_stumble(text: str) -> None:
    for url in (text, f"https://{text}", f"https://oauth.bitrix.info{text}"):
        for judge in (oauth_token_url, rest_root):
            with contextlib.suppress(ConfigurationError):
                assert judge(url, DEFAULT_OAUTH_HOSTS).startswith("https://")


@pytest.mark.parametrize(
    ("url", "listed"),
    [
        ("http://localhost:8000/rest/", "localhost:8000"),
        ("http://127.0.0.1:8000/rest/", "127.0.0.1:8000"),
        ("http://[::1]:8000/rest/", "[::1]:8000"),
        ("http://localhost/rest/", "localhost:80"),
        ("https://localhost:8000/rest/", "localhost:8000"),
        ("https://oauth.example:8443/rest/", "oauth.example:8443"),
    ],
)
def test_t11_another_host_is_asked_when_it_is_listed_with_its_port(url: str, listed: str) -> None:
    assert oauth_token_url(url, {listed}).endswith("/oauth/token/")
    with pytest.raises(UntrustedHostError, match="trusted_oauth_hosts"):
        oauth_token_url(url, DEFAULT_OAUTH_HOSTS)


@pytest.mark.parametrize(
    ("url", "listed"),
    [
        ("http://localhost:8000/rest/", "localhost"),
        ("http://localhost:8000/rest/", "localhost:8001"),
        ("http://localhost:8000/rest/", "127.0.0.1:8000"),
        ("http://oauth.example:8000/rest/", "oauth.example:8000"),
        ("http://192.168.0.5:8000/rest/", "192.168.0.5:8000"),
        ("http://2130706433:8000/rest/", "2130706433:8000"),
        ("http://localhost.evil.example:8000/rest/", "localhost:8000"),
        ("http://evil.example[::1]:8000/rest/", "[::1]:8000"),
        ("http://[::1]evil.example:8000/rest/", "[::1]:8000"),
        ("http://user:S3CR3T@localhost:8000/rest/", "localhost:8000"),
    ],
)
def test_t11_plain_http_reaches_only_a_listed_loopback_address(url: str, listed: str) -> None:
    for judge in (oauth_token_url, rest_root):
        with pytest.raises(UntrustedHostError) as caught:
            judge(url, {listed})
        assert "S3CR3T" not in str(caught.value)


@pytest.mark.parametrize(
    ("endpoint", "root"),
    [
        ("https://portal.bitrix24.com/rest/", "https://portal.bitrix24.com/rest/"),
        ("https://portal.bitrix24.com/rest", "https://portal.bitrix24.com/rest/"),
        ("https://portal.bitrix24.com/rest//", "https://portal.bitrix24.com/rest/"),
        ("https://Portal.Example:8443/rest/", "https://portal.example:8443/rest/"),
        ("https://192.168.0.5/rest/", "https://192.168.0.5/rest/"),
        ("https://portal.example/portal/api", "https://portal.example/portal/api/"),
    ],
)
def test_t11_a_portal_is_reached_over_https_wherever_it_is(endpoint: str, root: str) -> None:
    assert rest_root(endpoint, NOBODY) == root


@pytest.mark.parametrize("endpoint", ["https://portal.example", "https://portal.example/", "https://portal.example//"])
def test_the_bare_address_of_a_portal_is_no_rest_root(endpoint: str) -> None:
    with pytest.raises(ConfigurationError, match=r"client_endpoint.*https://portal\.example/rest/"):
        rest_root(endpoint, NOBODY)


def test_t11_a_portal_on_loopback_is_reached_over_http_when_listed() -> None:
    assert rest_root("http://127.0.0.1:8000/rest/", {"127.0.0.1:8000"}) == "http://127.0.0.1:8000/rest/"


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://portal.bitrix24.com/rest/",
        "http://127.0.0.1:8000/rest/",
        "http://localhost/rest/",
        "https://user:S3CR3T@portal.bitrix24.com/rest/",
        "https://portal.bitrix24.com\\@evil.example/rest/",
        "https://portal.bitrix24.com/rest/?auth=S3CR3T",
        "https://portal.bitrix24.com/rest/\n/x",
        "//portal.bitrix24.com/rest/",
        "portal.bitrix24.com",
        "",
    ],
)
def test_t11_a_client_endpoint_that_would_show_the_token_is_refused(endpoint: str) -> None:
    with pytest.raises(UntrustedHostError, match="client_endpoint ") as caught:
        rest_root(endpoint, NOBODY)
    assert "S3CR3T" not in str(caught.value)


NO_HOSTS = [
    "a..b",
    "..x",
    ".x",
    ".",
    "x..",
    f"{'a' * 64}.example",
    ".".join(["a" * 63] * 4),
    "xn--",
    "xn--a",
    "xn--zz-.example",
    "xn--ls8h.example",
    "portal.xn--a",
    "XN--A.example",
    "999.1.1.1",
    "1.2.3.04",
    "[::1.2.3]",
]


@pytest.mark.parametrize("host", NO_HOSTS)
def test_a_name_that_no_host_has_is_refused_at_once(host: str) -> None:
    with pytest.raises(UntrustedHostError, match="client_endpoint "):
        rest_root(f"https://{host}/rest/", NOBODY)
    with pytest.raises(UntrustedHostError, match="server_endpoint "):
        oauth_token_url(f"https://{host}/rest/", {host.lower()})


HOSTS = [
    "portal.bitrix24.com",
    "portal.bitrix24.com.",
    "localhost",
    "x_y.example",
    "-x-.example",
    f"{'a' * 63}.example",
    "xn--mller-kva.example",
    "portal.xn--e1afmkfd",
    "x_y.xn--e1afmkfd",
    "192.168.0.5",
    "[::1]",
    "[::ffff:93.184.216.34]",
]


@pytest.mark.parametrize("host", HOSTS)
def test_a_name_that_a_host_may_have_is_taken_and_so_it_is_by_httpx(host: str) -> None:
    root = rest_root(f"https://{host}/rest/", NOBODY)
    assert root == f"https://{host}/rest/"
    assert httpx.URL(root).host


@given(
    st.lists(st.sampled_from(["xn--", "a", "e1afmkfd", "ls8h", "-", ".", "1", "_", "a" * 40]), max_size=9).map("".join)
)
def test_whatever_is_taken_can_be_looked_up(host: str) -> None:
    try:
        root = rest_root(f"https://{host}/rest/", NOBODY)
    except UntrustedHostError:
        return
    assert httpx.URL(root).host
    assert host.encode("idna")


def test_the_portals_origin_is_its_root_without_rest() -> None:
    assert portal_origin("https://portal.bitrix24.com/rest/") == "https://portal.bitrix24.com"
    assert portal_origin("https://portal.example/b24/rest/") == "https://portal.example/b24"


@pytest.mark.parametrize(
    ("domain", "plain"),
    [
        ("https://portal.example", "portal.example"),
        ("http://portal.example:80", "portal.example"),
        ("portal.example:443", "portal.example"),
        ("portal.example:8443", "portal.example:8443"),
        ("", ""),
    ],
)
def test_a_domain_is_shown_without_scheme_and_default_port(domain: str, plain: str) -> None:
    assert plain_domain(domain) == plain


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://Portal.Example:8443/x", "portal.example"),
        ("https://u:p@a.example/", "a.example"),
        ("/x", ""),
        ("https://[", ""),
    ],
)
def test_the_host_of_an_address_is_compared_in_lower_case(url: str, host: str) -> None:
    assert host_of(url) == host


BASE = "https://portal.example/rest/"


@pytest.mark.parametrize(
    ("address", "complete"),
    [
        ("https://cdn.example/a.png?x=1", "https://cdn.example/a.png?x=1"),
        ("https://CDN.example/a%2Fb?t=a%2Fb|c=&d", "https://cdn.example/a%2Fb?t=a%2Fb|c=&d"),
        ("/rest/download.json?auth=1", "https://portal.example/rest/download.json?auth=1"),
        ("download.json?auth=1", "https://portal.example/rest/download.json?auth=1"),
        ("//other.example/a", "https://other.example/a"),
        ("https://cdn.example", "https://cdn.example/"),
        ("https://cdn.example/a b.pdf?n=\u00e9#part", "https://cdn.example/a%20b.pdf?n=%C3%A9"),
        ("  https://cdn.example/a\n", "https://cdn.example/a"),
    ],
)
def test_the_address_of_a_file_is_completed_and_keeps_what_is_encoded(address: str, complete: str) -> None:
    assert file_address(address, BASE, ()) == complete


@pytest.mark.parametrize(
    "address",
    [
        "http://cdn.example/a",
        "https://user@cdn.example/a",
        "https://cdn.example\\@evil.example/a",
        "ftp://cdn.example/a",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "https:a",
        "https://",
        "https://[::1/a",
        "https://-..-/a",
        "https://cdn\u2024example/a",
    ],
)
def test_t11_the_address_of_a_file_must_be_plain_https(address: str) -> None:
    with pytest.raises(UntrustedHostError) as caught:
        file_address(address, BASE, ())
    assert "user" not in str(caught.value).replace("user information", "")


def test_the_address_of_a_file_may_be_a_listed_loopback_address() -> None:
    assert file_address("http://127.0.0.1:8000/a", BASE, ["127.0.0.1:8000"]) == "http://127.0.0.1:8000/a"
    with pytest.raises(UntrustedHostError, match="https"):
        file_address("http://127.0.0.1:8001/a", BASE, ["127.0.0.1:8000"])

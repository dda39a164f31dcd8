"""Parses endpoint URLs and checks that they may receive secrets, before a request is sent."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection
from typing import Final
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from b24oauth.errors import ConfigurationError, UntrustedHostError

__all__ = [
    "DEFAULT_OAUTH_HOSTS",
    "file_address",
    "host_of",
    "oauth_token_url",
    "plain_domain",
    "portal_origin",
    "rest_root",
]

# Source: https://apidocs.bitrix24.com/settings/oauth/index.html
DEFAULT_OAUTH_HOSTS: Final = frozenset({"oauth.bitrix.info", "oauth.bitrix24.info", "oauth.bitrix24.tech"})

# Other characters are parsed differently by different URL parsers.
_PLAIN_URL: Final = re.compile(
    r"https?://([A-Za-z0-9._\-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]+)?(/[A-Za-z0-9._~\-/%]*)?", re.ASCII
)
_LEFT_ALONE: Final = "%/:=&?~#+!$,;'@()*[]|"
_DEFAULT_PORTS: Final = {"https": 443, "http": 80}
_IPV4: Final = re.compile(r"[0-9]+(\.[0-9]+){3}", re.ASCII)


_NOT_HTTPS: Final = (
    "must be reached over https; a loopback address, as of a fake portal, may be listed in trusted_oauth_hosts "
    "(trusted_hosts of B24Hook)"
)


def oauth_token_url(server_endpoint: str, trusted_hosts: Collection[str]) -> str:
    """The token address of an OAuth server that may see the client secret.

    Args:
        server_endpoint: REST root of the OAuth server, as the portal names it.
        trusted_hosts: Hosts that may see the secret, each "host" or "host:port".

    Raises:
        UntrustedHostError: For any other host, userinfo, a port that is not listed, or plain http to anything
            but a listed loopback address.
    """
    what = "server_endpoint"
    parts = _parsed(server_endpoint, what)
    if not _is_listed(parts, trusted_hosts):
        raise _refusal(what, parts, "is not a trusted OAuth host; list it in trusted_oauth_hosts if it is yours")
    if parts.scheme != "https" and not _is_loopback(parts):
        raise _refusal(what, parts, "must be reached over https")
    return f"{parts.scheme}://{parts.netloc.lower()}/oauth/token/"


def rest_root(client_endpoint: str, trusted_hosts: Collection[str]) -> str:
    """The REST root of a portal that may see the access token, ending in one slash.

    Args:
        client_endpoint: REST root, as the OAuth server names it.
        trusted_hosts: As for `oauth_token_url`; only consulted for plain http.

    Raises:
        ConfigurationError: For the address of a portal without a path.
        UntrustedHostError: For userinfo, and for plain http to anything but a listed loopback address.
    """
    what = "client_endpoint"
    parts = _parsed(client_endpoint, what)
    if not parts.path.strip("/"):
        # Every call would be "not found". On premises the root may have any path.
        raise ConfigurationError(
            f"{what} must be the REST root of the portal, for example https://{parts.netloc}/rest/, and not its address"
        )
    if parts.scheme != "https" and not (_is_loopback(parts) and _is_listed(parts, trusted_hosts)):
        raise _refusal(what, parts, _NOT_HTTPS)
    return f"{parts.scheme}://{parts.netloc.lower()}{parts.path.rstrip('/')}/"


def file_address(address: str, base: str, trusted_hosts: Collection[str]) -> str:
    """The address of a file that may be downloaded, complete and percent-encoded.

    Args:
        address: As a response or a redirect names it; it may be relative.
        base: What it is relative to.
        trusted_hosts: As for `rest_root`; only consulted for plain http.

    Raises:
        UntrustedHostError: For user information, for what is no address, and for plain http to anything but a listed
            loopback address.
    """
    what = "the address of the file"
    parts = _split(_joined(base, address.strip()))
    if parts is None or not parts.hostname or parts.scheme not in _DEFAULT_PORTS:
        raise UntrustedHostError(f"{what} must be an https address with a host; nothing was sent", host="")
    origin = f"{parts.scheme}://{parts.netloc.lower()}"
    _parsed(origin, what)
    if parts.scheme != "https" and not (_is_loopback(parts) and _is_listed(parts, trusted_hosts)):
        raise _refusal(what, parts, _NOT_HTTPS)
    # Do not re-encode: the URLs are signed.
    path, query = quote(parts.path or "/", safe=_LEFT_ALONE), quote(parts.query, safe=_LEFT_ALONE)
    return f"{origin}{path}?{query}" if query else origin + path


def _joined(base: str, address: str) -> str:
    try:
        own = urlsplit(address)
        # A URL with a scheme but no host is invalid, although urljoin accepts it.
        return "" if own.scheme and not own.netloc else urljoin(base, address)
    except ValueError:
        return ""


def portal_origin(root: str) -> str:
    """The portal's address without the path of its REST root, or of a webhook."""
    return f"{root.rstrip('/')}/".rpartition("/rest/")[0] or root.rstrip("/")


def plain_domain(domain: str) -> str:
    """A domain without a scheme and without the default ports at its end."""
    bare = domain.replace("https://", "").replace("http://", "")
    return re.sub(r":(80|443)$", "", bare)


def host_of(url: str) -> str:
    """The host of an address, for comparing and for messages."""
    try:
        return (urlsplit(url).hostname or "").lower()
    except ValueError:
        return ""


def _parsed(url: str, what: str) -> SplitResult:
    parts = _split(url.strip())
    # Raised here and not in `_split`: what urllib says repeats the address with its user information.
    if parts is None:
        raise UntrustedHostError(f"{what} is not an address; nothing was sent", host="")
    host = parts.hostname
    if not host or parts.scheme not in _DEFAULT_PORTS:
        raise UntrustedHostError(f"{what} must be an https address with a host, got {host or 'none'}", host=host or "")
    if "@" in parts.netloc:
        raise _refusal(what, parts, "must not carry user information")
    if not _PLAIN_URL.fullmatch(url.strip()):
        raise _refusal(what, parts, "must be a plain ASCII address without query and fragment")
    if not _is_host(host):
        raise _refusal(what, parts, "is no name of a host")
    return parts


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        _ = parts.hostname, parts.port
    except ValueError:
        return None
    return parts


def _is_host(name: str) -> bool:
    """False for names that make resolvers and HTTP clients raise unexpected errors."""
    if ":" in name or _IPV4.fullmatch(name):
        return _address(name) is not None
    labels = name.removesuffix(".").split(".")
    if len(name) > 253 or not all(0 < len(label) <= 63 for label in labels):
        return False
    # A name that begins so is read as a whole, as httpx does it.
    encoded = [name] if name.startswith("xn--") else [label for label in labels if label.startswith("xn--")]
    return all(map(_is_decodable, encoded))


def _is_decodable(name: str) -> bool:
    import idna  # noqa: PLC0415 - it comes with httpx, and few names need it

    try:
        idna.decode(name)
    except (ValueError, IndexError):
        return False
    return True


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _is_listed(parts: SplitResult, trusted_hosts: Collection[str]) -> bool:
    # Plain http never matches an entry without a port, unless it is on port 80 as the entry implies.
    port = _DEFAULT_PORTS[parts.scheme] if parts.port is None else parts.port
    host = parts.hostname or ""
    names = {f"{host}:{port}", f"[{host}]:{port}"}
    if port == _DEFAULT_PORTS[parts.scheme]:
        names |= {host, f"[{host}]"}
    return any(trusted.lower() in names for trusted in trusted_hosts)


def _is_loopback(parts: SplitResult) -> bool:
    host = parts.hostname or ""
    address = _address(host)
    return host == "localhost" if address is None else address.is_loopback


def _refusal(what: str, parts: SplitResult, why: str) -> UntrustedHostError:
    host = parts.hostname or ""
    port = "" if parts.port is None else f":{parts.port}"
    return UntrustedHostError(f"{what} names {host}{port}, which {why}; nothing was sent", host=host)

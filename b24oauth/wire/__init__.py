"""One HTTP request over httpx, httpx2 or aiohttp: sent, its response read, and the client's lifetime."""

from b24oauth.wire.choosing import TransportName
from b24oauth.wire.deadlines import Deadline
from b24oauth.wire.failures import NoResponse, ResponseTooLarge
from b24oauth.wire.lifetime import Lifetime, closed_client
from b24oauth.wire.requests import USER_AGENT
from b24oauth.wire.streams import StreamedResponse
from b24oauth.wire.turns import Turns
from b24oauth.wire.wire import CONNECT_TIMEOUT, MAX_DOWNLOAD_SIZE, MAX_RESPONSE_SIZE, RESPONSE_TIMEOUT, Wire

__all__ = [
    "CONNECT_TIMEOUT",
    "MAX_DOWNLOAD_SIZE",
    "MAX_RESPONSE_SIZE",
    "RESPONSE_TIMEOUT",
    "USER_AGENT",
    "Deadline",
    "Lifetime",
    "NoResponse",
    "ResponseTooLarge",
    "StreamedResponse",
    "TransportName",
    "Turns",
    "Wire",
    "closed_client",
]

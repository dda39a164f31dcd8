"""`b24.auth`: token data, renewal and its hooks, administrator rights."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from b24oauth.errors import ConfigurationError, SdkError
from b24oauth.models import ApiVersion, AuthData, B24OAuthParams
from b24oauth.oauth.keeper import TokenKeeper
from b24oauth.oauth.pair import auth_data_of
from b24oauth.oauth.renewal import CustomRefreshAuth, Renewer
from b24oauth.oauth.settling import CallbackRefreshAuth
from b24oauth.protocol.dialects import DIALECTS
from b24oauth.protocol.endpoints import portal_origin, rest_root
from b24oauth.result import AjaxResult
from b24oauth.shapes import is_mapping
from b24oauth.storing import TokenStore

__all__ = ["AuthOAuthManager"]


class AuthOAuthManager:
    """Authorization of one portal.

    Args:
        keeper: Holds and renews the token pair.
        renewer: Obtains new pairs; a custom refresh is set on it.
        token_store: Where pairs outlive the process; None if they do not.

    Source: https://apidocs.bitrix24.com/settings/oauth/index.html
    """

    def __init__(self, keeper: TokenKeeper, renewer: Renewer, token_store: TokenStore | None = None) -> None:
        self._keeper = keeper
        self._renewer = renewer
        self.token_store = token_store
        self._is_admin: bool | None = None

    @property
    def client_id(self) -> str:
        """The application."""
        return self._renewer.secret.client_id

    def get_auth_data(self) -> AuthData | None:
        """The token data in use, or None when the access token has expired; asks nobody."""
        pair = self._keeper.fresh()
        return None if pair is None else auth_data_of(pair)

    def get_params(self) -> B24OAuthParams:
        """The whole token pair in use, expired or not."""
        return self._keeper.params

    def set_params(self, params: B24OAuthParams) -> None:
        """Uses another token pair from now on, for example after the application was authorized anew.

        It takes precedence over the stored pair, unless it is permanently rejected.

        Raises:
            ConfigurationError: It is no `B24OAuthParams`, or of another portal; the old pair stays.
            UntrustedHostError: An endpoint of it must not see a secret; the old pair stays.
        """
        self._keeper.set_params(_pair(params))

    async def refresh_auth(self) -> AuthData:
        """Renews the token pair now; calls that wait for a renewal under way share it.

        Bitrix24 asks applications not to call this on a schedule; calls refresh the pair automatically when necessary.

        Raises:
            RefreshTokenError: The pair could not be renewed; `needs_reauth` tells whether it ever can be.
            TokenPersistenceError: The renewed pair could not be saved; it is kept.
        """
        self._renewer.wire.enter_loop()
        return auth_data_of(await self._keeper.renew())

    async def get_access_token(self) -> str:
        """A valid access token for requests of your own; renews the pair when it has expired.

        Raises:
            RefreshTokenError: The pair could not be renewed.
            TokenPersistenceError: The renewed pair could not be saved; it is kept.
        """
        self._renewer.wire.enter_loop()
        pair = await self._keeper.get()
        if self._keeper.may_be_expired(pair):
            # Our own calls handle a rejected token; the user's own requests cannot, so refresh now.
            pair = await self._keeper.renew()
        return pair.access_token

    def set_callback_refresh_auth(self, callback: CallbackRefreshAuth) -> None:
        """Calls a function with each renewed pair before anything uses it, exactly once a pair.

        Args:
            callback: An async or a plain function of one argument, a `RefreshedAuth`.

        Raises:
            ConfigurationError: It is no function.
        """
        self._keeper.callback = _callable(callback, "set_callback_refresh_auth")

    def remove_callback_refresh_auth(self) -> None:
        """No function is called any more."""
        self._keeper.callback = None

    def set_custom_refresh_auth(self, custom: CustomRefreshAuth) -> None:
        """Obtains new pairs from a function instead of the OAuth server.

        Args:
            custom: An async or a plain function without arguments that gives a `HandlerRefreshAuth`. It may raise
                `RefreshTokenError(needs_reauth=True)` to say that the pair is dead.

        Raises:
            ConfigurationError: It is no function.
        """
        self._renewer.custom = _callable(custom, "set_custom_refresh_auth")

    def remove_custom_refresh_auth(self) -> None:
        """New pairs come from the OAuth server again."""
        self._renewer.custom = None

    def get_uniq(self, prefix: str) -> str:
        """A name that is unique for the portal: the prefix, an underscore, the member id."""
        return f"{prefix}_{self._keeper.params.member_id}"

    def get_target_origin(self) -> str:
        """The portal's address, for example ``https://xxx.bitrix24.com``."""
        return portal_origin(self._rest_root())

    def get_target_origin_with_path(self) -> dict[ApiVersion, str]:
        """The REST root of each API version, without a slash at its end."""
        root = self._rest_root()
        return {version: f"{root}{dialect.path}".rstrip("/") for version, dialect in DIALECTS.items()}

    def _rest_root(self) -> str:
        return rest_root(self._keeper.params.client_endpoint, self._renewer.trusted_hosts)

    @property
    def is_admin(self) -> bool:
        """Whether the user of the pair is an administrator.

        Raises:
            SdkError: `init_is_admin` was not awaited.
        """
        if self._is_admin is None:
            raise SdkError(
                "isAdmin not init. You need call B24OAuth.init_is_admin().", code="B24OAUTH_OAUTH_IS_ADMIN_NOT_INIT"
            )
        return self._is_admin

    async def init_is_admin(self, ask: Callable[[], Awaitable[AjaxResult[Any]]]) -> None:
        """Learns whether the user of the pair is an administrator.

        Args:
            ask: Calls the method `profile`.

        Raises:
            SdkError: The call failed.
        """
        self._is_admin = False
        response = await ask()
        if not response.is_success:
            messages = ";".join(response.get_error_messages())
            raise SdkError(messages, code="B24OAUTH_OAUTH_PROFILE_FAILED")
        profile = response.result
        self._is_admin = is_mapping(profile) and bool(profile.get("ADMIN"))


def _pair(params: object) -> B24OAuthParams:
    if not isinstance(params, B24OAuthParams):
        raise ConfigurationError("set_params takes B24OAuthParams; use B24OAuthParams.from_dict() for a mapping")
    return params


def _callable(function: Any, where: str) -> Any:
    if not callable(function):
        raise ConfigurationError(f"{where} takes a function, async or plain, not {type(function).__name__}")
    return function

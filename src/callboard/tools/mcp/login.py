"""One server's login on its way between a file, the SDK's flow and a person."""

from __future__ import annotations

import random
import time
from typing import TypeVar
from urllib.parse import parse_qs, urlsplit

from mcp.client.auth import OAuthFlowError
from mcp.client.auth.oauth2 import OAuthContext
from mcp.client.auth.utils import issuers_match
from mcp.shared.auth import (
    AuthorizationCodeResult,
    OAuthClientInformationFull,
    OAuthMetadata,
    OAuthToken,
    ProtectedResourceMetadata,
)
from msgspec.structs import replace
from pydantic import AnyUrl, BaseModel, ValidationError

from callboard.tools.mcp.login_file import Kept, LoginFile, Tree, how_to_log_in
from callboard.tools.mcp.protocol import Consent, OAuthSettings
from callboard.tools.source import SourceUnavailable

REFUSES = "it refuses the token that was given for just what it wants"

M = TypeVar("M", bound=BaseModel)

LEEWAY_S = 60.0
"""A token is renewed up to so long before it expires, but in the last tenth of its life. When exactly is left
to chance: of several processes with one login one is the first, and the others find what it has got."""


class Login:
    """The SDK's ``TokenStorage``, and its handlers for a person's consent.

    Args:
        name: The server's.
        url: The server's.
        settings: How tokens are had.
        consent: Brings a person there, if there is one.
    """

    def __init__(self, name: str, url: str, settings: OAuthSettings, consent: Consent | None) -> None:
        self.settings = settings
        self.anew = settings.anew
        self._name = name
        self._consent = consent
        self._file = LoginFile(name, url, settings.login)
        self._kept = Kept(url=url)
        self._asked: set[tuple[str, str]] = set()
        self._going_to = ""

    @property
    def attended(self) -> bool:
        """Whether a new grant can be had: there is a person, or none is needed."""
        return self._consent is not None or self.settings.grant == "client_credentials"

    def knows(self, issuer: str) -> bool:
        """Whether the operator has named this authorization server."""
        return any(issuers_match(issuer, each) for each in self.settings.issuers)

    def missing(self, scope: str | None = None) -> SourceUnavailable:
        """What to say where a person would have to consent, and there is none."""
        what = "it wants a login" if scope is None else f"it wants a login with the scope '{scope}'"
        return SourceUnavailable(f"{what}: {how_to_log_in(self._name, scope)}")

    @property
    def outdated(self) -> bool:
        """Whether another process has changed what is kept."""
        return self._file.replaced()

    async def look(self) -> None:
        """Read what is kept.

        Raises:
            SourceUnavailable: It cannot be read. A login that begins anew does not mind.
        """
        try:
            self._kept = await self._file.read()
        except SourceUnavailable:
            if not self.anew:
                raise
        issuer = _model(OAuthMetadata, self._kept.issuer)
        client = _model(OAuthClientInformationFull, self._kept.client)
        ours = self.settings.client_id
        if issuer is None or not self.knows(str(issuer.issuer)) or client is None:
            self._kept = Kept(url=self._kept.url)
        elif ours is not None and client.client_id != ours:
            self._kept = replace(self._kept, tokens=None)

    def restore(self, context: OAuthContext) -> None:
        """Give the flow what it would have found out before it got the tokens that are kept.

        Without that it would renew them at the server's own origin, and only after the server has refused
        them.
        """
        issuer = context.oauth_metadata = _model(OAuthMetadata, self._kept.issuer)
        context.auth_server_url = None if issuer is None else str(issuer.issuer)
        context.protected_resource_metadata = _model(ProtectedResourceMetadata, self._kept.resource)
        context.token_expiry_time = None if self.anew else self._kept.expires_at

    async def keep(self, context: OAuthContext) -> None:
        """Keep what the flow has got. A login goes before what another process keeps, a renewal does not.

        Raises:
            SourceUnavailable: It cannot be written.
        """
        begun, self.anew = self.anew, False
        if context.token_expiry_time is not None:
            life_s = context.token_expiry_time - time.time()
            early_s = min(LEEWAY_S, life_s / 10) * random.uniform(0.1, 1)  # noqa: S311 - no secret
            context.token_expiry_time -= early_s
        self._kept = Kept(
            url=self._kept.url,
            client=_tree(context.client_info),
            tokens=_tree(context.current_tokens),
            expires_at=context.token_expiry_time,
            issuer=_tree(context.oauth_metadata),
            resource=_tree(context.protected_resource_metadata),
        )
        await self._file.write(self._kept, anyway=begun)

    async def forget(self) -> None:
        """Keep no longer tokens that cannot be renewed, unless somebody else has new ones by now."""
        self._kept = Kept(url=self._kept.url)
        await self._file.remove()

    async def get_tokens(self) -> OAuthToken | None:
        """For the SDK: the tokens that are kept."""
        return None if self.anew else _model(OAuthToken, self._kept.tokens)

    async def set_tokens(self, tokens: OAuthToken) -> None:
        """For the SDK, which has them in its context too: `keep` sees to it."""

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        """For the SDK: who we are, as the operator says or as we have registered."""
        settings = self.settings
        if settings.client_id is None:
            # Another registration than the one that is kept may be for other scopes, and another port.
            return None if self.anew else _model(OAuthClientInformationFull, self._kept.client)
        secret = None if settings.client_secret is None else settings.client_secret.reveal()
        usual = "none" if secret is None else "client_secret_basic"
        return OAuthClientInformationFull(
            client_id=settings.client_id,
            client_secret=secret,
            token_endpoint_auth_method=settings.token_endpoint_auth_method or usual,
            redirect_uris=[AnyUrl(settings.redirect_uri)],
            issuer=settings.issuers[0],
        )

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        """For the SDK, which has it in its context too: `keep` sees to it, with the tokens."""

    async def go(self, url: str) -> None:
        """For the SDK: where a person has to go.

        Raises:
            SourceUnavailable: There is nobody, or this was asked for already: a server that refuses what it
                has just been given would have a person consent for ever.
        """
        parts = urlsplit(url)
        scope = " ".join(parse_qs(parts.query).get("scope", ()))
        if self._consent is None:
            raise self.missing(scope or None)
        asked = (f"{parts.scheme}://{parts.netloc}{parts.path}", scope)
        if asked in self._asked:
            raise SourceUnavailable(REFUSES)
        self._asked.add(asked)
        self._going_to = url

    async def come_back(self) -> AuthorizationCodeResult:
        """For the SDK: what that person has brought back."""
        if self._consent is None:
            raise OAuthFlowError("nobody is there")
        came = await self._consent(self._going_to)
        return AuthorizationCodeResult(code=came.code.reveal(), state=came.state, iss=came.iss)


def _tree(model: BaseModel | None) -> Tree | None:
    return None if model is None else model.model_dump(mode="json", exclude_none=True)


def _model(shape: type[M], tree: Tree | None) -> M | None:
    try:
        return None if tree is None else shape.model_validate(tree)
    except ValidationError:
        return None

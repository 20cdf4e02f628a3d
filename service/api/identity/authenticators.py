"""From the configuration to what authenticates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ....stages.errors import ConfigurationError
from ....stages.vault.kv.answers import Found
from ....stages.vault.kv.client import VaultClient
from .granting import Granting
from .signing_keys import Jwks, VaultSecret
from .tokens import JwtAuthenticator, Keys, TokenRules

if TYPE_CHECKING:
    from ....config.service import ServiceSettings


def authenticator(config: ServiceSettings) -> JwtAuthenticator:
    """JWTs, signed by the issuer of ``jwks_url`` if that is configured, else with the secret in the vault.

    Raises ``ConfigurationError`` for a ``jwks_url`` that cannot be used.
    """
    rules = TokenRules(
        audience=config.jwt_audience or "",
        issuer=config.jwt_issuer or "",
        role_claim=config.role_claim,
        granting=granting(config),
    )

    async def read() -> str:
        return await jwt_secret(config)

    keys: Keys = Jwks(config.jwks_url) if config.jwks_url else VaultSecret(read)
    return JwtAuthenticator(keys, rules)


def granting(config: ServiceSettings) -> Granting:
    """What the values of a role claim mean."""
    return Granting(config.admin_roles, config.operator_roles, config.viewer_roles, config.grants)


async def jwt_secret(config: ServiceSettings) -> str:
    """The secret that signs tokens, as the vault has it now.

    Raises ``ConfigurationError`` when it is not there, and the ``VaultError`` tree.
    """
    where = f"{config.jwt_mount}/{config.jwt_path}"
    async with VaultClient(config.vault) as vault:
        found = await vault.read(config.jwt_mount, config.jwt_path)
    if not isinstance(found, Found):
        raise ConfigurationError(
            f"The vault has no secret {where} that can be read, with which tokens are signed.",
            hint="Correct jwt_mount and jwt_path in [service], or what the vault's policy allows.",
        )
    secret = found.text(config.jwt_field)
    if not secret:
        raise ConfigurationError(
            f"The secret {where} has no text in the field {config.jwt_field}, with which tokens are signed.",
            hint="Correct jwt_field in [service].",
        )
    return secret

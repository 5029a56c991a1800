"""Whether a credential works, found out by using it (contract, vaults: the answer's type says what each part means).

Promises: reads, then talks to other hosts without a transaction, then writes only over what it had read. What is not known
is told as unknown; a host that may not be asked is one that nobody can tell anything of.
"""

from typing import Literal

from rota.base import log
from rota.base.clock import to_datetime
from rota.base.errors import InvalidRequest, SealedAway
from rota.base.policy import Policy
from rota.base.seal import UnknownKey
from rota.base.who import Who
from rota.resources.vaults import captured, credentials, probe
from rota.resources.vaults import refresh as renewal
from rota.resources.vaults.auth import EnvironmentVariable, McpOauth
from rota.resources.vaults.credentials import Held
from rota.resources.vaults.probe import Finding
from rota.resources.vaults.wire import CredentialValidation, McpProbe, RefreshOutcome
from rota.store.db import Db

_logger = log.get("vaults")


async def validate(db: Db, policy: Policy, who: Who, vault_id: str, credential_id: str) -> CredentialValidation:
    """Use the credential, renewing its token once if the server no longer takes it. NotFound, InvalidRequest, SealedAway."""
    try:
        used = await db.read(credentials.held, who, vault_id, credential_id, policy)
    except UnknownKey as exc:
        raise SealedAway(str(exc)) from exc
    if isinstance(used.auth, EnvironmentVariable):
        raise InvalidRequest("auth.type: an environment_variable credential has no MCP server that could be asked")
    token = used.secrets.get("access_token") or used.secrets.get("token")
    if token is None:  # archived: there is nothing left to try
        return _told(used, "invalid", None, None)
    secrets = list(used.secrets.values())
    finding, refresh = await probe.probe(policy, used.auth.mcp_server_url, token), None
    if finding.verdict == "unauthorized" and isinstance(used.auth, McpOauth):
        renewed = await renewal.refresh(db, policy, who, used)
        refresh = renewed.outcome
        if renewed.access_token is not None:
            secrets.append(renewed.access_token)
            finding = await probe.probe(policy, used.auth.mcp_server_url, renewed.access_token)
    if finding.reason:
        _logger.warning("an MCP server cannot be asked", credential_id=used.credential_id, reason=finding.reason)
    return _told(used, _status(finding, refresh), _shown(finding, secrets), refresh)


def _status(finding: Finding, refresh: RefreshOutcome | None) -> Literal["valid", "invalid", "unknown"]:
    match finding.verdict:
        case "taken":
            return "valid"
        case "unauthorized" if refresh is not None and refresh.status == "connect_error":
            return "unknown"  # another attempt may bring a token
        case "unauthorized" | "forbidden":
            return "invalid"
        case "unclear":
            return "unknown"


def _shown(finding: Finding, secrets: list[str]) -> McpProbe | None:
    if finding.verdict == "taken":
        return None
    return McpProbe(finding.method, None if finding.answer is None else captured.capture(finding.answer, secrets))


def _told(
    used: Held,
    status: Literal["valid", "invalid", "unknown"],
    mcp_probe: McpProbe | None,
    refresh: RefreshOutcome | None,
) -> CredentialValidation:
    return CredentialValidation(
        credential_id=used.credential_id,
        vault_id=used.vault_id,
        status=status,
        has_refresh_token="refresh_token" in used.secrets,
        mcp_probe=mcp_probe,
        refresh=refresh,
        validated_at=to_datetime(used.read_at),
    )

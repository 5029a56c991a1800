"""The part of the journey that is about the organization's webhook endpoints."""

from typing import Any

from drive import Drive


async def webhooks(admin: Drive, style: str) -> dict[str, Any]:
    """An endpoint of the organization from its making to its end; nothing with a client that does not know them."""
    seen: dict[str, Any] = {}
    if not admin.has("beta.organization.webhooks"):
        return seen
    made = await admin.do(
        "beta.organization.webhooks.create",
        url="https://hooks.example.com/rota",
        enabled_events=["user_profile.enforcement_action_opened"],
        name=f"{style} hook",
    )
    seen["made"] = made
    seen["read"] = await admin.do("beta.organization.webhooks.retrieve", made["id"])
    seen["changed"] = await admin.do("beta.organization.webhooks.update", made["id"], state="disabled")
    seen["listed"] = [each["id"] for each in await admin.walk("beta.organization.webhooks.list", limit=1)]
    seen["new secret"] = await admin.do("beta.organization.webhooks.regenerate_signing_secret", made["id"])
    seen["gone"] = await admin.do("beta.organization.webhooks.delete", made["id"])
    return seen

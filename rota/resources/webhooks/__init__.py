"""Webhooks: endpoints outside that are told what happens, and every delivery to them."""

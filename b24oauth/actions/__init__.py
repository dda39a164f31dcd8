"""Calls, lists and batches: `b24.actions.v2` and `b24.actions.v3`. Never touches the wire."""

from __future__ import annotations

from b24oauth.actions.namespaces import ActionsManager, ActionsV2, ActionsV3

__all__ = ["ActionsManager", "ActionsV2", "ActionsV3"]

"""Calls in processes of their own, which can end, hang or break as they like: the caller goes on."""

from cnnstat.children.calling import Children

__all__ = ["Children"]

"""The colours of pictures and pages: each means one thing everywhere, and none is told from another by hue alone."""

from __future__ import annotations

__all__ = ["PALETTE"]

PALETTE = {
    "training": "#2563eb",  # blue
    "validation": "#d97706",  # amber
    "right": "#059669",  # green
    "wrong": "#dc2626",  # red
    "muted": "#6b7280",  # grey
}

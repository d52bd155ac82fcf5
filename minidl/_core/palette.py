"""The colours of pictures and pages: each means one thing everywhere, and none is told from another by hue alone."""

from __future__ import annotations

__all__ = ["CLASSES", "PALETTE"]

PALETTE = {
    "training": "#2563eb",  # blue
    "validation": "#d97706",  # amber
    "right": "#059669",  # green
    "wrong": "#dc2626",  # red
    "muted": "#6b7280",  # grey
}

# of classes in a picture, told apart by lightness as well; none is that of a mistake
CLASSES = ("#2563eb", "#f59e0b", "#059669", "#9333ea", "#0e7490", "#db2777", "#65a30d", "#92400e", "#64748b", "#1e1b4b")

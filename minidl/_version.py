"""The version, kept apart so that building does not import NumPy."""

__version__ = "0.1.0"

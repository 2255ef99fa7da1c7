"""Helpers for frameworks. Each module needs its framework installed."""

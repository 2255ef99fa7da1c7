"""Helpers for frameworks; each module needs its framework installed."""

"""Tests of commands that run once."""

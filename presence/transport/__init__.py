"""Shared by all calls to servers: deadlines, and messages without secrets."""

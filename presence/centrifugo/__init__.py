"""Centrifugo: its server API, tokens for its clients, and background publishing."""

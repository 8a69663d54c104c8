"""A Centrifugo-compatible server for development and tests, in one Python process.

Centrifugo is a Go program; this server takes its place where neither it nor Go is installed. It has
the JSON client protocol and the HTTP API of Centrifugo 6, and keeps all state in memory. Only
`transport`, `http`, `site` and `server` use aiohttp; the other modules do no I/O and take a clock.
"""

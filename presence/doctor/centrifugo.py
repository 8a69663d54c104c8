"""Checks of Centrifugo: its server API accepts the key, and its namespaces fit the sync."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from presence import services
from presence.centrifugo.gateway import Gateway, Publication
from presence.conf import conf
from presence.doctor.findings import Findings, explained, ok, problem, skipped
from presence.exceptions import CentrifugoError, CommandError
from presence.roster import channel_names
from presence.roster.commit import new_epoch
from presence.roster.messages import Position

OLDEST = (6, 2)
"""First version of Centrifugo with `version` in publish."""

UNVERSIONED = (0, 0)
"""Version that a Centrifugo reports if it was built from source."""

UNKNOWN = 102
SWITCHED_OFF = 108
"""Centrifugo's error codes."""

SESSIONS = channel_names.SESSIONS_NAMESPACE.rstrip(":")
"""The namespace of the channels of sessions. Without it, Centrifugo refuses connection tokens."""
PROBE = "presence-doctor"
NOTHING = msgspec.Raw(b'{"type":"presence.probe"}')
"""Publication of a type that every client skips."""

_BRACES = re.compile(r"(?<!\\)\{([^{}]*)\}")
_WILD = re.compile(r"[*?\[\\]")


def examine() -> Findings:
    gateway = services.gateway()
    try:
        versions = gateway.versions()
    except CentrifugoError as error:
        yield problem("centrifugo.reachable", *explained(error))
        for check in ("presence", "history", "publish"):
            yield skipped(f"centrifugo.{check}", "Centrifugo's server API does not answer")
        return
    found = ", ".join(sorted(set(versions)))
    yield ok("centrifugo.reachable", f"Centrifugo {found} answers and accepts the API key")
    yield from version(versions)
    known, unknown = namespaces(conf.PRESENCE_CHANNELS)
    yield from unnamed("centrifugo.presence", unknown)
    yield from presence(gateway, [*known, SESSIONS])
    yield from history(gateway, known)


def unnamed(check: str, patterns: Sequence[str]) -> Findings:
    """Report the patterns that do not name their namespaces."""
    for pattern in patterns:
        yield skipped(
            check,
            f"the pattern {pattern!r} does not name its namespaces",
            "Write them out, as in {presence,chat}:*, to have them checked.",
        )


def version(versions: Sequence[str]) -> Findings:
    """Check that every node supports the requests of the sync."""
    for text in sorted(set(versions)):
        numbers = re.match(r"v?(\d+)\.(\d+)", text)
        known = tuple(map(int, numbers.groups())) if numbers else UNVERSIONED
        if known == UNVERSIONED:
            yield skipped(
                "centrifugo.version",
                f"Centrifugo reports the version {text!r}, as a build from source does; its "
                "features are tested below (centrifugo.history, centrifugo.publish)",
            )
        elif known < OLDEST:
            yield problem(
                "centrifugo.version",
                f"Centrifugo {text} is too old",
                "Upgrade it to {}.{} or later.".format(*OLDEST),
            )


def presence(gateway: Gateway, known: Sequence[str]) -> Findings:
    """Check that every namespace has presence."""
    replies = gateway.presence([probe_of(namespace) for namespace in known])
    for namespace, reply in zip(known, replies, strict=True):
        if isinstance(reply, CentrifugoError):
            yield problem("centrifugo.presence", *_refusal(namespace, reply, '"presence": true'))
        else:
            yield ok("centrifugo.presence", f"Centrifugo keeps presence in {named(namespace)}")


def history(gateway: Gateway, known: Sequence[str]) -> Findings:
    """Check that every feed has a history, and that Centrifugo drops repeated versions there."""
    feeds = feeds_of(known)
    for feed, position in zip(feeds, gateway.positions(feeds), strict=True):
        namespace = feed.partition(":")[0]
        if isinstance(position, CentrifugoError):
            wanted = '"history_size": 100, "history_ttl": "600s", "force_recovery": true'
            yield problem("centrifugo.history", *_refusal(namespace, position, wanted))
        else:
            yield ok("centrifugo.history", f"Centrifugo keeps history in {named(namespace)}")
            yield from publishing(gateway, feed)


def publishing(gateway: Gateway, feed: str) -> Findings:
    """Check that a version older than the last published one is dropped."""
    epoch = new_epoch()
    tops: list[Position] = []
    for number in (2, 1):
        probe = Publication(feed=feed, data=NOTHING, channel=feed, epoch=epoch, version=number)
        (top,) = gateway.publish([probe])
        if isinstance(top, CentrifugoError):
            yield problem("centrifugo.publish", *_refusal(feed.partition(":")[0], top, ""))
            return
        tops.append(top)
    newer, older = tops
    if older != newer:
        yield problem(
            "centrifugo.publish",
            f"Centrifugo published an older version after a newer one on {feed}",
            "Upgrade Centrifugo to {}.{} or later, with an engine that keeps versions.".format(
                *OLDEST
            ),
        )
    else:
        yield ok("centrifugo.publish", f"Centrifugo drops repeated versions on {feed}")


def namespaces(patterns: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the namespaces of the patterns ("" is that of names without a colon), and the patterns
    whose namespace is not written out."""
    known: set[str] = set()
    unknown: list[str] = []
    for pattern in patterns:
        for alternative in _alternatives(pattern):
            namespace, colon, _ = alternative.partition(":")
            if not _WILD.search(namespace):
                known.add(namespace if colon else "")
            elif pattern not in unknown:
                unknown.append(pattern)
    return sorted(known), unknown


def probe_of(namespace: str) -> str:
    """Return a channel of the namespace that no site uses."""
    return f"{namespace}:{PROBE}" if namespace else PROBE


def feeds_of(known: Sequence[str]) -> list[str]:
    """Return one feed for each namespace that diffs are published in."""
    feeds = (channel_names.feed_of(probe_of(namespace)) for namespace in known)
    return list({feed.partition(":")[0]: feed for feed in feeds}.values())


def _alternatives(pattern: str) -> list[str]:
    braces = _BRACES.search(pattern)
    if not braces:
        return [pattern]
    before, after = pattern[: braces.start()], pattern[braces.end() :]
    return [
        alternative
        for choice in braces.group(1).split(",")
        for alternative in _alternatives(f"{before}{choice}{after}")
    ]


def named(namespace: str) -> str:
    return f"the namespace {namespace!r}" if namespace else "channels without a namespace"


def _refusal(namespace: str, error: CentrifugoError, wanted: str) -> tuple[str, str]:
    """Return what is wrong with a namespace that answers `error`, and how to configure it."""
    where = "channel.namespaces" if namespace else "channel.without_namespace"
    text, remedy = explained(error)
    if isinstance(error, CommandError) and error.code == UNKNOWN:
        text = f"Centrifugo has no {named(namespace)[4:]}"
        remedy = f'Add {{"name": "{namespace}", {wanted}}} to {where} of its configuration.'
    elif isinstance(error, CommandError) and error.code == SWITCHED_OFF:
        text = f"Centrifugo's configuration lacks {wanted} for {named(namespace)}"
        remedy = f"Set {wanted} for it in {where}."
    else:
        text = f"{text} for {named(namespace)}"
    return text, remedy

"""Checks of cursors: Centrifugo passes them on, and its publish proxy is as the settings say."""

from __future__ import annotations

from presence import services
from presence.centrifugo.gateway import Reply
from presence.conf import conf
from presence.doctor.centrifugo import SWITCHED_OFF, UNKNOWN, probe_of
from presence.doctor.findings import Findings, explained, ok, problem, skipped, warning
from presence.exceptions import CentrifugoError, CommandError
from presence.roster.channel_names import CURSORS_NAMESPACE

PROBE = probe_of(CURSORS_NAMESPACE.rstrip(":"))
"""Cursor channel that no site uses."""

PUBLISHED, DENIED, LET_DOWN, NO_PROXY = 0, 103, 100, 108
"""Centrifugo's codes."""
REFUSED, DOWN = 403, 503
"""Codes of presence.web.publish_proxy."""

ADD = (
    'Add {"name": "cursors", "allow_publish_for_subscriber": true, "publication_data_format": '
    '"json_object", "presence": true, "allow_presence_for_subscriber": true, "join_leave": true, '
    '"force_push_join_leave": true} to channel.namespaces of its configuration.'
)


def examine() -> Findings:
    try:
        (reply,) = services.gateway().presence([PROBE])
    except CentrifugoError:
        yield skipped("cursors.namespace", "Centrifugo's server API does not answer")
        return
    yield from judge(reply, tracked=conf.PRESENCE_CURSOR_TRACK)


def judge(reply: Reply, *, tracked: bool) -> Findings:
    """Judge the namespace by its answer to a presence request."""
    code = reply.code if isinstance(reply, CommandError) else None
    if code == UNKNOWN and tracked:
        yield problem("cursors.namespace", "Centrifugo has no namespace 'cursors'", ADD)
    elif code == UNKNOWN:
        reason = "Centrifugo has no namespace 'cursors'; a site without live cursors needs none"
        yield skipped("cursors.namespace", reason, ADD)
    elif code == SWITCHED_OFF:
        yield warning(
            "cursors.namespace",
            "The namespace 'cursors' has no presence: pages send moves also while they are alone, "
            "and a publish proxy refuses all moves",
            'Set "presence": true and "allow_presence_for_subscriber": true for it in '
            "channel.namespaces of Centrifugo's configuration.",
        )
    elif isinstance(reply, CentrifugoError):
        yield problem("cursors.namespace", *explained(reply))
    else:
        yield ok("cursors.namespace", "Centrifugo has the namespace 'cursors'")


def publishing(code: int, *, tracked: bool) -> Findings:
    """Judge the code that a client got for a move without a subscription."""
    if code == PUBLISHED:
        yield problem(
            "cursors.publish",
            "Anybody may publish in the namespace 'cursors', subscribed or not",
            "Remove allow_publish_for_client from it, or let its publish proxy refuse.",
        )
    elif code == DENIED and tracked:
        yield problem(
            "cursors.publish",
            "PRESENCE_CURSOR_TRACK is set, but Centrifugo does not ask Django before it publishes "
            "moves: get_cursors never has those of browsers",
            "Configure the publish proxy of the namespace 'cursors' as docs/cursors.md says, or "
            "remove PRESENCE_CURSOR_TRACK from the settings.",
        )
    elif code == DENIED:
        yield ok("cursors.publish", "Only subscribers of a cursor channel can move in it")
    elif code == REFUSED:
        yield ok("cursors.publish", "Centrifugo asks the publish proxy, which refuses strangers")
    elif code == DOWN:
        yield problem(
            "cursors.publish",
            "The publish proxy cannot tell who is subscribed: no cursor moves",
            "The site's log says why: its Redis or Centrifugo's API does not answer, or the "
            "namespace 'cursors' lacks \"presence\": true.",
        )
    elif code in (LET_DOWN, NO_PROXY):
        yield problem(
            "cursors.publish",
            "Centrifugo gets no answer from its publish proxy: no cursor moves",
            "channel.proxy.publish needs the endpoint of presence:publish, and in "
            "http.static_headers X-API-Key, the CENTRIFUGO_API_KEY; Centrifugo's log says more.",
        )
    else:
        yield problem(
            "cursors.publish",
            f"Centrifugo, or its publish proxy, refuses moves with error {code}",
            "Look the code up at https://centrifugal.dev/docs/server/codes; from 400 on they are "
            "the proxy's own.",
        )

from __future__ import annotations

from presence.backends.redis.keys import Keys


def test_keys_keep_a_channel_in_one_cluster_slot_and_carry_the_schema() -> None:
    keys = Keys("site")
    assert keys.channel("presence:a") == "site:1:{presence:a}"
    assert keys.cursors("cursors:a") == "site:1:{cursors:a}:cursors"
    every = [keys.channels, keys.nodes, keys.channel("channels"), keys.channel("nodes")]
    every += [keys.taken("a"), keys.remembered("a"), keys.tick("a"), keys.cursors("a")]
    assert len(set(every)) == len(every)

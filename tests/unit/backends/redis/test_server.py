from __future__ import annotations

import pytest
from redis._parsers.encoders import Encoder

from presence.backends.redis.server import Packed, _Packer

FIELDS = ("rev", "epoch", "h\u00e9lo\u00efse")


@pytest.mark.parametrize(
    "key", ["presence:1:{presence:a}", "{h\u00e9lo\u00efse \U0001f600}", b"k\r\n"]
)
def test_packer_packs_shared_arguments_as_it_packs_single_ones(key: str | bytes) -> None:
    packer = _Packer(Encoder("utf-8", "strict", False).encode)
    single = b"".join(packer.pack("HMGET", key, *FIELDS))
    assert b"".join(packer.pack("HMGET", key, Packed.of(*FIELDS))) == single

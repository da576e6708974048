"""The keys in Redis, and the script that appends."""

from __future__ import annotations

from typing import Final

HEADS_PREFIX: Final = "arqon:heads:{"
LIVES_MAX: Final = 16
"""Lives of one node in a channel's heads; beyond it the oldest goes."""
AFTER_A_FAILURE: Final = -1
"""What the script answers instead of going past events that the same round trip has failed to write."""
SLACK_MS: Final = 5_000
"""An event that Redis got later than this after its own time, or earlier before it, has strayed."""


def stream_key(channel: str) -> str:
    """The braces keep all keys of a channel on one node of a Redis cluster."""
    return f"arqon:history:{{{channel}}}"


def heads_key(channel: str) -> str:
    return f"{HEADS_PREFIX}{channel}}}"


def stray_key(channel: str) -> str:
    """A hash, {late: ms, early: ms}: when, by the ids of the stream, an entry came last that had strayed."""
    return f"arqon:strays:{{{channel}}}"


def channel_of(key: bytes) -> str | None:
    """The channel of a `heads_key`; None when it is none."""
    try:
        text = key.decode()
    except UnicodeDecodeError:
        return None
    return text[len(HEADS_PREFIX) : -1] if text.startswith(HEADS_PREFIX) and text.endswith("}") else None


def mirror_key(mirror: int) -> str:
    """Of one history.db, by the number that it drew."""
    return f"arqon:mirror:{mirror:016x}"


# ARGV: epoch, offset of the first frame (0: no stream), about how long the stream may get, the offset that has to be
# there already (0: none), the earliest and the latest time of the frames (0: none), frames. That something has strayed
# is noted last: a key of a wrong type there must not undo what was written.
APPEND: Final = f"""
local head = tonumber(redis.call('HGET', KEYS[2], ARGV[1]) or '0')
local offset = tonumber(ARGV[2])
if head < tonumber(ARGV[4]) then return {AFTER_A_FAILURE} end
local before = head
local id
for i = 7, #ARGV do
  if offset == 0 or offset > head then
    id = redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[3], '*', 'epoch', ARGV[1], 'offset', offset, 'frame', ARGV[i])
    head = offset
  end
  if offset > 0 then offset = offset + 1 end
end
if head > before and redis.call('HSET', KEYS[2], ARGV[1], head) == 1 then
  local node = ARGV[1]:match('^(.*%-)')
  local lives = {{}}
  for _, epoch in ipairs(redis.call('HKEYS', KEYS[2])) do
    if node and epoch:sub(1, #node) == node then lives[#lives + 1] = epoch end
  end
  if #lives > {LIVES_MAX} then
    table.sort(lives, function(a, b) if #a ~= #b then return #a < #b end return a < b end)
    redis.call('HDEL', KEYS[2], lives[1])
  end
end
if id then
  local low, high, at = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(id:match('^%d+'))
  if low > 0 and at - low > {SLACK_MS} then redis.pcall('HSET', KEYS[3], 'late', at) end
  if high > 0 and high - at > {SLACK_MS} then redis.pcall('HSET', KEYS[3], 'early', at) end
end
return head
"""

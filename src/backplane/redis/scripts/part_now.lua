-- The time by the clock of Redis, in milliseconds, once it is known.
local now

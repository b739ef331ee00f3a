-- The record of a call. ARGV: 1 call.
return record_of(ARGV[1])

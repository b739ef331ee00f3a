-- The record of a call. ARGV: 3 call.
return record_of(ARGV[3])

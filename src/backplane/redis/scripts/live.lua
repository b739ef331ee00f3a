-- The live calls of a user: the version of the list, then the records. ARGV: 1 user.
return live_calls(ARGV[1])

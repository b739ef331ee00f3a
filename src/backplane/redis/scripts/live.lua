-- The live calls of a user: the version of the list, then the records. ARGV: 3 user.
return live_calls(ARGV[3])

"""The same random commands to larderd and to memcached: the same bytes must come back.

talk.py      connections: lockstep (one exchange at a time) and in one stream
commands.py  random commands of the classic and the meta protocol, and malformed lines
packets.py   random packets of the binary protocol
logins.py    random attempts at text authentication
older.py     what memcached 1.6.18 is not asked
compare.py   replies with cas uniques as pattern; the differences that are allowed, each with its reason
"""

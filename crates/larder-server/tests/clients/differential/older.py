"""What memcached 1.6.18, which Debian has, answers in another way than 1.6.45: it is not asked that.

The rows are those of the two versions' release notes; each is named where it is left out.
"""

import re

NUMBER = rb"(?:0|[1-9]\d{0,8})"
#: Lines that both read alike: no malformed flags, lifetimes or tokens (1.6.18 reads the data block as
#: commands then), no `+`, nothing above 32 bits, no words behind `noreply`.
STORE = re.compile(
    rb"(?:set|add|replace|append|prepend) \S{1,250} (?:%s|4294967295) -?%s %s(?: noreply)? ?\r?\n" % (NUMBER, NUMBER, NUMBER)
)
CAS = re.compile(rb"cas \S{1,250} (?:%s|4294967295) -?%s %s (?:\d{1,19}|\{cas:\w+\})(?: noreply)? ?\r?\n" % (NUMBER, NUMBER, NUMBER))
#: Too few tokens, more of them behind `delete`, numbers above 32 bits or of an odd form.
LINES = [
    re.compile(rb"gets? \S{1,250}(?: \S{1,250})* ?\r?\n"),
    re.compile(rb"gats? -?%s \S{1,250}(?: \S{1,250})* ?\r?\n" % NUMBER),
    re.compile(rb"delete \S{1,250}(?: noreply)? ?\r?\n"),
    re.compile(rb"(?:incr|decr) \S{1,250} \d{1,20}(?: noreply)? ?\r?\n"),
    re.compile(rb"touch \S{1,250} -?%s(?: noreply)? ?\r?\n" % NUMBER),
    re.compile(rb"flush_all(?: -?%s)?(?: noreply)?\r?\n" % NUMBER),
    re.compile(rb"(?:version|mn|bogus|verbosity 0|stats nothing|SET a 0 0 1|mx a|mgg a|getx a|quitx)\r\n"),
]
#: Flags that both know for a command, with arguments of the usual form. `E`, `md x`, `ms N`, `ms s` are
#: new, and `ms I` stores an older token only since then. A tokenizer of its own reads the rest.
META = {
    b"mg": rb"[vtcfskqhluO]|O[o]+|[TNR]-?%s" % NUMBER,
    b"ms": rb"[ckqO]|O[o]+|T-?%s|F%s|C(?:\d{1,20}|\{cas:\w+\})|M[SEAPR]" % (NUMBER, NUMBER),
    b"md": rb"[qkO]|O[o]+|I|T-?%s|C(?:\d{1,20}|\{cas:\w+\})" % NUMBER,
    b"ma": rb"[qvctkO]|O[o]+|[TN]-?%s|[JD]%s|C(?:\d{1,20}|\{cas:\w+\})|M[ID+-]" % (NUMBER, NUMBER),
}


def is_asked_alike(protocol, request):
    """Whether both versions are to answer a request in the same way."""
    if protocol == "binary":
        # 1.6.18 closes without a word where the body is announced as larger than 1 GiB.
        return len(request) < 12 or int.from_bytes(request[8:12], "big") < 1 << 30
    line = request[: request.find(b"\n") + 1]
    if b"\0" in line:
        # It ends lines at a NUL.
        return False
    if line[:3] in (b"mg ", b"ms ", b"md ", b"ma "):
        return (line[:2] != b"ms" or is_whole(request, line, 2)) and meta(line)
    if line.startswith((b"set ", b"add ", b"replace ", b"append ", b"prepend ", b"cas ")):
        return is_whole(request, line, 4) and bool(STORE.fullmatch(line) or CAS.fullmatch(line))
    return any(pattern.fullmatch(line) for pattern in LINES)


#: 1.6.18 takes leading spaces, any form of number and any size; it ends lines at a NUL, has no shortest
#: line, and reads words of a data block: a user's name and a password without spaces.
LOGIN = re.compile(
    rb"set \S{1,300} \S+ \S+ (\d{1,5})(?: noreply)?\r\n((?:[^ \0]+(?: [^ \0]+)?)?)(\r\n|\n|\r\r|ab)", re.DOTALL
)


def is_login_asked_alike(request):
    """Whether both versions are to answer an attempt at authentication in the same way."""
    login = LOGIN.fullmatch(request)
    if login:
        length, block, end = login.groups()
        return len(block) == int(length) and len(end) == 2
    return b"set" not in request and b"\0" not in request and request.find(b"\n") >= 6


def is_whole(request, line, place):
    """Whether a data block is as long as the word at this place of the line says. What is left of
    another one is a line of one character, or none: too few tokens."""
    words = line.split()
    announced = int(words[place]) if len(words) > place and words[place].isdigit() else -1
    return len(request) == len(line) + announced + 2 and request.endswith(b"\r\n")


def meta(line):
    words = line.split()
    verb, key, flags = words[0], words[1] if len(words) > 1 else b"", words[2:]
    if verb == b"ms":
        if not flags or not re.fullmatch(NUMBER, flags.pop(0)):
            return False
    letters = [flag[:1] for flag in flags]
    if len(set(letters)) < len(letters) or len(key) > 250 or b"  " in line or not key:
        return False
    is_binary = b"b" in letters
    plain = [flag for flag in flags if flag != b"b"]
    if is_binary and not re.fullmatch(rb"(?:[A-Za-z0-9+/]{4})+(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?", key):
        return False
    if verb == b"ma" and {b"q", b"N"} <= set(letters):
        # It answers when it creates a counter quietly.
        return False
    return all(re.fullmatch(META[verb], flag) for flag in plain)

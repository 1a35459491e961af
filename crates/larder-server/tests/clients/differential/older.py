"""What memcached 1.6.18, which Debian has, answers in another way than 1.6.45.

LISTED are the rows of the list of what changed between the two (the reference's section 20): requests that
meet one are not asked. ALSO is what that list leaves out: those are asked, and each has its own rule for what
the two may answer; behind such an answer they may hold different items, so the conversation ends. They
come from the tokenizer and the readers of numbers that were replaced in between ("proto: convert more
strto calls", "ascii: safely convert flag args to numerics" in memcached's history), but for `mg C` and the
quiet `ma`.
"""

import re

#: Rows of section 20, by the words that this file has for them.
LISTED = {
    "short line": "empty line, 1-char command",
    "leading space": "leading spaces before get/version",
    "too few words": "too few tokens; `gat 10`",
    "refused store": "set/cas with bad key/flags/exptime/unique: data swallowed or parsed",
    "noreply within": "`set k 0 0 2 noreply x`",
    "plus": "`set k 0 0 +2`",
    "delete words": "`delete k a b c`",
    "above 32 bits": "touch/flush_all number > i32; ms F > u32",
    "unknown noreply": "`bogus noreply`",
    "http": "`HTTP/1.1` alone",
    "new flag": "md x, E flag, ms N, ms s",
    "older token": "ms I with lower C",
    "me": "`me` exp sign",
    "no flag": "unparsable meta flag char (`!`)",
}

CLIENT_ERROR = rb"CLIENT_ERROR [^\r]*\r\n"
ANY = rb".*"
NO_NUMBER = rb"CLIENT_ERROR (invalid exptime argument|bad token in command line format|invalid or duplicate flag)\r\n.*"
#: What the two may answer, larderd first, where the list does not say so.
ALSO = {
    # 1.6.18 ends words at a NUL, and so has another line, or another number of words.
    "nul": (ANY, ANY),
    # `-` alone was no number, and more than eleven digits were.
    "number": (rb"(?!" + NO_NUMBER + rb").*", NO_NUMBER),
    "longer number": (NO_NUMBER, rb"(?!" + NO_NUMBER + rb").*"),
    # Only `mg` told of too many flags as it does today.
    "many flags": (CLIENT_ERROR, rb"(CLIENT_)?ERROR.*|\(closed\)"),
    # `md` and `ma` had one text for every malformed flag or key.
    "one text": (CLIENT_ERROR, CLIENT_ERROR),
    # A length of more than eleven digits was one.
    "length": (CLIENT_ERROR + ANY, ANY),
    # `mg` with a token that is the item's left nothing out.
    "mg C": (rb"HD.*", rb"VA \d+.*"),
    # A quiet `ma` that created a counter answered.
    "quiet ma": (rb"", rb"(HD|VA).*"),
    # A mode of more or less than one letter was an error.
    "mode": (ANY, CLIENT_ERROR + rb".*"),
    # A number of 2^63 and more was none if a minus stood anywhere behind it in memory, in what an item there had left.
    "minus behind": (rb"\d+ *\r\n", rb"CLIENT_ERROR cannot increment or decrement non-numeric value\r\n"),
    # A body of more than 1 GiB closed without a word.
    "gib": (rb"81 .*status=0004.*", rb"(\(closed\))?"),
}

STORES = {b"set": 5, b"add": 5, b"replace": 5, b"append": 5, b"prepend": 5, b"cas": 6}
#: Words that a command has at least, itself included.
WORDS_MIN = STORES | {
    b"get": 2, b"gets": 2, b"gat": 3, b"gats": 3, b"incr": 3, b"decr": 3, b"touch": 3, b"delete": 2,
    b"verbosity": 2, b"mg": 2, b"ms": 3, b"md": 2, b"ma": 2, b"me": 2,
}
#: What set and its like read as a number of 64 bits.
LENIENT = re.compile(rb"[+-]?\d{1,30}")


def differences(protocol, request):
    """The words of LISTED and ALSO that a request meets."""
    if protocol == "binary":
        return {"gib"} if len(request) >= 12 and int.from_bytes(request[8:12], "big") >= 1 << 30 else set()
    line = request[: request.find(b"\n") + 1]
    if len(line) < 4:
        return {"short line"}
    if line.startswith(b" "):
        return {"leading space"}
    if b"\0" in line:
        return {"nul"}
    words = words_of(line)
    if len(words) < WORDS_MIN.get(words[0], 1):
        return {"too few words"}
    if words[0] in STORES:
        return announced(request, line, words, 4) | store(words)
    if words[0] in (b"mg", b"ms", b"md", b"ma"):
        return meta(request, line, words)
    if words[0] == b"me":
        return {"me"}
    return classic(words)


def words_of(line):
    return [word for word in line.rstrip(b"\n").removesuffix(b"\r").split(b" ") if word]


def explains(names, request, ours, theirs):
    """The word of ALSO by which the two may answer so, if there is one."""
    for name in names & set(ALSO):
        left, right = ALSO[name]
        if not (re.fullmatch(left, ours, re.DOTALL) and re.fullmatch(right, theirs, re.DOTALL)):
            continue
        if name != "minus behind" or was_huge(request, ours):
            return name
    return None


def was_huge(request, ours):
    """Whether the number that became `ours` was 2^63 or more."""
    verb, _, delta = words_of(request)[:3]
    delta, result = int(delta), int(ours)
    was = (result - delta) % (1 << 64) if verb == b"incr" else max(result, 1) + delta
    return was >= 1 << 63


def announced(request, line, words, place):
    """A data block that is not as long as the word at this place of the line says: what is left of it is a
    line of one character, or none, or begins with a space. A `+` is read."""
    length = words[place]
    if len(length) > 11 and length.isdigit():
        return {"length"}
    if length.startswith(b"+"):
        return {"plus"}
    if not length.isdigit():
        return set() if len(request) == len(line) else {"short line"}
    is_whole = len(request) == len(line) + int(length) + 2 and request.endswith(b"\r\n")
    return set() if is_whole else {"short line"}


def store(words):
    """A refused line has its data block read as commands."""
    _, key, flags, exptime, length, *rest = words
    readable = [len(key) <= 250, LENIENT.fullmatch(flags), LENIENT.fullmatch(exptime)]
    if words[0] == b"cas":
        readable += [rest[0].isdigit() and int(rest[0]) < 1 << 64 or rest[0].startswith(b"{cas:")]
    in_range = not flags.startswith(b"-") and all(readable) and int(flags) < 1 << 64 and abs(int(exptime)) < 1 << 63
    found = set() if in_range else {"refused store"}
    # A `noreply` that is not the last word makes the whole an error.
    return found | ({"noreply within"} if rest[-1:] != [b"noreply"] and b"noreply" in rest else set())


def strict(number):
    """Above 32 bits numbers were cut."""
    if re.fullmatch(rb"-?\d{1,11}", number):
        return set() if -(1 << 31) <= int(number) < 1 << 31 else {"above 32 bits"}
    return {"number", "longer number"} if re.fullmatch(rb"-|\+.*|-?\d+", number) else set()


def classic(words):
    verb, rest = words[0], words[1:]
    if verb in (b"gat", b"gats"):
        return strict(rest[0])
    if verb == b"touch":
        return strict(rest[1])
    if verb == b"flush_all":
        return strict(rest[0]) if rest else set()
    if verb == b"verbosity":
        return {"above 32 bits"} if rest[0].isdigit() and int(rest[0]) >= 1 << 32 else set()
    if verb == b"delete":
        # Further words were refused.
        return set() if rest[1:] in ([], [b"0"], [b"noreply"], [b"0", b"noreply"]) else {"delete words"}
    if verb in (b"incr", b"decr"):
        return {"minus behind"}
    if verb in (b"get", b"gets", b"version", b"mn"):
        return set()
    if verb.startswith(b"HTTP/"):
        return {"http"}
    return {"unknown noreply"} if rest[-1:] == [b"noreply"] else set()


def meta(request, line, words):
    verb, key, flags = words[0], words[1], words[2:]
    found = set()
    if verb != b"mg" and len(words) > 20:
        found.add("many flags")
    if verb == b"ms":
        # A refused line has its data block read as commands.
        if len(key) > 250:
            return {"refused store"}
        found |= announced(request, line, words, 2)
        flags.pop(0)
    elif len(key) > 250:
        found.add("one text")
    letters = [flag[:1] for flag in flags]
    new = {b"mg": b"Ex", b"ms": b"ExNs", b"md": b"Ex", b"ma": b"Ex"}[verb]
    if any(letter in new for letter in letters):
        found.add("new flag")
    if verb == b"mg" and b"C" in letters:
        found.add("mg C")
    if verb == b"ms" and {b"I", b"C"} <= set(letters):
        found.add("older token")
    if verb == b"ma" and {b"q", b"N"} <= set(letters):
        found.add("quiet ma")
    for flag in flags:
        found |= of_flag(flag[:1], flag[1:])
    is_plain = len(set(letters)) == len(letters) and all(map(PLAIN.fullmatch, flags)) and is_key(key, letters)
    if verb == b"md" and not is_plain:
        found.add("one text")
    return found


#: A flag without a mistake.
PLAIN = re.compile(rb"[qbkcstfhluvI]|O.{0,31}|M[SEAPRID+-]|[TNR]-?\d{1,9}|[FJD]\d{1,9}|C(\d{1,20}|\{cas:\w+\})|[PL].*")


def is_key(key, letters):
    base64 = rb"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?"
    return len(key) <= 250 and (b"b" not in letters or re.fullmatch(base64, key))


def of_flag(letter, argument):
    # What is neither a letter nor a digit has an error of its own.
    if not (letter.isdigit() or b"A" <= letter <= b"z"):
        return {"no flag"}
    if letter in (b"T", b"N", b"R"):
        return strict(argument)
    if letter == b"F":
        return {"above 32 bits"} if argument.isdigit() and int(argument) >= 1 << 32 else set()
    return {"mode"} if letter == b"M" and len(argument) != 1 else set()


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

"""What memcached 1.6.18, which Debian has, answers in another way than 1.6.45: it is not asked that.

Every rule names its reason: a row of the list of what changed between the two (the reference's section
20), or, marked "also", what that list leaves out. Those all come from the tokenizer and the readers of
numbers that were replaced in between ("proto: convert more strto calls", "ascii: safely convert flag
args to numerics" in memcached's history), but for the quiet `ma`.
"""

import re

STORES = {b"set": 5, b"add": 5, b"replace": 5, b"append": 5, b"prepend": 5, b"cas": 6}
#: Words that a command has at least, itself included.
WORDS_MIN = STORES | {
    b"get": 2, b"gets": 2, b"gat": 3, b"gats": 3, b"incr": 3, b"decr": 3, b"touch": 3, b"delete": 2,
    b"verbosity": 2, b"mg": 2, b"ms": 3, b"md": 2, b"ma": 2, b"me": 2,
}
#: What set and its like read as a number of 64 bits.
LENIENT = re.compile(rb"[+-]?\d{1,30}")


def is_asked_alike(protocol, request):
    """Whether both versions are to answer a request in the same way."""
    if protocol == "binary":
        # Also: 1.6.18 closes without a word where the body is announced as larger than 1 GiB.
        return len(request) < 12 or int.from_bytes(request[8:12], "big") < 1 << 30
    line = request[: request.find(b"\n") + 1]
    # Lines of one character or none, and leading spaces. Also: 1.6.18 ends words at a NUL.
    if len(line) < 4 or line.startswith(b" ") or b"\0" in line:
        return False
    words = [word for word in line.rstrip(b"\n").removesuffix(b"\r").split(b" ") if word]
    if len(words) < WORDS_MIN.get(words[0], 1):
        return False
    if words[0] in STORES:
        return is_whole(request, line, words, 4) and store(words)
    if words[0] in (b"mg", b"ms", b"md", b"ma"):
        return meta(request, line, words)
    # `me` shows lifetimes with a wrong sign.
    return words[0] != b"me" and classic(words)


def is_whole(request, line, words, place):
    """Whether a data block is as long as the word at this place of the line says. What is left of
    another one is a line of one character, or none, or begins with a space. A `+` is read."""
    announced = words[place]
    if not announced.isdigit():
        return not announced.startswith(b"+") and len(request) == len(line)
    return len(request) == len(line) + int(announced) + 2 and request.endswith(b"\r\n")


def store(words):
    """A refused line has its data block read as commands."""
    _, key, flags, exptime, length, *rest = words
    readable = [len(key) <= 250, LENIENT.fullmatch(flags), LENIENT.fullmatch(exptime)]
    if words[0] == b"cas":
        readable += [rest[0].isdigit() and int(rest[0]) < 1 << 64 or rest[0].startswith(b"{cas:")]
    in_range = not flags.startswith(b"-") and all(readable) and int(flags) < 1 << 64 and abs(int(exptime)) < 1 << 63
    # A `noreply` that is not the last word makes the whole an error.
    return in_range and (rest[-1:] == [b"noreply"] or b"noreply" not in rest)


def strict(number):
    """Above 32 bits numbers were cut. Also: `-` alone was no number, and more than eleven digits were."""
    if re.fullmatch(rb"-?\d{1,11}", number):
        return -(1 << 31) <= int(number) < 1 << 31
    return not re.fullmatch(rb"-|\+.*|-?\d+", number)


def classic(words):
    verb, rest = words[0], words[1:]
    if verb in (b"gat", b"gats"):
        return strict(rest[0])
    if verb == b"touch":
        return strict(rest[1])
    if verb == b"flush_all":
        return not rest or strict(rest[0])
    if verb == b"verbosity":
        return not rest[0].isdigit() or int(rest[0]) < 1 << 32
    if verb == b"delete":
        # Further words were refused.
        return rest[1:] in ([], [b"0"], [b"noreply"], [b"0", b"noreply"])
    if verb in (b"get", b"gets", b"incr", b"decr", b"version", b"mn"):
        return True
    # An unknown command: `noreply` did not silence the error, and HTTP alone closed.
    return rest[-1:] != [b"noreply"] and not verb.startswith(b"HTTP/")


def meta(request, line, words):
    verb, key, flags = words[0], words[1], words[2:]
    # Also: only `mg` tells of too many flags as it does today, and `ma` of a long key.
    if verb != b"mg" and len(words) > 20 or verb == b"ma" and len(key) > 250:
        return False
    if verb == b"ms":
        # A refused line has its data block read as commands.
        if len(key) > 250 or not is_whole(request, line, words, 2):
            return False
        flags.pop(0)
    letters = [flag[:1] for flag in flags]
    # `E`, `md x`, `ms N` and `ms s` are new, and so is `ms I` that stores an older token. Also: so is `C`
    # that leaves out a value.
    new = {b"mg": b"ExC", b"ms": b"ExNs", b"md": b"Ex", b"ma": b"Ex"}[verb]
    if any(letter in new for letter in letters) or verb == b"ms" and {b"I", b"C"} <= set(letters):
        return False
    # Also: `ma` that creates a counter answers though it is quiet.
    if verb == b"ma" and {b"q", b"N"} <= set(letters):
        return False
    if not all(flag_is_read_alike(flag[:1], flag[1:]) for flag in flags):
        return False
    # Also: `md` had one text for every malformed flag or key.
    return verb != b"md" or len(set(letters)) == len(letters) and all(map(PLAIN.fullmatch, flags)) and is_key(key, letters)


#: A flag without a mistake.
PLAIN = re.compile(rb"[qbkcstfhluvI]|O.{0,31}|M[SEAPRID+-]|[TNR]-?\d{1,9}|[FJD]\d{1,9}|C(\d{1,20}|\{cas:\w+\})|[PL].*")


def is_key(key, letters):
    base64 = rb"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?"
    return len(key) <= 250 and (b"b" not in letters or re.fullmatch(base64, key))


def flag_is_read_alike(letter, argument):
    # What is neither a letter nor a digit has an error of its own.
    if not (letter.isdigit() or b"A" <= letter <= b"z"):
        return False
    if letter in (b"T", b"N", b"R"):
        return strict(argument)
    if letter == b"F":
        return not argument.isdigit() or int(argument) < 1 << 32
    # Also: a mode of more or less than one letter had an error of its own.
    return letter != b"M" or len(argument) == 1


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

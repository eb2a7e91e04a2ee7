"""Reads combined access logs and prints the record that each line must become in the `strings` profile.

Written from the description of the log (https://httpd.apache.org/docs/2.4/logs.html#combined) and of the records
only. It shares nothing with the agent's parser, which it is there to judge: this is one regular expression and one
table of escapes, slow and plain.
"""

import gzip
import re
import sys

NAMES = ("host", "ident", "authuser", "datetime", "request", "response", "bytes", "referer", "agent")

# A quoted value ends at the first quote that no backslash takes away; a backslash takes the next character along.
QUOTED = r'"((?:[^"\\]|\\.)*)"'
DATE = r"\[(\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4})\]"
LINE = re.compile(rf"(\S+) (\S+) (.+?) {DATE} {QUOTED} (\d+|-) (\d+|-) {QUOTED} {QUOTED}(?: .*)?", re.DOTALL)

ESCAPES = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def character(char):
    if char in ESCAPES:
        return ESCAPES[char]
    return f"\\u{ord(char):04X}" if char < " " else char


def value(text):
    return "null" if text == "-" else '"' + "".join(map(character, text)) + '"'


def record(line):
    match = LINE.fullmatch(line.decode("utf-8", errors="replace"))
    if match is None:
        return None
    values = list(match.groups())
    if values[2] == '""':  # httpd's way to write a user whose name is empty
        values[2] = ""
    return "{" + ",".join(f'"{name}":{value(text)}' for name, text in zip(NAMES, values)) + "}\n"


def main(paths):
    for path in paths:
        # What logrotate has compressed is a log as well.
        with (gzip.open if path.endswith(".gz") else open)(path, "rb") as file:
            lines = file.read().split(b"\n")
        if lines.pop() != b"":
            sys.exit(f"{path}: the last line has no newline")
        for number, line in enumerate(lines, 1):
            text = record(line)
            if text is None:
                sys.exit(f"{path}:{number}: not an access log line: {line!r}")
            sys.stdout.buffer.write(text.encode("utf-8"))


main(sys.argv[1:])

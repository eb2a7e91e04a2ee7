"""The Java agent's side of a takeover: makes its stores, reads them, and starts from them as it would.

Written from how the Java agent 2.0 behaves, with Python's own sqlite3 and nothing of the agent's: its schema, its file
id, and the rules by which it finds a file again. Prints JSON.

    java_store.py make STORE                       rows on standard input, each [FLOW, PATH, OFFSET]; the file must be there
    java_store.py rows STORE                       every row
    java_store.py sql STORE STATEMENT              changes rows
    java_store.py lock STORE                       holds an exclusive transaction until standard input ends
    java_store.py die STORE                        dies in the middle of a transaction that changes every offset
    java_store.py follow STORE FLOW DIRECTORY GLOB  [[PATH, OFFSET], ...]: what it reads after a start, in its order
"""

import fnmatch
import json
import os
import sqlite3
import sys

SCHEMA = """create table if not exists FILE_CHECKPOINTS (
    flow text, path text, fileId text, lastModifiedTime bigint, size bigint, offset bigint, lastUpdated datetime,
    primary key (flow, path))"""


def file_id(stat):
    return f"(dev={stat.st_dev:x},ino={stat.st_ino})"


def millis(stat):
    return stat.st_mtime_ns // 1_000_000


def make(store):
    with sqlite3.connect(store) as connection:
        connection.execute(SCHEMA)
        for flow, path, offset in json.load(sys.stdin):
            stat = os.stat(path)
            row = (flow, path, file_id(stat), millis(stat), stat.st_size, offset)
            connection.execute(
                "insert or replace into FILE_CHECKPOINTS "
                "values (?, ?, ?, ?, ?, ?, strftime('%Y-%m-%d %H:%M:%f', 'now'))",
                row,
            )


def rows(store):
    connection = sqlite3.connect(store)
    return [list(row) for row in connection.execute("select * from FILE_CHECKPOINTS order by flow, path")]


def sql(store, statement):
    with sqlite3.connect(store) as connection:
        connection.execute(statement)


def lock(store):
    connection = sqlite3.connect(store, isolation_level=None)
    connection.execute("begin exclusive")
    print("locked", flush=True)
    sys.stdin.read()
    connection.execute("rollback")


def die(store):
    connection = sqlite3.connect(store, isolation_level=None)
    # So small a cache that the database is written to before the end, with a journal to undo it.
    connection.execute("pragma cache_size = 1")
    connection.execute("begin")
    connection.execute("update FILE_CHECKPOINTS set offset = 0")
    connection.execute("create table filler (bytes)")
    connection.executemany("insert into filler values (?)", ((bytes(4000),) for _ in range(100)))
    os._exit(0)


def follow(store, flow, directory, glob):
    """Which files are read from which offset: the one of the latest row, then those that are newer, the oldest first."""
    latest = sqlite3.connect(store).execute(
        "select path, fileId, lastModifiedTime, size, offset from FILE_CHECKPOINTS "
        "where flow = ? order by lastUpdated desc limit 1",
        (flow,),
    ).fetchone()
    names = [name for name in os.listdir(directory) if fnmatch.fnmatchcase(name, glob)]
    names = [name for name in names if not name.lower().endswith((".gz", ".bz2", ".zip"))]
    listing = [(os.path.join(directory, name), os.stat(os.path.join(directory, name))) for name in names]
    # The newest first; of equal times the smaller is the newer.
    listing.sort(key=lambda file: (-millis(file[1]), file[1].st_size))
    if latest is None:
        raise SystemExit("no row of this flow: it would start at the end")
    path, known, modified, size, offset = latest
    found = [index for index, (_, stat) in enumerate(listing) if file_id(stat) == known]
    if not found:
        raise SystemExit("the file of the latest row is not among those of the pattern: it would be reset")
    current = found[0]
    place, stat = listing[current]
    if place == path and millis(stat) >= modified and stat.st_size < size:
        raise SystemExit("the file was truncated: it would not start")
    if stat.st_size < offset:
        raise SystemExit("the offset is beyond the end: it would be reset")
    return [[place, offset]] + [[newer, 0] for newer, _ in reversed(listing[:current])]


COMMANDS = {"make": make, "rows": rows, "sql": sql, "lock": lock, "die": die, "follow": follow}

if __name__ == "__main__":
    result = COMMANDS[sys.argv[1]](*sys.argv[2:])
    if result is not None:
        print(json.dumps(result))

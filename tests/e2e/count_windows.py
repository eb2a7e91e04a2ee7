"""Counts records as the analytics application of 2017 did: in SQL, over tumbling windows, with a left join.

    count_windows.py RECORDS REFERENCE SECONDS

RECORDS has a line for each record of the stream: when it arrived, in milliseconds since the epoch, a tab, and its data,
one JSON object. REFERENCE is the CSV with the columns Host, ApplicationName and Contact. SECONDS is a window's length.
Writes a JSON array for each group: the window's start in milliseconds, application, contact, response, count. A host
that is not in the reference has null as application and contact: what becomes of those is not SQL's business.

Shares nothing with what it judges.
"""

import csv
import json
import sqlite3
import sys

GROUPS = """
    SELECT arrived / :length * :length AS start, ApplicationName, Contact, response, COUNT(*)
    FROM source LEFT JOIN reference ON source.host = reference.Host
    GROUP BY start, ApplicationName, Contact, response
    ORDER BY start, ApplicationName, Contact, response
"""


def main(records, reference, seconds):
    database = sqlite3.connect(":memory:")
    database.execute("CREATE TABLE source (arrived INTEGER, host TEXT, response INTEGER)")
    database.execute("CREATE TABLE reference (Host TEXT PRIMARY KEY, ApplicationName TEXT, Contact TEXT)")
    with open(records, encoding="utf-8") as lines:
        database.executemany("INSERT INTO source VALUES (?, ?, ?)", map(source_row, lines))
    with open(reference, encoding="utf-8", newline="") as file:
        columns = "Host", "ApplicationName", "Contact"
        rows = ([row[column] for column in columns] for row in csv.DictReader(file))
        database.executemany("INSERT INTO reference VALUES (?, ?, ?)", rows)
    for group in database.execute(GROUPS, {"length": int(seconds) * 1000}):
        print(json.dumps(group))


def source_row(line):
    arrived, data = line.split("\t", 1)
    record = json.loads(data)
    return int(arrived), record["host"], int(record["response"])


if __name__ == "__main__":
    main(*sys.argv[1:])

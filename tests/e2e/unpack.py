"""Unpacks the records of a stream, by programs that share nothing with the agent.

Reads a file with the data of one stream record in base64 on each line, and writes to standard output each line that is in
them, behind the number of its record and a tab: aggregates are taken apart by AWS's own de-aggregator, frames of zstd by
Facebook's library, members of gzip by Python.
"""

import base64
import gzip
import sys

import zstandard
from aws_kinesis_agg.deaggregator import deaggregate_records


def user_records(data):
    """What a Lambda function would make of the record: the records of an aggregate, or itself."""
    kinesis = {
        "kinesisSchemaVersion": "1.0",
        "data": base64.b64encode(data).decode(),
        "partitionKey": "key",
        "sequenceNumber": "1",
        "approximateArrivalTimestamp": 0,
    }
    for record in deaggregate_records([{"kinesis": kinesis}]):
        yield base64.b64decode(record["kinesis"]["data"])


def unpacked(data):
    if data.startswith(b"\x1f\x8b"):
        return gzip.decompress(data)
    if data.startswith(b"\x28\xb5\x2f\xfd"):
        return zstandard.ZstdDecompressor().decompress(data)
    return data


with open(sys.argv[1], "rb") as records:
    for number, text in enumerate(records):
        for record in user_records(base64.b64decode(text)):
            for line in unpacked(record).splitlines(keepends=True):
                sys.stdout.buffer.write(b"%d\t%b" % (number, line))

"""Keeps the instances of an Auto Scaling group in the reference file of kinetail's log analytics.

An AWS Lambda function, set up by update-reference.yaml beside it. Each event about an instance that comes or goes has
the rows of its whole group written anew, so it does not matter if an event is lost, comes twice or comes late: the next
one mends the file. Knows nothing of how the file is used.

The rows of a group stand between two comments. Everything outside them stays as it is, byte for byte, and a host that
has a row there keeps that row. The file is replaced only if nobody has changed it since it was read; else it is read
and the group looked at again. The file is read before the group is, so that an older look never replaces a newer one.

An instance gives the tags ApplicationName and Contact to the rows of its private addresses. One without ApplicationName,
or with values for which the whole file would be refused, gets no row: its requests count as UNKNOWN, as those of any
host that nobody has named.
"""

import csv
import io
import ipaddress
import os
import random
import time

import boto3
from botocore.exceptions import ClientError

COLUMNS = ["Host", "ApplicationName", "Contact"]

# What the reader of the file refuses: longer values, and the names of those that are not known.
LONGEST_VALUE_BYTES = 256
RESERVED = {"UNKNOWN", "OTHER"}

# The waits together stay below 16 s, well within the time-out of the function.
ATTEMPTS = 12
LONGEST_WAIT_SECONDS = 2.0

# What S3 answers if the object was changed, is being changed, or was removed since it was read.
CHANGED = {"PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey"}

LAUNCHES = {"EC2 Instance-launch Lifecycle Action", "EC2 Instance Launch Successful"}

# A terminated instance is described for another hour, and its address may already be that of another.
STATES = ["pending", "running", "stopping", "stopped", "shutting-down"]


class Damaged(Exception):
    """The file is not one that rows can be added to; people have to mend it."""


class NotVisible(Exception):
    """The instance that the event is about is not described yet; the event is tried again."""


def handle(event, _context):
    """Brings the file up to date for the group of the event, then lets the instance that waits for it go on."""
    detail = event["detail"]
    group = detail["AutoScalingGroupName"]
    launched = detail["EC2InstanceId"] if event.get("detail-type") in LAUNCHES else None
    update(os.environ["REFERENCE_BUCKET"], os.environ["REFERENCE_KEY"], group, launched)
    if "LifecycleActionToken" in detail:
        boto3.client("autoscaling").complete_lifecycle_action(
            AutoScalingGroupName=group,
            LifecycleHookName=detail["LifecycleHookName"],
            LifecycleActionToken=detail["LifecycleActionToken"],
            LifecycleActionResult="CONTINUE",
        )


def update(bucket, key, group, launched=None):
    """Replaces the rows of `group` in the object by those of its instances, among which `launched` must be."""
    s3 = boto3.client("s3")
    for attempt in range(ATTEMPTS):
        text, condition = read(s3, bucket, key)
        instances = members(group)
        if launched and launched not in {instance["InstanceId"] for instance in instances}:
            raise NotVisible(f"{launched} of {group} is not described yet")
        new = with_section(text, group, rows(instances))
        if new == text:
            return
        try:
            s3.put_object(
                Bucket=bucket,
                Key=key,
                Body=new.encode("utf-8", "surrogateescape"),
                ContentType="text/csv; charset=utf-8",
                **condition,
            )
            return
        except ClientError as error:
            if error.response["Error"]["Code"] not in CHANGED or attempt + 1 == ATTEMPTS:
                raise
        time.sleep(random.uniform(0, min(LONGEST_WAIT_SECONDS, 0.1 * 2**attempt)))


def read(s3, bucket, key):
    """The text of the object, and the condition under which it may be replaced."""
    try:
        found = s3.get_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchKey":
            raise
        return "", {"IfNoneMatch": "*"}
    # Bytes that are not UTF-8 are none of our business and must come out as they went in.
    return found["Body"].read().decode("utf-8", "surrogateescape"), {"IfMatch": found["ETag"]}


def members(group):
    """The instances of the group that have not been terminated."""
    pages = boto3.client("ec2").get_paginator("describe_instances").paginate(
        Filters=[
            {"Name": "tag:aws:autoscaling:groupName", "Values": [group]},
            {"Name": "instance-state-name", "Values": STATES},
        ]
    )
    return [
        instance
        for page in pages
        for reservation in page["Reservations"]
        for instance in reservation["Instances"]
    ]


def rows(instances):
    """A row for each private address, in the order of the addresses, by the names of the columns."""
    found = {}
    for instance in instances:
        tags = {tag["Key"]: " ".join(tag["Value"].split()) for tag in instance.get("Tags", [])}
        application, contact = tags.get("ApplicationName", ""), tags.get("Contact", "")
        if application in RESERVED | {""} or not (fits(application) and fits(contact)):
            print(f"{instance['InstanceId']} gets no row with these tags: {application!r}, {contact!r}")
            continue
        for address in addresses(instance):
            found[address] = dict(zip(COLUMNS, (address, application, contact)))
    return [found[address] for address in sorted(found)]


def fits(value):
    return value.isprintable() and len(value.encode("utf-8")) <= LONGEST_VALUE_BYTES


def addresses(instance):
    """The private addresses of all interfaces of the instance."""
    for interface in instance.get("NetworkInterfaces", []):
        for address in interface.get("PrivateIpAddresses", []):
            yield address["PrivateIpAddress"]
        for address in interface.get("Ipv6Addresses", []):
            yield address["Ipv6Address"]


def with_section(text, group, wanted):
    """`text` with the rows `wanted` as the section of `group`, but for hosts that have a row outside of it."""
    begin = f"# begin of Auto Scaling group {group} (written by update_reference.py)"
    end = f"# end of Auto Scaling group {group}"
    lines = list(io.StringIO(text, newline="\n"))
    newline = "\r\n" if lines and lines[0].endswith("\r\n") else "\n"
    before, after = around(lines, begin, end)
    if not before and not after:
        before = [",".join(COLUMNS) + newline]
    if before and not before[-1].endswith("\n"):
        before[-1] += newline

    outside = [row for row in csv.reader(line for line in before + after if not line.startswith("#")) if row]
    header = columns(outside[0] if outside else [])
    place = header.index("Host")
    taken = {host(row[place]) for row in outside if len(row) > place}
    section = io.StringIO()
    writer = csv.DictWriter(section, header, restval="", lineterminator=newline)
    writer.writerows(row for row in wanted if host(row["Host"]) not in taken)
    return "".join([*before, begin, newline, section.getvalue(), end, newline, *after])


def columns(header):
    """The columns in the order of the file, which may have others among them; ours as they are spelt here."""
    ours = {column.lower(): column for column in COLUMNS}
    found = ["".join(name.replace("\ufeff", "").split()) for name in header]
    found = [ours.get(name.lower(), f"{number} {name}") for number, name in enumerate(found)]
    if sorted(name for name in found if name in COLUMNS) != sorted(COLUMNS):
        raise Damaged(f"the first line must name each of {', '.join(COLUMNS)} once, not {header}")
    return found


def around(lines, begin, end):
    """The lines before and behind the section; without one, all lines are before it."""
    marks = [(number, line.strip()) for number, line in enumerate(lines) if line.strip() in (begin, end)]
    if not marks:
        return lines, []
    if [mark for _, mark in marks] != [begin, end]:
        places = ", ".join(str(number + 1) for number, _ in marks)
        raise Damaged(f"expected one line '{begin}' and one '{end}', found such lines at {places}")
    return lines[: marks[0][0]], lines[marks[1][0] + 1 :]


def host(text):
    """What tells hosts apart: an address whichever way it is written, or a name in lower case."""
    name = text.strip().lower()
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return name

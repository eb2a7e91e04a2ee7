"""The rows of an Auto Scaling group in the reference file, with S3, EC2 and Auto Scaling as moto plays them."""

import csv
import os
import pathlib
import sys
import unittest
from unittest import mock

import boto3
import botocore.client
from moto import mock_aws

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "packaging/autoscaling"))
import update_reference  # noqa: E402

BUCKET, KEY = "reference", "HostApplicationMap.csv"
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "REFERENCE_BUCKET": BUCKET,
    "REFERENCE_KEY": KEY,
}
LAUNCH = "EC2 Instance-launch Lifecycle Action"
TERMINATED = "EC2 Instance Terminate Successful"


class Calls:
    """Passes every call on to moto, but for the one that moto does not know; notes the order of those that change."""

    def __init__(self):
        self.seen = []
        self.real = botocore.client.BaseClient._make_api_call

    def __call__(self, client, operation, arguments):
        if operation in ("PutObject", "CompleteLifecycleAction"):
            self.seen.append((operation, arguments))
        if operation == "CompleteLifecycleAction":
            return {}
        return self.real(client, operation, arguments)


class UpdateReference(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        # moto needs seconds to make up a region's instance types, so it is started once.
        for context in (mock.patch.dict(os.environ, ENVIRONMENT), mock_aws()):
            cls.enterClassContext(context)

    def setUp(self):
        calls = Calls()
        for context in (
            mock.patch("time.sleep"),
            mock.patch("builtins.print"),
            mock.patch.object(
                botocore.client.BaseClient, "_make_api_call", lambda *arguments: calls(*arguments)
            ),
        ):
            self.enterContext(context)
        self.calls = calls.seen
        self.s3, self.ec2 = boto3.client("s3"), boto3.client("ec2")
        self.s3.create_bucket(
            Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
        )
        self.addCleanup(self.s3.delete_bucket, Bucket=BUCKET)
        self.addCleanup(self.s3.delete_object, Bucket=BUCKET, Key=KEY)

    def launch(self, group, **tags):
        """An instance as a group launches it: its id and its private address."""
        tags = {"aws:autoscaling:groupName": group, **tags}
        instance = self.ec2.run_instances(
            ImageId="ami-12c6146b",
            MinCount=1,
            MaxCount=1,
            TagSpecifications=[
                {
                    "ResourceType": "instance",
                    "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
                }
            ],
        )["Instances"][0]
        self.addCleanup(self.ec2.terminate_instances, InstanceIds=[instance["InstanceId"]])
        return instance["InstanceId"], instance["PrivateIpAddress"]

    def put(self, content):
        self.s3.put_object(Bucket=BUCKET, Key=KEY, Body=content)
        self.calls.clear()

    def content(self):
        return self.s3.get_object(Bucket=BUCKET, Key=KEY)["Body"].read()

    def rows(self):
        lines = self.content().decode("utf-8-sig").splitlines()
        return list(csv.reader(line for line in lines if not line.startswith("#")))

    def handle(self, group, kind=TERMINATED, **detail):
        update_reference.handle(
            {"detail-type": kind, "detail": {"AutoScalingGroupName": group, **detail}}, None
        )

    def test_a_missing_file_is_made_with_its_header(self):
        _, address = self.launch("web", ApplicationName="shop", Contact="shop@example.com")
        self.handle("web")
        self.assertEqual(
            self.rows(),
            [["Host", "ApplicationName", "Contact"], [address, "shop", "shop@example.com"]],
        )

    def test_values_are_quoted_where_they_must_be(self):
        _, address = self.launch("web", ApplicationName="shop, EU", Contact='"Ann"\nB')
        self.handle("web")
        self.assertEqual(self.rows()[1:], [[address, "shop, EU", '"Ann" B']])

    def test_what_is_outside_of_the_section_stays_byte_for_byte(self):
        outside = b'\xef\xbb\xbfHost,ApplicationName,Contact\r\n# mine\r\n10.0.0.1,"a ""b""",\xff\r\n'
        behind = b"*.example.com,other,x@example.com\r\n"
        self.put(outside + b"no.newline,n,")
        _, address = self.launch("web", ApplicationName="shop")
        self.handle("web")
        section = self.content().removeprefix(outside + b"no.newline,n,\r\n")
        self.assertIn(f"\r\n{address},shop,\r\n".encode(), section)
        self.assertEqual(section.count(b"\r\n"), section.count(b"\n"))
        self.put(outside + section + behind)
        self.launch("web", ApplicationName="shop")
        self.handle("web")
        self.assertTrue(self.content().startswith(outside))
        self.assertTrue(self.content().endswith(behind))
        self.assertNotEqual(self.content(), outside + section + behind)

    def test_each_group_has_rows_of_its_own(self):
        _, web = self.launch("web", ApplicationName="shop")
        job, _ = self.launch("jobs", ApplicationName="nightly")
        self.handle("web")
        self.handle("jobs")
        self.ec2.terminate_instances(InstanceIds=[job])
        self.handle("jobs")
        self.assertEqual(self.rows()[1:], [[web, "shop", ""]])

    def test_a_terminated_instance_loses_its_row(self):
        gone, _ = self.launch("web", ApplicationName="shop")
        _, stays = self.launch("web", ApplicationName="shop")
        self.handle("web")
        self.assertEqual(len(self.rows()), 3)
        self.ec2.terminate_instances(InstanceIds=[gone])
        self.handle("web")
        self.assertEqual(self.rows()[1:], [[stays, "shop", ""]])

    def test_an_instance_without_an_application_gets_no_row(self):
        self.launch("web", Contact="shop@example.com")
        self.handle("web")
        self.assertEqual(self.rows(), [["Host", "ApplicationName", "Contact"]])

    def test_an_instance_whose_tags_would_break_the_file_gets_no_row(self):
        for tags in (
            {"ApplicationName": "OTHER"},
            {"ApplicationName": "UNKNOWN"},
            {"ApplicationName": "\u20ac" * 86},
            {"ApplicationName": "a\u0090"},
            {"ApplicationName": "shop", "Contact": "\u20ac" * 86},
        ):
            self.launch("web", **tags)
        _, address = self.launch("web", ApplicationName="\u20ac" * 85, Contact="OTHER")
        self.handle("web")
        self.assertEqual(self.rows()[1:], [[address, "\u20ac" * 85, "OTHER"]])

    def test_columns_may_stand_in_any_order_and_among_others(self):
        self.put(b"\xef\xbb\xbfcontact,Rack, HOST ,Application Name,Rack\n")
        _, address = self.launch("web", ApplicationName="shop", Contact="ann")
        self.handle("web")
        self.assertEqual(self.rows()[1:], [["ann", "", address, "shop", ""]])
        _, by_hand = self.launch("web", ApplicationName="shop", Contact="ann")
        self.put(self.content() + f"bob,,{by_hand},legacy,\n".encode())
        self.handle("web")
        self.assertEqual(
            self.rows()[1:], [["ann", "", address, "shop", ""], ["bob", "", by_hand, "legacy", ""]]
        )

    def test_comments_say_nothing(self):
        _, address = self.launch("web", ApplicationName="shop")
        text = f'# our "hosts\nHost,ApplicationName,Contact\n#,"{address},off\n{address},legacy,\n'
        self.put(text.encode())
        self.handle("web")
        self.assertEqual(self.rows()[1:], [[address, "legacy", ""]])

    def test_a_file_without_its_columns_is_left_to_people(self):
        self.launch("web", ApplicationName="shop")
        for header in (b"\n", b"Host,ApplicationName\n", b"Host,Host,ApplicationName,Contact\n"):
            with self.subTest(header=header):
                self.put(header)
                with self.assertRaises(update_reference.Damaged):
                    self.handle("web")
                self.assertEqual(self.calls, [])

    def test_a_row_outside_of_the_section_goes_before(self):
        _, address = self.launch("web", ApplicationName="shop")
        by_hand = f"Host,ApplicationName,Contact\n {address} ,legacy,\n"
        self.put(by_hand.encode())
        self.handle("web")
        self.assertEqual(self.rows()[1:], [[f" {address} ", "legacy", ""]])

    def test_addresses_are_the_same_whichever_way_they_are_written(self):
        self.assertEqual(update_reference.host("2001:DB8:0::1"), update_reference.host("2001:db8::1 "))
        self.assertNotEqual(update_reference.host("2001:db8::1"), update_reference.host("2001:db8::2"))
        self.assertEqual(update_reference.host("Web-1.Example.com"), "web-1.example.com")

    def test_every_private_address_of_an_instance_gets_a_row(self):
        instance = {
            "InstanceId": "i-1",
            "Tags": [{"Key": "ApplicationName", "Value": "shop"}],
            "NetworkInterfaces": [
                {"PrivateIpAddresses": [{"PrivateIpAddress": "10.0.0.9"}, {"PrivateIpAddress": "10.0.0.8"}]},
                {"PrivateIpAddresses": [], "Ipv6Addresses": [{"Ipv6Address": "2001:db8::9"}]},
            ],
        }
        found = [row["Host"] for row in update_reference.rows([instance])]
        self.assertEqual(found, ["10.0.0.8", "10.0.0.9", "2001:db8::9"])

    def test_a_file_that_is_right_already_is_not_written(self):
        self.launch("web", ApplicationName="shop")
        self.handle("web")
        self.calls.clear()
        self.handle("web")
        self.assertEqual(self.calls, [])

    def compete(self, times):
        """Has somebody else add a row between reading and replacing, as often as `times` says."""
        members, rows = update_reference.members, [b"Host,ApplicationName,Contact\n"]

        def competed(group):
            if len(rows) <= times:
                rows.append(b"10.9.9.%d,other,\n" % len(rows))
                self.s3.put_object(Bucket=BUCKET, Key=KEY, Body=b"".join(rows))
                # Comes with the competitor: only a second look at the group sees it.
                self.launch(group, ApplicationName="late")
            return members(group) if len(rows) > times else []

        return mock.patch.object(update_reference, "members", competed)

    def test_nobody_elses_change_is_overwritten(self):
        for before in (None, b"Host,ApplicationName,Contact\n"):
            with self.subTest(before=before):
                self.s3.delete_object(Bucket=BUCKET, Key=KEY)
                if before:
                    self.put(before)
                with self.compete(3):
                    self.handle("web")
                names = [row[1] for row in self.rows()[1:]]
                self.assertEqual(names.count("other"), 3)
                self.assertGreaterEqual(names.count("late"), 3)

    def test_a_file_that_never_rests_is_given_up_loudly(self):
        with self.compete(update_reference.ATTEMPTS):
            with self.assertRaisesRegex(botocore.client.ClientError, "PreconditionFailed"):
                self.handle("web")
        self.assertNotIn(b"begin of", self.content())

    def test_a_launching_instance_goes_on_when_its_row_is_there(self):
        instance, _ = self.launch("web", ApplicationName="shop")
        hook = {"LifecycleHookName": "launch", "LifecycleActionToken": "0c8f"}
        self.handle("web", LAUNCH, EC2InstanceId=instance, **hook)
        self.assertEqual([name for name, _ in self.calls], ["PutObject", "CompleteLifecycleAction"])
        self.assertEqual(
            self.calls[1][1],
            {"AutoScalingGroupName": "web", "LifecycleActionResult": "CONTINUE", **hook},
        )

    def test_an_instance_that_is_not_described_yet_is_waited_for(self):
        hook = {"LifecycleHookName": "launch", "LifecycleActionToken": "0c8f"}
        with self.assertRaises(update_reference.NotVisible):
            self.handle("web", LAUNCH, EC2InstanceId="i-0123456789abcdef0", **hook)
        self.assertEqual(self.calls, [])

    def test_a_damaged_section_is_left_to_people(self):
        self.launch("web", ApplicationName="shop")
        self.handle("web")
        lines = self.content().splitlines(keepends=True)
        begin, end = (next(l for l in lines if l.startswith(mark)) for mark in (b"# begin", b"# end"))
        for marks in ([begin], [end], [end, begin], [begin, end, begin, end]):
            with self.subTest(marks=marks):
                self.put(b"".join([lines[0], *marks]))
                with self.assertRaises(update_reference.Damaged):
                    self.handle("web")
                self.assertEqual(self.calls, [])


if __name__ == "__main__":
    unittest.main()

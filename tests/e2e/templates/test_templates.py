"""The templates, deployed: what the functions are told, what each role may do, what is watched."""

import json
import unittest

import metrics
import stack
import yaml
from botocore.exceptions import ClientError

# The environment of the functions as it is documented, by mode and function.
READS = {"REFERENCE_BUCKET", "REFERENCE_KEY", "JOIN_FIELD"}
KEEPS = {"SET_ASIDE_BUCKET", "SET_ASIDE_PREFIX"}
TELLS = {"NAMESPACE", "DIMENSIONS"}
ENVIRONMENT = {
    ("stream", "Aggregate"): READS | KEEPS | {"OUTPUT_STREAM"},
    ("stream", "Publish"): KEEPS | TELLS,
    ("direct", "Aggregate"): READS | KEEPS | TELLS,
}

# The metrics that are published, with their dimensions.
NAMESPACE = "MyApplicationMonitoringV1.1"
PUBLISHED = {
    ("Requests", ("Application", "StatusClass")),
    ("Bytes", ("Application",)),
    ("Latency", ("Application",)),
    ("Lines", ()),
    ("UnknownRequests", ()),
    ("LinesSetAside", ()),
    ("RepeatsSkipped", ()),
    ("Lateness", ()),
    ("ReferenceAge", ()),
}

READ_STREAM = {
    "kinesis:DescribeStream",
    "kinesis:DescribeStreamSummary",
    "kinesis:GetRecords",
    "kinesis:GetShardIterator",
    "kinesis:ListShards",
}
WRITE_LOG = {"logs:CreateLogStream", "logs:PutLogEvents"}

# A template that is longer must be put into a bucket before it can be deployed.
# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
LONGEST_TEMPLATE = 51_200


def as_set(value):
    return set(value) if isinstance(value, list) else {value}


class Templates(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.cloud = cls.enterClassContext(stack.cloud())
        cls.names = 0

    def deploy(self, **parameters):
        """A new stack under a name of its own: its outputs and its resources."""
        Templates.names += 1
        name = f"logs-{self.names}"
        parameters = {"InputStreamName": f"in-{name}", "OutputStreamName": f"out-{name}", **parameters}
        outputs = self.cloud.deploy(stack.ANALYTICS, name, **parameters)
        return name, outputs, self.cloud.resources(name)

    def statements(self, role):
        """What a role may do: resources and condition by action."""
        identity = self.cloud.client("iam")
        self.assertEqual(identity.list_attached_role_policies(RoleName=role)["AttachedPolicies"], [])
        granted = {}
        for policy in identity.list_role_policies(RoleName=role)["PolicyNames"]:
            document = identity.get_role_policy(RoleName=role, PolicyName=policy)["PolicyDocument"]
            for statement in document["Statement"]:
                self.assertEqual(statement["Effect"], "Allow")
                for action in as_set(statement["Action"]):
                    self.assertNotIn(action, granted)
                    granted[action] = (as_set(statement["Resource"]), statement.get("Condition"))
        return granted

    def mapping(self, uuid):
        return self.cloud.client("lambda").get_event_source_mapping(UUID=uuid)

    def alarms(self, resources):
        watch = self.cloud.client("cloudwatch")
        names = [physical for logical, physical in resources.items() if logical.endswith("Alarm")]
        return {alarm["AlarmName"]: alarm for alarm in watch.describe_alarms(AlarmNames=names)["MetricAlarms"]}

    def dashboard(self, resources):
        watch = self.cloud.client("cloudwatch")
        return json.loads(watch.get_dashboard(DashboardName=resources["Dashboard"])["DashboardBody"])

    def test_a_template_can_be_deployed_without_a_bucket(self):
        for path in (stack.ANALYTICS, stack.UPDATE_REFERENCE):
            self.assertLessEqual(path.stat().st_size, LONGEST_TEMPLATE)

    def test_no_template_uses_what_cloudformation_does_not_read(self):
        # Aliases and what they stand for are YAML, but not CloudFormation's.
        for path in (stack.ANALYTICS, stack.UPDATE_REFERENCE):
            tokens = [type(token) for token in yaml.scan(path.read_text(encoding="utf-8"))]
            self.assertNotIn(yaml.AliasToken, tokens)
            self.assertNotIn(yaml.AnchorToken, tokens)

    def test_functions_get_exactly_the_documented_environment(self):
        functions = self.cloud.client("lambda")
        for mode in ("stream", "direct"):
            _, outputs, resources = self.deploy(OutputMode=mode, JoinField="vhost", Namespace="Other")
            values = {
                "REFERENCE_BUCKET": outputs["BucketName"],
                "REFERENCE_KEY": "HostApplicationMap.csv",
                "JOIN_FIELD": "vhost",
                "SET_ASIDE_BUCKET": outputs["BucketName"],
                "SET_ASIDE_PREFIX": "set-aside/",
                "OUTPUT_STREAM": outputs.get("OutputStreamName"),
                "NAMESPACE": "Other",
                "DIMENSIONS": "Application,StatusClass",
            }
            self.assertEqual("Publish" in resources, mode == "stream")
            for (of_mode, function), names in ENVIRONMENT.items():
                if of_mode == mode:
                    found = functions.get_function_configuration(FunctionName=resources[function])
                    expected = {name: values[name] for name in names}
                    self.assertEqual(found["Environment"]["Variables"], expected)
                    self.assertEqual(found["Handler"], function.lower())
                    self.assertEqual(found["Runtime"], "provided.al2023")
                    self.assertEqual(found["Architectures"], ["arm64"])

    def test_publish_has_the_memory_and_the_time_of_the_original(self):
        _, _, resources = self.deploy()
        found = self.cloud.client("lambda").get_function_configuration(FunctionName=resources["Publish"])
        self.assertEqual((found["MemorySize"], found["Timeout"]), (192, 10))

    def test_mappings_are_bounded_and_keep_what_they_give_up(self):
        _, outputs, _ = self.deploy(MaximumRecordAgeSeconds="7200")
        aggregate, publish = (
            self.mapping(outputs[key]) for key in ("AggregateMappingId", "PublishMappingId")
        )
        self.assertEqual(aggregate["BatchSize"], 10_000)
        self.assertEqual(aggregate["ParallelizationFactor"], 1)
        self.assertEqual(aggregate["StartingPosition"], "LATEST")
        self.assertEqual(publish["BatchSize"], 200)
        self.assertEqual(publish["StartingPosition"], "TRIM_HORIZON")
        for mapping in (aggregate, publish):
            self.assertTrue(mapping["BisectBatchOnFunctionError"])
            self.assertEqual(mapping["FunctionResponseTypes"], ["ReportBatchItemFailures"])
            self.assertEqual(mapping["MaximumRecordAgeInSeconds"], 7200)
            # The descriptions of the alarms say how often.
            self.assertEqual(mapping["MaximumRetryAttempts"], 100)
            destination = mapping["DestinationConfig"]["OnFailure"]["Destination"]
            self.assertEqual(destination, f"arn:aws:s3:::{outputs['BucketName']}")

    def test_what_the_emulator_does_not_know_of_mappings_is_in_the_template(self):
        # The emulator gives none of these back.
        resources = stack.load(stack.ANALYTICS)["Resources"]
        self.assertEqual(
            resources["AggregateMapping"]["Properties"]["StartingPositionTimestamp"],
            {"Fn::If": ["StartsAtTimestamp", {"Ref": "StartTimestamp"}, {"Ref": "AWS::NoValue"}]},
        )
        self.assertEqual(
            resources["AggregateMapping"]["Properties"]["TumblingWindowInSeconds"], {"Ref": "WindowSeconds"}
        )
        self.assertNotIn("TumblingWindowInSeconds", resources["PublishMapping"]["Properties"])
        self.assertEqual(
            resources["AggregateMapping"]["Properties"]["Enabled"], {"Fn::If": ["IsCounting", True, False]}
        )
        for mapping in ("AggregateMapping", "PublishMapping"):
            self.assertEqual(resources[mapping]["Properties"]["MetricsConfig"], {"Metrics": ["EventCount"]})

    def test_counting_starts_where_it_is_told_to(self):
        for start, position in (
            ("NOW", "LATEST"),
            ("TRIM_HORIZON", "TRIM_HORIZON"),
            ("AT_TIMESTAMP", "AT_TIMESTAMP"),
        ):
            _, outputs, _ = self.deploy(StartFrom=start, StartTimestamp="1795341600")
            mapping = self.mapping(outputs["AggregateMappingId"])
            self.assertEqual(mapping["StartingPosition"], position)

    def test_the_place_in_the_stream_can_be_given_up(self):
        _, outputs, resources = self.deploy(Counting="NONE")
        self.assertNotIn("AggregateMappingId", outputs)
        self.assertNotIn("AggregateMapping", resources)
        self.assertNotIn("AggregateFailedBatchesAlarm", resources)

    def test_a_start_at_a_time_needs_the_time(self):
        with self.assertRaisesRegex(ClientError, "needs a StartTimestamp"):
            self.deploy(StartFrom="AT_TIMESTAMP")

    def test_a_mapping_is_the_same_after_it_was_disabled(self):
        _, outputs, _ = self.deploy()
        functions, uuid = self.cloud.client("lambda"), outputs["AggregateMappingId"]
        for enabled, state in ((False, "Disabled"), (True, "Enabled")):
            functions.update_event_source_mapping(UUID=uuid, Enabled=enabled)
            self.assertEqual(self.mapping(uuid)["State"], state)

    def test_roles_may_do_what_they_must_and_nothing_else(self):
        for mode in ("stream", "direct"):
            _, outputs, resources = self.deploy(OutputMode=mode)
            stream = "arn:aws:kinesis:eu-west-1:000000000000:stream/"
            bucket = f"arn:aws:s3:::{outputs['BucketName']}"
            given = ({stream + outputs["InputStreamName"]}, None)
            kept = {
                "s3:ListBucket": ({bucket}, None),
                "s3:PutObject": ({f"{bucket}/set-aside/*", f"{bucket}/aws/lambda/*"}, None),
            }
            tells = {
                "cloudwatch:PutMetricData": (
                    {"*"},
                    {"StringEquals": {"cloudwatch:namespace": NAMESPACE}},
                )
            }
            reference = f"{bucket}/HostApplicationMap.csv"
            last_good = f"{reference}.last-good"
            aggregate = {
                **dict.fromkeys(READ_STREAM, given),
                **kept,
                "s3:GetObject": ({reference, last_good}, None),
                "s3:PutObject": (kept["s3:PutObject"][0] | {last_good}, None),
            }
            if mode == "stream":
                rows = ({stream + outputs["OutputStreamName"]}, None)
                aggregate["kinesis:PutRecords"] = rows
                publish = {**dict.fromkeys(READ_STREAM, rows), **kept, **tells}
                self.check_role(resources, "Publish", publish)
            else:
                aggregate |= tells
            self.check_role(resources, "Aggregate", aggregate)
            agent = {
                "kinesis:PutRecords": given,
                "kinesis:DescribeStreamSummary": given,
                "cloudwatch:PutMetricData": (
                    {"*"},
                    {"StringEquals": {"cloudwatch:namespace": "AWSKinesisAgent"}},
                ),
            }
            self.assertEqual(self.statements(resources["InstanceRole"]), agent)

    def check_role(self, resources, function, expected):
        """The role of a function grants what is expected, and its own log."""
        granted = self.statements(resources[f"{function}Role"])
        for action in WRITE_LOG:
            places, condition = granted.pop(action)
            (place,) = places
            self.assertIn(f":log-group:{resources[f'{function}Log']}", place)
            self.assertIsNone(condition)
        self.assertEqual(granted, expected)
        configuration = self.cloud.client("lambda").get_function_configuration(
            FunctionName=resources[function]
        )
        self.assertEqual(configuration["LoggingConfig"]["LogGroup"], resources[f"{function}Log"])
        self.assertTrue(configuration["Role"].endswith(f"/{resources[f'{function}Role']}"))

    def test_the_bucket_is_private_encrypted_and_forgets(self):
        _, outputs, _ = self.deploy()
        objects, bucket = self.cloud.client("s3"), outputs["BucketName"]
        blocked = objects.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
        self.assertEqual(len(blocked), 4)
        self.assertTrue(all(blocked.values()))
        self.assertEqual(objects.get_bucket_versioning(Bucket=bucket)["Status"], "Enabled")
        rules = objects.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
        self.assertEqual(rules[0]["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"], "AES256")
        (statement,) = json.loads(objects.get_bucket_policy(Bucket=bucket)["Policy"])["Statement"]
        self.assertEqual(statement["Effect"], "Deny")
        self.assertEqual(statement["Condition"], {"Bool": {"aws:SecureTransport": "false"}})
        self.assertEqual(len(statement["Resource"]), 2)
        # The emulator does not take lifecycles from a template.
        bucket = stack.load(stack.ANALYTICS)["Resources"]["Bucket"]
        self.assertEqual(bucket["DeletionPolicy"], "Retain")
        rules = bucket["Properties"]["LifecycleConfiguration"]["Rules"]
        expiring = {rule.get("Prefix"): rule.get("ExpirationInDays") for rule in rules}
        # The reference file lies under neither prefix, so it stays.
        days = {"Ref": "SetAsideDays"}
        self.assertEqual(expiring, {"set-aside/": days, "aws/lambda/": days, None: None})

    def test_streams_are_encrypted_and_as_large_as_asked_for(self):
        streams = self.cloud.client("kinesis")
        _, outputs, _ = self.deploy(StreamMode="PROVISIONED", InputShards="3", RetentionHours="48")
        for key, shards in (("InputStreamName", 3), ("OutputStreamName", 1)):
            found = streams.describe_stream_summary(StreamName=outputs[key])["StreamDescriptionSummary"]
            self.assertEqual(found["OpenShardCount"], shards)
            self.assertEqual(found["RetentionPeriodHours"], 48)
        # The emulator does not take encryption from a template.
        resources = stack.load(stack.ANALYTICS)["Resources"]
        for stream in ("InputStream", "OutputStream"):
            self.assertEqual(
                resources[stream]["Properties"]["StreamEncryption"],
                {"EncryptionType": "KMS", "KeyId": "alias/aws/kinesis"},
            )
        _, outputs, _ = self.deploy()
        found = streams.describe_stream_summary(StreamName=outputs["InputStreamName"])
        mode = found["StreamDescriptionSummary"]["StreamModeDetails"]["StreamMode"]
        self.assertEqual(mode, "ON_DEMAND")

    def test_every_alarm_tells_the_topic_and_the_operator_what_to_do(self):
        for mode, threshold, count in (("stream", "1", 12), ("direct", "1", 9), ("direct", "0", 8)):
            _, outputs, resources = self.deploy(
                OutputMode=mode, ApplicationThreshold=threshold, NotificationEmail="ops@example.com"
            )
            alarms = self.alarms(resources)
            self.assertEqual(len(alarms), count)
            self.assertEqual("ApplicationRequestsAlarm" in resources, threshold != "0")
            for alarm in alarms.values():
                self.assertEqual(alarm["AlarmActions"], [outputs["TopicArn"]])
                self.assertGreater(len(alarm["AlarmDescription"]), 100)
                # https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html
                self.assertLessEqual(len(alarm["AlarmDescription"]), 1024)
                # Only silence itself is an alarm when nothing is published.
                missing = "breaching" if alarm["AlarmName"].endswith("-no-data") else "notBreaching"
                self.assertEqual(alarm["TreatMissingData"], missing)
            (shown,) = [
                widget["properties"]["alarms"]
                for widget in self.dashboard(resources)["widgets"]
                if widget["type"] == "alarm"
            ]
            self.assertEqual(set(shown), {alarm["AlarmArn"] for alarm in alarms.values()})
            topic = self.cloud.client("sns").list_subscriptions_by_topic(TopicArn=outputs["TopicArn"])
            (subscription,) = topic["Subscriptions"]
            self.assertEqual(subscription["Endpoint"], "ops@example.com")

    def test_thresholds_are_those_of_the_parameters(self):
        name, outputs, resources = self.deploy(
            UnknownThreshold="7",
            ApplicationThreshold="8",
            UsualDeviations="9",
            ReferenceAgeSeconds="1000",
            IteratorAgeMillis="2000",
            PeriodSeconds="600",
        )
        alarms = self.alarms(resources)
        expected = {
            "unknown-requests": (7, 600, 3, 1),
            "lines-set-aside": (0, 600, 3, 1),
            "reference-age": (1000, 600, 3, 1),
            "no-data": (1, 600, 3, 3),
            "aggregate-iterator-age": (2000, 60, 5, 3),
            "publish-iterator-age": (2000, 60, 5, 3),
        }
        for suffix, settings in expected.items():
            alarm = alarms[f"{name}-{suffix}"]
            found = (
                alarm["Threshold"],
                alarm["Period"],
                alarm["EvaluationPeriods"],
                alarm["DatapointsToAlarm"],
            )
            self.assertEqual(found, settings, suffix)
        self.assertEqual(alarms[f"{name}-application-requests"]["Threshold"], 8)
        (query,) = json.loads(outputs["QueriesApplicationRequestsAlarm"])
        self.assertEqual(int(query["Period"]), 600)
        self.assertEqual(
            query["Expression"],
            f'SELECT SUM(Requests) FROM SCHEMA("{NAMESPACE}",Application,StatusClass) '
            "GROUP BY Application ORDER BY SUM() DESC",
        )
        band = json.loads(outputs["QueriesUnusualTrafficAlarm"])[1]["Expression"]
        self.assertEqual(band, "ANOMALY_DETECTION_BAND(lines, 9)")

    def test_what_is_shown_and_watched_is_what_is_published(self):
        for mode in ("stream", "direct"):
            name, _, _ = self.deploy(OutputMode=mode)
            named = metrics.named(self.cloud, name)
            own = {
                (metric["name"], tuple(metric["dimensions"]))
                for metric in named
                if metric["namespace"] == NAMESPACE
            }
            self.assertEqual(own, PUBLISHED)
            others = {metric["namespace"] for metric in named} - {NAMESPACE}
            self.assertEqual(others, {"AWS/Kinesis", "AWS/Lambda"})

    def test_other_dimensions_are_asked_for_by_name(self):
        name, _, resources = self.deploy(Dimensions="Application,Code,Contact")
        dimensions = {
            tuple(metric["dimensions"])
            for metric in metrics.named(self.cloud, name)
            if metric["name"] == "Requests"
        }
        self.assertEqual(dimensions, {("Application", "Code", "Contact")})
        text = json.dumps(self.dashboard(resources))
        self.assertIn("GROUP BY Code", text)
        self.assertIn("${PROP('Dim.Code')}", text)
        self.assertNotIn("StatusClass", text)

    def test_widgets_do_not_lie_on_each_other(self):
        _, _, resources = self.deploy()
        taken = set()
        for widget in self.dashboard(resources)["widgets"]:
            self.assertLessEqual(widget["x"] + widget["width"], 24)
            cells = {
                (widget["x"] + column, widget["y"] + row)
                for column in range(widget["width"])
                for row in range(widget["height"])
            }
            self.assertFalse(taken & cells, widget["properties"].get("title"))
            taken |= cells

    def test_the_hook_of_a_group_may_do_only_what_it_must(self):
        # The emulator's hooks need their group; what they are is in the template.
        template = stack.load(stack.UPDATE_REFERENCE)
        hook = template["Resources"]["LaunchHook"]["Properties"]
        self.assertEqual(hook["LifecycleTransition"], "autoscaling:EC2_INSTANCE_LAUNCHING")
        self.assertEqual(hook["DefaultResult"], "CONTINUE")
        self.group("web")
        self.cloud.deploy(
            stack.UPDATE_REFERENCE, "web", AutoScalingGroupName="web", ReferenceBucket="reference"
        )
        resources = self.cloud.resources("web")
        granted = self.statements(resources["Role"])
        anywhere = {action for action, (places, _) in granted.items() if "*" in places}
        self.assertEqual(anywhere, {"ec2:DescribeInstances"})
        edited = ({"arn:aws:s3:::reference/HostApplicationMap.csv"}, None)
        self.assertEqual((granted["s3:GetObject"], granted["s3:PutObject"]), (edited, edited))
        ((place,), _) = granted["autoscaling:CompleteLifecycleAction"]
        self.assertTrue(place.endswith(":autoScalingGroup:*:autoScalingGroupName/web"))
        self.assertEqual(
            set(granted),
            WRITE_LOG
            | {
                "ec2:DescribeInstances",
                "s3:GetObject",
                "s3:PutObject",
                "s3:ListBucket",
                "autoscaling:CompleteLifecycleAction",
            },
        )
        rule = self.cloud.client("events").describe_rule(Name=resources["Rule"].split("|")[-1])
        pattern = json.loads(rule["EventPattern"])
        self.assertEqual(pattern["detail"], {"AutoScalingGroupName": ["web"]})

    def group(self, name):
        scaling = self.cloud.client("autoscaling")
        scaling.create_launch_configuration(
            LaunchConfigurationName=name, ImageId="ami-12c6146b", InstanceType="t3.micro"
        )
        scaling.create_auto_scaling_group(
            AutoScalingGroupName=name,
            LaunchConfigurationName=name,
            MinSize=0,
            MaxSize=1,
            AvailabilityZones=["eu-west-1a"],
        )


if __name__ == "__main__":
    unittest.main()

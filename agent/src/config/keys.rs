//! The table of keys: every key that `agent.json` may hold, and the only place that knows their names, ranges and
//! defaults.
//!
//! Reading, checking, suggestions for misspelt keys and the reference come from here.

use crate::config::key::Default::{Flag, Number, Text};
use crate::config::key::{Holder, Key, Kind, Unit};
use crate::takeover::DEFAULT_STORE;

/// The longest time that a key may ask for where the service sets no limit.
const DAY_MILLIS: i64 = 24 * 60 * 60 * 1000;

/// The least that a third of a flow's share of the memory may be: what its smallest request holds.
pub(super) const SMALLEST_REQUEST_BYTES: i64 = 256 * 1024;

/// The fewest files that a flow may have open: enough for a file, its rotation and a copy to be read in turn.
pub(super) const FEWEST_OPEN_FILES: i64 = 4;

/// The least of a number that the Java agent took for 0 if it was less.
const ANY_LESS: i64 = i32::MIN as i64;

const MILLIS: Kind = millis(0, DAY_MILLIS);
const PIECES: Kind = Kind::Number { unit: Unit::Pieces, least: 0, most: i32::MAX as i64 };

/// Every key, by the object it stands in, in the order of the way of the data. One line each, to be read as a table.
#[rustfmt::skip]
pub static KEYS: &[Key] = &[
    agent("flows", Kind::Objects, "The flows: which files go to which stream. Files in `agent.d` add to them."),
    // What is kept, and how much of it.
    agent("stateDirectory", Kind::Text, "Where the checkpoint and the metrics are kept. `$STATE_DIRECTORY`, which systemd sets, if not given; without it `/var/lib/kinetail`.").ours(),
    agent("maxMemoryBytes", bytes(3 * SMALLEST_REQUEST_BYTES, 1 << 40), "How many bytes of log may be held at once, divided evenly among the flows.").ours().default(Number(32 << 20)),
    agent("quarantineBytes", bytes(1 << 20, 1 << 40), "How many bytes on the disk lines may take up that do not match or that the stream refuses for good. Beyond that the oldest are dropped.").ours().default(Number(64 << 20)),
    agent("maxOpenFiles", Kind::Number { unit: Unit::Pieces, least: FEWEST_OPEN_FILES, most: 1 << 20 }, "How many log files may be open at once, divided evenly among the flows. More are read in turn; of a removed file that must be closed, what is unread is lost and counted.").ours().default(Number(768)),
    agent("shutdownTimeoutMillis", MILLIS, "How long a stop may take until everything that was read has been delivered.").default(Number(10_000)),
    agent("log.statusReportingPeriodSeconds", seconds(ANY_LESS, DAY_MILLIS / 1000), "How often a line in the log tells how far the agent is. 0 or less for never.").default(Number(30)),
    // How the service is reached.
    agent("kinesis.region", Kind::Text, "The region of the streams. If not given, as with every AWS tool: environment, profile, instance."),
    agent("kinesis.endpoint", Kind::Text, "Where Kinesis is called: a URL, or a host for which `https` is meant."),
    agent("sts.endpoint", Kind::Text, "Where a role is asked for: a URL, or a host for which `https` is meant."),
    agent("awsAccessKeyId", Kind::Text, "An access key. Without it and `awsSecretAccessKey`: environment, profile, web identity, container, instance role."),
    agent("awsSecretAccessKey", Kind::Secret, "The secret of `awsAccessKeyId`."),
    agent("assumeRoleARN", Kind::Text, "A role that is taken before any call."),
    agent("assumeRoleExternalId", Kind::Text, "The external id that `assumeRoleARN` asks for."),
    agent("kinesis.assumeRoleARN", Kind::Text, "A role that is taken before calls to Kinesis, in place of `assumeRoleARN`.").ours(),
    agent("kinesis.assumeRoleExternalId", Kind::Text, "The external id that `kinesis.assumeRoleARN` asks for.").ours(),
    agent("firehose.assumeRoleARN", Kind::Text, "A role that is taken before calls to Firehose, in place of `assumeRoleARN`.").ours(),
    agent("firehose.assumeRoleExternalId", Kind::Text, "The external id that `firehose.assumeRoleARN` asks for.").ours(),
    agent("cloudwatch.assumeRoleARN", Kind::Text, "A role that is taken before calls to CloudWatch, in place of `assumeRoleARN`.").ours(),
    agent("cloudwatch.assumeRoleExternalId", Kind::Text, "The external id that `cloudwatch.assumeRoleARN` asks for.").ours(),
    agent("metricsListen", Kind::Text, "Where the metrics are answered over HTTP, for Prometheus: an address of this host with a port, as `127.0.0.1:9464`, or `unix:` and the path of a socket. `/metrics` has them all; `/health` answers 503 and says why while a flow cannot deliver. Nowhere if not given.").ours(),
    agent("caBundle", Kind::Text, "A file with certificates in PEM that are trusted beside those of the system.").ours(),
    agent("proxy", Kind::Secret, "The URL of a proxy that all calls go through, as `http://proxy.example.net:3128` or `http://USER:PASSWORD@proxy.example.net:3128`; with `https`, it is spoken to over TLS. If not given, `HTTPS_PROXY`, `HTTP_PROXY` and `ALL_PROXY` of the environment, of each also the name in lower case. Calls to this host and for credentials of instances, tasks and pods go through none.").ours(),
    agent("noProxy", Kind::Text, "What is called without the proxy: hosts, domains (`.example.net`), addresses and networks (`10.0.0.0/8`), parted by commas; `*` for everything. `NO_PROXY` of the environment if not given.").ours(),
    agent("useFipsEndpoint", Kind::Flag, "Whether services are called at their endpoints with cryptography after FIPS 140, where no endpoint is given. If not given, as with every AWS tool: `AWS_USE_FIPS_ENDPOINT`, profile.").ours(),
    agent("useDualstackEndpoint", Kind::Flag, "Whether services are called at their endpoints that have IPv6 addresses, too, where no endpoint is given. If not given, as with every AWS tool: `AWS_USE_DUALSTACK_ENDPOINT`, profile.").ours(),
    agent("sts.region", Kind::Text, "The region in which a role is asked for. That of the streams if not given.").ours(),
    agent("firehose.region", Kind::Text, "The region of the delivery streams. That in `firehose.endpoint` if not given, else us-east-1 as with the Java agent, whatever the region of the streams.").ours(),
    agent("cloudwatch.region", Kind::Text, "The region that metrics are sent to. That in `cloudwatch.endpoint` if not given, else us-east-1 as with the Java agent, whatever the region of the streams.").ours(),
    agent("firehose.endpoint", Kind::Text, "Where Firehose is called: a URL, or a host for which `https` is meant."),
    agent("cloudwatch.endpoint", Kind::Text, "Where metrics are sent to: a URL, or a host for which `https` is meant."),
    agent("userDefinedCredentialsProvider.classname", Kind::Text, "A Java class that finds credentials.").impossible(NO_JAVA_CREDENTIALS),
    agent("userDefinedCredentialsProvider.location", Kind::Text, "The archive in which that Java class is.").impossible(NO_JAVA_CREDENTIALS),
    agent("userAgent", Kind::Text, "What goes before the SDK's words in the header `User-Agent` of each call."),
    agent("userAgentOverride", Kind::Text, "What the header `User-Agent` of each call is, in place of the SDK's words."),
    agent("connectionTimeoutMillis", MILLIS, "How long a connection may take to open; 0 for any time.").default(Number(10_000)),
    agent("socketTimeoutMillis", MILLIS, "How long an answer may take, beside 10 s for the call itself; 0 for any time.").default(Number(50_000)),
    agent("connectionTTLMillis", millis(-1, DAY_MILLIS), "How old a connection may become; -1 for any age.").default(Number(-1)).without("a connection that is idle for 90 seconds is closed, and one in use is as good as a new one"),
    agent("useTcpKeepAlive", Kind::Flag, "Whether TCP probes idle connections.").default(Flag(false)).without("a connection that is idle for 90 seconds is closed, long before TCP would probe it"),
    agent("useHttpGzip", Kind::Flag, "Whether answers may be compressed.").default(Flag(false)).without("answers are small"),
    agent("maxConnections", PIECES, "How many connections may be open.").without("a connection is opened for each request on its way, and those are bounded by flow"),
    agent("maxSendingThreads", PIECES, "How many threads send.").without(NO_THREADS),
    agent("maxSendingThreadsPerCore", PIECES, "How many threads send for each core.").default(Number(12)).without(NO_THREADS),
    agent("sendingThreadsKeepAliveMillis", MILLIS, "How long an idle sending thread stays.").default(Number(60_000)).without(NO_THREADS),
    agent("sendingThreadsMaxQueueSize", PIECES, "How many buffers wait for a sending thread.").default(Number(100)).without(NO_THREADS),
    // The Java agent's own store of positions.
    agent("checkpointFile", Kind::Text, "Where the Java agent's store of positions is, which is taken over at the first start.").default(Text(DEFAULT_STORE)),
    agent("checkpointTimeToLiveDays", Kind::Number { unit: Unit::Days, least: 0, most: i32::MAX as i64 }, "How old a row of that store may become.").default(Number(7)).without(NO_SQLITE),
    agent("checkpoints.queryTimeoutSeconds", seconds(0, DAY_MILLIS / 1000), "How long a query of that store may take.").default(Number(30)).without(NO_SQLITE),
    agent("checkpoints.connectionTimeoutSeconds", seconds(0, DAY_MILLIS / 1000), "How long that store may take to open.").default(Number(5)).without(NO_SQLITE),
    // Who is told.
    agent("cloudwatch.emitMetrics", Kind::Flag, "Whether the Java agent's metrics are sent to CloudWatch, which needs the permission `cloudwatch:PutMetricData`.").default(Flag(true)),
    agent("cloudwatch.tagInstance", Kind::Flag, "Whether the metrics have a dimension `Instance`: the id of the instance, or where there is none the name of the host.").default(Flag(false)),
    agent("cloudwatch.namespace", Kind::Text, "The namespace of the metrics.").default(Text("AWSKinesisAgent")),
    agent("cloudwatch.metricsBufferTimeMillis", millis(1_000, DAY_MILLIS), "How often metrics are sent.").default(Number(30_000)),
    agent("cloudwatch.metricsQueueSize", Kind::Number { unit: Unit::Pieces, least: 1, most: 1 << 20 }, "How many data of metrics may wait while CloudWatch is away. What finds no room pushes out what has waited longest, which is counted.").default(Number(10_000)),
    agent("log.emitMetrics", Kind::Flag, "Whether metrics are written to the log.").default(Flag(false)).without(METRICS_FILE),
    agent("log.emitInternalMetrics", Kind::Flag, "Whether the log tells the agent's counters, too, as `Agent: Status:` with JSON, each time it tells how far the agent is.").default(Flag(false)),
    // Which files.
    flow("filePattern", Kind::Text, "The files: a path with `*`, `?`, `[…]` and `{…,…}` in any component, and `**` for any number of directories."),
    flow("name", Kind::Text, "How commands name the flow. Its id if not given.").ours(),
    flow("initialPosition", Kind::Word(&["START_OF_FILE", "END_OF_FILE"]), "Where a file begins that is there when the flow starts for the first time.").default(Text("END_OF_FILE")),
    flow("maxTimeBetweenFileTrackerRefreshMillis", millis(ANY_LESS, DAY_MILLIS), "How often everything is looked at though no change was heard of, at most ten times a second.").default(Number(60_000)),
    flow("rotationGraceMillis", MILLIS, "How long after the last write a renamed or removed file is taken for finished: httpd's old processes write to it for minutes.").ours().default(Number(60_000)),
    flow("backlogShare", Kind::Number { unit: Unit::Pieces, least: 1, most: 99 }, "How many of a hundred bytes are read of rotated files while there are others to read.").ours().default(Number(50)),
    flow("minTimeBetweenFilePollsMillis", millis(ANY_LESS, DAY_MILLIS), "How long to wait between two looks at a file.").default(Number(100)).without("the kernel tells of each change"),
    flow("input", Kind::Word(&["file", "pipe"]), "What feeds the flow: files, or `kinetail pipe`, which calls the flow by its `name`; then it has no `filePattern`.").ours().default(Text("file")),
    flow("spoolBytes", bytes(1 << 20, 1 << 40), "How many bytes on the disk what `kinetail pipe` took in may take up until it is delivered.").ours().default(Number(1 << 30)),
    flow("spoolWaitMillis", MILLIS, "How long `kinetail pipe` waits for room if that is not enough, and holds up who writes to it. After that the oldest lines are dropped.").ours().default(Number(0)),
    // Which lines.
    flow("skipHeaderLines", Kind::Number { unit: Unit::Pieces, least: ANY_LESS, most: i32::MAX as i64 }, "How many lines at the beginning of each file are left out. Less than 0 means 0.").default(Number(0)),
    flow("multiLineStartPattern", Kind::Text, "An expression that the first line of each record matches at its start. Each line is a record if not given."),
    flow("multiLineIdleMillis", MILLIS, "How long the last record of a file is held after the last write, as more lines may follow that belong to it. 0 to take what is there.").ours().default(Number(1_000)),
    flow("fileFooterPattern", Kind::Text, "An expression that a whole record matches behind which nothing of the file is sent."),
    // Which records.
    flow("dataProcessingOptions", Kind::Objects, "What is made of each line. The line itself if not given."),
    flow("jsonTypes", JSON_TYPES, "How the values of JSON records are written: all as strings like the Java agent's, or in their own types.").ours().default(Text("strings")),
    flow("onParseError", Kind::Word(&["quarantine", "raw", "drop"]), "What becomes of a line that does not match: it is kept for `kinetail quarantine`, sent as it is, or counted only. Where a `matchPattern` is given, which serves as a filter, `drop` if this is not.").ours().default(Text("quarantine")),
    flow("addPosition", Kind::Flag, "Whether each JSON record says from which host, file and offset its line is.").ours().default(Flag(false)),
    flow("truncatedRecordTerminator", Kind::AnyText, "What the end of a record is overwritten with that is longer than the stream takes.").default(Text("\n")),
    // Which batches.
    flow("lingerMillis", millis(5, 3_600_000), "How long the oldest record may wait for others to go with it. Goes before `maxBufferAgeMillis`.").ours().default(Number(1_000)),
    flow("maxBufferAgeMillis", millis(1_000, 900_000), "The Java agent's `lingerMillis`; has an effect only if given."),
    flow("maxBufferSizeRecords", Kind::Number { unit: Unit::Pieces, least: 1, most: 500 }, "How many records one request may hold.").default(Number(500)),
    flow("requestBytes", bytes(SMALLEST_REQUEST_BYTES, 10 << 20), "How many bytes one request may hold, partition keys included, and thereby one record: a stream that takes records of more than 1 MiB gets longer lines whole. Goes before `maxBufferSizeBytes`.").ours().default(Number(5 << 20)),
    flow("maxBufferSizeBytes", bytes(1, 5 << 20), "The Java agent's `requestBytes`; has an effect only if given."),
    flow("partitionKeyOption", Kind::Word(&["RANDOM", "DETERMINISTIC"]), "Whether a record's partition key is random or made of its content.").default(Text("RANDOM")),
    flow("order", Kind::Word(&["free", "file"]), "Whether the stream keeps the order of each file: then a file has one partition key, and one record on its way at a time. Needs `packing`.").ours().default(Text("free")),
    flow("packing", Kind::Word(&["none", "lines", "kpl"]), "How many records become one of the stream: each is one, many with a newline behind each, or an aggregate of the Kinesis Producer Library with one partition key.").ours().default(Text("none")),
    flow("compression", Kind::Word(&["none", "zstd", "gzip"]), "How packed `lines` are compressed. Their first bytes say so: `1f 8b` of gzip, `28 b5 2f fd` of zstd.").ours().default(Text("none")),
    flow("packedRecordBytes", bytes(1_024, 10 << 20), "How many bytes a packed record is to have as it is sent, compressed if it is; at most what the stream takes.").ours().default(Number(51_200)),
    flow("aggregatedRecordSizeBytes", bytes(0, 1_024_000), "How many bytes of records go into one of a delivery stream, each ending in a newline; 0 for one each. The same as `packing` `lines` with `packedRecordBytes`, and of no effect where `multiLineStartPattern` is given.").default(Number(0)),
    // Which stream.
    flow("kinesisStream", Kind::Text, "The name of the stream, or its ARN, which says account and region as well. A flow whose stream is named otherwise is another flow, with positions of its own."),
    flow("deliveryStream", Kind::Text, "The name of the delivery stream of Firehose. Goes before `kinesisStream`."),
    flow("retryInitialBackoffMillis", MILLIS, "How long to wait before the second attempt.").default(Number(100)),
    flow("retryMaxBackoffMillis", MILLIS, "How long to wait between two attempts at most. There is no last attempt.").default(Number(10_000)),
    flow("publishQueueCapacity", PIECES, "How many buffers wait to be sent.").default(Number(100)).without("`maxMemoryBytes` bounds what waits"),
    flow("waitOnFullPublishQueueMillis", millis(1_000, 900_000), "How long to wait for room among them.").default(Number(60_000)).without("it had none in the Java agent either"),
    flow("waitOnEmptyPublishQueueMillis", millis(1_000, 900_000), "How long to wait for the first of them.").default(Number(60_000)).without("a batch that is ready is sent at once"),
    flow("log.emitInternalMetrics", Kind::Flag, "Whether the log tells the flow's counters, too, as `File Tailer Status:` with JSON.").default(Flag(false)),
    // What is made of a line.
    step("optionName", Kind::Word(&["SINGLELINE", "CSVTOJSON", "LOGTOJSON", "ADDMETADATA", "ADDEC2METADATA", "ADDBRACKETS", "USINGPLUGGIN"]), "What is done."),
    step("logFormat", Kind::Word(&["COMMONAPACHELOG", "COMBINEDAPACHELOG", "APACHEERRORLOG", "SYSLOG", "RFC3339SYSLOG", "APACHE", "APACHEERROR", "JSON", "LOG4J", "NGINX"]), "The format of the lines that `LOGTOJSON` reads."),
    step("apacheLogFormat", Kind::Text, "The `LogFormat` of httpd that `logFormat` `APACHE` reads.").ours(),
    step("apacheErrorLogFormat", Kind::Text, "The `ErrorLogFormat` of httpd that `logFormat` `APACHEERROR` reads. That of httpd 2.4 if not given.").ours(),
    step("log4jPattern", Kind::Text, "The pattern of log4j or logback that `logFormat` `LOG4J` reads.").ours(),
    step("nginxLogFormat", Kind::Text, "The `log_format` of nginx that `logFormat` `NGINX` reads. `combined` if not given.").ours(),
    step("jsonTypes", JSON_TYPES, "As in the flow, and goes before it.").ours(),
    step("jsonFormat", Kind::Word(&["COMPACT", "PRETTYPRINT"]), "How JSON is laid out.").default(Text("COMPACT")),
    step("matchPattern", Kind::Text, "An expression that `LOGTOJSON` matches all of a line with in place of its format's own; a `-` means what it means in the format."),
    step("customFieldNames", Kind::Texts, "The names of the fields: of the columns, of the groups of `matchPattern`, or in place of the format's own."),
    step("delimiter", Kind::AnyText, "An expression that separates the columns of `CSVTOJSON`.").default(Text(",")),
    step("quote", Kind::Text, "A character that may enclose a column, as `\"` does in RFC 4180: the delimiter may stand in it, and the character twice. None if not given.").ours(),
    step("parseOptions", Kind::Texts, "How `SINGLELINE` joins lines: with `NO_TRIM`, `ESCAPE_NEW_LINE` or both."),
    step("metadata", Kind::Anything, "What `ADDMETADATA` adds to each record: whatever JSON can say."),
    step("timestamp", Kind::AnyText, "Whether `ADDMETADATA` adds the time of processing, as `ts`: `true`, or not."),
    step("metadataTTL", seconds(0, i32::MAX as i64), "How old what `ADDEC2METADATA` tells of the instance may become; asked at most once a second.").default(Number(3_600)),
    step("className", Kind::Text, "A Java class that converts records.").impossible(NO_PLUG_IN),
];

const JSON_TYPES: Kind = Kind::Word(&["strings", "native"]);
const METRICS_FILE: &str = "all counters stand in `metrics.prom` in the state directory";
const NO_JAVA_CREDENTIALS: &str = "a Java class cannot be loaded; use keys, the environment, a profile, a web identity, or the role of the instance";
const NO_SQLITE: &str = "the checkpoint is one small file, in which no position grows old";
const NO_THREADS: &str = "requests on their way need no threads";

/// Why a Java class that converts records is refused.
pub(super) const NO_PLUG_IN: &str = "a Java class cannot be loaded; convert the records behind the stream";

/// The key `name` of a `holder`.
#[must_use]
pub fn find(holder: Holder, name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.holder == holder && key.name == name)
}

const fn agent(name: &'static str, kind: Kind, help: &'static str) -> Key {
    Key::new(Holder::Agent, name, kind, help)
}

const fn flow(name: &'static str, kind: Kind, help: &'static str) -> Key {
    Key::new(Holder::Flow, name, kind, help)
}

const fn step(name: &'static str, kind: Kind, help: &'static str) -> Key {
    Key::new(Holder::Step, name, kind, help)
}

const fn millis(least: i64, most: i64) -> Kind {
    Kind::Number { unit: Unit::Milliseconds, least, most }
}

const fn seconds(least: i64, most: i64) -> Kind {
    Kind::Number { unit: Unit::Seconds, least, most }
}

const fn bytes(least: i64, most: i64) -> Kind {
    Kind::Number { unit: Unit::Bytes, least, most }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::config::key::Default::Nothing;
    use crate::config::key::{Default, Effect};

    /// Whether a key of this kind may have this value.
    fn allows(kind: Kind, value: Default) -> bool {
        match (kind, value) {
            (_, Nothing) => true,
            (Kind::Flag, Flag(_)) | (Kind::Text | Kind::AnyText | Kind::Secret, Text(_)) => true,
            (Kind::Number { least, most, .. }, Number(number)) => (least..=most).contains(&number),
            (Kind::Word(words), Text(word)) => words.contains(&word),
            (_, Flag(_) | Number(_) | Text(_)) => false,
        }
    }

    #[test]
    fn no_key_is_there_twice() {
        let mut seen = BTreeSet::new();
        for key in KEYS {
            assert!(seen.insert((key.holder, key.name)), "{} is there twice", key.name);
        }
    }

    #[test]
    fn every_default_is_a_value_that_the_key_may_have() {
        for key in KEYS {
            assert!(allows(key.kind, key.default), "default of {}", key.name);
        }
    }

    #[test]
    fn every_help_and_reason_is_made_of_sentences() {
        for key in KEYS {
            assert!(key.help.ends_with('.'), "help of {}", key.name);
            assert!(key.help.starts_with(char::is_uppercase), "help of {}", key.name);
            if let Effect::Without(reason) | Effect::Impossible(reason) = key.effect {
                assert!(!reason.is_empty() && !reason.ends_with('.'), "reason of {}", key.name);
            }
        }
    }

    #[test]
    fn every_range_has_its_ends_in_order() {
        for key in KEYS {
            if let Kind::Number { least, most, .. } = key.kind {
                assert!(least < most, "range of {}", key.name);
            }
        }
    }
}

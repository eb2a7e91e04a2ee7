//! Whole configurations: from `fixtures/config`, from directories that are made for a test, and at random.

use std::fs;
use std::time::Duration;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::batch::{Compression, Order, Packing, PartitionKey};
use crate::config::key::{Default, Effect, Key, Kind};
use crate::config::keys::KEYS;
use crate::expression::Expression;
use crate::layout::{Layout, Records};
use crate::parse::{Format, JsonTypes, Step};
use crate::quarantine::OnMismatch;
use crate::report::java::Detail;
use crate::report::{Address, cloudwatch};
use crate::send::{Access, Destination, Keys, Patience, Proxy, Role, UserAgent, Waits};
use crate::source::InitialPosition;

mod drop_ins;
mod steps;

const FLOW: &str = r#"{ "filePattern": "/var/log/app.log", "kinesisStream": "app" }"#;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn load_file(main: &Path) -> Result<Config, Problems> {
    load(&Sources { main: main.to_path_buf(), drop_ins: None, state_directory: None })
}

fn load_fixture(name: &str) -> Config {
    load_file(&repository().join("fixtures/config").join(name)).unwrap()
}

/// The JSON files of a directory of fixtures.
fn fixtures(directory: &str) -> Vec<PathBuf> {
    let directory = repository().join("fixtures/config").join(directory);
    let files = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files.filter(|file| file.extension().is_some_and(|end| end == "json")).collect();
    assert!(!files.is_empty());
    files.sort();
    files
}

/// Holds what was told of `file` against the text beside it.
#[track_caller]
fn check_told(file: &Path, problems: &[Problem]) {
    let directory = format!("{}/", file.parent().unwrap().display());
    let told: String = problems.iter().map(|problem| format!("{problem}\n")).collect();
    let told = told.replace(&directory, "");
    let expected = fs::read_to_string(file.with_extension("txt")).unwrap_or_default();
    assert_eq!(told, expected, "what is told of {}", file.display());
}

/// A directory that holds `agent.json` with these flows, and `agent.d` with these files.
fn host(flows: &str, drop_ins: &[(&str, &str)]) -> TempDir {
    let host = tempfile::tempdir().unwrap();
    fs::write(host.path().join("agent.json"), format!("{{ \"flows\": [{flows}] }}")).unwrap();
    fs::create_dir(host.path().join("agent.d")).unwrap();
    for (name, text) in drop_ins {
        fs::write(host.path().join("agent.d").join(name), text).unwrap();
    }
    host
}

#[test]
fn a_good_configuration_loads_without_a_word() {
    for file in fixtures("good") {
        let config = load_file(&file).unwrap_or_else(|problems| unreachable!("{problems}"));
        assert_eq!(config.warnings, [], "{}", file.display());
    }
}

#[test]
fn what_may_be_meant_otherwise_loads_with_a_warning() {
    for file in fixtures("warned") {
        let config = load_file(&file).unwrap_or_else(|problems| unreachable!("{problems}"));
        check_told(&file, &config.warnings);
    }
}

#[test]
fn what_has_no_effect_is_noted() {
    for file in fixtures("noted") {
        let config = load_file(&file).unwrap_or_else(|problems| unreachable!("{problems}"));
        assert_eq!(config.warnings, []);
        check_told(&file, &config.notes);
    }
}

#[test]
fn what_is_wrong_is_refused_with_everything_that_is() {
    for file in fixtures("bad") {
        let problems = load_file(&file).unwrap_err();
        check_told(&file, problems.all());
    }
}

#[test]
fn the_shipped_configuration_is_the_access_log_of_httpd() {
    let config = load_file(&repository().join("etc/agent.json")).unwrap();
    assert_eq!(config.warnings, []);
    let [flow] = config.flows.as_slice() else { unreachable!("{:?}", config.flows) };
    assert_eq!(flow.id.as_str(), "kinesis:ApplicationLogInputStream:/etc/httpd/logs/*access_log*");
    assert_eq!(flow.destination, Destination::Kinesis("ApplicationLogInputStream".to_owned()));
    assert!(matches!(
        flow.parser.steps(),
        [Step::Log { format: Format::Combined, types: JsonTypes::Strings }]
    ));
}

#[test]
fn without_a_word_everything_has_its_default() {
    let config = load_fixture("good/minimal.json");
    assert_eq!(config.agent.state_directory, Path::new("/var/lib/kinetail"));
    assert_eq!(config.agent.java_store, Path::new("/var/run/aws-kinesis-agent/checkpoints"));
    assert_eq!(config.agent.max_memory_bytes, 32 << 20);
    assert_eq!(config.agent.max_open_files, 768);
    assert_eq!(config.agent.shutdown_timeout, Duration::from_secs(10));
    assert_eq!(config.agent.status_period, Some(Duration::from_secs(30)));
    assert_eq!(config.agent.kinesis, Access::default());
    let cloudwatch = cloudwatch::Settings {
        namespace: "AWSKinesisAgent".to_owned(),
        endpoint: None,
        region: None,
        period: Duration::from_secs(30),
        queue: 10_000,
        dimensions: cloudwatch::Dimensions::Destination,
    };
    assert_eq!(config.agent.cloudwatch, Some(cloudwatch));
    let flow = &config.flows[0];
    assert_eq!(flow.name, flow.id.as_str());
    assert_eq!(flow.source.initial_position, InitialPosition::End);
    assert_eq!(flow.source.rescan, Duration::from_secs(60));
    assert!(matches!(
        flow.source.layout,
        Layout { header_lines: 0, records: Records::EachLine, footer: None, .. }
    ));
    assert!(flow.parser.steps().is_empty());
    assert!(!flow.adds_position);
    assert_eq!((flow.batch.limits.records(), flow.batch.limits.bytes()), (500, 5 << 20));
    assert_eq!(flow.batch.linger, Duration::from_secs(1));
    assert_eq!(flow.batch.key, PartitionKey::Random);
    assert_eq!(flow.batch.terminator.as_bytes(), b"\n");
    assert_eq!(flow.batch.packing, Packing::None);
    assert_eq!(flow.batch.packed_bytes, 51_200);
    assert_eq!(flow.waits, Waits::DEFAULT);
}

#[test]
fn every_honoured_key_does_what_it_says() {
    let config = load_fixture("good/every-honoured-key.json");
    assert_eq!(config.agent.state_directory, Path::new("/var/lib/elsewhere"));
    assert_eq!(config.agent.java_store, Path::new("/opt/java/checkpoints"));
    assert_eq!(config.agent.max_memory_bytes, 64 << 20);
    assert_eq!(config.agent.max_open_files, 2000);
    assert!(config.flows.iter().all(|flow| flow.source.open_files == 2000 / config.flows.len()));
    assert_eq!(config.agent.shutdown_timeout, Duration::from_secs(20));
    assert_eq!(config.agent.status_period, Some(Duration::from_secs(60)));
    let access = Access {
        endpoint: Some("https://kinesis.example.net:4567".to_owned()),
        region: Some("eu-west-1".to_owned()),
        firehose_endpoint: Some("firehose.eu-west-1.amazonaws.com".to_owned()),
        firehose_region: Some("eu-west-2".to_owned()),
        sts_endpoint: Some("sts.example.net".to_owned()),
        sts_region: Some("eu-west-2".to_owned()),
        keys: Some(Keys { id: "AKIAEXAMPLE".to_owned(), secret: "secret".to_owned() }),
        role: Some(Role {
            arn: "arn:aws:iam::123456789012:role/shipper".to_owned(),
            external_id: Some("outside".to_owned()),
        }),
        region_of_streams: None,
        kinesis_role: Some(Role {
            arn: "arn:aws:iam::123456789012:role/writer".to_owned(),
            external_id: Some("writer".to_owned()),
        }),
        firehose_role: Some(Role {
            arn: "arn:aws:iam::123456789012:role/deliverer".to_owned(),
            external_id: Some("deliverer".to_owned()),
        }),
        cloudwatch_role: Some(Role {
            arn: "arn:aws:iam::123456789012:role/counter".to_owned(),
            external_id: Some("counter".to_owned()),
        }),
        use_fips: Some(false),
        use_dual_stack: Some(true),
        proxy: Some(Proxy::parse("http://user:p%40ss@proxy.example.net:3128").unwrap()),
        no_proxy: Some(".example.org, 10.0.0.0/8".to_owned()),
        ca_bundle: Some("/etc/pki/own.pem".into()),
        patience: Patience { connection: Some(Duration::from_secs(3)), answer: None },
        user_agent: UserAgent::Before("fleet/7".to_owned()),
    };
    assert_eq!(config.agent.kinesis, access);
    let cloudwatch = cloudwatch::Settings {
        namespace: "Fleet/Logs".to_owned(),
        endpoint: Some("monitoring.eu-west-1.amazonaws.com".to_owned()),
        region: Some("eu-west-3".to_owned()),
        period: Duration::from_secs(10),
        queue: 200,
        dimensions: cloudwatch::Dimensions::DestinationAndInstance,
    };
    assert_eq!(config.agent.cloudwatch, Some(cloudwatch));
    let listen = Address::Loopback(([127, 0, 0, 1], 9464).into());
    assert_eq!(config.agent.metrics_listen, Some(listen));
    assert_eq!((config.agent.quarantine_bytes, config.agent.detail), (1 << 20, Detail::Internal));
    let flow = &config.flows[0];
    assert_eq!(flow.id.as_str(), "kinesis:access:/srv/*/logs/**/access.log");
    assert_eq!(flow.name, "access");
    assert_eq!(flow.source.initial_position, InitialPosition::Start);
    assert_eq!(flow.source.rescan, Duration::from_secs(5));
    let Layout { header_lines, records, footer, .. } = &flow.source.layout;
    assert_eq!(*header_lines, 2);
    assert!(matches!(records, Records::BeginningWith { pattern, idle }
        if pattern.as_text() == r"\[\d" && *idle == Duration::from_millis(1500)));
    assert_eq!(footer.as_ref().map(Expression::as_text), Some("#EOF.*"));
    assert!(matches!(flow.parser.steps(), [Step::Log { format: Format::Common, types: JsonTypes::Native }]));
    assert!(flow.adds_position);
    assert_eq!((flow.on_mismatch, flow.detail), (OnMismatch::SendRaw, Detail::Internal));
    assert_eq!((flow.batch.limits.records(), flow.batch.limits.bytes()), (100, 1 << 20));
    assert_eq!(flow.batch.packing, Packing::Lines(Compression::Zstd));
    assert_eq!((flow.batch.packed_bytes, flow.batch.order), (25_600, Order::Free));
    assert_eq!(flow.batch.linger, Duration::from_millis(250));
    assert_eq!(flow.batch.key, PartitionKey::Deterministic);
    assert_eq!(flow.batch.terminator.as_bytes(), "…\n".as_bytes());
    assert_eq!(flow.waits, Waits::new(Duration::from_millis(50), Duration::from_secs(5)).unwrap());
    assert!(flow.spool.is_none());
    let delivered = &config.flows[1];
    assert_eq!(delivered.id.as_str(), "fh:app:/srv/app.log");
    assert_eq!(delivered.destination, Destination::Firehose("app".to_owned()));
    assert_eq!((delivered.batch.limits.bytes(), delivered.batch.record_bytes), (4 << 20, 1_024_000));
    assert_eq!((delivered.batch.key, delivered.batch.packed_bytes), (PartitionKey::None, 5120));
    assert_eq!(delivered.batch.packing, Packing::Lines(Compression::None));
    let piped = &config.flows[2];
    assert_eq!((piped.batch.packing, piped.batch.order), (Packing::Kpl, Order::File));
    let directory = Path::new("/var/lib/elsewhere/spool/piped").to_owned();
    let wait = Duration::from_millis(2500);
    let spool = piped.spool.as_ref().unwrap();
    assert_eq!((spool.directory.as_path(), spool.bytes, spool.wait), (directory.as_path(), 32 << 20, wait));
    assert_eq!(piped.source.pattern.as_text(), "/var/lib/elsewhere/spool/piped/*/*.log");
    assert_eq!(piped.source.initial_position, InitialPosition::Start);
}

/// What becomes of a line that does not match, where a flow with one step has this key beside it.
#[track_caller]
fn check_on_mismatch(key: &str, expected: OnMismatch) {
    check_on_mismatch_of(r#"{ "optionName": "LOGTOJSON", "logFormat": "COMMONAPACHELOG" }"#, key, expected);
}

/// The same with this step.
#[track_caller]
fn check_on_mismatch_of(step: &str, key: &str, expected: OnMismatch) {
    let flow = r#""filePattern": "/a/b", "kinesisStream": "s","#;
    let host = host(&format!(r#"{{ {flow} {key} "dataProcessingOptions": [{step}] }}"#), &[]);
    let config = load_file(&host.path().join("agent.json")).unwrap();
    assert_eq!(config.flows[0].on_mismatch, expected);
}

#[test]
fn what_does_not_match_is_kept_unless_the_flow_says_otherwise() {
    check_on_mismatch("", OnMismatch::Keep);
    check_on_mismatch(r#""onParseError": "quarantine","#, OnMismatch::Keep);
    check_on_mismatch(r#""onParseError": "raw","#, OnMismatch::SendRaw);
    check_on_mismatch(r#""onParseError": "drop","#, OnMismatch::Drop);
}

#[test]
fn what_does_not_match_a_filter_is_dropped_unless_the_flow_says_otherwise() {
    let filter = r#"{ "optionName": "LOGTOJSON", "logFormat": "SYSLOG", "matchPattern": "(a)", "customFieldNames": ["a"] }"#;
    check_on_mismatch_of(filter, "", OnMismatch::Drop);
    check_on_mismatch_of(filter, r#""onParseError": "quarantine","#, OnMismatch::Keep);
}

/// The fixtures that this test and that of the steps read leave no honoured key out.
#[test]
fn every_honoured_key_is_in_the_fixture_of_that_name() {
    let read = |name| fs::read_to_string(repository().join("fixtures/config/good").join(name)).unwrap();
    let (keys, steps) = (read("every-honoured-key.json"), read("every-step.json"));
    // Which excludes `userAgent`, and has a test of its own.
    let others = KEYS.iter().filter(|key| key.name != "userAgentOverride");
    for key in others.filter(|key| key.effect == Effect::Honoured) {
        let text = if key.holder == Holder::Step { &steps } else { &keys };
        assert!(text.contains(&format!("\"{}\":", key.name)), "{} is missing", key.name);
    }
}

#[test]
fn what_the_java_agent_took_means_the_same() {
    let config = load_fixture("good/as-the-java-agent-took-it.json");
    assert_eq!(config.agent.cloudwatch, None);
    assert_eq!(config.agent.kinesis.user_agent, UserAgent::Instead("all mine".to_owned()));
    assert_eq!(config.agent.shutdown_timeout, Duration::from_secs(5));
    assert_eq!(config.agent.status_period, None);
    let flow = &config.flows[0];
    assert_eq!(flow.source.layout.header_lines, 0);
    assert_eq!(flow.batch.linger, Duration::from_secs(2));
    assert_eq!(flow.batch.limits.bytes(), 0o10_000_000);
    assert_eq!(flow.batch.terminator.as_bytes(), b"");
    assert_eq!(flow.waits, Waits::new(Duration::from_millis(50), Duration::from_millis(50)).unwrap());
}

#[test]
fn nobody_forgets_a_key_of_the_agent() {
    let file = Path::new("agent.json");
    let document = raw::parse(file, "{}").unwrap();
    let mut section = Section::new(file, Holder::Agent, &document.root);
    agent::agent(&mut section, None);
    section.list("flows");
    assert_eq!(section.unasked(), [""; 0]);
}

#[test]
fn the_configuration_goes_before_the_environment_and_that_before_the_default() {
    let named = repository().join("fixtures/config/good/every-honoured-key.json");
    let silent = repository().join("fixtures/config/good/minimal.json");
    for (main, expected) in [(named, "/var/lib/elsewhere"), (silent, "/run/state")] {
        let sources = Sources { main, drop_ins: None, state_directory: Some("/run/state".into()) };
        assert_eq!(load(&sources).unwrap().agent.state_directory, Path::new(expected));
    }
}

#[test]
fn the_region_of_a_stream_is_taken_where_no_other_is_named() {
    const ARN: &str = "arn:aws:kinesis:eu-west-1:123456789012:stream/app";
    let region = |keys: &str| {
        let directory = tempfile::tempdir().unwrap();
        let main = directory.path().join("agent.json");
        let flow = format!("{{ \"filePattern\": \"/var/log/b\", \"kinesisStream\": \"{ARN}\" }}");
        fs::write(&main, format!("{{ {keys} \"flows\": [{FLOW}, {flow}] }}")).unwrap();
        let config = load_file(&main).unwrap();
        assert_eq!(config.flows[1].id.as_str(), format!("kinesis:{ARN}:/var/log/b"));
        config.agent.kinesis.region_of_streams
    };
    assert_eq!(region("").as_deref(), Some("eu-west-1"));
    assert_eq!(region("\"kinesis.endpoint\": \"localhost:4567\",").as_deref(), Some("eu-west-1"));
    assert_eq!(region("\"kinesis.region\": \"eu-west-1\","), None);
}

#[test]
fn a_file_that_is_not_there_is_refused() {
    let problems = load_file(Path::new("/nonexistent/agent.json")).unwrap_err();
    assert_eq!(
        problems.to_string(),
        "/nonexistent/agent.json: cannot be read: No such file or directory (os error 2)"
    );
}

/// A value that `key` may have, in JSON.
fn permitted(key: &Key) -> String {
    match (key.default, key.kind) {
        (Default::Flag(flag), _) => flag.to_string(),
        (Default::Number(number), _) => number.to_string(),
        (Default::Text(text), _) => serde_json::Value::from(text).to_string(),
        (Default::Nothing, Kind::Number { most, .. }) => most.to_string(),
        (Default::Nothing, Kind::Flag) => "true".to_owned(),
        (Default::Nothing, Kind::Word(words)) => format!("\"{}\"", words[0]),
        (Default::Nothing, Kind::Texts | Kind::Objects) => "[]".to_owned(),
        (Default::Nothing, Kind::Anything) => "{}".to_owned(),
        (Default::Nothing, Kind::Text | Kind::AnyText | Kind::Secret) => {
            let text = match key.name {
                "filePattern" => "/x/y",
                "metricsListen" => "unix:/x/y",
                _ => "x",
            };
            format!("\"{text}\"")
        }
    }
}

/// One line for each key of `holder`, but those that no version can follow, and the other destination.
fn every_key(holder: Holder) -> String {
    let keys =
        KEYS.iter().filter(|key| key.holder == holder && !["flows", "deliveryStream"].contains(&key.name));
    let keys = keys.filter(|key| !matches!(key.effect, Effect::Impossible(_)));
    keys.map(|key| format!("\"{}\": {},\n", key.name, permitted(key))).collect()
}

#[test]
fn a_file_with_every_key_loads_and_each_key_is_explained_by_its_line() {
    let (agent, flow) = (every_key(Holder::Agent), every_key(Holder::Flow));
    let text = format!("{{\n{agent}\"flows\": [{{\n{}\n}}]\n}}", flow.trim_end_matches(",\n"));
    let directory = tempfile::tempdir().unwrap();
    let main = directory.path().join("agent.json");
    fs::write(&main, &text).unwrap();
    let sources = Sources { main, drop_ins: None, state_directory: None };
    let (config, explained) = explain(&sources).unwrap_or_else(|problems| unreachable!("{problems}"));

    let line_of =
        |name: &str| text.lines().position(|line| line.starts_with(&format!("\"{name}\": "))).unwrap() + 1;
    let settings: Vec<_> = explained.iter().flat_map(|explained| &explained.settings).collect();
    for key in KEYS.iter().filter(|key| key.holder != Holder::Step && key.name != "deliveryStream") {
        let told = |problems: &[Problem]| {
            let start = format!("`{}` ", key.name);
            problems.iter().any(|problem| problem.text.starts_with(&start))
        };
        assert_eq!(told(&config.notes), matches!(key.effect, Effect::Without(_)), "note on {}", key.name);
        let is_beside_another =
            ["userAgent", "spoolBytes", "spoolWaitMillis", "packedRecordBytes"].contains(&key.name);
        assert_eq!(told(&config.warnings), is_beside_another, "warning of {}", key.name);
        if matches!(key.effect, Effect::Honoured | Effect::Without(_))
            && !matches!(key.default, Default::Text(""))
        {
            let is_meant = |setting: &&&Setting| {
                setting.key == key.name
                    && setting.whence == Whence::Line(sources.main.clone(), line_of(key.name))
            };
            assert!(settings.iter().any(|setting| is_meant(&setting)), "{} is not explained", key.name);
        }
    }
}

/// A value that may or may not be right for a key of this kind.
fn value(kind: Kind) -> BoxedStrategy<String> {
    let wrong = prop::sample::select(vec!["null", "\"\"", "{}", "[]", "-1", "1e3", "true", "[1]", "[{}]"]);
    let right: BoxedStrategy<String> = match kind {
        Kind::Text | Kind::AnyText | Kind::Secret => "\"/?[a-z*]{1,4}\"".boxed(),
        Kind::Flag => any::<bool>().prop_map(|flag| flag.to_string()).boxed(),
        Kind::Number { least, most, .. } => {
            let ends = prop_oneof![Just(least), Just(most), least..=most];
            ends.prop_map(|number| number.to_string()).boxed()
        }
        Kind::Word(words) => prop::sample::select(words).prop_map(|word| format!("\"{word}\"")).boxed(),
        Kind::Texts | Kind::Objects => Just("[]".to_owned()).boxed(),
        Kind::Anything => Just("{}".to_owned()).boxed(),
    };
    prop_oneof![9 => right, 1 => wrong.prop_map(str::to_owned)].boxed()
}

/// The entries of an object that holds some of the keys.
fn entries(holder: Holder, always: &'static str) -> impl Strategy<Value = String> {
    let keys: Vec<_> =
        KEYS.iter().filter(|key| key.holder == holder && key.effect == Effect::Honoured).collect();
    let entry = prop::sample::select(keys)
        .prop_flat_map(|key| value(key.kind).prop_map(move |value| format!(", \"{}\": {value}", key.name)));
    prop::collection::vec(entry, 0..4).prop_map(move |entries| format!("{always}{}", entries.concat()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// What loads, keeps every rule; what does not, says why.
    #[test]
    fn whatever_is_written_loads_by_the_rules_or_is_refused_with_a_reason(
        agent in entries(Holder::Agent, "\"flows\": []"),
        flows in prop::collection::vec(entries(Holder::Flow, "\"filePattern\": \"/a/b\", \"kinesisStream\": \"s\""), 1..4),
    ) {
        let flows: Vec<_> = flows.iter().map(|flow| format!("{{ {flow} }}")).collect();
        let text = format!("{{ {agent}, \"flows\": [{}] }}", flows.join(", "));
        let directory = tempfile::tempdir().unwrap();
        let main = directory.path().join("agent.json");
        fs::write(&main, text).unwrap();
        match load_file(&main) {
            Ok(config) => {
                prop_assert_eq!(config.flows.len(), flows.len());
                let share = config.agent.max_memory_bytes / flows.len();
                for flow in &config.flows {
                    prop_assert!(flow.batch.limits.bytes() * 3 <= share);
                }
                prop_assert!(config.warnings.iter().all(|problem| problem.severity == Severity::Warning));
            }
            Err(problems) => {
                prop_assert!(problems.all().iter().any(|problem| problem.severity == Severity::Error));
                prop_assert!(problems.all().iter().all(|problem| problem.spot.is_some()));
            }
        }
    }
}

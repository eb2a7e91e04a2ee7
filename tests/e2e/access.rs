//! The ways to the services: through proxies, to endpoints of all kinds, to streams by name and by ARN. Holds G1 to account
//! where they are in the way.

use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use kinetail_tests::agent::Agent;
use kinetail_tests::books::Books;
use kinetail_tests::endpoint::{REGION, Throughput};
use kinetail_tests::faults::Faults;
use kinetail_tests::forward::Forward;
use kinetail_tests::host::Host;
use kinetail_tests::instance::{Instance, Tags};
use kinetail_tests::metrics::Metrics;
use kinetail_tests::scene::{STREAM, Scene};
use kinetail_tests::wait;
use kinetail_tests::writer::Writer;
use nix::sys::signal::Signal;
use serde_json::json;

/// A host that is only beyond the proxy.
const BEYOND: &str = "kinesis.test";

async fn scene() -> Result<Scene> {
    Ok(Scene::new(Throughput::Unlimited, 1).await?.on(|host| host.with_flow("app.log", json!({}))))
}

/// Starts the agent with these variables in its environment.
fn start_in(host: &Host, variables: &[(&str, &str)]) -> Result<Agent> {
    let variables = variables.iter().map(|(name, value)| OsString::from(format!("{name}={value}")));
    host.start_through(&[OsString::from("env")].into_iter().chain(variables).collect::<Vec<_>>())
}

/// The same scene, with a host that trusts what is beyond the proxy and calls it `https`.
fn encrypted(scene: Scene, forward: &Forward) -> Result<Scene> {
    let bundle = scene.host.path().join("own.pem");
    fs::write(&bundle, forward.certificate())?;
    Ok(scene.on(|host| {
        host.with("kinesis.endpoint", json!(format!("https://{BEYOND}"))).with("caBundle", json!(bundle))
    }))
}

/// What the proxy was asked for, each once.
fn asked(forward: &Forward) -> Vec<String> {
    let mut asked = forward.asked();
    asked.sort();
    asked.dedup();
    asked
}

/// Whether requests have failed.
fn fails(metrics: &Metrics) -> Result<bool> {
    Ok(metrics.sum("kinetail_requests_failed_total")? > 0)
}

#[tokio::test]
async fn the_proxy_of_the_configuration_is_gone_through_and_shown_its_password() -> Result<()> {
    let scene = scene().await?;
    let forward = Forward::start(&[(BEYOND, scene.faults.address())], Some("user:p@ss"))?;
    let proxy = format!("http://user:p%40ss@{}", forward.address());
    let scene = encrypted(scene, &forward)?.on(|host| host.with("proxy", json!(proxy)));
    let mut writer = Writer::open(scene.host.log("app.log"))?;
    writer.write(2_000)?;
    // The environment's, which names nobody, is not asked.
    let agent = start_in(&scene.host, &[("HTTPS_PROXY", "http://127.0.0.1:1")])?;
    scene.delivered_exactly(agent, writer.written(), 0).await?;
    ensure!(asked(&forward) == [format!("CONNECT {BEYOND}:443")], "{:?}", asked(&forward));

    let explained = scene.host.kinetail(&["check", "--explain"])?;
    let told = String::from_utf8(explained.stdout)? + &scene.host.said()?;
    ensure!(told.contains(&forward.url()) && !told.contains("p%40ss") && !told.contains("p@ss"), "{told}");
    Ok(())
}

/// Each scheme has a proxy of its own; what is not encrypted is asked for with its whole URL.
#[tokio::test]
async fn the_proxies_of_the_environment_are_gone_through() -> Result<()> {
    for (scheme, is_lower) in [("http", false), ("http", true), ("https", false), ("https", true)] {
        let scene = scene().await?;
        let forward = Forward::start(&[(BEYOND, scene.faults.address())], Some("user:password"))?;
        let nobody = Forward::start(&[], None)?;
        let scene = encrypted(scene, &forward)?;
        let scene = scene.on(|host| host.with("kinesis.endpoint", json!(format!("{scheme}://{BEYOND}"))));
        let mut writer = Writer::open(scene.host.log("app.log"))?;
        writer.write(500)?;
        let proxy = format!("http://user:password@{}", forward.address());
        let (name, nobody_url) = (format!("{scheme}_proxy"), nobody.url());
        let name = if is_lower { name } else { name.to_uppercase() };
        let agent = start_in(&scene.host, &[(&name, &proxy), ("ALL_PROXY", &nobody_url)])?;
        scene.delivered_exactly(agent, writer.written(), 0).await?;
        let expected = match scheme {
            "http" => format!("POST http://{BEYOND}/"),
            _ => format!("CONNECT {BEYOND}:443"),
        };
        ensure!(asked(&forward) == [expected], "{name}: {:?}", asked(&forward));
        ensure!(nobody.asked().is_empty(), "{:?}", nobody.asked());
    }
    Ok(())
}

/// 0.0.0.0 is this host as well, but no address that is never asked a proxy for.
#[tokio::test]
async fn what_is_excepted_is_called_without_the_proxy() -> Result<()> {
    let excepted = |key: Option<&'static str>, variable: Option<&'static str>, host: &'static str| async move {
        let scene = scene().await?;
        let forward = Forward::start(&[("0.0.0.0", scene.faults.address())], None)?;
        let url = format!("http://{host}:{}", scene.faults.address().port());
        let mut scene =
            scene.on(|host| host.with("kinesis.endpoint", json!(url)).with("proxy", json!(forward.url())));
        if let Some(key) = key {
            scene = scene.on(|host| host.with("noProxy", json!(key)));
        }
        let mut writer = Writer::open(scene.host.log("app.log"))?;
        writer.write(100)?;
        let variables: Vec<_> = variable.iter().map(|value| ("NO_PROXY", *value)).collect();
        let agent = start_in(&scene.host, &variables)?;
        scene.delivered_exactly(agent, writer.written(), 0).await?;
        anyhow::Ok(forward.asked().is_empty())
    };
    ensure!(!excepted(None, None, "0.0.0.0").await?, "nobody said that it is to be called without");
    ensure!(
        !excepted(Some("10.0.0.0/8"), Some("0.0.0.0"), "0.0.0.0").await?,
        "the key goes before the variable"
    );
    ensure!(excepted(None, Some("example.org,0.0.0.0/32"), "0.0.0.0").await?, "the variable is not followed");
    ensure!(excepted(Some("*"), None, "0.0.0.0").await?, "the key is not followed");
    for host in ["127.0.0.1", "localhost"] {
        ensure!(excepted(None, None, host).await?, "this host is called through the proxy");
    }
    Ok(())
}

/// A wrong password holds everything up until somebody acts, who is told which proxy wants another; and that takes no restart.
#[tokio::test]
async fn a_proxy_that_refuses_is_told_of_and_asked_again() -> Result<()> {
    for scheme in ["https", "http"] {
        let scene = scene().await?;
        let forward = Forward::start(&[(BEYOND, scene.faults.address())], Some("user:right"))?;
        let with = |password: &str| json!(format!("http://user:{password}@{}", forward.address()));
        let scene = encrypted(scene, &forward)?.on(|host| {
            // A reload waits as long for what a flow has on its way.
            let host =
                host.with("connectionTimeoutMillis", json!(1_000)).with("socketTimeoutMillis", json!(1_000));
            host.with("kinesis.endpoint", json!(format!("{scheme}://{BEYOND}"))).with("proxy", with("wrong"))
        });
        let mut writer = Writer::open(scene.host.log("app.log"))?;
        writer.write(500)?;
        let agent = scene.host.start()?;
        let needs_help = |metrics: &Metrics| Ok(metrics.sum("kinetail_failing_flows")? == 1);
        scene.host.until("somebody has to act", wait::LONG, needs_help).await.context(scheme)?;
        ensure!(scene.payloads().await?.is_empty());
        let said = scene.host.said()?;
        let told = format!("the proxy {} wants another user or password", forward.url());
        ensure!(said.contains(&told) && !said.contains("wrong"), "{scheme}: {said}");

        let scene = scene.on(|host| host.with("proxy", with("right")));
        scene.host.configure()?;
        agent.signal(Signal::SIGHUP)?;
        let balance = scene.delivered(writer.written()).await?;
        balance.exact()?;
        agent.stop().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_proxy_that_was_away_is_gone_through_when_it_is_back() -> Result<()> {
    let scene = scene().await?;
    let forward = Forward::start(&[(BEYOND, scene.faults.address())], None)?;
    let scene = encrypted(scene, &forward)?.on(|host| host.with("proxy", json!(forward.url())));
    forward.set_away(true);
    let mut writer = Writer::open(scene.host.log("app.log"))?;
    writer.write(500)?;
    let agent = scene.host.start()?;
    scene.host.until("a request has failed", wait::LONG, fails).await?;
    ensure!(scene.payloads().await?.is_empty());
    forward.set_away(false);
    scene.host.settled(500).await?;
    // Cut off in the middle: what was on its way may come twice, and nothing is missing.
    forward.set_away(true);
    writer.write(500)?;
    let before = scene.host.metrics()?.context("metrics")?.sum("kinetail_requests_failed_total")?;
    let more = |metrics: &Metrics| Ok(metrics.sum("kinetail_requests_failed_total")? > before);
    scene.host.until("another request has failed", wait::LONG, more).await?;
    forward.set_away(false);
    scene.delivered_exactly(agent, writer.written(), 0).await?;
    Ok(())
}

#[tokio::test]
async fn a_variable_that_names_no_proxy_ends_the_start() -> Result<()> {
    let scene = scene().await?;
    let mut agent = start_in(&scene.host, &[("ALL_PROXY", "socks5://user:hidden@127.0.0.1:1080")])?;
    ensure!(agent.ended().await?.code() == Some(1));
    let said = scene.host.said()?;
    ensure!(said.contains("could not follow `ALL_PROXY` of the environment: a proxy is"), "{said}");
    ensure!(!said.contains("hidden"), "{said}");
    Ok(())
}

/// The hosts are AWS's own: <https://docs.aws.amazon.com/general/latest/gr/ak.html>. That of EC2 is of the region that the
/// instance says it is in.
#[tokio::test]
async fn fips_and_dual_stack_have_their_own_hosts() -> Result<()> {
    let (fips, dual) = ("AWS_USE_FIPS_ENDPOINT=true", "AWS_USE_DUALSTACK_ENDPOINT=true");
    for (keys, variables, ec2, kinesis, monitoring) in [
        (
            json!({}),
            vec![],
            "ec2.eu-west-1.amazonaws.com",
            "kinesis.eu-central-1.amazonaws.com",
            "monitoring.eu-central-1.amazonaws.com",
        ),
        (
            json!({ "useFipsEndpoint": true }),
            vec![],
            "ec2-fips.eu-west-1.amazonaws.com",
            "kinesis-fips.eu-central-1.amazonaws.com",
            "monitoring-fips.eu-central-1.amazonaws.com",
        ),
        (
            json!({}),
            vec![fips, dual],
            "ec2-fips.eu-west-1.api.aws",
            "kinesis-fips.eu-central-1.api.aws",
            "monitoring-fips.eu-central-1.api.aws",
        ),
        (
            json!({ "useFipsEndpoint": false, "useDualstackEndpoint": true }),
            vec![fips],
            "ec2.eu-west-1.api.aws",
            "kinesis.eu-central-1.api.aws",
            "monitoring.eu-central-1.api.aws",
        ),
    ] {
        let scene = scene().await?;
        let hosts: [(&str, SocketAddr); 1] = [(kinesis, scene.faults.address())];
        let forward = Forward::start(&hosts, None)?;
        let instance = Instance::start(Tags::OfEc2)?;
        let mut scene = encrypted(scene, &forward)?.on(|host| {
            let tells = json!([{ "optionName": "ADDEC2METADATA" }]);
            host.with_flow("app.log", json!({ "dataProcessingOptions": tells }))
                .with("kinesis.endpoint", json!(""))
                .with("proxy", json!(forward.url()))
                .with("cloudwatch.emitMetrics", json!(true))
                .with("cloudwatch.region", json!(REGION))
                .with("cloudwatch.metricsBufferTimeMillis", json!(1_000))
        });
        for (key, value) in keys.as_object().context("keys")? {
            scene = scene.on(|host| host.with(key, value.clone()));
        }
        let mut writer = Writer::open(scene.host.log("app.log"))?;
        writer.write(10)?;
        let mut environment = instance.environment();
        environment.retain(|variable| !variable.starts_with("AWS_ENDPOINT_URL_EC2="));
        environment.extend(variables.iter().map(|variable: &&str| (*variable).to_owned()));
        let through: Vec<_> = ["env".to_owned()].into_iter().chain(environment).map(OsString::from).collect();
        let agent = scene.host.start_through(&through)?;
        let expected = [ec2, kinesis, monitoring].map(|host| format!("CONNECT {host}:443"));
        wait::until("all services are called", wait::LONG, async || {
            Ok((asked(&forward).len() == expected.len()).then_some(()))
        })
        .await
        .with_context(|| {
            format!("{keys} {variables:?}: {:?}\n{}", asked(&forward), scene.host.agent_log())
        })?;
        ensure!(asked(&forward) == expected, "{keys} {variables:?}: {:?}", asked(&forward));
        scene.delivered_exactly(agent, writer.written(), 0).await?;
    }
    Ok(())
}

/// Flows that name their streams in different ways, in one agent. Where no endpoint is given, an ARN means a host of its
/// account, as with every SDK.
#[tokio::test]
async fn a_stream_may_be_named_by_its_arn() -> Result<()> {
    let scene = scene().await?;
    let arn = format!("arn:aws:kinesis:{REGION}:000000000000:stream/{STREAM}");
    // Of the account's own hosts one takes records, and the other says what the stream is like.
    let (host, own, control) = (
        format!("kinesis.{REGION}.amazonaws.com"),
        format!("000000000000.data-kinesis.{REGION}.amazonaws.com"),
        format!("000000000000.control-kinesis.{REGION}.amazonaws.com"),
    );
    let address = scene.faults.address();
    let forward = Forward::start(&[(&host, address), (&own, address), (&control, address)], None)?;
    let scene = encrypted(scene, &forward)?.on(|host| {
        let named = host.flow("named.log", json!({}));
        let by_arn = host.flow("arn.log", json!({ "kinesisStream": arn }));
        host.with("flows", json!([named, by_arn]))
            .with("kinesis.endpoint", json!(""))
            .with("proxy", json!(forward.url()))
    });
    let mut writers = [
        Writer::numbered_from(scene.host.log("named.log"), 0)?,
        Writer::numbered_from(scene.host.log("arn.log"), 1_000_000)?,
    ];
    writers.iter_mut().try_for_each(|writer| writer.write(200))?;
    let agent = scene.host.start()?;
    scene.delivered_exactly(agent, writers.iter().flat_map(Writer::written), 0).await?;
    ensure!(
        asked(&forward) == [&control, &own, &host].map(|host| format!("CONNECT {host}:443")),
        "{:?}",
        asked(&forward)
    );
    Ok(())
}

/// The endpoint moves: its name has another address, and nobody is at the old one any more. The agent goes after it without a
/// restart.
#[tokio::test]
async fn a_name_that_has_another_address_is_followed() -> Result<()> {
    const NAME: &str = "kinesis.test";
    let Scene { endpoint, faults: old, host } =
        scene().await?.on(|host| host.with_flow("app.log", json!({ "retryMaxBackoffMillis": 500 })));
    let moved = SocketAddr::from(([127, 0, 0, 2], old.address().port()));
    let new = Faults::start_at(moved, endpoint.address())?;
    let host = host.with("kinesis.endpoint", json!(format!("http://{NAME}:{}", old.address().port())));
    let names = host.path().join("hosts");
    let point_to = |faults: &Faults| fs::write(&names, format!("{} {NAME}\n", faults.address().ip()));
    point_to(&old)?;

    // The agent alone has this for its table of hosts, which is read for each new connection.
    let with_names = format!("mount --bind {} /etc/hosts && exec \"$0\" \"$@\"", names.display());
    let words = ["unshare", "--mount", "sh", "-c", &with_names].map(OsString::from);
    let mut writer = Writer::open(host.log("app.log"))?;
    writer.write(200)?;
    let agent = host.start_through(&words)?;
    host.settled(200).await?;
    point_to(&new)?;
    writer.write(200)?;
    host.settled(400).await?;

    drop(old);
    writer.write(200)?;
    host.settled(600).await?;
    ensure!(!new.look(<[_]>::is_empty), "nothing came to the new address");
    let stored = endpoint.read(STREAM).await?;
    let balance = Books::of(writer.written()).against(stored.iter().map(|record| record.data.as_slice()));
    balance.balance().complete()?;
    agent.stop().await
}

//! What the agent signs is signed as AWS's own signer would: botocore, which shares nothing with the agent, makes each
//! signature again. No emulator looks at them. Holds G1 to account before the real service.

use std::ffi::OsString;
use std::io::Write;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use kinetail_tests::endpoint::{REGION, SECRET_ACCESS_KEY, Throughput};
use kinetail_tests::faults::{Mode, Raw};
use kinetail_tests::python;
use kinetail_tests::scene::{STREAM, Scene};
use kinetail_tests::writer::Writer;
use serde_json::{Value, json};

/// Requests of each host that are looked at.
const KEPT: usize = 30;

/// What botocore finds wrong with these requests.
fn wrong(requests: &[Raw]) -> Result<Vec<String>> {
    let mut file = tempfile::NamedTempFile::new()?;
    for Raw { method, path, headers, body } in requests {
        let body = base64_simd::STANDARD.encode_to_string(body);
        writeln!(file, "{}", json!({ "method": method, "path": path, "headers": headers, "body": body }))?;
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/e2e/verify.py");
    let mut command = Command::new(python::program("python")?);
    let output = command.arg(script).arg(file.path()).arg(SECRET_ACCESS_KEY).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.lines().map(str::to_owned).collect())
}

/// The first requests of a host with these keys of its flow, in this environment.
async fn requests(keys: Value, variables: &[(&str, &str)]) -> Result<Vec<Raw>> {
    let scene = Scene::new(Throughput::Unlimited, 2).await?.on(|host| {
        let host = host.with_flow("app.log", keys);
        if variables.is_empty() {
            return host;
        }
        host.with("awsAccessKeyId", json!("")).with("awsSecretAccessKey", json!(""))
    });
    scene.faults.keep(KEPT);
    // Entries that are left make another request.
    scene.faults.set(Mode::Refuse { percent: 50 });
    let mut writer = Writer::open(scene.host.log("app.log"))?;
    writer.write(2_000)?;
    // What base64 and JSON make something else of.
    for line in [
        "é\"\\\t\u{1f980}\n".as_bytes(),
        b"\xff\xfe\x00\x01+/==\n",
        &[b"x".repeat(900_000), b"\n".to_vec()].concat(),
    ] {
        writer.write_raw(line)?;
    }
    let variables = variables.iter().map(|(name, value)| OsString::from(format!("{name}={value}")));
    let agent = scene
        .host
        .start_through(&[OsString::from("env")].into_iter().chain(variables).collect::<Vec<_>>())?;
    let metrics = scene.host.settled(writer.count()).await?;
    ensure!(metrics.left_behind()? == 0, "not everything was taken");
    agent.stop().await?;
    let kept = scene.faults.kept();
    let of = |operation: &str| {
        let target = format!("Kinesis_20131202.{operation}");
        kept.iter().filter(|request| header(request, "x-amz-target") == Some(&target)).count()
    };
    let (offers, questions) = (of("PutRecords"), of("DescribeStreamSummary"));
    ensure!(offers >= 3 && questions == 1, "{offers} offers and {questions} questions");
    ensure!(offers + questions == kept.len(), "other requests");
    Ok(kept)
}

fn header<'a>(request: &'a Raw, name: &str) -> Option<&'a str> {
    request.headers.iter().find(|header| header.0 == name).map(|header| header.1.as_str())
}

#[tokio::test]
async fn botocore_signs_the_same() -> Result<()> {
    let token = "IQoJb3JpZ2luX2VjE+/=token";
    let session = [
        ("AWS_ACCESS_KEY_ID", "ASIALOCAL"),
        ("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY),
        ("AWS_SESSION_TOKEN", token),
    ];
    let arn = format!("arn:aws:kinesis:{REGION}:000000000000:stream/{STREAM}");
    let own = requests(json!({}), &[]).await?;
    let of_session = requests(json!({ "packing": "lines", "packedRecordBytes": 2048 }), &session).await?;
    let by_arn = requests(json!({ "kinesisStream": arn }), &[]).await?;
    let has_token = |request: &Raw| header(request, "x-amz-security-token") == Some(token);
    ensure!(
        of_session.iter().all(has_token) && !own.iter().any(has_token),
        "the token is not where it belongs"
    );
    for requests in [&own, &of_session, &by_arn] {
        let wrong = wrong(requests)?;
        ensure!(wrong.is_empty(), "{wrong:#?}");
    }

    // Whatever is changed is found.
    let original = of_session.first().context("a request")?;
    let changed = |change: fn(&mut Raw)| {
        let mut request = original.clone();
        change(&mut request);
        request
    };
    let set = |request: &mut Raw, name: &str, value: &str| {
        for header in request.headers.iter_mut().filter(|header| header.0 == name) {
            value.clone_into(&mut header.1);
        }
    };
    let changes: [fn(&mut Raw); 3] = [
        |request| request.body.push(b' '),
        |request| request.path.push_str("?x=1"),
        |request| request.method = "PUT".to_owned(),
    ];
    let mut all: Vec<Raw> = changes.into_iter().map(changed).collect();
    for (name, value) in [
        ("x-amz-security-token", "another"),
        ("x-amz-target", "Kinesis_20131202.PutRecord"),
        ("x-amz-date", "20200101T000000Z"),
        ("host", "elsewhere.example"),
    ] {
        let mut request = original.clone();
        set(&mut request, name, value);
        all.push(request);
    }
    let count = all.len();
    all.push(original.clone());
    let wrong = wrong(&all)?;
    let numbers: Vec<usize> = wrong.iter().filter_map(|line| line.split_once(':')?.0.parse().ok()).collect();
    ensure!(
        numbers == (0..count).collect::<Vec<_>>(),
        "of {count} changes, only these are found: {wrong:#?}"
    );
    Ok(())
}

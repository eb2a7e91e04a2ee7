//! Where credentials are from, and what becomes of a flow when they run out. Holds G1 to account where they do.

use std::ffi::OsString;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use kinetail_tests::background::Background;
use kinetail_tests::endpoint::Throughput;
use kinetail_tests::faults::{ENDS, Mode};
use kinetail_tests::forward::Forward;
use kinetail_tests::instance::{self, Instance, Tags};
use kinetail_tests::python::Emulator;
use kinetail_tests::scene::Scene;
use kinetail_tests::wait;
use kinetail_tests::writer::{Load, Writer};
use serde_json::json;

/// How long what runs out is good for.
const LIFE_SECONDS: u64 = 5;
/// Lines a second while it does.
const RATE: u32 = 500;
/// Lines in the time in which it runs out at least three times.
const LINES: u64 = 9_000;

/// A scene whose agent has no keys of its own.
async fn scene() -> Result<Scene> {
    let scene = Scene::new(Throughput::Unlimited, 1).await?;
    Ok(scene.on(|host| {
        let host = host.with("awsAccessKeyId", json!("")).with("awsSecretAccessKey", json!(""));
        host.with_flow("app.log", json!({}))
    }))
}

/// `env` with these variables.
fn through(variables: &[String]) -> Vec<OsString> {
    let variables = variables.iter().map(OsString::from);
    [OsString::from("env")].into_iter().chain(variables).collect()
}

/// A profile that asks a program, whose answers are good for [`LIFE_SECONDS`] and say so or not; and the variable that names
/// the profile's file.
fn profile(folder: &Path, says_so: bool) -> Result<String> {
    let (program, profile) = (folder.join("ask"), folder.join("profile"));
    let expiration =
        if says_so { r#","Expiration":"'"$(date -u -d "@$end" +%Y-%m-%dT%H:%M:%SZ)"'""# } else { "" };
    let text = format!(
        r#"#!/bin/sh
end=$(($(date +%s) + {LIFE_SECONDS}))
echo '{{"Version":1,"AccessKeyId":"{ENDS}'"$end"'000","SecretAccessKey":"s","SessionToken":"t"{expiration}}}'
"#
    );
    fs::write(&program, text)?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    fs::write(&profile, format!("[default]\ncredential_process = {}\n", program.display()))?;
    Ok(format!("AWS_CONFIG_FILE={}", profile.display()))
}

/// Credentials that run out again and again under load hold nothing up: everything arrives, once.
async fn runs_out(says_so: bool) -> Result<()> {
    let scene = scene().await?;
    scene.faults.set(Mode::Expire);
    let variable = profile(scene.host.path(), says_so)?;
    let load = Load::start(Writer::open(scene.host.log("app.log"))?, RATE);
    let agent = scene.host.start_through(&through(&[variable]))?;
    scene
        .host
        .until("they have run out several times", wait::LONG, |metrics| {
            Ok(metrics.sum("kinetail_records_acked_total")? >= LINES)
        })
        .await?;
    let writer = load.stop().await?;
    let metrics = scene.delivered_exactly(agent, writer.written(), 0).await?;
    let keys = scene.faults.keys();
    ensure!(keys.len() >= 3 && keys.iter().all(|key| key.starts_with(ENDS)), "{keys:?}");
    ensure!(metrics.sum("kinetail_failing_flows")? == 0);
    if !says_so {
        ensure!(metrics.sum("kinetail_requests_failed_total")? >= 2, "nothing was refused");
    }
    Ok(())
}

#[tokio::test]
async fn credentials_that_say_when_they_run_out_are_renewed_in_time() -> Result<()> {
    runs_out(true).await
}

#[tokio::test]
async fn credentials_that_run_out_without_a_word_are_renewed_when_they_are_refused() -> Result<()> {
    runs_out(false).await
}

/// Keys that a service does not know are for somebody to mend, and the new ones are found where the old ones were.
#[tokio::test]
async fn a_profile_that_is_mended_takes_no_restart() -> Result<()> {
    let scene = scene().await?;
    let scene = scene.on(|host| host.with_flow("app.log", json!({ "retryMaxBackoffMillis": 500 })));
    scene.faults.set(Mode::Expire);
    let profile = scene.host.path().join("credentials");
    let ended = format!("{ENDS}0");
    let keys = |id: &str| format!("[default]\naws_access_key_id = {id}\naws_secret_access_key = s\n");
    let mut writer = Writer::open(scene.host.log("app.log"))?;
    writer.write(1_000)?;
    let variable = format!("AWS_SHARED_CREDENTIALS_FILE={}", profile.display());
    let agent = scene.host.start_through(&through(&[variable]))?;
    let fails = |metrics: &kinetail_tests::metrics::Metrics| Ok(metrics.sum("kinetail_failing_flows")? == 1);
    scene.host.until("there are no credentials", wait::LONG, fails).await?;
    fs::write(&profile, keys(&ended))?;
    let refused = async || Ok(scene.faults.keys().contains(&ended).then_some(()));
    wait::until("the old keys are refused", wait::LONG, refused).await?;
    scene.host.until("somebody has to act", wait::LONG, fails).await?;
    fs::write(&profile, keys("AKIDNEW"))?;
    scene.delivered_exactly(agent, writer.written(), 0).await?;
    ensure!(scene.faults.keys().contains("AKIDNEW"), "{:?}", scene.faults.keys());
    Ok(())
}

/// Runs a host in this environment until everything is delivered, and gives the one access key that it signed with.
async fn signs_with(scene: Scene, variables: &[String]) -> Result<String> {
    let mut writer = Writer::open(scene.host.log("app.log"))?;
    writer.write(100)?;
    let agent = scene.host.start_through(&through(variables))?;
    scene.delivered_exactly(agent, writer.written(), 0).await?;
    let keys = scene.faults.keys();
    ensure!(keys.len() == 1, "{keys:?}");
    keys.into_iter().next().context("a key")
}

#[tokio::test]
async fn a_web_identity_and_a_role_with_an_external_id_are_taken_from_sts() -> Result<()> {
    let sts = Emulator::moto().await?;
    let role = "arn:aws:iam::123456789012:role/log-writer";
    let scene_of_identity = scene().await?;
    let token = scene_of_identity.host.path().join("token");
    fs::write(&token, "eyJhbGciOiJub25lIn0.e30.x")?;
    let variables = [
        format!("AWS_WEB_IDENTITY_TOKEN_FILE={}", token.display()),
        format!("AWS_ROLE_ARN={role}"),
        "AWS_ROLE_SESSION_NAME=pod".to_owned(),
        format!("AWS_ENDPOINT_URL_STS={}", sts.url()),
        // Elsewhere it is not encrypted.
        format!("AWS_ENDPOINT_URL={}", sts.url()),
    ];
    let key = signs_with(scene_of_identity, &variables).await?;
    ensure!(key.starts_with("ASIA"), "{key}");

    let scene_of_role = Scene::new(Throughput::Unlimited, 1).await?.on(|host| {
        host.with_flow("app.log", json!({}))
            .with("assumeRoleARN", json!(role))
            .with("assumeRoleExternalId", json!("outside"))
            .with("sts.endpoint", json!(sts.url()))
    });
    let key = signs_with(scene_of_role, &[]).await?;
    ensure!(key.starts_with("ASIA"), "{key}");
    Ok(())
}

/// The token is read each time: it is another after some hours.
/// <https://docs.aws.amazon.com/eks/latest/userguide/pod-id-how-it-works.html>
#[tokio::test]
async fn a_pod_is_known_by_the_token_in_its_file() -> Result<()> {
    let scene = scene().await?;
    let token = scene.host.path().join("token");
    fs::write(&token, "the-token")?;
    let (address, _server) = pod_identity(token.clone())?;
    let variables = [
        format!("AWS_CONTAINER_CREDENTIALS_FULL_URI=http://{address}/v1/credentials"),
        format!("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE={}", token.display()),
        // What gives credentials is never asked through it.
        "HTTP_PROXY=http://127.0.0.1:1".to_owned(),
    ];
    let key = signs_with(scene, &variables).await?;
    ensure!(key == "ASIAPOD", "{key}");
    Ok(())
}

/// An agent of EKS Pod Identity, which knows a pod by what is in this file.
fn pod_identity(token: PathBuf) -> Result<(SocketAddr, Background)> {
    let answer = move |headers: HeaderMap| async move {
        let known = fs::read_to_string(&token).unwrap_or_default();
        if headers.get("authorization").is_none_or(|shown| shown != known.as_str()) {
            return (StatusCode::UNAUTHORIZED, String::new());
        }
        let credentials = json!({
            "AccessKeyId": "ASIAPOD",
            "SecretAccessKey": "secret",
            "Token": "token",
            "Expiration": "2126-01-01T00:00:00Z",
        });
        (StatusCode::OK, credentials.to_string())
    };
    serve(Router::new().route("/v1/credentials", get(answer)))
}

fn serve(router: Router) -> Result<(SocketAddr, Background)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let server = Background::start("credentials", async move {
        let listener = tokio::net::TcpListener::from_std(listener).expect("the listener does not block");
        axum::serve(listener, router).await.expect("it serves until it is dropped");
    })?;
    Ok((address, server))
}

/// Who has signed in by `aws sso login` has left a token, under the digest of the session's name. The portal is beyond a
/// proxy. <https://docs.aws.amazon.com/singlesignon/latest/PortalAPIReference/API_GetRoleCredentials.html>
#[tokio::test]
async fn a_single_sign_on_gives_a_role() -> Result<()> {
    let answer = async |headers: HeaderMap| {
        if headers.get("x-amz-sso_bearer_token").is_none_or(|token| token != "the-token") {
            return (StatusCode::UNAUTHORIZED, String::new());
        }
        let credentials = json!({
            "accessKeyId": "ASIASSO",
            "secretAccessKey": "secret",
            "sessionToken": "token",
            "expiration": 4_922_899_200_000_u64,
        });
        (StatusCode::OK, json!({ "roleCredentials": credentials }).to_string())
    };
    let (address, _server) = serve(Router::new().route("/federation/credentials", get(answer)))?;
    let portal = "portal.sso.eu-central-1.amazonaws.com";
    let forward = Forward::start(&[(portal, address)], None)?;
    let scene = scene().await?;
    let (bundle, profile) = (scene.host.path().join("own.pem"), scene.host.path().join("profile"));
    fs::write(&bundle, forward.certificate())?;
    let session = "sso_region = eu-central-1\nsso_start_url = https://own.example/start\n";
    let role = "sso_session = own\nsso_account_id = 123456789012\nsso_role_name = logs\n";
    fs::write(&profile, format!("[default]\n{role}[sso-session own]\n{session}"))?;
    let cache = scene.host.path().join(".aws/sso/cache");
    fs::create_dir_all(&cache)?;
    let token = json!({ "accessToken": "the-token", "expiresAt": "2126-01-01T00:00:00Z" });
    fs::write(cache.join("fbf63c6adba57ff2a18d83d55deff3db5e89b043.json"), token.to_string())?;
    let scene = scene.on(|host| host.with("proxy", json!(forward.url())).with("caBundle", json!(bundle)));
    let key = signs_with(scene, &[format!("AWS_CONFIG_FILE={}", profile.display())]).await?;
    ensure!(key == "ASIASSO", "{key}");
    ensure!(forward.asked() == [format!("CONNECT {portal}:443")], "{:?}", forward.asked());
    Ok(())
}

/// Ours insists on version 2; the other is not of our making.
#[tokio::test]
async fn an_instance_has_a_role() -> Result<()> {
    let instance = Instance::start(Tags::Denied)?;
    let key = signs_with(scene().await?, &instance.environment()).await?;
    ensure!(key == instance::ROLE_KEY_ID, "{key}");

    let ministack = Emulator::ministack().await?;
    let variables = [
        "AWS_EC2_METADATA_DISABLED=false".to_owned(),
        format!("AWS_EC2_METADATA_SERVICE_ENDPOINT={}", ministack.url()),
    ];
    let key = signs_with(scene().await?, &variables).await?;
    ensure!(key != instance::ROLE_KEY_ID, "{key}");
    Ok(())
}

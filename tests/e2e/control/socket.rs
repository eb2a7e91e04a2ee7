//! The socket itself: whose it is, and what may be said on it.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Result, ensure};
use kinetail_tests::host::Host;
use kinetail_tests::wait;
use kinetail_tests::writer::Writer;
use serde_json::{Value, json};

use super::{at_rest, complained, kinetail, scene};

#[tokio::test]
async fn the_socket_is_the_agents_own_and_goes_with_it() -> Result<()> {
    let scene = scene("access_log", json!({})).await?;
    fs::write(scene.host.log("access_log"), "")?;
    let socket = scene.host.state("control.sock");
    let agent = scene.host.start()?;
    at_rest(&scene.host, 0).await?;
    ensure!(fs::metadata(&socket)?.permissions().mode() & 0o777 == 0o600);
    agent.kill()?;
    ensure!(socket.exists(), "a kill leaves it behind");
    ensure!(complained(&scene.host, &["status"])?.contains("no kinetail listens"));

    let agent = scene.host.start()?;
    wait::until("it is listened to again", wait::LONG, async || {
        Ok(kinetail(&scene.host, &["status"])?.status.success().then_some(()))
    })
    .await?;
    agent.stop().await?;
    ensure!(!socket.exists());
    Ok(())
}

/// Says something on the socket, and gives the answer.
fn talk(host: &Host, words: &[u8]) -> Result<Value> {
    let mut stream = UnixStream::connect(host.state("control.sock"))?;
    stream.set_read_timeout(Some(wait::LONG))?;
    // Whoever says too much is not heard to the end.
    let cut_off = |error: io::Error| {
        if error.kind() == io::ErrorKind::BrokenPipe { Ok(()) } else { Err(error) }
    };
    stream.write_all(words).or_else(cut_off)?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    Ok(serde_json::from_str(&answer)?)
}

#[tokio::test]
async fn whatever_is_said_on_the_socket_the_agent_goes_on() -> Result<()> {
    let scene = scene("access_log", json!({})).await?;
    let mut writer = Writer::open(scene.host.log("access_log"))?;
    writer.write(50)?;
    let agent = scene.host.start()?;
    at_rest(&scene.host, 50).await?;

    for (words, reason) in [
        (b"garbage\n".to_vec(), "could not understand the message"),
        (b"\xff\xfe\n".to_vec(), "could not understand the message"),
        (b"{}\n".to_vec(), "the message has version none, and this kinetail speaks 1"),
        (br#"{"version":2,"request":"status"}"#.to_vec(), "the message has version 2"),
        (b"{\"version\":1,\"request\":\"explode\"}\n".to_vec(), "unknown variant `explode`"),
        (vec![b' '; 10 << 20], "the request is longer than 65536 bytes"),
    ] {
        let mut words = words;
        words.push(b'\n');
        let answer = talk(&scene.host, &words)?;
        let said = answer["reason"].as_str().unwrap_or_default();
        ensure!(answer["answer"] == "refused" && said.contains(reason), "{answer}");
    }

    // Some connect and say nothing, or half of it, or leave; two that have something to ask are heard all the same.
    let mut silent = Vec::new();
    for words in ["", "{\"version\":1,", ""] {
        let mut stream = UnixStream::connect(scene.host.state("control.sock"))?;
        stream.write_all(words.as_bytes())?;
        silent.push(stream);
    }
    UnixStream::connect(scene.host.state("control.sock"))?.shutdown(Shutdown::Both)?;
    let ask = || talk(&scene.host, b"{\"version\":1,\"request\":\"status\"}\n");
    let (one, other) = std::thread::scope(|scope| {
        let other = scope.spawn(ask);
        (ask(), other.join())
    });
    for answer in [one?, other.expect("a client does not panic")?] {
        ensure!(answer["answer"] == "status" && answer["flows"][0]["linesRead"] == 50, "{answer}");
    }
    // Whoever says nothing is sent away in the end.
    for mut stream in silent {
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        ensure!(answer.is_empty(), "{answer}");
    }
    writer.write(50)?;
    scene.delivered_exactly(agent, writer.written(), 0).await.map(drop)
}

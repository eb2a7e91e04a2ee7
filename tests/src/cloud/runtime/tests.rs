//! Functions in Python, which shares nothing with the crate that the real ones are made with.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::wait;

/// A runtime in a few lines: asks for an event, calls `handler`, reports what it returns or raises.
const RUNTIME: &str = r#"#!/usr/bin/env python3
import json, os, sys, time, urllib.request
API = "http://" + os.environ["AWS_LAMBDA_RUNTIME_API"] + "/2018-06-01/runtime/"
def post(path, body):
    urllib.request.urlopen(urllib.request.Request(API + path, data=body, method="POST"))
HANDLER
while True:
    with urllib.request.urlopen(API + "invocation/next") as answer:
        name = answer.headers["Lambda-Runtime-Aws-Request-Id"]
        deadline = int(answer.headers["Lambda-Runtime-Deadline-Ms"])
        event = json.load(answer)
    try:
        post("invocation/" + name + "/response", json.dumps(handler(event)).encode())
    except Exception as error:
        body = {"errorType": type(error).__name__, "errorMessage": str(error)}
        post("invocation/" + name + "/error", json.dumps(body).encode())
"#;

/// A function whose `handler` is this; the folder is that of its binary, where it may write.
pub(in crate::cloud) fn function(handler: &str) -> (Function, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let binary = folder.path().join("bootstrap");
    fs::write(&binary, RUNTIME.replace("HANDLER", handler)).unwrap();
    fs::set_permissions(&binary, fs::Permissions::from_mode(0o755)).unwrap();
    let variables = BTreeMap::from([("ANSWER".to_owned(), "42".to_owned())]);
    (Function::start(&binary, "sample", variables).unwrap(), folder)
}

#[tokio::test]
async fn a_function_answers_one_event_after_the_other_in_one_process() {
    let handler = "calls = []\ndef handler(event):\n    calls.append(event)\n    return [os.environ['ANSWER'], os.environ['_HANDLER'], calls]";
    let (function, _folder) = function(handler);
    assert_eq!(function.invoke("1", wait::LONG).await.unwrap(), r#"["42", "sample", [1]]"#);
    assert_eq!(function.invoke("2", wait::LONG).await.unwrap(), r#"["42", "sample", [1, 2]]"#);
    assert_eq!(function.cold_starts(), 1);
    assert!(function.start_times()[0].is_some());
}

#[tokio::test]
async fn two_events_at_once_get_an_environment_each() {
    // Each waits for the other, through a file, so one process alone would never end.
    let handler = "def handler(event):\n    open(str(event), 'w').close()\n    while not os.path.exists(str(1 - event)): time.sleep(0.01)\n    return event";
    let (function, _folder) = function(handler);
    let (first, second) = tokio::join!(function.invoke("0", wait::LONG), function.invoke("1", wait::LONG));
    assert_eq!((first.unwrap(), second.unwrap()), (Bytes::from("0"), Bytes::from("1")));
    assert_eq!(function.cold_starts(), 2);
}

#[tokio::test]
async fn an_error_of_the_function_is_its_own_and_it_goes_on() {
    let (function, _folder) =
        function("def handler(event):\n    if event: raise ValueError('no')\n    return 0");
    let failure = function.invoke("1", wait::LONG).await.unwrap_err();
    assert_eq!(failure.to_string(), "the function failed: ValueError: no");
    assert_eq!(function.invoke("0", wait::LONG).await.unwrap(), "0");
    assert_eq!(function.cold_starts(), 1);
}

#[tokio::test]
async fn a_process_that_ends_fails_its_invocation_and_another_one_takes_over() {
    let handler = "def handler(event):\n    if event: sys.stderr.write('last words'); sys.stderr.flush(); os._exit(3)\n    return 0";
    let (function, _folder) = function(handler);
    let failure = function.invoke("1", wait::LONG).await.unwrap_err();
    assert!(matches!(&failure, Failure::Ended(status) if status.code() == Some(3)), "{failure:?}");
    assert!(function.log().ends_with("last words"));
    assert_eq!(function.invoke("0", wait::LONG).await.unwrap(), "0");
    assert_eq!(function.cold_starts(), 2);
}

#[tokio::test]
async fn a_function_that_takes_too_long_is_killed() {
    let (function, _folder) =
        function("def handler(event):\n    time.sleep(event)\n    return deadline > time.time() * 1000");
    assert_eq!(function.invoke("0", wait::LONG).await.unwrap(), "true");
    let failure = function.invoke("600", Duration::from_millis(50)).await.unwrap_err();
    assert!(matches!(failure, Failure::TimedOut(_)), "{failure:?}");
    assert!(function.processes().is_empty());
    assert_eq!(function.invoke("0", wait::LONG).await.unwrap(), "true");
}

#[tokio::test]
async fn a_function_that_is_killed_begins_anew() {
    let (function, _folder) = function("def handler(event):\n    return os.getpid()");
    let first = function.invoke("0", wait::LONG).await.unwrap();
    function.kill().unwrap();
    assert_ne!(function.invoke("0", wait::LONG).await.unwrap(), first);
}

#[tokio::test]
async fn nothing_is_larger_than_the_service_passes_on() {
    let (function, _folder) = function("def handler(event):\n    return 'a' * event");
    let most = PAYLOAD_LIMIT - 2;
    assert_eq!(function.invoke(most.to_string(), wait::LONG).await.unwrap().len(), PAYLOAD_LIMIT);
    let failure = function.invoke((most + 1).to_string(), wait::LONG).await.unwrap_err();
    assert!(matches!(failure, Failure::TooLarge(_)), "{failure:?}");
    let failure = function.invoke(vec![b' '; PAYLOAD_LIMIT + 1], wait::LONG).await.unwrap_err();
    assert!(matches!(failure, Failure::TooLarge(_)), "{failure:?}");
}

#[tokio::test]
async fn a_function_that_cannot_begin_says_why() {
    let handler = "post('init/error', b'{\"errorType\": \"Config\", \"errorMessage\": \"no bucket\"}')\ntime.sleep(600)";
    let (function, _folder) = function(handler);
    let failure = function.invoke("0", wait::LONG).await.unwrap_err();
    assert_eq!(failure.to_string(), "the function failed: Config: no bucket");
}

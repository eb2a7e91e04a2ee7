//! What `dataProcessingOptions` make of lines, step by step, through the built agent. Holds G7 and G8 to account.

use std::ffi::OsString;

use anyhow::{Context, Result, ensure};
use kinetail_tests::agent::Agent;
use kinetail_tests::endpoint::{ACCESS_KEY_ID, SECRET_ACCESS_KEY, Throughput};
use kinetail_tests::instance::{self, Instance, Tags};
use kinetail_tests::python;
use kinetail_tests::scene::Scene;
use kinetail_tests::wait;
use kinetail_tests::writer::Writer;
use serde_json::{Value, json};

/// Orders, each on several lines.
const ORDERS: u64 = 300;
const LINES: u64 = 3;

/// One line of an order: its number and customer, its items, its end.
fn line_of_order(number: u64) -> Vec<u8> {
    let order = number / LINES;
    match number % LINES {
        0 => format!("#{order};cust\u{F6}mer \"{order}\" ;\n"),
        1 => format!("  {} bolts,\n", order % 7),
        _ => format!("  {} nuts;done \n", order % 5),
    }
    .into_bytes()
}

/// The record of an order, said another way.
fn record_of_order(order: u64) -> Value {
    json!({
        "id": format!("#{order}"),
        "customer": format!("cust\u{F6}mer \"{order}\" "),
        "items": format!("{} bolts,{} nuts", order % 7, order % 5),
        "state": "done",
        "note": null,
    })
}

#[tokio::test]
async fn lines_are_joined_divided_and_told_of_step_by_step() -> Result<()> {
    let keys = json!({
        "multiLineStartPattern": "#\\d",
        "multiLineIdleMillis": 100,
        "dataProcessingOptions": [
            { "optionName": "SINGLELINE" },
            {
                "optionName": "CSVTOJSON",
                "customFieldNames": ["id", "customer", "items", "state", "note"],
                "delimiter": ";"
            },
            { "optionName": "ADDMETADATA", "metadata": { "rate": 1.50, "shop": 7 }, "timestamp": "true" }
        ],
    });
    let scene = Scene::new(Throughput::Unlimited, 2).await?.on(|host| host.with_flow("orders.log", keys));
    let mut writer = Writer::of(scene.host.log("orders.log"), line_of_order)?;
    writer.write(ORDERS * LINES)?;
    let agent = scene.host.start()?;
    let metrics = scene.host.settled(ORDERS * LINES).await?;
    metrics.balance()?;
    ensure!(metrics.sum("kinetail_records_acked_total")? == ORDERS, "{metrics:?}");
    ensure!(metrics.sum("kinetail_lines_joined_total")? == ORDERS * (LINES - 1), "{metrics:?}");
    ensure!(metrics.sum("kinetail_lines_unprocessed_total")? == 0, "{metrics:?}");
    let mut orders = Vec::new();
    for payload in scene.payloads().await? {
        let text = String::from_utf8(payload)?;
        let metadata = "\"metadata\":{\"rate\":1.5,\"shop\":7},\"data\":\"{\\\"id\\\":\\\"#";
        ensure!(
            text.starts_with("{\"ts\":\"20") && text.contains(metadata) && text.ends_with("}\"}\n"),
            "{text}"
        );
        let record: Value = serde_json::from_str(&text)?;
        orders.push(serde_json::from_str::<Value>(record["data"].as_str().context("data is a text")?)?);
    }
    orders.sort_by_key(|order| order["id"].as_str().map(|id| id.trim_start_matches('#').parse::<u64>().ok()));
    let expected: Vec<Value> = (0..ORDERS).map(record_of_order).collect();
    ensure!(orders == expected, "{orders:?}");
    agent.stop().await
}

/// A flow whose records are to tell of the instance.
fn told() -> Value {
    json!({ "dataProcessingOptions": [{ "optionName": "ADDEC2METADATA", "logFormat": "SYSLOG" }] })
}

fn line_of_json(number: u64) -> Vec<u8> {
    format!("{{\"number\" : {number}, \"region\":\"here\"}}\n").into_bytes()
}

/// Starts the agent on an instance.
fn start_on(scene: &Scene, instance: &Instance) -> Result<Agent> {
    let words = ["env".to_owned()].into_iter().chain(instance.environment());
    scene.host.start_through(&words.map(OsString::from).collect::<Vec<_>>())
}

/// The records of so many lines that were sent from an instance.
async fn sent_from(instance: &Instance, lines: u64) -> Result<(Scene, Vec<Value>)> {
    let scene = Scene::new(Throughput::Unlimited, 1).await?.on(|host| host.with_flow("app.log", told()));
    Writer::of(scene.host.log("app.log"), line_of_json)?.write(lines)?;
    let agent = start_on(&scene, instance)?;
    scene.host.settled(lines).await?.balance()?;
    agent.stop().await?;
    let payloads = scene.payloads().await?;
    let records =
        payloads.iter().map(|payload| Ok(serde_json::from_slice(payload)?)).collect::<Result<_>>()?;
    Ok((scene, records))
}

/// What a record says beside its number, its time left out.
fn expected(number: u64, tags: Option<Value>) -> Value {
    let document = instance::document();
    let mut record = json!({
        "number": number,
        "region": document["region"],
        "privateIp": document["privateIp"],
        "availabilityZone": document["availabilityZone"],
        "instanceId": document["instanceId"],
        "instanceType": document["instanceType"],
        "accountId": document["accountId"],
        "amiId": document["imageId"],
    });
    if let (Some(record), Some(tags)) = (record.as_object_mut(), tags) {
        record.insert("tags".to_owned(), tags);
    }
    record
}

/// All records tell of the instance, the first included, with these tags.
fn check_records(mut records: Vec<Value>, tags: Option<&Value>) -> Result<()> {
    records.sort_by_key(|record| record["number"].as_u64());
    for (number, record) in (0..).zip(&mut records) {
        let time = record.as_object_mut().and_then(|fields| fields.remove("metadataTimestamp"));
        ensure!(
            time.is_some_and(|time| time.as_str().is_some_and(|time| time.ends_with("+0000"))),
            "{record}"
        );
        ensure!(*record == expected(number, tags.cloned()), "{record}");
    }
    Ok(())
}

#[tokio::test]
async fn records_tell_of_the_instance_with_the_tags_of_its_metadata() -> Result<()> {
    let instance = Instance::start(Tags::InMetadata)?;
    let (_, records) = sent_from(&instance, 50).await?;
    ensure!(records.len() == 50, "{records:?}");
    check_records(records, Some(&json!({ "name": "from metadata", "team:mail": "a@example.net" })))?;
    ensure!(instance.calls().is_empty(), "what the metadata say need not be asked for");
    Ok(())
}

/// What botocore says of a call's signature: the header that it should have.
const SIGN: &str = r#"
import json, sys
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
import botocore.auth, datetime

call = json.loads(sys.argv[1])
headers = dict(call["headers"])
signed = headers["authorization"].split("SignedHeaders=")[1].split(",")[0].split(";")
request = AWSRequest("POST", call["url"], data=call["body"], headers={
    name: headers[name] for name in signed if name != "x-amz-date"
})
request.context["timestamp"] = headers["x-amz-date"]
auth = SigV4Auth(Credentials(call["id"], call["secret"]), "ec2", "eu-west-1")
request.headers["X-Amz-Date"] = headers["x-amz-date"]
canonical = auth.canonical_request(request)
to_sign = auth.string_to_sign(request, canonical)
print(auth.signature(to_sign, request))
"#;

#[tokio::test]
async fn tags_that_the_metadata_keep_are_asked_of_ec2_with_a_signature() -> Result<()> {
    let instance = Instance::start(Tags::OfEc2)?;
    let (_, records) = sent_from(&instance, 20).await?;
    ensure!(records.len() == 20, "{records:?}");
    check_records(records, Some(&json!({ "name": "of EC2", "r&d": "<yes>" })))?;
    let calls = instance.calls();
    let [call] = calls.as_slice() else { anyhow::bail!("one call was to be made: {calls:?}") };
    let header = |name| call.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    let authorization = header("authorization").context("it is signed")?;
    let told = json!({
        "url": format!("http://{}/ec2/", instance.host()),
        "headers": call.headers,
        "body": call.body,
        "id": ACCESS_KEY_ID,
        "secret": SECRET_ACCESS_KEY,
    });
    let signature = python::run(SIGN, &[&told.to_string()])?;
    ensure!(
        authorization.ends_with(&format!("Signature={}", signature.trim())),
        "{authorization} should have the signature {signature}"
    );
    Ok(())
}

#[tokio::test]
async fn without_a_right_to_the_tags_records_tell_the_rest() -> Result<()> {
    let instance = Instance::start(Tags::Denied)?;
    let (scene, records) = sent_from(&instance, 20).await?;
    check_records(records, None)?;
    let told = scene.host.agent_log();
    ensure!(told.matches("the tags of this instance are not known").count() == 1, "{told}");
    ensure!(told.contains("UnauthorizedOperation"), "{told}");
    Ok(())
}

#[tokio::test]
async fn off_ec2_records_stay_as_they_are_and_it_is_told_once() -> Result<()> {
    let scene = Scene::new(Throughput::Unlimited, 1).await?.on(|host| host.with_flow("app.log", told()));
    let mut writer = Writer::of(scene.host.log("app.log"), line_of_json)?;
    writer.write(20)?;
    writer.write_raw(b"no json\n")?;
    let agent = scene.host.start()?;
    let metrics = scene.host.settled(21).await?;
    ensure!(metrics.sum("kinetail_lines_unprocessed_total")? == 0, "{metrics:?}");
    let lines: Vec<Vec<u8>> = (0..20).map(line_of_json).chain([b"no json\n".to_vec()]).collect();
    scene.balance(lines.iter().map(Vec::as_slice)).await?.exact()?;
    let told = scene.host.agent_log();
    ensure!(told.matches("this instance cannot be asked").count() == 1, "{told}");
    agent.stop().await
}

#[tokio::test]
async fn what_a_step_cannot_work_on_is_sent_as_it_is_counted_and_told() -> Result<()> {
    let keys = json!({
        "dataProcessingOptions": [
            { "optionName": "CSVTOJSON", "customFieldNames": ["a", "b"], "quote": "\"" },
            { "optionName": "ADDBRACKETS" }
        ],
    });
    let scene = Scene::new(Throughput::Unlimited, 1).await?.on(|host| host.with_flow("app.log", keys));
    let mut writer =
        Writer::of(scene.host.log("app.log"), |number| format!("{number},\"x,y\"\n").into_bytes())?;
    writer.write(10)?;
    writer.write_raw(b"1,\"open\n2,\"shut\"x\n")?;
    let agent = scene.host.start()?;
    let metrics = scene.host.settled(12).await?;
    metrics.balance()?;
    ensure!(metrics.sum("kinetail_lines_unprocessed_total")? == 2, "{metrics:?}");
    let records = (0..10).map(|number| format!("{{{{\"a\":\"{number}\",\"b\":\"x,y\"}}\n}}").into_bytes());
    let expected: Vec<Vec<u8>> = records.chain([b"1,\"open\n".to_vec(), b"2,\"shut\"x\n".to_vec()]).collect();
    scene.balance(expected.iter().map(Vec::as_slice)).await?.exact()?;
    wait::until("it is told", wait::LONG, async || {
        Ok(scene.host.agent_log().contains("a step of flow").then_some(()))
    })
    .await?;
    agent.stop().await
}

//! `ADDEC2METADATA`: an object gets fields that tell of the EC2 instance it was made on.
//!
//! Does not know where they come from. Fields that the object has already keep their place and get the new value; what
//! the object says otherwise is written again as the Java agent's library writes it.

use std::borrow::Cow;

use super::step::Failure;
use super::value::{Json, set};
use super::{Record, utc};
use crate::source::Instance;

/// Appends the object that `input` begins with, with the fields of `instance`.
pub(super) fn write(input: &[u8], instance: &Instance, out: &mut Vec<u8>) -> Result<Record, Failure> {
    let text = String::from_utf8_lossy(input);
    let Ok(Json::Object(mut fields)) = Json::read(&text) else { return Err(Failure::NoObject) };
    let named = [
        ("privateIp", &instance.private_ip),
        ("availabilityZone", &instance.availability_zone),
        ("instanceId", &instance.instance_id),
        ("instanceType", &instance.instance_type),
        ("accountId", &instance.account_id),
        ("amiId", &instance.image_id),
        ("region", &instance.region),
    ];
    for (name, value) in named {
        set(&mut fields, name, value.as_ref().map_or(Json::Null, |value| Json::Text(value.clone())));
    }
    set(&mut fields, "metadataTimestamp", Json::Text(timestamp(instance)));
    if let Some(tags) = &instance.tags {
        let tags = tags.iter().map(|(name, value)| (name.to_lowercase(), Json::Text(value.clone())));
        set(&mut fields, "tags", Json::object(tags));
    }
    let start = out.len();
    Json::Object(fields).write(out);
    out.push(b'\n');
    let is_repaired = matches!(text, Cow::Owned(_));
    Ok(Record::object(out.len() - start, is_repaired))
}

/// When the instance was asked, as the Java agent writes it on a host whose clock is set to UTC.
fn timestamp(instance: &Instance) -> String {
    let mut text = Vec::new();
    utc::write_seconds(instance.asked, &mut text);
    text.extend_from_slice(b"+0000");
    String::from_utf8_lossy(&text).into_owned()
}

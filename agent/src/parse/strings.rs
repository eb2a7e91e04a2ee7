//! The `strings` profile: the Java agent's keys, each value a string as it stands in the log, `-` as null.
//!
//! Byte for byte what the Java agent writes for every line that it takes (promise G8), with one exception: where it
//! cuts a value at an escaped quote, this is the whole value.

use super::Record;
use super::apache::Entry;
use super::json::{Key, Object, key};

/// Appends the record of `entry` to `buffer`.
pub(super) fn write(entry: &Entry<'_>, buffer: &mut Vec<u8>) -> Record {
    let (client, exchange) = (&entry.client, &entry.exchange);
    let mut object = Object::begin(buffer, entry.content);
    if let Some(vhost) = client.vhost {
        text(&mut object, key!("vhost"), vhost);
    }
    text(&mut object, key!("host"), client.host);
    text(&mut object, key!("ident"), client.ident);
    text(&mut object, key!("authuser"), client.user);
    text(&mut object, key!("datetime"), client.date);
    text(&mut object, key!("request"), exchange.request);
    text(&mut object, key!("response"), exchange.response);
    text(&mut object, key!("bytes"), exchange.bytes);
    if let Some(combined) = &exchange.combined {
        text(&mut object, key!("referer"), combined.referer);
        text(&mut object, key!("agent"), combined.agent);
    }
    object.end()
}

fn text(object: &mut Object<'_>, key: Key<'_>, value: &[u8]) {
    if value == b"-" { object.null(key) } else { object.text(key, value) }
}

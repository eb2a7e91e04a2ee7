//! The keys of one flow that say how its records are gathered: within which limits of which service, and how packed.

use crate::batch::{
    self, Compression, FIREHOSE_RECORD_BYTES, Limits, Order, Packing, PartitionKey, RECORD_BYTES, Terminator,
};
use crate::config::section::Section;
use crate::send::Destination;

/// What a service takes.
struct Service {
    request_bytes: usize,
    record_bytes: usize,
    key: PartitionKey,
}

impl Service {
    /// That of `destination`; where it is not known, the one that takes more.
    fn of(destination: Option<&Destination>, section: &mut Section<'_>) -> Service {
        let key = match section.text("partitionKeyOption").as_deref() {
            Some("DETERMINISTIC") => PartitionKey::Deterministic,
            Some(_) | None => PartitionKey::Random,
        };
        match destination {
            Some(Destination::Firehose(_)) => Service {
                request_bytes: Limits::FIREHOSE_BYTES,
                record_bytes: FIREHOSE_RECORD_BYTES,
                key: PartitionKey::None,
            },
            Some(Destination::Kinesis(_)) | None => {
                Service { request_bytes: Limits::MAX_BYTES, record_bytes: RECORD_BYTES, key }
            }
        }
    }
}

/// Reads how records become entries and requests, of which one may hold `ceiling` bytes.
pub(super) fn gather(
    section: &mut Section<'_>,
    destination: Option<&Destination>,
    ceiling: usize,
) -> Option<batch::Settings> {
    let ours_or_java = |section: &mut Section<'_>, ours, java| {
        let is_javas = section.is_given(java) && !section.is_given(ours);
        if is_javas { java } else { ours }
    };
    let service = Service::of(destination, section);
    let bytes = ours_or_java(section, "requestBytes", "maxBufferSizeBytes");
    let linger = ours_or_java(section, "lingerMillis", "maxBufferAgeMillis");
    let (linger, wanted) = (section.millis(linger), section.size(bytes));
    if wanted > service.request_bytes && section.is_given(bytes) {
        let most = service.request_bytes;
        section.error(bytes, format!("`{bytes}` must be at most {most} for `deliveryStream`, not {wanted}"));
    }
    let wanted = wanted.min(service.request_bytes);
    if wanted > ceiling && section.is_given("requestBytes") {
        let third = "a third of the flow's share of `maxMemoryBytes`";
        section.warn(
            "requestBytes",
            format!("`requestBytes` is more than {third}; requests hold {ceiling} bytes"),
        );
    }
    let limits = Limits::new(section.size("maxBufferSizeRecords"), wanted.min(ceiling));
    let terminator = Terminator::new(&section.text("truncatedRecordTerminator").unwrap_or_default());
    if let Err(error) = &limits {
        section.error(bytes, error.to_string());
    }
    if let Err(error) = &terminator {
        section.error("truncatedRecordTerminator", format!("`truncatedRecordTerminator`: {error}"));
    }
    let (packing, packed_bytes) = packing(section, destination);
    let order = order(section, destination, packing);
    Some(batch::Settings {
        limits: limits.ok()?,
        linger,
        key: service.key,
        terminator: terminator.ok()?,
        packing: packing?,
        packed_bytes,
        record_bytes: service.record_bytes,
        order: order?,
    })
}

/// Which order the stream is to keep, which takes packs: one request at a time with one line in it would be too slow.
fn order(
    section: &mut Section<'_>,
    destination: Option<&Destination>,
    packing: Option<Packing>,
) -> Option<Order> {
    if section.text("order").as_deref() != Some("file") {
        return Some(Order::Free);
    }
    if matches!(destination, Some(Destination::Firehose(_))) {
        let text = "`\"order\": \"file\"` does not go with `deliveryStream`: Firehose keeps no order; leave `order` out";
        section.error("order", text);
        return None;
    }
    if section.is_given("partitionKeyOption") {
        section.warn("partitionKeyOption", "`partitionKeyOption` has no effect beside `\"order\": \"file\"`");
    }
    if packing == Some(Packing::None) {
        let text = "`\"order\": \"file\"` needs packed records; set `\"packing\": \"lines\"` or `\"kpl\"`";
        section.error("order", text);
        return None;
    }
    Some(Order::File)
}

/// How many records become one of the stream, and how large it is to be.
fn packing(section: &mut Section<'_>, destination: Option<&Destination>) -> (Option<Packing>, usize) {
    let is_firehose = matches!(destination, Some(Destination::Firehose(_)));
    if let Some(bytes) = aggregated(section, is_firehose) {
        return (Some(Packing::Lines(Compression::None)), bytes);
    }
    let compression = match section.text("compression").as_deref() {
        Some("gzip") => Compression::Gzip,
        Some("zstd") => Compression::Zstd,
        Some(_) | None => Compression::None,
    };
    let packing = match section.text("packing").as_deref() {
        Some("lines") => Packing::Lines(compression),
        Some("kpl") => Packing::Kpl,
        Some(_) | None => Packing::None,
    };
    let bytes = section.size("packedRecordBytes");
    if packing == Packing::None && section.is_given("packedRecordBytes") {
        section.warn("packedRecordBytes", "`packedRecordBytes` has no effect without `packing`");
    }
    let is_compressed = compression != Compression::None;
    match packing {
        Packing::None if is_compressed => {
            let out = "set `\"packing\": \"lines\"`, or leave `compression` out";
            section.error("compression", format!("`compression` is of packed records; {out}"));
            (None, bytes)
        }
        Packing::Kpl if is_compressed => {
            let out = "set `\"packing\": \"lines\"`, or leave `compression` out";
            let why = "who reads aggregates of the Kinesis Producer Library would not unpack them";
            section.error(
                "compression",
                format!("`compression` does not go with `\"packing\": \"kpl\"`: {why}; {out}"),
            );
            (None, bytes)
        }
        Packing::Kpl if is_firehose => {
            let why = "Firehose takes aggregates apart only where it reads them from a stream";
            let out = "set `\"packing\": \"lines\"`";
            section.error(
                "packing",
                format!("`\"packing\": \"kpl\"` does not go with `deliveryStream`: {why}; {out}"),
            );
            (None, bytes)
        }
        Packing::None | Packing::Lines(_) | Packing::Kpl => (Some(packing), bytes),
    }
}

/// How large a record of lines is to be by the Java agent's key for that, if it says so and nothing goes before it.
fn aggregated(section: &mut Section<'_>, is_firehose: bool) -> Option<usize> {
    let key = "aggregatedRecordSizeBytes";
    let bytes = section.size(key);
    if bytes == 0 {
        return None;
    }
    let before = ["packing", "multiLineStartPattern"].into_iter().find(|before| section.is_given(before));
    match before {
        Some(before) => section.warn(key, format!("`{key}` has no effect beside `{before}`")),
        None if is_firehose => return Some(bytes),
        None => section.warn(key, format!("`{key}` has no effect without `deliveryStream`; set `packing`")),
    }
    None
}

//! Records to one aggregate of the Kinesis Producer Library. Pure.
//!
//! Every record of an aggregate has the aggregate's own partition key: resharding between writing and reading then never
//! moves one of them out of its shard, where readers would leave it out in silence.
//!
//! Format: <https://github.com/awslabs/amazon-kinesis-producer/blob/master/aggregation-format.md>.

use md5::{Digest, Md5};

/// What an aggregate begins with.
const MAGIC: [u8; 4] = [0xf3, 0x89, 0x9a, 0xc2];

/// The bytes of the MD5 that it ends in.
const MD5_BYTES: usize = 16;

// Fields of the messages, as protobuf writes a field's number and the type of bytes (2) or of a number (0).
const PARTITION_KEY_TABLE: u8 = (1 << 3) | 2;
const RECORDS: u8 = (3 << 3) | 2;
const PARTITION_KEY_INDEX: u8 = 1 << 3;
const DATA: u8 = (3 << 3) | 2;

/// The bytes of an aggregate without records whose key has `key` bytes.
pub(super) fn empty_bytes(key: usize) -> usize {
    MAGIC.len() + 1 + varint_bytes(key) + key + MD5_BYTES
}

/// The bytes that a record of `len` bytes takes up in an aggregate.
pub(super) fn record_bytes(len: usize) -> usize {
    let message = message_bytes(len);
    1 + varint_bytes(message) + message
}

/// Appends the aggregate of `records` with the partition key `key`.
pub(super) fn write<'a>(key: &[u8], records: impl Iterator<Item = &'a [u8]>, out: &mut Vec<u8>) {
    out.extend_from_slice(&MAGIC);
    let start = out.len();
    out.push(PARTITION_KEY_TABLE);
    write_bytes(key, out);
    for data in records {
        out.push(RECORDS);
        write_varint(message_bytes(data.len()), out);
        // The first key of the table, which is the only one.
        out.extend_from_slice(&[PARTITION_KEY_INDEX, 0, DATA]);
        write_bytes(data, out);
    }
    let md5 = Md5::digest(out.get(start..).unwrap_or_default());
    out.extend_from_slice(&md5);
}

/// The bytes of the message that says of a record its key and its data.
fn message_bytes(len: usize) -> usize {
    3 + varint_bytes(len) + len
}

fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    write_varint(bytes.len(), out);
    out.extend_from_slice(bytes);
}

fn varint_bytes(number: usize) -> usize {
    let bits = usize::BITS - number.leading_zeros();
    usize::try_from(bits.div_ceil(7).max(1)).unwrap_or_default()
}

/// Seven bits at a time, the lowest first; all bytes but the last have their highest bit set.
fn write_varint(mut number: usize, out: &mut Vec<u8>) {
    loop {
        let low = u8::try_from(number & 0x7f).unwrap_or_default();
        number >>= 7;
        if number == 0 {
            return out.push(low);
        }
        out.push(low | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn aggregate(key: &[u8], records: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::new();
        write(key, records.iter().copied(), &mut out);
        out
    }

    /// Made by `aws_kinesis_agg` 1.2.3 of AWS.
    #[test]
    fn an_aggregate_is_that_of_the_library() {
        let expected =
            b"\xf3\x89\x9a\xc2\x0a\x03pk1\x1a\x09\x08\x00\x1a\x05hello\x1a\x09\x08\x00\x1a\x05world\
            \xf5\xfb\x92\xb0\x7d\x5d\xc9\x86\xbb\x59\x15\xe9\x65\x75\x57\xaa";
        assert_eq!(aggregate(b"pk1", &[b"hello", b"world"]), expected);
    }

    #[test]
    fn golden_records_make_the_golden_aggregate() {
        let lines = include_str!("../../../fixtures/records/combined.native.jsonl");
        let records: Vec<&[u8]> = lines.split_inclusive('\n').map(str::as_bytes).collect();
        let golden = include_bytes!("../../../fixtures/records/packed/aggregate.bin");
        assert!(aggregate(b"a", &records) == golden);
    }

    proptest! {
        /// What is said of the length beforehand is true, whatever the records and their lengths.
        #[test]
        fn the_length_is_known_beforehand(
            key in 1usize..300,
            lens in proptest::collection::vec(prop_oneof![0usize..300, 16_000usize..17_000, 2_097_100usize..2_097_200], 0..4),
        ) {
            let key = vec![b'k'; key];
            let data: Vec<Vec<u8>> = lens.iter().map(|len| vec![b'x'; *len]).collect();
            let records: Vec<&[u8]> = data.iter().map(Vec::as_slice).collect();
            let expected = empty_bytes(key.len()) + lens.iter().map(|len| record_bytes(*len)).sum::<usize>();
            prop_assert_eq!(aggregate(&key, &records).len(), expected);
        }
    }
}

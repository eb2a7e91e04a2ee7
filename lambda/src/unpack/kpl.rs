//! The aggregates of the Kinesis Producer Library, read where they lie. Pure.
//!
//! ```text
//! F3 89 9A C2 │ AggregatedRecord, in protobuf │ MD5 of that, 16 bytes
//! ```
//!
//! Does not know what the data inside mean. What is not an aggregate to its last byte is none, and its bytes are an
//! ordinary record's, as the Kinesis Client Library has it.
//!
//! Sources: <https://github.com/awslabs/amazon-kinesis-producer/blob/master/aggregation-format.md>,
//! <https://protobuf.dev/programming-guides/encoding/>.

use std::ops::Range;

use md5::{Digest, Md5};

const MAGIC: &[u8] = b"\xf3\x89\x9a\xc2";
const MD5_BYTES: usize = 16;

/// Fields of `AggregatedRecord`.
const PARTITION_KEYS: u64 = 1;
const HASH_KEYS: u64 = 2;
const RECORDS: u64 = 3;
/// Fields of `Record`.
const PARTITION_KEY_INDEX: u64 = 1;
const HASH_KEY_INDEX: u64 = 2;
const DATA: u64 = 3;

/// A whole and intact aggregate.
#[derive(Clone, Copy)]
pub(super) struct Aggregate<'a> {
    /// All of it. Every field inside has been read once.
    bytes: &'a [u8],
}

impl<'a> Aggregate<'a> {
    /// The aggregate that these bytes are.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Aggregate<'a>> {
        let (message, md5) = bytes.strip_prefix(MAGIC)?.split_last_chunk::<MD5_BYTES>()?;
        if message.is_empty() || Md5::digest(message).as_slice() != md5 {
            return None;
        }
        let aggregate = Aggregate { bytes };
        aggregate.is_whole()?.then_some(aggregate)
    }

    /// Where the data of each record inside lie.
    pub(super) fn data(self) -> impl Iterator<Item = Range<usize>> + use<'a> {
        self.fields().flatten().filter_map(move |field| match field {
            (RECORDS, Value::Bytes(range)) => Member::read(Fields { bytes: self.bytes, range })?.data,
            _ => None,
        })
    }

    /// Whether every record inside has data, and keys that are in the tables; `None` if it cannot even be read.
    fn is_whole(self) -> Option<bool> {
        let (mut partition_keys, mut hash_keys) = (0_u64, 0_u64);
        let (mut partition_keys_used, mut hash_keys_used) = (0_u64, 0_u64);
        for field in self.fields() {
            match field? {
                (PARTITION_KEYS, Value::Bytes(_)) => partition_keys = partition_keys.checked_add(1)?,
                (HASH_KEYS, Value::Bytes(_)) => hash_keys = hash_keys.checked_add(1)?,
                (RECORDS, Value::Bytes(range)) => {
                    let member = Member::read(Fields { bytes: self.bytes, range })?;
                    member.data?;
                    partition_keys_used = partition_keys_used.max(member.partition_key?.checked_add(1)?);
                    if let Some(hash_key) = member.hash_key {
                        hash_keys_used = hash_keys_used.max(hash_key.checked_add(1)?);
                    }
                }
                _ => {}
            }
        }
        Some(partition_keys_used <= partition_keys && hash_keys_used <= hash_keys)
    }

    fn fields(self) -> Fields<'a> {
        let end = self.bytes.len().saturating_sub(MD5_BYTES);
        Fields { bytes: self.bytes, range: MAGIC.len()..end }
    }
}

/// One record of an aggregate, as far as it was written.
#[derive(Default)]
struct Member {
    partition_key: Option<u64>,
    hash_key: Option<u64>,
    data: Option<Range<usize>>,
}

impl Member {
    /// Of a field that is there twice, the last one counts.
    fn read(fields: Fields<'_>) -> Option<Member> {
        let mut member = Member::default();
        for field in fields {
            match field? {
                (PARTITION_KEY_INDEX, Value::Number(index)) => member.partition_key = Some(index),
                (HASH_KEY_INDEX, Value::Number(index)) => member.hash_key = Some(index),
                (DATA, Value::Bytes(range)) => member.data = Some(range),
                _ => {}
            }
        }
        Some(member)
    }
}

/// What a field holds.
enum Value {
    Number(u64),
    /// Where the bytes lie.
    Bytes(Range<usize>),
    /// Four or eight bytes, which no field of ours has.
    Fixed,
}

/// The fields of one message, each with its number; a field that cannot be read is `None` and the last one.
#[derive(Clone)]
struct Fields<'a> {
    bytes: &'a [u8],
    /// Where what is left of the message lies.
    range: Range<usize>,
}

impl Iterator for Fields<'_> {
    type Item = Option<(u64, Value)>;

    fn next(&mut self) -> Option<Option<(u64, Value)>> {
        if self.range.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.range.start = self.range.end;
        }
        Some(field)
    }
}

impl Fields<'_> {
    fn field(&mut self) -> Option<(u64, Value)> {
        let tag = self.varint()?;
        let value = match tag & 0b111 {
            0 => Value::Number(self.varint()?),
            1 => self.skip(8).map(|_| Value::Fixed)?,
            2 => {
                let len = usize::try_from(self.varint()?).ok()?;
                Value::Bytes(self.skip(len)?)
            }
            5 => self.skip(4).map(|_| Value::Fixed)?,
            // Groups are not written any more, and 6 and 7 never were.
            _ => return None,
        };
        Some((tag >> 3, value))
    }

    /// Seven bits in each byte, the lowest first; the eighth bit says that more follow.
    fn varint(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = *self.bytes.get(self.skip(1)?.start)?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    /// Where the next `len` bytes lie.
    fn skip(&mut self, len: usize) -> Option<Range<usize>> {
        let start = self.range.start;
        let end = start.checked_add(len).filter(|end| *end <= self.range.end)?;
        self.range.start = end;
        Some(start..end)
    }
}

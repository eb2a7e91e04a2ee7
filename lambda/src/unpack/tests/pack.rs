//! Packs lines as their producers do, on other ways than they are unpacked.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use md5::{Digest, Md5};

pub(super) fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

pub(super) fn zstd(data: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(data, 1).unwrap()
}

fn varint(mut number: usize) -> Vec<u8> {
    let mut bytes = vec![];
    while number > 0x7f {
        bytes.push(u8::try_from(number & 0x7f).unwrap() | 0x80);
        number >>= 7;
    }
    bytes.push(u8::try_from(number).unwrap());
    bytes
}

/// A field of bytes.
pub(super) fn field(number: usize, bytes: &[u8]) -> Vec<u8> {
    [&varint(number << 3 | 2), &varint(bytes.len()), bytes].concat()
}

/// A record of an aggregate.
pub(super) fn member(key: usize, data: &[u8]) -> Vec<u8> {
    field(3, &[&[0x08], &*varint(key), &field(3, data)].concat())
}

/// A message with its magic and its checksum.
pub(super) fn sealed(message: &[u8]) -> Vec<u8> {
    [b"\xf3\x89\x9a\xc2", message, &Md5::digest(message)].concat()
}

pub(super) fn aggregate(records: &[Vec<u8>]) -> Vec<u8> {
    let members: Vec<Vec<u8>> = records.iter().map(|data| member(0, data)).collect();
    sealed(&[field(1, b"a"), members.concat()].concat())
}

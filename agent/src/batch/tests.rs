//! Lines through a batcher, as the pipeline has them go.

use std::io::Read;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::parse::{Parser, Surroundings};
use crate::position::{Mark, Tail};
use crate::split::Line;

fn settings(records: usize, bytes: usize, key: PartitionKey) -> Settings {
    Settings {
        limits: Limits::new(records, bytes).unwrap(),
        linger: Duration::from_secs(1),
        key,
        terminator: Terminator::default(),
        packing: Packing::None,
        packed_bytes: Settings::DEFAULT_PACKED_BYTES,
        record_bytes: RECORD_BYTES,
        order: Order::Free,
    }
}

fn position(offset: usize) -> Position {
    Position { offset: Offset::from_raw(offset as u64), tail: Tail::default() }
}

fn mark(place: u64) -> Mark {
    Mark { place, turn: 0, first: None }
}

/// Runs `lines` of one file through a batcher as the pipeline does.
fn batches(lines: &[Vec<u8>], settings: Settings) -> Vec<Batch> {
    let now = Instant::now();
    let mut batcher = Batcher::new(settings, fastrand::Rng::with_seed(7), &Arc::default());
    batcher.turn_to(FileId::FIRST, mark(0));
    let (mut parser, around) = (Parser::default(), Surroundings::at(Duration::ZERO));
    let (mut out, mut end, mut covered) = (Vec::new(), 0, 0);
    for line in lines {
        let record = parser.parse(&Line::alone(line), &around, batcher.buffer()).unwrap();
        let at = Offset::from_raw(end as u64);
        if batcher.add(&record, at, now) == Added::Full {
            batcher.cover(FileId::FIRST, Offset::from_raw(covered as u64), position(end), now);
            covered = end;
            out.push(batcher.close(now));
            assert_ne!(batcher.add(&record, at, now), Added::Full);
        }
        end += line.len();
    }
    batcher.cover(FileId::FIRST, Offset::from_raw(covered as u64), position(end), now);
    out.push(batcher.close(now));
    let batch = |closed| if let Closed::Batch(batch) = closed { Some(batch) } else { None };
    out.into_iter().filter_map(batch).collect()
}

fn key(batch: &Batch, index: usize) -> String {
    let mut text = Vec::new();
    batch.write_key(index, &mut text);
    String::from_utf8(text).unwrap()
}

proptest! {
    /// No batch is empty or beyond its limits; nothing is lost, doubled or out of order; spans touch.
    #[test]
    fn batches_hold_their_limits_and_everything(
        lines in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..40), 0..60),
        records in 1usize..8,
        bytes in 60usize..200,
    ) {
        let batches = batches(&lines, settings(records, bytes, PartitionKey::Random));
        let mut at = Offset::START;
        let mut out = Vec::new();
        for batch in &batches {
            prop_assert!((1..=records).contains(&batch.entries()));
            let mut size = 0;
            for index in 0..batch.entries() {
                size += batch.data(index).len() + key(batch, index).len();
                let before = out.iter().map(Vec::len).sum();
                prop_assert_eq!(batch.origin(index), Some((FileId::FIRST, Offset::START.advance(before))));
                out.push(batch.data(index).to_vec());
            }
            prop_assert_eq!(batch.origin(batch.entries()), None);
            prop_assert!(size <= bytes || batch.entries() == 1);
            prop_assert_eq!(batch.shares().len(), 1);
            let share = batch.shares()[0];
            prop_assert_eq!((share.span.start(), share.records), (at, batch.entries()));
            at = share.span.end().offset;
        }
        prop_assert_eq!(at, Offset::START.advance(lines.iter().map(Vec::len).sum()));
        prop_assert_eq!(out, lines);
    }
}

#[test]
fn an_over_long_record_is_cut_to_the_limit_with_its_terminator() {
    for (option, key_len) in [(PartitionKey::Random, 13), (PartitionKey::Deterministic, 32)] {
        let mut settings = settings(500, Limits::DEFAULT_BYTES, option);
        settings.terminator = Terminator::new("#CUT\n").unwrap();
        let batches = batches(&[vec![b'x'; RECORD_BYTES + 10]], settings);
        let data = batches[0].data(0);
        assert_eq!(data.len(), RECORD_BYTES - key_len);
        assert!(data.ends_with(b"x#CUT\n"));
    }
}

#[test]
fn a_record_larger_than_a_request_is_sent_alone() {
    let lines = [b"a\n".to_vec(), vec![b'x'; 300], b"b\n".to_vec()];
    let batches = batches(&lines, settings(500, 100, PartitionKey::Random));
    assert_eq!(batches.iter().map(Batch::entries).collect::<Vec<_>>(), [1, 1, 1]);
}

#[test]
fn a_random_key_is_a_decimal_number_and_new_for_each_record() {
    let batches = batches(&[b"a\n".to_vec(), b"a\n".to_vec()], settings(500, 1000, PartitionKey::Random));
    let (first, second) = (key(&batches[0], 0), key(&batches[0], 1));
    assert!(first.parse::<f64>().unwrap() < 1e6 && first.len() == 13, "{first}");
    assert_ne!(first, second);
}

#[test]
fn a_deterministic_key_is_the_md5_of_the_record() {
    let batches = batches(&[b"one\n".to_vec()], settings(500, 1000, PartitionKey::Deterministic));
    // Of `printf 'one\n' | md5sum`.
    assert_eq!(key(&batches[0], 0), "5bbf5a52328e7439ae6e719dfe712200");
}

#[test]
fn each_record_is_of_the_file_whose_share_it_is_in() {
    let now = Instant::now();
    let mut batcher =
        Batcher::new(settings(500, 1000, PartitionKey::Random), fastrand::Rng::with_seed(7), &Arc::default());
    let files = [FileId::FIRST, FileId::FIRST.next()];
    for (file, lines) in files.into_iter().zip([1, 2]) {
        batcher.turn_to(file, mark(0));
        for line in 0..lines {
            let record = Record::raw(b"ab", batcher.buffer());
            batcher.add(&record, Offset::from_raw(2 * line), now);
        }
        batcher.cover(file, Offset::START, position(8), now);
    }
    let Closed::Batch(batch) = batcher.close(now) else { unreachable!("there are records") };
    let origins = (0..4).map(|index| batch.origin(index));
    let [first, second] = files;
    let at = |file, offset| Some((file, Offset::from_raw(offset)));
    assert!(origins.eq([at(first, 0), at(second, 0), at(second, 2), None]));
}

#[test]
fn lines_that_were_dropped_are_covered_without_a_batch() {
    let now = Instant::now();
    let mut batcher =
        Batcher::new(settings(500, 1000, PartitionKey::Random), fastrand::Rng::with_seed(7), &Arc::default());
    assert!(matches!(batcher.close(now), Closed::Nothing));
    batcher.cover(FileId::FIRST, Offset::START, position(10), now);
    assert_eq!(batcher.deadline(), Some(now + Duration::from_secs(1)));
    assert!(matches!(&batcher.close(now), Closed::Dropped(dropped) if dropped[0].span().bytes() == 10));
    assert_eq!(batcher.deadline(), None);
}

/// The records of one entry, unpacked by the libraries of others or by hand.
fn unpacked(data: &[u8], packing: Packing) -> Vec<Vec<u8>> {
    let lines = |bytes: &[u8]| bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    match packing {
        Packing::None => vec![data.to_vec()],
        Packing::Lines(_) if data.starts_with(b"\x28\xb5\x2f\xfd") => {
            lines(&zstd::stream::decode_all(data).unwrap())
        }
        Packing::Lines(_) if data.starts_with(b"\x1f\x8b") => {
            let mut text = Vec::new();
            flate2::read::GzDecoder::new(data).read_to_end(&mut text).unwrap();
            lines(&text)
        }
        Packing::Lines(_) => lines(data),
        Packing::Kpl => match data.strip_prefix(b"\xf3\x89\x9a\xc2") {
            None => vec![data.to_vec()],
            Some(rest) => records_of(rest.split_last_chunk::<16>().unwrap().0),
        },
    }
}

/// The records of an aggregate whose key is the first of its fields.
fn records_of(mut message: &[u8]) -> Vec<Vec<u8>> {
    fn varint(bytes: &mut &[u8]) -> usize {
        let (mut number, mut shift) = (0, 0);
        loop {
            let (byte, rest) = bytes.split_first().unwrap();
            *bytes = rest;
            number |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                return number;
            }
        }
    }
    let mut records = Vec::new();
    while let Some((tag, rest)) = message.split_first() {
        message = rest;
        let len = varint(&mut message);
        let (field, rest) = message.split_at(len);
        message = rest;
        if *tag == 0x1a {
            let mut data = field.strip_prefix(b"\x08\x00\x1a").unwrap();
            let len = varint(&mut data);
            assert_eq!(data.len(), len);
            records.push(data.to_vec());
        }
    }
    records
}

fn packings() -> impl Strategy<Value = Packing> {
    prop_oneof![
        Just(Packing::None),
        Just(Packing::Kpl),
        Just(Packing::Lines(Compression::None)),
        Just(Packing::Lines(Compression::Gzip)),
        Just(Packing::Lines(Compression::Zstd)),
    ]
}

proptest! {
    /// Whatever the packing, what comes out is what went in, in its order; each entry knows how many records it holds and
    /// where the first of them is from; no request is beyond its limits, and no pack beyond what was wanted of it.
    #[test]
    fn packs_hold_everything_within_their_limits(
        lines in proptest::collection::vec((0usize..3, proptest::collection::vec(b' '..=b'~', 0..60)), 0..200),
        packing in packings(),
        entries in 1usize..6,
        bytes in 150usize..3000,
        wanted in 1usize..600,
    ) {
        let lines: Vec<Vec<u8>> = lines
            .into_iter()
            .map(|(times, mut line)| {
                line = line.repeat(times);
                line.push(b'\n');
                line
            })
            .collect();
        let settings = Settings { packing, packed_bytes: wanted, ..settings(entries, bytes, PartitionKey::Random) };
        let mut out = Vec::new();
        for batch in &batches(&lines, settings) {
            prop_assert!((1..=entries).contains(&batch.entries()));
            let (mut size, mut records) = (0, 0);
            for index in 0..batch.entries() {
                let (data, before) = (batch.data(index), out.iter().map(Vec::len).sum());
                prop_assert_eq!(batch.origin(index), Some((FileId::FIRST, Offset::START.advance(before))));
                let unpacked = unpacked(data, packing);
                prop_assert_eq!(batch.records(index), unpacked.len());
                prop_assert!(packing != Packing::None || unpacked.len() == 1);
                let is_bound = !matches!(packing, Packing::Lines(Compression::Gzip | Compression::Zstd));
                prop_assert!(!is_bound || data.len() <= wanted || unpacked.len() == 1);
                size += data.len() + key(batch, index).len();
                records += unpacked.len();
                out.extend(unpacked);
            }
            prop_assert!(size <= bytes || records == 1, "{} of {}", size, bytes);
            prop_assert_eq!(batch.shares().iter().map(|share| share.records).sum::<usize>(), records);
        }
        prop_assert_eq!(out, lines);
    }
}

/// Packs of `text`'s lines as they become when there is no end of them.
fn sizes(text: &[u8], packing: Packing, wanted: usize) -> Vec<usize> {
    let lines: Vec<Vec<u8>> = text.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    let settings =
        Settings { packing, packed_bytes: wanted, ..settings(500, Limits::MAX_BYTES, PartitionKey::Random) };
    let batches = batches(&lines, settings);
    batches.iter().flat_map(|batch| (0..batch.entries()).map(|index| batch.data(index).len())).collect()
}

#[test]
fn a_pack_becomes_as_large_as_it_is_wanted_compressed_or_not() {
    let mut random = fastrand::Rng::with_seed(3);
    let line = |_| format!("{{\"host\":\"192.0.2.{}\",\"bytes\":{}}}\n", random.u8(..), random.u32(..));
    let text: String = (0..60_000).map(line).collect();
    for packing in [Packing::Kpl, Packing::Lines(Compression::None), Packing::Lines(Compression::Zstd)] {
        let sizes = sizes(text.as_bytes(), packing, 20_000);
        // The first ones teach how well the lines compress, the last is what is left.
        let settled = &sizes[3..sizes.len() - 1];
        assert!(settled.len() > 5, "{sizes:?}");
        assert!(settled.iter().all(|size| (18_000..22_000).contains(size)), "{packing:?}: {sizes:?}");
    }
}

#[test]
fn what_does_not_compress_still_fits_the_stream() {
    let mut random = fastrand::Rng::with_seed(4);
    // Well, and then not at all.
    let mut text = b"the same\n".repeat(2_000_000);
    text.extend((0..4_000_000).map(|at| if at % 100 == 99 { b'\n' } else { random.u8(11..) }));
    for compression in [Compression::Gzip, Compression::Zstd] {
        let sizes = sizes(&text, Packing::Lines(compression), 100_000);
        assert!(sizes.iter().all(|size| *size <= RECORD_BYTES - 13), "{sizes:?}");
    }
}

#[test]
fn a_record_without_a_newline_gets_one_in_a_pack_and_only_there() {
    let lines = [b"one\n".to_vec(), b"two".to_vec()];
    for (packing, expected) in [
        (Packing::Lines(Compression::None), &[b"one\ntwo\n".as_slice()][..]),
        (Packing::None, &[b"one\n", b"two"]),
    ] {
        let batches = batches(&lines, Settings { packing, ..settings(500, 1000, PartitionKey::Random) });
        let data: Vec<&[u8]> = (0..batches[0].entries()).map(|index| batches[0].data(index)).collect();
        assert_eq!(data, expected);
    }
}

#[test]
fn an_over_long_record_is_cut_so_that_it_fits_with_its_newline() {
    let packing = Packing::Lines(Compression::None);
    let mut settings = Settings { packing, ..settings(500, Limits::DEFAULT_BYTES, PartitionKey::Random) };
    settings.terminator = Terminator::new("#CUT").unwrap();
    let batches = batches(&[vec![b'x'; RECORD_BYTES]], settings);
    let data = batches[0].data(0);
    assert_eq!(data.len(), RECORD_BYTES - 13);
    assert!(data.ends_with(b"x#CUT\n"));
}

/// A key by which records of the same content go to the same shard is that of the pack.
#[test]
fn a_deterministic_key_is_the_md5_of_the_records_of_a_pack() {
    let packing = Packing::Lines(Compression::Zstd);
    let settings = Settings { packing, ..settings(500, 1000, PartitionKey::Deterministic) };
    let batches = batches(&[b"one\n".to_vec(), b"two\n".to_vec()], settings);
    // Of `printf 'one\ntwo\n' | md5sum`.
    assert_eq!(key(&batches[0], 0), "2094b601daac3d68f5aed51d3c20f7cd");
}

/// Runs lines of several files through a batcher that keeps their order.
fn batches_of_files(lines: &[(usize, Vec<u8>)], settings: Settings) -> Vec<Batch> {
    let now = Instant::now();
    let files: Vec<FileId> =
        std::iter::successors(Some(FileId::FIRST), |file| Some(file.next())).take(4).collect();
    let mut batcher = Batcher::new(settings, fastrand::Rng::with_seed(7), &Arc::default());
    let (mut out, mut ends) = (Vec::new(), [0_usize; 4]);
    for (index, line) in lines {
        let (file, start) = (files[*index], ends[*index]);
        batcher.turn_to(file, mark(*index as u64));
        let record = Record::raw(line, batcher.buffer());
        if batcher.add(&record, Offset::from_raw(start as u64), now) == Added::Full {
            out.push(batcher.close(now));
            assert_ne!(batcher.add(&record, Offset::from_raw(start as u64), now), Added::Full);
        }
        ends[*index] += line.len();
        batcher.cover(file, Offset::from_raw(start as u64), position(ends[*index]), now);
    }
    out.push(batcher.close(now));
    let batch = |closed| if let Closed::Batch(batch) = closed { Some(batch) } else { None };
    out.into_iter().filter_map(batch).collect()
}

proptest! {
    /// Where order is kept a request holds one pack of a file at most, with the file's own key, and the packs of a file hold
    /// its lines in their order.
    #[test]
    fn each_file_has_one_pack_in_a_request_and_its_own_key(
        lines in proptest::collection::vec((0usize..4, proptest::collection::vec(b' '..=b'~', 0..60)), 0..200),
        packing in packings().prop_filter("packs", |packing| *packing != Packing::None),
        entries in 1usize..6,
        bytes in 400usize..3000,
        wanted in 1usize..600,
    ) {
        let end = |(file, mut line): (usize, Vec<u8>)| {
            line.push(b'\n');
            (file, line)
        };
        let lines: Vec<_> = lines.into_iter().map(end).collect();
        let settings = settings(entries, bytes, PartitionKey::Random);
        let settings = Settings { packing, packed_bytes: wanted, order: Order::File, ..settings };
        let mut out: [Vec<Vec<u8>>; 4] = Default::default();
        let mut keys = std::collections::BTreeMap::new();
        for batch in &batches_of_files(&lines, settings) {
            prop_assert!((1..=entries).contains(&batch.entries()));
            let mut files = std::collections::BTreeSet::new();
            let mut size = 0;
            for index in 0..batch.entries() {
                let (file, offset) = batch.origin(index).unwrap();
                prop_assert!(files.insert(file), "two packs of a file");
                prop_assert_eq!(keys.entry(file).or_insert_with(|| key(batch, index)).as_str(), key(batch, index));
                let unpacked = unpacked(batch.data(index), packing);
                prop_assert_eq!(batch.records(index), unpacked.len());
                let of_file = &mut out[usize::try_from(file.to_raw()).unwrap() - 1];
                prop_assert_eq!(offset, Offset::from_raw(of_file.iter().map(|line| line.len() as u64).sum()));
                of_file.extend(unpacked);
                size += batch.data(index).len() + batch.key_len(index);
            }
            prop_assert!(size <= bytes || batch.entries() == 1, "{} of {}", size, bytes);
        }
        prop_assert_eq!(keys.values().collect::<std::collections::BTreeSet<_>>().len(), keys.len());
        for (file, out) in out.iter().enumerate() {
            let expected = lines.iter().filter(|(index, _)| *index == file).map(|(_, line)| line);
            prop_assert!(out.iter().eq(expected), "file {}", file);
        }
    }
}

//! The lines of records: of those that other packers made, of our own packers' for any lines, and of any bytes.

mod pack;

use std::error::Error;
use std::io::Write;

use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::sample::select;

use super::*;
use pack::{aggregate, field, gzip, member, sealed, zstd};

macro_rules! packed {
    ($name:literal) => {
        include_bytes!(concat!("../../../fixtures/records/packed/", $name, ".bin")).as_slice()
    };
}

const COMBINED: &[u8] = include_bytes!("../../../fixtures/records/combined.native.jsonl");
const STRINGS: &[u8] = include_bytes!("../../../fixtures/records/combined.strings.jsonl");
const HOSTS: &[u8] = include_bytes!("../../../fixtures/records/hosts.native.jsonl");

fn lines_of(text: &[u8]) -> Vec<&[u8]> {
    text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect()
}

fn unpacked(data: &[u8]) -> Result<Vec<Vec<u8>>, Unreadable> {
    Unpacker::new().unpack(data).map(|lines| lines.map(<[u8]>::to_vec).collect())
}

/// The lines of one record.
#[track_caller]
fn check(data: &[u8], expected: &[&[u8]]) {
    assert_eq!(unpacked(data).unwrap(), expected, "{}", data.escape_ascii());
}

/// Why a record is refused.
#[track_caller]
fn check_refused(data: &[u8], expected: Reason) {
    assert_eq!(unpacked(data).unwrap_err().reason(), expected);
}

type Pack = fn(&[u8]) -> Vec<u8>;

#[test]
fn a_record_of_lines_is_those_lines() {
    check(b"{\"a\":1}", &[b"{\"a\":1}"]);
    check(b"a\nb\r\n c \r\r\n", &[b"a", b"b", b" c \r"]);
    check(packed!("lines"), &lines_of(COMBINED));
}

#[test]
fn blank_lines_are_left_out() {
    for blank in ["", "\n", "\r\n", " \n\t\n \r\n", "   "] {
        check(blank.as_bytes(), &[]);
    }
    check(b"\n\na\n \nb", &[b"a", b"b"]);
}

#[test]
fn what_other_packers_made_is_unpacked() {
    for data in [packed!("aggregate"), packed!("gzip"), packed!("zstd")] {
        check(data, &lines_of(COMBINED));
    }
    check(packed!("aggregate-several-keys"), &lines_of(STRINGS));
    check(packed!("gzip-members"), &lines_of(HOSTS));
    check(packed!("zstd-frames"), &lines_of(HOSTS));
}

#[test]
fn one_packing_may_be_inside_the_other() {
    check(packed!("zstd-aggregate"), &lines_of(HOSTS));
    check(packed!("aggregate-zstd"), &lines_of(HOSTS));
    check(packed!("aggregate-mixed"), &lines_of(HOSTS));
    check(packed!("zstd-aggregate-gzip"), &lines_of(HOSTS));
}

#[test]
fn records_that_hold_too_much_together_are_refused_until_the_next_call() {
    let record = zstd::bulk::compress(&vec![b'\n'; 9 << 20], 1).unwrap();
    let mut unpacker = Unpacker::new();
    let mut in_one_call = || {
        unpacker.begin_call();
        (0..40).take_while(|_| !matches!(unpacker.unpack(&record), Err(Unreadable::TooMuch))).count()
    };
    assert_eq!(in_one_call(), CALL_BYTES / (9 << 20));
    assert_eq!(in_one_call(), CALL_BYTES / (9 << 20));
    assert_eq!(Unreadable::TooMuch.reason(), Reason::TooLarge);
}

#[test]
fn a_bomb_is_refused() {
    check_refused(packed!("bomb-gzip"), Reason::TooLarge);
    check_refused(packed!("bomb-zstd"), Reason::TooLarge);
    check_refused(packed!("bomb-zstd-size-unsaid"), Reason::TooLarge);
    check_refused(packed!("bomb-aggregate"), Reason::TooLarge);
}

#[test]
fn as_much_as_is_allowed_comes_out_and_not_a_byte_more() {
    let allowed = vec![b'a'; EXPANDED_BYTES];
    let too_much = vec![b'a'; EXPANDED_BYTES + 1];
    for pack in [gzip, zstd] {
        check_len(&pack(&allowed), EXPANDED_BYTES);
        check_refused(&pack(&too_much), Reason::TooLarge);
        // What lies between is counted as well.
        check_refused(&pack(&pack(&allowed)), Reason::TooLarge);
    }
}

#[track_caller]
fn check_len(data: &[u8], expected: usize) {
    assert_eq!(Unpacker::new().unpack(data).unwrap().map(<[u8]>::len).sum::<usize>(), expected);
}

#[test]
fn a_record_that_is_not_packed_may_be_of_any_size() {
    check_len(&vec![b'a'; EXPANDED_BYTES + 1], EXPANDED_BYTES + 1);
}

#[test]
fn a_size_that_is_too_large_is_not_tried() {
    // A frame that says it holds 2^62 bytes, and nothing behind it.
    let header = [b"\x28\xb5\x2f\xfd\xe0".as_slice(), &(1_u64 << 62).to_le_bytes()].concat();
    check_refused(&header, Reason::TooLarge);
}

#[test]
fn a_window_beyond_what_every_reader_has_is_refused() {
    let mut encoder = zstd::stream::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(24).unwrap();
    encoder.write_all(b"a").unwrap();
    check_refused(&encoder.finish().unwrap(), Reason::NotZstd);
}

#[test]
fn what_is_packed_too_often_is_refused() {
    let packings: [Pack; 3] = [gzip, zstd, |data| aggregate(&[data.to_vec()])];
    for pack in packings {
        let three_times = pack(&pack(&pack(b"a")));
        check(&three_times, &[b"a"]);
        check_refused(&pack(&three_times), Reason::TooDeep);
    }
    check_refused(packed!("deep"), Reason::TooDeep);
}

#[test]
fn what_is_damaged_is_refused() {
    check_refused(packed!("cut-gzip"), Reason::NotGzip);
    check_refused(packed!("cut-zstd"), Reason::NotZstd);
    check_refused(packed!("garbage-after-gzip"), Reason::NotGzip);
    check_refused(packed!("garbage-after-zstd"), Reason::NotZstd);
    check_refused(b"\x1f\x8b is not gzip", Reason::NotGzip);
    check_refused(b"\x28\xb5\x2f\xfd is not zstd", Reason::NotZstd);
}

#[test]
fn every_beginning_of_compressed_bytes_is_refused() {
    for (data, reason, magic) in [(gzip(HOSTS), Reason::NotGzip, 2), (zstd(HOSTS), Reason::NotZstd, 4)] {
        for len in magic..data.len() {
            check_refused(&data[..len], reason);
        }
    }
}

#[test]
fn a_wrong_byte_is_found_by_the_checksum() {
    let mut damaged = gzip(HOSTS);
    let crc = damaged.len() - 8;
    damaged[crc] ^= 1;
    check_refused(&damaged, Reason::NotGzip);
    let mut damaged = packed!("zstd").to_vec();
    *damaged.last_mut().unwrap() ^= 1;
    check_refused(&damaged, Reason::NotZstd);
}

#[test]
fn a_record_is_refused_whole() {
    let records = [b"{\"a\":1}".to_vec(), gzip(HOSTS)[..100].to_vec()];
    check_refused(&aggregate(&records), Reason::NotGzip);
}

#[test]
fn the_cause_of_a_refusal_is_kept() {
    let refused = unpacked(b"\x28\xb5\x2f\xfd is not zstd").unwrap_err();
    assert!(refused.source().is_some());
    assert!(unpacked(packed!("cut-gzip")).unwrap_err().source().unwrap().to_string().contains("end of file"));
}

/// As `aws_kinesis_agg` 1.2.3 writes the records `hello` and `world` with the key `pk1`.
const AGGREGATE: &[u8] =
    b"\xf3\x89\x9a\xc2\x0a\x03pk1\x1a\x09\x08\x00\x1a\x05hello\x1a\x09\x08\x00\x1a\x05world\
    \xf5\xfb\x92\xb0\x7d\x5d\xc9\x86\xbb\x59\x15\xe9\x65\x75\x57\xaa";

#[test]
fn an_aggregate_is_the_records_inside_it() {
    assert_eq!(AGGREGATE.len(), 47);
    check(AGGREGATE, &[b"hello", b"world"]);
}

#[test]
fn each_record_of_an_aggregate_ends_its_last_line() {
    check(&aggregate(&[b"a\nb".to_vec(), vec![], b"\n".to_vec(), b"c\n".to_vec()]), &[b"a", b"b", b"c"]);
}

#[test]
fn an_aggregate_with_a_wrong_byte_is_a_record_as_it_is() {
    for place in 0..AGGREGATE.len() {
        let mut damaged = AGGREGATE.to_vec();
        damaged[place] ^= 1;
        // One of its bytes is a newline, which no line holds.
        assert_eq!(unpacked(&damaged).unwrap().concat(), lines_of(&damaged).concat(), "byte {place}");
    }
    check(packed!("aggregate-wrong-md5"), &lines_of(packed!("aggregate-wrong-md5")));
}

#[test]
fn a_message_that_is_no_aggregate_is_a_record_as_it_is() {
    let key = field(1, b"a");
    let whole = [&*key, &member(0, b"b")].concat();
    check(&sealed(&whole), &[b"b"]);
    for message in [
        vec![],
        // A key that is not in the table, in either place of the table.
        member(0, b"b"),
        [&*key, &member(1, b"b")].concat(),
        // A hash key where there is none.
        [&*key, &field(3, &[b"\x08\x00\x10\x00", &*field(3, b"b")].concat())].concat(),
        // No data, and no key.
        [&*key, &field(3, b"\x08\x00")].concat(),
        [&*key, &field(3, &field(3, b"b"))].concat(),
        // More bytes than there are, a number without end, and a group.
        [&*whole, b"\x1a\x7f"].concat(),
        [&*whole, b"\x08\xff"].concat(),
        [&*whole, b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"].concat(),
        [&*whole, b"\x23\x24"].concat(),
    ] {
        check(&sealed(&message), &lines_of(&sealed(&message)));
    }
}

#[test]
fn fields_that_we_do_not_know_are_passed_over() {
    let tag = field(4, &field(1, b"name"));
    let unknown = [
        b"\x78\x96\x01".as_slice(),
        b"\x79\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x7d\xff\xff\xff\xff",
        &field(15, b"x"),
    ]
    .concat();
    let inner = [&*unknown, b"\x08\x00\x10\x00", &tag, &field(3, b"b"), &unknown].concat();
    let message = [&*unknown, &field(3, &inner), &field(1, b"key"), &field(2, b"hash"), &unknown].concat();
    check(&sealed(&message), &[b"b"]);
}

#[test]
fn an_object_over_several_lines_is_one_line() {
    let pretty = b"{\n  \"a\" : \"}\\\"{\",\n  \"b\" : [ 1, { } ]\n}";
    check(pretty, &[pretty]);
    check(&[&pretty[..], b"\n", pretty, b"\r\n"].concat(), &[pretty, pretty]);
    check(b"{\"a\":1\n}", &[b"{\"a\":1\n}"]);
    check(&aggregate(&[pretty.to_vec(), b"{}\n{}".to_vec()]), &[pretty, b"{}", b"{}"]);
}

#[test]
fn objects_in_an_array_are_one_line_each() {
    for array in [
        "[{\"a\":1},{\"b\":2}]",
        "[\n{\"a\":1},\n{\"b\":2}\n]\n",
        "[{\"a\":1}]\n[{\"b\":2}]",
        "[[{\"a\":1}],{\"b\":2}]",
    ] {
        check(array.as_bytes(), &[b"{\"a\":1}", b"{\"b\":2}"]);
    }
    check(b"[]", &[]);
}

#[test]
fn a_line_that_was_cut_off_costs_no_other() {
    check(b"{\"a\":\"x\n{\"b\":2}\n", &[b"{\"a\":\"x", b"{\"b\":2}"]);
    check(b"{\"a\":\"x\n{\"b\":\"}\n", &[b"{\"a\":\"x", b"{\"b\":\"}"]);
    check(b"{\"a\":1,\n{\"b\":2}\n", &[b"{\"a\":1,", b"{\"b\":2}"]);
    check(b"{\"a\":\"\\\n{\"b\":2}", &[b"{\"a\":\"\\", b"{\"b\":2}"]);
    check(b"[{\"b\":2}\n{\"b\":2}", &[b"[{\"b\":2}", b"{\"b\":2}"]);
    check(b"{\"a\":1}}\n{\n", &[b"{\"a\":1}}", b"{"]);
    check(b"]{\"a\":1}\n", &[b"]{\"a\":1}"]);
}

#[test]
fn a_large_record_does_not_keep_its_memory() {
    let mut unpacker = Unpacker::new();
    for pack in [gzip, zstd] {
        let large = pack(&b"a\n".repeat(EXPANDED_BYTES / 2));
        assert_eq!(unpacker.unpack(&large).unwrap().count(), EXPANDED_BYTES / 2);
        let bytes = |unpacker: &Unpacker| unpacker.levels.iter().map(Vec::capacity).sum::<usize>();
        assert!(bytes(&unpacker) <= EXPANDED_BYTES + 1);
        assert_eq!(unpacker.unpack(b"a").unwrap().count(), 1);
        assert!(bytes(&unpacker) <= DEEPEST * KEPT_BYTES);
    }
}

/// A record and the lines that it is made of, packed up to three times over.
fn any_packed() -> impl Strategy<Value = (Vec<u8>, Vec<Vec<u8>>)> {
    let line = vec(any::<u8>().prop_filter("a newline ends a line", |byte| *byte != b'\n'), 0..40)
        .prop_map(|bytes| [b"x", &*bytes, b"x"].concat());
    let plain = vec(line, 0..5).prop_map(|lines| (lines.join(&b'\n'), lines));
    plain.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            inner.clone().prop_map(|(data, lines)| (gzip(&data), lines)),
            inner.clone().prop_map(|(data, lines)| (zstd(&data), lines)),
            vec(inner, 1..4).prop_map(|parts| {
                let (records, lines): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
                (aggregate(&records), lines.concat())
            }),
        ]
    })
}

/// Bytes that begin as something packed does.
fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    let begin = select(vec![&b""[..], b"\x1f\x8b\x08\x00", b"\x28\xb5\x2f\xfd", b"\xf3\x89\x9a\xc2", b"{"]);
    (begin, vec(any::<u8>(), 0..200)).prop_map(|(begin, bytes)| [begin, &bytes].concat())
}

proptest! {
    #[test]
    fn lines_come_out_as_they_were_packed((data, lines) in any_packed()) {
        prop_assert_eq!(unpacked(&data).unwrap(), lines);
    }

    /// What one record leaves behind must not show in the next one.
    #[test]
    fn the_record_before_does_not_matter(before in vec(any_bytes(), 0..3), (data, lines) in any_packed()) {
        let mut unpacker = Unpacker::new();
        for record in &before {
            unpacker.unpack(record).map(Lines::count).unwrap_or_default();
        }
        let found: Vec<Vec<u8>> = unpacker.unpack(&data).unwrap().map(<[u8]>::to_vec).collect();
        prop_assert_eq!(found, lines);
    }

    /// Whatever the bytes are, they are read or refused; nothing is added to what is not packed.
    #[test]
    fn any_bytes_are_unpacked_or_refused(data in any_bytes()) {
        if let Ok(lines) = unpacked(&data) {
            let is_packed = data.starts_with(b"\x1f\x8b") || data.starts_with(b"\x28\xb5\x2f\xfd");
            prop_assert!(is_packed || lines.concat().len() <= data.len());
        }
    }

    /// A message with the right checksum is read as protobuf, whatever is in it.
    #[test]
    fn any_message_is_an_aggregate_or_a_record(message in vec(any::<u8>(), 0..40), key in vec(any::<u8>(), 0..3)) {
        for message in [message.clone(), [&*field(1, &key), &*field(3, &message)].concat()] {
            prop_assert!(unpacked(&sealed(&message)).is_ok());
        }
    }

    #[test]
    fn lines_of_any_text_are_those_between_newlines(text in r#"[a{}"\[\], \n]{0,30}"#) {
        let text = format!("x{text}");
        let expected: Vec<&str> = text.split('\n').filter(|line| !line.trim().is_empty()).collect();
        let lines = unpacked(text.as_bytes()).unwrap();
        prop_assert_eq!(lines, expected.iter().map(|line| line.as_bytes().to_vec()).collect::<Vec<_>>());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// However a record is packed, no more comes out than is allowed.
    #[test]
    fn what_comes_out_is_bounded(millions in vec(1_usize..7, 1..4)) {
        let parts: Vec<Vec<u8>> = millions.iter().map(|millions| zstd(&vec![b'a'; millions * 1_000_000])).collect();
        let fits = millions.iter().sum::<usize>() * 1_000_000 <= EXPANDED_BYTES;
        prop_assert_eq!(unpacked(&aggregate(&parts)).is_ok(), fits);
        prop_assert_eq!(unpacked(&parts.concat()).is_ok(), fits);
    }
}

//! How chunks fall into lines and records: the Java agent's examples, and that the cutting does not show.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::expression::Expression;
use crate::layout::Records;

/// A layout with records that begin with `start`, if there is one, and files that end with `footer`, if there is one.
fn layout(header_lines: u64, start: Option<&str>, footer: Option<&str>) -> Layout {
    let beginning_with = |start| Records::BeginningWith {
        pattern: Expression::at_start(start).unwrap(),
        idle: Duration::from_secs(1),
    };
    let records = start.map_or(Records::EachLine, beginning_with);
    let footer = footer.map(|footer| Expression::whole(footer).unwrap());
    Layout { header_lines, records, footer, ..Layout::default() }
}

fn chunk<'a>(text: &'a [u8], layout: &'a Layout) -> Chunk<'a> {
    let part = match layout.header_lines {
        0 => Part::Records,
        lines => Part::Header { lines },
    };
    Chunk::alone(text, part, layout)
}

/// The lines of a chunk, each with what it is for.
fn lines(chunk: &Chunk<'_>) -> Vec<(String, Role)> {
    split(chunk).map(|line| (String::from_utf8_lossy(line.bytes()).into_owned(), line.role())).collect()
}

/// The records of `text` while its file may grow, and what is added to them when it is finished.
#[track_caller]
fn check(layout: &Layout, text: &str, growing: &[&str], finished: &[&str]) {
    let records = |chunk: Chunk<'_>| -> Vec<String> {
        let lines = lines(&chunk).into_iter().filter(|(_, role)| *role == Role::Record);
        lines.map(|(text, _)| text).collect()
    };
    assert_eq!(records(chunk(text.as_bytes(), layout)), growing, "{text:?} while it may grow");
    let all = [growing, finished].concat();
    assert_eq!(records(chunk(text.as_bytes(), layout).last()), all, "{text:?} when it is finished");
}

#[test]
fn a_line_keeps_its_newline_and_its_carriage_return_and_may_be_empty() {
    let layout = Layout::default();
    check(&layout, "abc\n", &["abc\n"], &[]);
    check(&layout, "abc\r\n\n", &["abc\r\n", "\n"], &[]);
    check(&layout, "", &[], &[]);
}

#[test]
fn a_last_line_without_newline_waits_until_the_file_is_finished() {
    check(&Layout::default(), "a\nrest", &["a\n"], &["rest"]);
}

#[test]
fn a_record_ends_before_the_next_first_line_and_the_last_is_held() {
    let layout = layout(0, Some(r"\[\d{4}-"), None);
    check(&layout, "[2024-01] a\n  at x\n[2024-02] b\n", &["[2024-01] a\n  at x\n"], &["[2024-02] b\n"]);
    check(&layout, "orphan\n[2024-01] a\n", &["orphan\n"], &["[2024-01] a\n"]);
    check(&layout, "[2024-01] a\n  at x\n", &[], &["[2024-01] a\n  at x\n"]);
    check(&layout, " [2024-01] a\n[2024-02] b\n", &[" [2024-01] a\n"], &["[2024-02] b\n"]);
    check(&layout, "[2024-01] a\n[20", &[], &["[2024-01] a\n[20"]);
    check(&layout, "[2024-01] a\n[2024-02] b", &[], &["[2024-01] a\n", "[2024-02] b"]);
    check(&layout, "a [2024-01]\nb [2024-02]\n", &[], &["a [2024-01]\nb [2024-02]\n"]);
}

#[test]
fn header_lines_are_no_records_whatever_they_match() {
    let two = layout(2, Some(r"\["), None);
    check(&two, "[h\n[h\n[a\n b\n[c\n", &["[a\n b\n"], &["[c\n"]);
    check(&two, "[h\n[h", &[], &[]);
    check(&layout(1, None, None), "h\na\nb\n", &["a\n", "b\n"], &[]);
    let one = layout(3, None, None);
    let left = [("h\n".to_owned(), Role::Header), ("h\n".to_owned(), Role::Header)];
    assert_eq!(lines(&chunk(b"h\nh\nh", &one)), left);
}

#[test]
fn behind_a_footer_there_is_nothing_more() {
    let layout = layout(0, None, Some("#END.*"));
    check(&layout, "a\n #END of file \r\nb\n", &["a\n"], &[]);
    check(&layout, "a #END\nb\n", &["a #END\n", "b\n"], &[]);
    let found = lines(&chunk(b"a\n#END\nb\n", &layout));
    assert_eq!(found, [("a\n".to_owned(), Role::Record), ("#END\n".to_owned(), Role::Footer)]);
    let rest = chunk(b"b\n#END\nc", &layout).within(Part::Rest);
    assert_eq!(lines(&rest), [("b\n".to_owned(), Role::Rest), ("#END\n".to_owned(), Role::Rest)]);
}

#[test]
fn a_header_is_no_footer() {
    check(&layout(1, None, Some("#END")), "#END\na\n#END\nb\n", &["a\n"], &[]);
}

#[test]
fn the_lines_of_a_record_are_counted() {
    let layout = layout(1, Some(r"\["), None);
    let counts = |chunk: &Chunk<'_>| split(chunk).map(|line| line.lines()).collect::<Vec<_>>();
    assert_eq!(counts(&chunk(b"h\n[a\n b\n c\n[d\n[e\n", &layout)), [1, 3, 1]);
    assert_eq!(counts(&chunk(b"h\n[a\n b\n[c\n d", &layout).last()), [1, 2, 2]);
}

proptest! {
    /// The bytes of all lines and of what is left are those of the chunk, in order.
    #[test]
    fn no_byte_is_left_out_or_given_twice(
        text in "[\\[#a \n]{0,60}", header in 0u64..3, last in any::<bool>(),
        start in any::<bool>(), footer in any::<bool>(),
    ) {
        let layout = layout(header, start.then_some(r"\["), footer.then_some("#.*"));
        let chunk = chunk(text.as_bytes(), &layout);
        let chunk = if last { chunk.last() } else { chunk };
        let mut at = 0;
        for line in split(&chunk) {
            prop_assert_eq!(line.end(), at + line.bytes().len());
            prop_assert_eq!(line.bytes(), &text.as_bytes()[at..line.end()]);
            let text = String::from_utf8_lossy(line.bytes()).into_owned();
            prop_assert_eq!(line.lines(), text.split_inclusive('\n').count() as u64);
            at = line.end();
        }
        prop_assert!(!last || footer || at == text.len(), "the last chunk leaves nothing");
    }

    /// However the bytes arrive, the records are the same: what has not ended is read again with what follows.
    #[test]
    fn how_the_bytes_arrive_does_not_show(
        text in "[\\[#a \n]{0,60}", cuts in vec(0usize..61, 0..8), header in 0u64..3,
        start in any::<bool>(), footer in any::<bool>(),
    ) {
        let layout = layout(header, start.then_some(r"\["), footer.then_some("#.*"));
        let whole = lines(&chunk(text.as_bytes(), &layout).last());

        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
        cuts.sort_unstable();
        let (mut found, mut from, mut left) = (Vec::new(), 0, header);
        for (cut, is_last) in cuts.into_iter().map(|cut| (cut, false)).chain([(text.len(), true)]) {
            if found.last().is_some_and(|(_, role)| *role == Role::Footer) {
                break;
            }
            let part = if left > 0 { Part::Header { lines: left } } else { Part::Records };
            let bytes = text.as_bytes().get(from..cut).unwrap_or_default();
            let piece = Chunk::alone(bytes, part, &layout);
            let piece = if is_last { piece.last() } else { piece };
            for line in split(&piece) {
                from += line.bytes().len();
                left -= u64::from(line.role() == Role::Header);
                found.push((String::from_utf8_lossy(line.bytes()).into_owned(), line.role()));
            }
        }
        prop_assert_eq!(found, whole);
    }
}

//! The splitter: no byte of a chunk is left out or given twice, and where it was cut in two does not show.
#![no_main]

use std::sync::LazyLock;
use std::time::Duration;

use kinetail::expression::Expression;
use kinetail::layout::{Layout, Records};
use kinetail::source::{Chunk, Part};
use kinetail::split::{Role, split};

/// How many lines of header a file has at most.
const HEADERS: u8 = 4;

static LAYOUTS: LazyLock<[Layout; 4]> = LazyLock::new(|| {
    let each = || Records::EachLine;
    let several = || Records::BeginningWith {
        pattern: Expression::at_start(r"[\[{\d]").expect("it is an expression"),
        idle: Duration::ZERO,
    };
    let footer = || Some(Expression::whole("#.*|-*").expect("it is an expression"));
    [(each(), None), (several(), None), (each(), footer()), (several(), footer())].map(|(records, footer)| {
        Layout { header_lines: HEADERS.into(), records, footer, ..Layout::default() }
    })
});

fn part(header: u64) -> Part {
    if header == 0 { Part::Records } else { Part::Header { lines: header } }
}

/// The lines of a chunk, each with what it is for.
fn lines<'a>(chunk: &Chunk<'a>) -> Vec<(&'a [u8], Role)> {
    split(chunk).map(|line| (line.bytes(), line.role())).collect()
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    // What stands last chooses how the rest is cut, so that every fixture is a good beginning.
    let Some((text, &[header, layout, low, high])) = input.split_last_chunk() else { return };
    let layout = &LAYOUTS[usize::from(layout) % LAYOUTS.len()];
    let header = u64::from(header % (HEADERS + 1));
    let whole = lines(&Chunk::alone(text, part(header), layout).last());

    let ends_with_footer = whole.last().is_some_and(|(_, role)| *role == Role::Footer);
    let joined: Vec<u8> = whole.iter().flat_map(|(bytes, _)| *bytes).copied().collect();
    assert!(text.starts_with(&joined));
    assert!(ends_with_footer || joined == text, "the last chunk leaves nothing");

    let cut = usize::from(u16::from_le_bytes([low, high])).min(text.len());
    let mut pieces = lines(&Chunk::alone(&text[..cut], part(header), layout));
    if pieces.last().is_none_or(|(_, role)| *role != Role::Footer) {
        let taken = pieces.iter().map(|(bytes, _)| bytes.len()).sum();
        let headers = pieces.iter().filter(|(_, role)| *role == Role::Header).count() as u64;
        let rest = text.get(taken..).expect("no more is taken than there is");
        pieces.extend(lines(&Chunk::alone(rest, part(header - headers), layout).last()));
    }
    assert_eq!(pieces, whole);
});

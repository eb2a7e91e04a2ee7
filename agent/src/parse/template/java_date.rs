//! The layout of a date as Java's letters state it, and by the names that log4j and logback have for layouts.
//!
//! Sources: <https://docs.oracle.com/javase/8/docs/api/java/text/SimpleDateFormat.html>,
//! <https://logging.apache.org/log4j/2.x/manual/pattern-layout.html#converter-date>,
//! <https://logback.qos.ch/manual/layouts.html#date>.

use super::date::{Digits, Item, Unit};

/// The items that `format` stands for; or the letter that cannot be read.
pub(super) fn items(format: &str) -> Result<Vec<Item>, char> {
    match format {
        // One name, three programs: log4j 2 writes a `T` where the others write a space.
        "" | "ISO8601" | "DEFAULT" | "STRICT" => iso(&items("HH:mm:ss")?, ",."),
        "DEFAULT_PERIOD" | "ISO8601_PERIOD" => iso(&items("HH:mm:ss")?, "."),
        "ISO8601_BASIC" => items("yyyyMMdd'T'HHmmss,SSS"),
        "ISO8601_OFFSET_DATE_TIME_HH" => items("yyyy-MM-dd'T'HH:mm:ss,SSSX"),
        "ISO8601_OFFSET_DATE_TIME_HHMM" => items("yyyy-MM-dd'T'HH:mm:ss,SSSZ"),
        "ISO8601_OFFSET_DATE_TIME_HHCMM" => items("yyyy-MM-dd'T'HH:mm:ss,SSSXXX"),
        "COMPACT" => items("yyyyMMddHHmmssSSS"),
        "DATE" => items("dd MMM yyyy HH:mm:ss,SSS"),
        "DATE_PERIOD" => items("dd MMM yyyy HH:mm:ss.SSS"),
        "ABSOLUTE" => items("HH:mm:ss,SSS"),
        "ABSOLUTE_PERIOD" => items("HH:mm:ss.SSS"),
        format => letters(format),
    }
}

fn iso(time: &[Item], points: &'static str) -> Result<Vec<Item>, char> {
    let mut all = items("yyyy-MM-dd")?;
    all.push(Item::Byte(b" T"));
    all.extend(time);
    all.extend([Item::Byte(points.as_bytes()), Item::Fraction(3)]);
    Ok(all)
}

fn letters(format: &str) -> Result<Vec<Item>, char> {
    let mut items = Vec::new();
    let mut rest = format;
    while let Some(letter) = rest.chars().next() {
        let run = rest.chars().take_while(|&next| next == letter).count();
        if letter == '\'' {
            rest = quoted(rest, &mut items)?;
            continue;
        }
        if letter.is_ascii_alphabetic() {
            items.push(item(letter, run)?);
            rest = rest.get(run..).unwrap_or_default();
        } else {
            let len = letter.len_utf8();
            items.extend(rest.bytes().take(len).map(Item::Literal));
            rest = rest.get(len..).unwrap_or_default();
        }
    }
    Ok(items)
}

/// Takes in what stands between quotes at the start of `text`, or the one quote that two stand for.
fn quoted<'a>(text: &'a str, items: &mut Vec<Item>) -> Result<&'a str, char> {
    if let Some(rest) = text.strip_prefix("''") {
        items.push(Item::Literal(b'\''));
        return Ok(rest);
    }
    let (inside, rest) = text.strip_prefix('\'').and_then(|text| text.split_once('\'')).ok_or('\'')?;
    items.extend(inside.bytes().map(Item::Literal));
    Ok(rest)
}

/// The item of a run of `run` equal letters.
fn item(letter: char, run: usize) -> Result<Item, char> {
    let number = |unit| Item::Number(unit, Digits { least: run.min(2), most: run.max(2) });
    Ok(match letter {
        'y' | 'u' if run == 2 => Item::Number(Unit::ShortYear, Digits::TWO),
        'y' | 'u' => Item::Number(Unit::Year, Digits::FOUR),
        'M' | 'L' if run > 2 => Item::Month,
        'M' | 'L' => number(Unit::Month),
        'd' => number(Unit::Day),
        'H' => number(Unit::Hour),
        'h' => number(Unit::HalfHour),
        'm' => number(Unit::Minute),
        's' => number(Unit::Second),
        'S' | 'n' => Item::Fraction(run),
        'a' => Item::Half,
        'E' | 'z' => Item::Word,
        'Z' | 'X' | 'x' => Item::Zone,
        'D' => Item::Number(Unit::Other, Digits { least: run.min(3), most: 3 }),
        other => return Err(other),
    })
}

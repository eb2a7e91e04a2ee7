//! The layout of a date as `strftime` states it, in the locale of C, which is httpd's.
//!
//! Source: <https://pubs.opengroup.org/onlinepubs/9699919799/functions/strftime.html>, with the letters that glibc adds.

use super::date::{Digits, Item, Unit};

/// The items that `format` stands for; or the letter that cannot be read.
pub(super) fn items(format: &str) -> Result<Vec<Item>, char> {
    let mut items = Vec::new();
    let mut letters = format.chars();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            let mut bytes = [0; 4];
            items.extend(letter.encode_utf8(&mut bytes).bytes().map(Item::Literal));
            continue;
        }
        match letters.next() {
            Some(letter) => conversion(letter, &mut items)?,
            None => return Err('%'),
        }
    }
    Ok(items)
}

fn conversion(letter: char, items: &mut Vec<Item>) -> Result<(), char> {
    let number = |unit| Item::Number(unit, Digits::TWO);
    let item = match letter {
        'Y' => Item::Number(Unit::Year, Digits::FOUR),
        'y' => number(Unit::ShortYear),
        'm' => number(Unit::Month),
        'd' => number(Unit::Day),
        'e' => Item::Number(Unit::Day, Digits::PADDED),
        'H' => number(Unit::Hour),
        'k' => Item::Number(Unit::Hour, Digits::PADDED),
        'I' => number(Unit::HalfHour),
        'l' => Item::Number(Unit::HalfHour, Digits::PADDED),
        'M' => number(Unit::Minute),
        'S' => number(Unit::Second),
        'b' | 'B' | 'h' => Item::Month,
        'a' | 'A' | 'Z' => Item::Word,
        'p' | 'P' => Item::Half,
        'z' => Item::Zone,
        'C' | 'g' | 'U' | 'V' | 'W' => number(Unit::Other),
        'G' => Item::Number(Unit::Other, Digits::FOUR),
        'j' => Item::Number(Unit::Other, Digits { least: 3, most: 3 }),
        'u' | 'w' => Item::Number(Unit::Other, Digits { least: 1, most: 1 }),
        '%' => Item::Literal(b'%'),
        'n' => Item::Literal(b'\n'),
        't' => Item::Literal(b'\t'),
        'F' => return expand("%Y-%m-%d", items),
        'T' | 'X' => return expand("%H:%M:%S", items),
        'R' => return expand("%H:%M", items),
        'D' | 'x' => return expand("%m/%d/%y", items),
        'r' => return expand("%I:%M:%S %p", items),
        'c' => return expand("%a %b %e %H:%M:%S %Y", items),
        other => return Err(other),
    };
    items.push(item);
    Ok(())
}

fn expand(format: &str, into: &mut Vec<Item>) -> Result<(), char> {
    into.extend(items(format)?);
    Ok(())
}

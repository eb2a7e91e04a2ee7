//! Bytes that a format states, compared with those of a line all at once where they are eight or fewer.
//!
//! Does not know where in a line they should stand.

/// What a format states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Literal {
    text: Vec<u8>,
    /// The first eight bytes of it, with zeros behind them if it has fewer.
    head: u64,
    /// All bits of the bytes of `head` that are its own.
    own: u64,
}

impl Literal {
    pub(super) fn new(text: &[u8]) -> Literal {
        let head =
            |byte: fn(u8) -> u8| text.iter().take(8).rfold(0, |head, &own| head << 8 | u64::from(byte(own)));
        Literal { text: text.to_vec(), head: head(|own| own), own: head(|_| 0xFF) }
    }

    pub(super) fn text(&self) -> &[u8] {
        &self.text
    }

    /// What follows it at the start of `line`.
    #[inline]
    pub(super) fn stands_before<'a>(&self, line: &'a [u8]) -> Option<&'a [u8]> {
        match line.first_chunk() {
            Some(head) if self.text.len() <= 8 => {
                let differs = (u64::from_le_bytes(*head) ^ self.head) & self.own != 0;
                if differs { None } else { line.get(self.text.len()..) }
            }
            Some(_) | None => line.strip_prefix(self.text.as_slice()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// As the standard library compares them.
        #[test]
        fn a_literal_stands_where_its_bytes_do(
            text in prop::collection::vec(any::<u8>(), 0..12),
            behind in prop::collection::vec(any::<u8>(), 0..12),
            change in prop::option::of((0usize..12, any::<u8>())),
        ) {
            let mut line = [text.as_slice(), &behind].concat();
            if let Some((place, byte)) = change
                && let Some(changed) = line.get_mut(place)
            {
                *changed = byte;
            }
            prop_assert_eq!(Literal::new(&text).stands_before(&line), line.strip_prefix(text.as_slice()));
        }
    }
}

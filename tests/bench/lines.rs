//! The lines of the benchmark's log, and the proof of each.
//!
//! A line is one of Apache's combined log format, as varied as a real log: IPv4 and IPv6, users with odd names,
//! escapes, empty and absent values. Its query string carries a sequence number and the CRC-32 of all its other
//! bytes, so that [`sequence`] can tell of any line, wherever it turns up, which one it is and that no byte of it was
//! changed. The same seed makes the same lines. Does not know files.

use std::io::Write;

/// The checksum is written in this many hexadecimal digits.
const CHECKSUM_DIGITS: usize = 8;
/// Lines that bear the same time.
const LINES_PER_SECOND: u64 = 100;

/// Why some bytes are not a line of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Foreign {
    /// It is torn, or more than one line.
    #[error("it is not one line with its newline")]
    NotOneLine,
    /// It was not made here.
    #[error("it has no sequence number or no checksum")]
    Unnumbered,
    /// It was changed on its way.
    #[error("its bytes do not fit its checksum")]
    Changed,
}

/// Makes lines, numbered from 1.
pub(crate) struct Lines {
    random: fastrand::Rng,
    made: u64,
}

impl Lines {
    /// The lines that `seed` stands for.
    pub(crate) fn seeded(seed: u64) -> Lines {
        Lines { random: fastrand::Rng::with_seed(seed), made: 0 }
    }

    /// How many lines were made; also the sequence number of the last one.
    pub(crate) fn made(&self) -> u64 {
        self.made
    }

    /// Appends the next line, newline included, to `buffer`.
    pub(crate) fn append(&mut self, buffer: &mut Vec<u8>) {
        self.made += 1;
        let start = buffer.len();
        self.append_caller(buffer);
        self.append_time(buffer);
        push(buffer, format_args!(" \"{} ", self.choose(&METHODS)));
        self.append_filled(buffer, &PATHS);
        push(buffer, format_args!("?seq={}&crc=", self.made));
        let before_checksum = buffer.len();
        self.append_filled(buffer, &QUERIES);
        push(buffer, format_args!(" {}\" {} ", self.choose(&PROTOCOLS), self.choose(&STATUSES)));
        if self.percent(6) {
            buffer.push(b'-');
        } else {
            push(buffer, format_args!("{}", self.random.u32(0..250_000)));
        }
        buffer.extend_from_slice(b" \"");
        self.append_filled(buffer, &REFERERS);
        buffer.extend_from_slice(b"\" \"");
        self.append_filled(buffer, &AGENTS);
        buffer.extend_from_slice(b"\"\n");

        let checksum = crc32fast::hash(buffer.get(start..).unwrap_or_default());
        let digits = format!("{checksum:0CHECKSUM_DIGITS$x}");
        buffer.splice(before_checksum..before_checksum, digits.into_bytes());
    }

    /// Address, identity (which nobody has) and user.
    fn append_caller(&mut self, buffer: &mut Vec<u8>) {
        let random = &mut self.random;
        if random.u32(0..100) < 12 {
            let [a, b, c] = [(); 3].map(|()| random.u16(1..));
            push(buffer, format_args!("2001:db8:{a:x}::{b:x}:{c:x}"));
        } else {
            let [a, b, c, d] = [(); 4].map(|()| random.u8(1..255));
            push(buffer, format_args!("{a}.{b}.{c}.{d}"));
        }
        let user = if self.percent(15) { self.choose(&USERS) } else { "-" };
        push(buffer, format_args!(" - {user}"));
    }

    fn append_time(&self, buffer: &mut Vec<u8>) {
        let second = self.made / LINES_PER_SECOND;
        // Any month has these days, so no calendar is needed.
        let day = 1 + second / 86_400 % 28;
        let (hour, minute) = (second / 3_600 % 24, second / 60 % 60);
        push(buffer, format_args!(" [{day:02}/Mar/2026:{hour:02}:{minute:02}:{:02} +0100]", second % 60));
    }

    /// One of `patterns`, each `#` in it a number.
    fn append_filled(&mut self, buffer: &mut Vec<u8>, patterns: &[&str]) {
        let mut parts = self.choose(patterns).split('#');
        buffer.extend_from_slice(parts.next().unwrap_or_default().as_bytes());
        for part in parts {
            push(buffer, format_args!("{}{part}", self.random.u32(1..100_000)));
        }
    }

    fn choose<'a>(&mut self, from: &[&'a str]) -> &'a str {
        self.random.choice(from).copied().unwrap_or_default()
    }

    fn percent(&mut self, share: u32) -> bool {
        self.random.u32(0..100) < share
    }
}

/// The sequence number of a line, if it is one that [`Lines`] made and every byte is as it was.
pub(crate) fn sequence(line: &[u8]) -> Result<u64, Foreign> {
    if line.strip_suffix(b"\n").is_none_or(|text| memchr::memchr(b'\n', text).is_some()) {
        return Err(Foreign::NotOneLine);
    }
    let (number, checksum, before, after) = proof(line).ok_or(Foreign::Unnumbered)?;
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(before);
    hasher.update(after);
    if hasher.finalize() == checksum { Ok(number) } else { Err(Foreign::Changed) }
}

/// Sequence number and checksum of a line, and the bytes on both sides of the checksum.
fn proof(line: &[u8]) -> Option<(u64, u32, &[u8], &[u8])> {
    // The query string holds the first question mark of a line, and the checksum follows the first ampersand in it.
    let query = line.get(memchr::memchr(b'?', line)? + 1..)?;
    let (number, rest) = query.split_at_checked(memchr::memchr(b'&', query)?)?;
    let (checksum, after) = rest.strip_prefix(b"&crc=")?.split_at_checked(CHECKSUM_DIGITS)?;
    let before = line.get(..line.len() - after.len() - CHECKSUM_DIGITS)?;
    let number = str::from_utf8(number.strip_prefix(b"seq=")?).ok()?.parse().ok()?;
    let checksum = u32::from_str_radix(str::from_utf8(checksum).ok()?, 16).ok()?;
    Some((number, checksum, before, after))
}

fn push(buffer: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    buffer.write_fmt(text).expect("a vector takes all that is written to it");
}

const USERS: [&str; 8] =
    ["alice", "bob", "deploy", "m.garcia", "svc-monitor", "jdoe@example.com", "Anne Marie", "o\\\"neil"];
const METHODS: [&str; 8] = ["GET", "GET", "GET", "GET", "GET", "POST", "HEAD", "PUT"];
const PROTOCOLS: [&str; 4] = ["HTTP/1.1", "HTTP/1.1", "HTTP/2.0", "HTTP/1.0"];
const STATUSES: [&str; 10] = ["200", "200", "200", "200", "200", "206", "302", "304", "404", "500"];
const PATHS: [&str; 12] = [
    "/",
    "/index.html",
    "/robots.txt",
    "/account/sign-in",
    "/api/v1/orders/#",
    "/api/v1/customers/#/addresses/#",
    "/assets/theme.#.css",
    "/assets/bundle.#.js",
    "/pictures/catalogue/#/preview-640x480.webp",
    "/journal/2026/03/what-we-learned-from-number-#",
    "/shop/tools/hand/saw-#",
    "/t%C3%BCren/%E2%98%83/#",
];
const QUERIES: [&str; 7] = [
    "",
    "",
    "&page=#&sort=newest",
    "&term=left+handed+scissors&language=en-GB",
    "&visit=#&from=#",
    "&campaign=spring-#&medium=letter&source=subscribers",
    "&quote=\\\"as+it+was\\\"&raw=\\xe2\\x98\\x83",
];
const REFERERS: [&str; 8] = [
    "-",
    "-",
    "",
    "https://www.example.com/",
    "https://www.example.com/shop/tools/hand?page=#",
    "https://search.example.net/find?q=tools+for+the+garden&region=all&start=#",
    "https://news.example.org/2026/03/articles/#/index.html",
    "https://forum.example.org/threads/which-saw-for-which-kind-of-wood-and-for-which-cut.#/page-#",
];
const AGENTS: [&str; 8] = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/#.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/#.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/#.1 Safari/605.1.15",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_3 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/#",
    "Mozilla/5.0 (X11; Linux x86_64; rv:#.0) Gecko/20100101 Firefox/#.0",
    "Mozilla/5.0 (compatible; ExampleBot/2.1; written to be read; +https://bot.example.com/about.html)",
    "curl/8.#.0",
    "watcher \\\"north\\\" \\\\#",
];

#[cfg(test)]
mod tests {
    use memchr::memmem;
    use proptest::prelude::*;

    use super::*;

    /// The first `count` lines of `seed`.
    fn made(seed: u64, count: usize) -> Vec<Vec<u8>> {
        let mut lines = Lines::seeded(seed);
        let one = |_| {
            let mut line = Vec::new();
            lines.append(&mut line);
            line
        };
        (0..count).map(one).collect()
    }

    #[track_caller]
    fn check(line: &[u8], expected: Result<u64, Foreign>) {
        assert_eq!(sequence(line), expected, "{}", line.escape_ascii());
    }

    #[test]
    fn lines_are_numbered_from_one_and_prove_themselves() {
        for (line, number) in made(1, 10_000).iter().zip(1..) {
            check(line, Ok(number));
        }
    }

    #[test]
    fn what_is_not_a_line_of_ours_is_foreign() {
        check(b"", Err(Foreign::NotOneLine));
        check(b"no newline", Err(Foreign::NotOneLine));
        check(b"GET /?seq=5&crc=00000000\nmore\n", Err(Foreign::NotOneLine));
        check(b"GET / HTTP/1.1\n", Err(Foreign::Unnumbered));
        check(b"GET /?seq=5&crc=12\n", Err(Foreign::Unnumbered));
        check(b"GET /?seq=x&crc=12345678\n", Err(Foreign::Unnumbered));
        check(b"GET /?seq=5&crc=12345678\n", Err(Foreign::Changed));
    }

    #[test]
    fn a_seed_always_makes_the_same_lines_and_another_seed_makes_others() {
        assert_eq!(made(7, 100), made(7, 100));
        assert_ne!(made(7, 100), made(8, 100));
    }

    #[test]
    fn the_lines_are_as_varied_as_a_real_log() {
        let lines = made(1, 20_000);
        let share = |has: &dyn Fn(&[u8]) -> bool| lines.iter().filter(|line| has(line)).count();
        let contains = |what: &'static str| share(&|line| memmem::find(line, what.as_bytes()).is_some());

        let ipv6 = share(&|line| line.starts_with(b"2001:db8:"));
        assert!((2_200..2_600).contains(&ipv6), "12 % are IPv6: {ipv6}");
        let bytes = lines.iter().map(Vec::len).sum::<usize>() / lines.len();
        assert!((270..=282).contains(&bytes), "a line has about 276 bytes: {bytes}");
        for part in ["\\\"", "\\x", "\\\\", "\"\"", "\"-\"", " - - [", "@", "Anne Marie", "\" 200 - "] {
            assert!(contains(part) > 50, "{part} occurs");
        }
    }

    proptest! {
        /// No byte can be changed unnoticed.
        #[test]
        fn a_changed_byte_is_noticed(nth in 0usize..50, at in any::<prop::sample::Index>(), to in any::<u8>()) {
            let mut line = made(3, 50).swap_remove(nth);
            let number = sequence(&line);
            let byte = at.get_mut(&mut line[..]);
            prop_assume!(*byte != to && !(byte.is_ascii_hexdigit() && to.eq_ignore_ascii_case(byte)));
            *byte = to;
            prop_assert_ne!(sequence(&line), number);
        }
    }
}

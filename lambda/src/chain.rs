//! An error and its causes on one line.
//!
//! A message says what its own layer was doing, a cause is chained and never repeated in the message; whoever
//! reports prints the chain, once, with this.

use std::error::Error;
use std::fmt;

/// `outer: cause: cause of the cause`, on one line.
#[derive(Debug)]
pub struct Chain<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("could not read")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn each_cause_stands_once() {
        let error = Outer(std::io::Error::other("no such bucket"));
        assert_eq!(Chain(&error).to_string(), "could not read: no such bucket");
    }
}

//! Who is told what was counted.

//! The name, unit and meaning of everything counted.

//! Packed records taken apart by programs that share nothing with the agent: `e2e/unpack.py`.

use std::io::Write;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::python;

/// The lines in these records of a stream.
///
/// # Errors
/// If one cannot be read.
pub fn lines(records: &[Vec<u8>]) -> Result<Vec<Vec<u8>>> {
    Ok(lines_of_each(records)?.concat())
}

/// The lines in each of these records of a stream.
///
/// # Errors
/// If one cannot be read.
pub fn lines_of_each(records: &[Vec<u8>]) -> Result<Vec<Vec<Vec<u8>>>> {
    let mut file = tempfile::NamedTempFile::new()?;
    for data in records {
        writeln!(file, "{}", base64_simd::STANDARD.encode_to_string(data))?;
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/e2e/unpack.py");
    let output = Command::new(python::program("python")?).arg(script).arg(file.path()).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut lines = vec![Vec::new(); records.len()];
    for line in output.stdout.split_inclusive(|byte| *byte == b'\n') {
        let tab = line.iter().position(|byte| *byte == b'\t').context("a line without a number")?;
        let (number, line) = line.split_at(tab);
        let record: usize = std::str::from_utf8(number)?.parse()?;
        let line = line.get(1..).unwrap_or_default().to_vec();
        lines.get_mut(record).context("no such record")?.push(line);
    }
    Ok(lines)
}

//! What the agent sends: the records of a PutRecords request, the answer to it, and the lines in each record.
//!
//! Pure. Does not know which lines are awaited; [`crate::books`] does.

use std::fmt::Write as _;
use std::io::Read as _;

use flate2::read::MultiGzDecoder;

use crate::json::{Json, JsonError, Text};
use crate::lines::{self, Foreign};

/// What the records are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Form {
    /// The lines as they are.
    Raw,
    /// One JSON object a line, with the fields of the combined log format.
    Json,
}

/// How lines are put into records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Packing {
    /// One line, one record.
    None,
    /// Lines joined up to a record's size.
    Lines,
    /// The same, as gzip.
    Gzip,
    /// The same, as zstd.
    Zstd,
}

/// What lines become on their way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// What each becomes.
    pub(crate) form: Form,
    /// How many make a record.
    pub(crate) packing: Packing,
}

/// Why a record is none of the log's lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RecordError {
    /// The data is not in base64.
    #[error("its data is not base64")]
    Base64,
    /// The data is not what its first bytes say.
    #[error("it cannot be decompressed")]
    Pack,
    /// The record should be JSON and is not.
    #[error("it is not the JSON of a line")]
    Json(#[source] JsonError),
    /// The record is not UTF-8, as JSON must be.
    #[error("it is not UTF-8")]
    Utf8,
    /// There is no line of ours in it.
    #[error("its line is not one of the log's")]
    Line(#[source] Foreign),
}

/// The fields of a combined line in their order, each with what stands before it in the line.
const FIELDS: [(&[u8], &[u8]); 9] = [
    (b"host", b""),
    (b"ident", b" "),
    (b"authuser", b" "),
    (b"datetime", b" ["),
    (b"request", b"] \""),
    (b"response", b"\" "),
    (b"bytes", b" "),
    (b"referer", b" \""),
    (b"agent", b"\" \""),
];
/// How the sequence numbers of answers begin; with eight digits more they are as long as the service's.
const SEQUENCE: &str = "496453280174093268459201738465920174638520174639";
/// What stands behind the last field.
const LINE_END: &[u8] = b"\"\n";

/// The data of every record of a PutRecords request in the JSON 1.1 protocol, still in base64.
///
/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecords.html>
pub(crate) fn put_records(body: &[u8]) -> Result<Vec<&[u8]>, JsonError> {
    let mut data = Vec::new();
    let mut json = Json::new(body);
    json.object(|json, key| match key.as_written() {
        b"Records" => json.array(|json| {
            data.push(record_data(json)?);
            Ok(())
        }),
        b"StreamName" | b"StreamARN" => json.string().map(drop),
        _ => Err(JsonError::Members),
    })?;
    json.end()?;
    Ok(data)
}

/// The data of one entry of a request, which has a partition key too, and perhaps a hash.
fn record_data<'a>(json: &mut Json<'a>) -> Result<&'a [u8], JsonError> {
    let (mut data, mut partition_key, mut hash_key) = (None, None, None);
    json.object(|json, key| {
        let place = match key.as_written() {
            b"Data" => &mut data,
            b"PartitionKey" => &mut partition_key,
            b"ExplicitHashKey" => &mut hash_key,
            _ => return Err(JsonError::Members),
        };
        *place = Some(json.string()?.as_written());
        Ok(())
    })?;
    if hash_key
        .is_some_and(|hash: &[u8]| str::from_utf8(hash).map_or(true, |hash| hash.parse::<u128>().is_err()))
    {
        return Err(JsonError::Members);
    }
    partition_key.filter(|key| !key.is_empty()).and(data).ok_or(JsonError::Members)
}

/// Appends the answer to a request with so many records as `taken` says, of which those were taken for which it is true.
pub(crate) fn append_answer(answer: &mut String, taken: &[bool]) {
    let refused = taken.iter().filter(|taken| !**taken).count();
    write!(answer, r#"{{"FailedRecordCount":{refused},"Records":["#)
        .expect("a string takes all that is written to it");
    for (nth, taken) in taken.iter().enumerate() {
        let comma = if nth == 0 { "" } else { "," };
        let written = match taken {
            true => write!(
                answer,
                r#"{comma}{{"SequenceNumber":"{SEQUENCE}{nth:08}","ShardId":"shardId-000000000000"}}"#
            ),
            false => write!(
                answer,
                r#"{comma}{{"ErrorCode":"ProvisionedThroughputExceededException","ErrorMessage":"Rate exceeded"}}"#
            ),
        };
        written.expect("a string takes all that is written to it");
    }
    answer.push_str("]}");
}

/// Finds the lines in a record. Keeps its buffers, so that a record costs no allocation.
pub(crate) struct Unpacker {
    shape: Shape,
    decoded: Vec<u8>,
    unpacked: Vec<u8>,
    line: Vec<u8>,
}

/// A line's sequence number, or why it is none of the log's.
pub(crate) type Found = Result<u64, RecordError>;

impl Unpacker {
    /// For records of one shape.
    pub(crate) fn new(shape: Shape) -> Unpacker {
        Unpacker { shape, decoded: Vec::new(), unpacked: Vec::new(), line: Vec::new() }
    }

    /// Appends what is found in a record, of which nothing is believed but lines with every byte; says how many bytes of data
    /// it has.
    pub(crate) fn unpack(&mut self, base64: &[u8], found: &mut Vec<Found>) -> usize {
        self.decoded.resize(base64_simd::STANDARD.estimated_decoded_length(base64.len()), 0);
        let decoded = base64_simd::STANDARD.decode(base64, base64_simd::Out::from_slice(&mut self.decoded));
        let Ok(decoded) = decoded else {
            found.push(Err(RecordError::Base64));
            return 0;
        };
        if self.shape.packing == Packing::None {
            found.push(sequence(self.shape.form, decoded, &mut self.line));
            return decoded.len();
        }
        match lines_of(decoded, &mut self.unpacked) {
            Ok(lines) => {
                let lines = lines.split_inclusive(|byte| *byte == b'\n');
                found.extend(lines.map(|line| sequence(self.shape.form, line, &mut self.line)));
            }
            Err(error) => found.push(Err(error)),
        }
        decoded.len()
    }
}

/// The lines of a packed record, which says itself whether it is compressed.
fn lines_of<'a>(data: &'a [u8], unpacked: &'a mut Vec<u8>) -> Result<&'a [u8], RecordError> {
    unpacked.clear();
    let read = match data {
        [0x1f, 0x8b, ..] => MultiGzDecoder::new(data).read_to_end(unpacked),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            zstd::Decoder::new(data).and_then(|mut decoder| decoder.read_to_end(unpacked))
        }
        _ => return Ok(data),
    };
    read.map(|_| unpacked.as_slice()).map_err(|_| RecordError::Pack)
}

/// The sequence number of the line that became `data`, if every byte of the line is in it. `line` is a buffer.
fn sequence(form: Form, data: &[u8], line: &mut Vec<u8>) -> Found {
    let line: &[u8] = match form {
        Form::Raw => data,
        Form::Json => {
            str::from_utf8(data).map_err(|_| RecordError::Utf8)?;
            line.clear();
            append_line(data, line).map_err(RecordError::Json)?;
            line
        }
    };
    lines::sequence(line).map_err(RecordError::Line)
}

/// Puts the line together again from the fields of its JSON, where `null` stands for `-`, so that its checksum judges
/// every field.
fn append_line(record: &[u8], line: &mut Vec<u8>) -> Result<(), JsonError> {
    let mut values: [Option<Option<Text<'_>>>; FIELDS.len()] = [None; FIELDS.len()];
    // One record is one line of JSON, with its newline.
    let object = record.strip_suffix(b"\n").ok_or(JsonError::Expected(b'\n'))?;
    let mut json = Json::new(object);
    json.object(|json, key| {
        let place = FIELDS.iter().zip(&mut values).find(|((name, _), _)| *name == key.as_written());
        let (_, value) = place.ok_or(JsonError::Members)?;
        match value.replace(json.string_or_null()?) {
            None => Ok(()),
            Some(_) => Err(JsonError::Members),
        }
    })?;
    json.end()?;
    for ((_, before), value) in FIELDS.iter().zip(values) {
        line.extend_from_slice(before);
        match value.ok_or(JsonError::Members)? {
            Some(text) => text.append_to(line)?,
            None => line.push(b'-'),
        }
    }
    line.extend_from_slice(LINE_END);
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::lines::Lines;

    /// Lines as they are, one a record.
    pub(crate) const RAW: Shape = Shape { form: Form::Raw, packing: Packing::None };

    /// The request that carries `records`.
    pub(crate) fn request(records: &[Vec<u8>]) -> Vec<u8> {
        let entry = |data: &Vec<u8>| serde_json::json!({"Data": base64_simd::STANDARD.encode_to_string(data), "PartitionKey": "12"});
        let records: Vec<_> = records.iter().map(entry).collect();
        serde_json::json!({"StreamName": "bench", "Records": records}).to_string().into_bytes()
    }

    /// The first `count` lines of a log.
    pub(crate) fn log(count: usize) -> Vec<Vec<u8>> {
        let mut lines = Lines::seeded(1);
        let one = |_| {
            let mut line = Vec::new();
            lines.append(&mut line);
            line
        };
        (0..count).map(one).collect()
    }

    /// The JSON of a line, made by another way than the agent's and the reader's: by serde_json, from the fields that
    /// a look for the separators finds.
    fn json(line: &[u8]) -> Vec<u8> {
        let line = str::from_utf8(line).unwrap().strip_suffix("\"\n").unwrap();
        let (caller, rest) = line.split_once(" [").unwrap();
        let (datetime, rest) = rest.split_once("] \"").unwrap();
        let mut caller = caller.splitn(3, ' ');
        let mut from_end = rest.rsplitn(3, "\" \"");
        let (agent, referer_and_before) = (from_end.next().unwrap(), from_end.next().unwrap());
        assert_eq!(from_end.next(), None, "{line}");
        let (numbers, referer) = referer_and_before.rsplit_once(" \"").unwrap();
        let (request, numbers) = numbers.rsplit_once("\" ").unwrap();
        let (response, bytes) = numbers.split_once(' ').unwrap();
        let value = |text: &str| (text != "-").then(|| text.to_owned());
        let mut record = serde_json::to_vec(&serde_json::json!({
            "host": caller.next(), "ident": caller.next().and_then(value), "authuser": caller.next().and_then(value),
            "datetime": datetime, "request": value(request), "response": value(response), "bytes": value(bytes),
            "referer": value(referer), "agent": value(agent),
        }))
        .unwrap();
        record.push(b'\n');
        record
    }

    /// The record that a line of the log makes in a form.
    fn record(form: Form, line: &[u8]) -> Vec<u8> {
        match form {
            Form::Raw => line.to_vec(),
            Form::Json => json(line),
        }
    }

    fn unpack(shape: Shape, record: &[u8]) -> Vec<Found> {
        let mut found = Vec::new();
        let data = base64_simd::STANDARD.encode_to_string(record);
        assert_eq!(Unpacker::new(shape).unpack(data.as_bytes(), &mut found), record.len());
        found
    }

    #[test]
    fn every_line_of_a_pack_is_found_however_it_is_compressed() {
        let lines = log(300);
        let plain: Vec<u8> = lines.iter().flat_map(|line| json(line)).collect();
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut gzip, &plain).unwrap();
        let zstd = zstd::bulk::compress(&plain, 1).unwrap();
        let expected: Vec<Found> = (1..=300).map(Ok).collect();
        for pack in [plain, gzip.finish().unwrap(), zstd] {
            let shape = Shape { form: Form::Json, packing: Packing::Lines };
            assert_eq!(unpack(shape, &pack), expected);
            let half = pack.get(..pack.len() / 2).unwrap();
            assert!(unpack(shape, half).last().unwrap().is_err());
        }
    }

    #[track_caller]
    fn check(form: Form, record: &[u8], expected: Result<u64, RecordError>) {
        let found = unpack(Shape { form, packing: Packing::None }, record);
        assert_eq!(found, [expected], "{}", record.escape_ascii());
    }

    #[test]
    fn every_line_of_the_log_is_found_in_its_record() {
        for (line, number) in log(5_000).iter().zip(1..) {
            for form in [Form::Raw, Form::Json] {
                check(form, &record(form, line), Ok(number));
            }
        }
    }

    #[test]
    fn a_record_in_the_other_form_is_foreign() {
        let line = log(1).remove(0);
        check(Form::Json, &line, Err(RecordError::Json(JsonError::Expected(b'{'))));
        check(Form::Raw, &json(&line), Err(RecordError::Line(Foreign::Changed)));
    }

    #[test]
    fn a_record_without_its_newline_is_foreign() {
        let line = log(1).remove(0);
        check(Form::Raw, line.strip_suffix(b"\n").unwrap(), Err(RecordError::Line(Foreign::NotOneLine)));
        let json = json(&line);
        check(
            Form::Json,
            json.strip_suffix(b"\n").unwrap(),
            Err(RecordError::Json(JsonError::Expected(b'\n'))),
        );
    }

    #[test]
    fn json_with_a_wrong_absent_repeated_or_unknown_field_is_foreign() {
        let with = |from: &str, to: &str| {
            let text = String::from_utf8(json(&log(1).remove(0))).unwrap();
            assert!(text.contains(from), "{text}");
            text.replacen(from, to, 1).into_bytes()
        };
        check(
            Form::Json,
            &with(r#""ident":null"#, r#""ident":"x""#),
            Err(RecordError::Line(Foreign::Changed)),
        );
        check(Form::Json, &with(r#""ident":null,"#, ""), Err(RecordError::Json(JsonError::Members)));
        check(Form::Json, &with(r#""ident":"#, r#""host":"#), Err(RecordError::Json(JsonError::Members)));
        check(Form::Json, &with(r#""ident":"#, r#""owner":"#), Err(RecordError::Json(JsonError::Members)));
    }

    #[test]
    fn wrong_base64_is_noticed() {
        for text in ["!", "a", "QUJD=", "QUJ D", "QUI"] {
            let mut found = Vec::new();
            Unpacker::new(RAW).unpack(text.as_bytes(), &mut found);
            assert_eq!(found, [Err(RecordError::Base64)], "{text}");
        }
    }

    #[test]
    fn a_request_falls_into_its_records() {
        let lines = log(3);
        let body = request(&lines);
        let (mut unpacker, mut found) = (Unpacker::new(RAW), Vec::new());
        for data in put_records(&body).unwrap() {
            unpacker.unpack(data, &mut found);
        }
        assert_eq!(found, [Ok(1), Ok(2), Ok(3)]);
    }

    #[test]
    fn a_request_that_the_service_would_refuse_is_refused() {
        for body in [
            "",
            "{",
            r#"{"Records":[{"Data":"QQ=="}]}"#,
            r#"{"Records":[{"PartitionKey":"1"}]}"#,
            r#"{"Records":[{"Data":"QQ==","PartitionKey":""}]}"#,
            r#"{"Records":[{"Data":"QQ==","PartitionKey":"1","ExplicitHashKey":"x"}]}"#,
            r#"{"Rows":[]}"#,
            r#"{"Records":[]}{}"#,
        ] {
            assert!(put_records(body.as_bytes()).is_err(), "{body}");
        }
    }

    #[test]
    fn the_answer_has_one_entry_for_each_record() {
        let mut answer = String::new();
        let taken: Vec<bool> = (0..500).map(|nth| nth % 5 > 0).collect();
        append_answer(&mut answer, &taken);
        let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(answer["FailedRecordCount"], 100);
        let entries = answer["Records"].as_array().unwrap();
        assert_eq!(entries.len(), 500);
        for (entry, taken) in entries.iter().zip(taken) {
            assert_eq!(entry["SequenceNumber"].as_str().is_some_and(|number| number.len() == 56), taken);
            assert_eq!(entry["ErrorCode"].is_null(), taken);
        }
    }
}

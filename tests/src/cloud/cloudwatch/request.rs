//! A `PutMetricData` request in the protocol that the Rust SDK speaks (rpc-v2-cbor), read and held against the service's
//! limits. Pure.
//!
//! <https://smithy.io/2.0/additional-specs/protocols/smithy-rpc-v2.html>,
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricData.html>,
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricDatum.html>,
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_Dimension.html>.

use std::collections::BTreeMap;
use std::time::Duration;

use ciborium::Value;

use super::statistics::Statistics;
use crate::cloud::moment::Moment;

/// The body of a request at the most, before it was compressed.
pub const BODY_LIMIT: usize = 1_000_000;
/// Metrics in a request at the most.
const DATA_LIMIT: usize = 1000;
/// Dimensions of a metric at the most.
const DIMENSIONS_LIMIT: usize = 30;
/// Distinct values of one metric in a request at the most.
const VALUES_LIMIT: usize = 150;
/// Characters of a name at the most; of a namespace as well.
const NAME_LIMIT: usize = 255;
/// Characters of a dimension's value at the most.
const VALUE_LIMIT: usize = 1024;
/// The largest absolute value: 2 to the power of 360.
const LARGEST: f64 = 2.348_542_582_773_833_4e108;
/// How old a datum may be, and how far ahead.
const OLDEST: Duration = Duration::from_secs(14 * 24 * 60 * 60);
const AHEAD: Duration = Duration::from_secs(2 * 60 * 60);

/// The dimensions of a metric: which one of its name it is.
pub type Dimensions = BTreeMap<String, String>;

/// What was published of one metric at one time.
#[derive(Clone, Debug, PartialEq)]
pub struct Datum {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub metric: String,
    /// What tells it from others of this name.
    pub dimensions: Dimensions,
    /// When it was.
    pub at: Moment,
    /// What was measured.
    pub statistics: Statistics,
    /// In what unit, as the service names it; none if it was not said.
    pub unit: Option<String>,
    /// Whether it is kept by the second and not by the minute.
    pub is_high_resolution: bool,
}

/// Why a request is refused, as the service says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The code of the error.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
}

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal { code: "InvalidParameterValue", message: message.into() }
}

fn missing(name: &str) -> Refusal {
    Refusal { code: "MissingParameter", message: format!("The parameter {name} is required.") }
}

/// Reads a request that came at this moment.
///
/// # Errors
/// If the service would refuse it.
pub fn read(body: &[u8], now: Moment) -> Result<Vec<Datum>, Refusal> {
    if body.len() > BODY_LIMIT {
        return Err(Refusal { code: "RequestEntityTooLarge", message: format!("{} bytes", body.len()) });
    }
    let request: Value = ciborium::from_reader(body)
        .map_err(|error| Refusal { code: "SerializationException", message: error.to_string() })?;
    let namespace = text(&request, "Namespace")?.ok_or_else(|| missing("Namespace"))?;
    name("Namespace", namespace, NAME_LIMIT)?;
    if namespace.starts_with("AWS/") {
        return Err(invalid("The value AWS/ for parameter Namespace is invalid."));
    }
    let data = list(&request, "MetricData")?;
    if data.len() > DATA_LIMIT {
        return Err(invalid(format!(
            "The collection MetricData must not have more than {DATA_LIMIT} members."
        )));
    }
    data.iter().map(|one| datum(namespace, one, now)).collect()
}

fn datum(namespace: &str, value: &Value, now: Moment) -> Result<Datum, Refusal> {
    let metric = text(value, "MetricName")?.ok_or_else(|| missing("MetricName"))?;
    name("MetricName", metric, NAME_LIMIT)?;
    let at = match field(value, "Timestamp") {
        Some(time) => moment(time).ok_or_else(|| invalid("The parameter Timestamp is no time."))?,
        None => now,
    };
    if now.since(at) > OLDEST || at.since(now) > AHEAD {
        return Err(invalid(format!(
            "The parameter Timestamp must specify a time no more than two weeks in the past and two hours ahead, not {at}."
        )));
    }
    let resolution = number(value, "StorageResolution")?;
    if resolution
        .is_some_and(|seconds| seconds.to_bits() != 1_f64.to_bits() && seconds.to_bits() != 60_f64.to_bits())
    {
        return Err(invalid("The parameter StorageResolution must be 1 or 60."));
    }
    Ok(Datum {
        namespace: namespace.to_owned(),
        metric: metric.to_owned(),
        dimensions: dimensions(value)?,
        at,
        statistics: statistics(value)?,
        unit: text(value, "Unit")?.map(str::to_owned),
        is_high_resolution: resolution.is_some_and(|seconds| seconds < 60.0),
    })
}

fn dimensions(value: &Value) -> Result<Dimensions, Refusal> {
    let dimensions = list(value, "Dimensions")?;
    if dimensions.len() > DIMENSIONS_LIMIT {
        return Err(invalid(format!(
            "The collection Dimensions must not have more than {DIMENSIONS_LIMIT} members."
        )));
    }
    let mut read = Dimensions::new();
    for dimension in dimensions {
        let key = text(dimension, "Name")?.ok_or_else(|| missing("Dimensions.Name"))?;
        let value = text(dimension, "Value")?.ok_or_else(|| missing("Dimensions.Value"))?;
        name("Dimensions.Name", key, NAME_LIMIT)?;
        name("Dimensions.Value", value, VALUE_LIMIT)?;
        if key.starts_with(':') {
            return Err(invalid("The parameter Dimensions.Name must not begin with a colon."));
        }
        if read.insert(key.to_owned(), value.to_owned()).is_some() {
            return Err(invalid(format!("No two dimensions may have the name {key}.")));
        }
    }
    Ok(read)
}

/// One of: a value, a statistic set, values with their counts.
fn statistics(value: &Value) -> Result<Statistics, Refusal> {
    let single = number(value, "Value")?.map(Statistics::of);
    let set = field(value, "StatisticValues").map(statistic_set).transpose()?;
    let values = list(value, "Values")?;
    let several = if values.is_empty() { None } else { Some(weighted(values, list(value, "Counts")?)?) };
    match (single, set, several) {
        (Some(one), None, None) | (None, Some(one), None) | (None, None, Some(one)) => Ok(one),
        (None, None, None) => Err(missing("Value")),
        (Some(_), _, _) | (None, Some(_), Some(_)) => Err(Refusal {
            code: "InvalidParameterCombination",
            message: "The parameters Value, StatisticValues and Values are mutually exclusive.".to_owned(),
        }),
    }
}

fn statistic_set(set: &Value) -> Result<Statistics, Refusal> {
    let part = |key: &str| number(set, key)?.ok_or_else(|| missing(key));
    let read = Statistics {
        count: part("SampleCount")?,
        sum: part("Sum")?,
        minimum: part("Minimum")?,
        maximum: part("Maximum")?,
    };
    if read.count <= 0.0 || read.minimum > read.maximum {
        return Err(invalid(format!("The statistic set {read:?} does not agree with itself.")));
    }
    Ok(read)
}

fn weighted(values: &[Value], counts: &[Value]) -> Result<Statistics, Refusal> {
    if values.len() > VALUES_LIMIT || (!counts.is_empty() && counts.len() != values.len()) {
        return Err(invalid(format!("{} values and {} counts.", values.len(), counts.len())));
    }
    let mut all = None;
    for (index, value) in values.iter().enumerate() {
        let count = counts.get(index).map_or(Ok(1.0), float)?;
        let value = float(value)?;
        let one = Statistics { count, sum: value * count, minimum: value, maximum: value };
        all = Some(all.map_or(one, |all: Statistics| all.and(one)));
    }
    all.ok_or_else(|| missing("Values"))
}

/// ASCII without control characters, at least one character that is not blank.
fn name(parameter: &str, value: &str, limit: usize) -> Result<(), Refusal> {
    let is_allowed = value.is_ascii() && !value.bytes().any(|byte| byte.is_ascii_control());
    if !is_allowed || value.trim().is_empty() || value.len() > limit {
        return Err(invalid(format!("The value `{value}` for parameter {parameter} is invalid.")));
    }
    Ok(())
}

fn field<'a>(map: &'a Value, key: &str) -> Option<&'a Value> {
    let entries = map.as_map()?;
    entries.iter().find(|(name, _)| name.as_text() == Some(key)).map(|(_, value)| value)
}

fn text<'a>(map: &'a Value, key: &str) -> Result<Option<&'a str>, Refusal> {
    let value = field(map, key);
    value.map(|value| value.as_text().ok_or_else(|| invalid(format!("{key} is no text.")))).transpose()
}

fn list<'a>(map: &'a Value, key: &str) -> Result<&'a [Value], Refusal> {
    match field(map, key) {
        None => Ok(&[]),
        Some(value) => {
            value.as_array().map(Vec::as_slice).ok_or_else(|| invalid(format!("{key} is no list.")))
        }
    }
}

fn number(map: &Value, key: &str) -> Result<Option<f64>, Refusal> {
    field(map, key).map(float).transpose()
}

fn float(value: &Value) -> Result<f64, Refusal> {
    let integer = || value.as_integer().and_then(|integer| i32::try_from(integer).ok()).map(f64::from);
    let number = value.as_float().or_else(integer).ok_or_else(|| invalid("A value is no number."))?;
    if number.is_finite() && number.abs() <= LARGEST {
        Ok(number)
    } else {
        Err(invalid(format!("The value {number} is not allowed.")))
    }
}

/// Seconds since the epoch under tag 1.
fn moment(value: &Value) -> Option<Moment> {
    let Value::Tag(1, seconds) = value else { return None };
    if let Some(whole) = seconds.as_integer() {
        return Some(Moment::from_millis(u64::try_from(whole).ok()?.checked_mul(1000)?));
    }
    let since_epoch = Duration::try_from_secs_f64(seconds.as_float()?).ok()?;
    // A binary fraction meets a thousandth only nearly.
    Some(Moment::EPOCH.plus(since_epoch + Duration::from_micros(500)))
}

#[cfg(test)]
mod tests;

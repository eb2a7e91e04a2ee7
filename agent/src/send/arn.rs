//! A stream that is named by its ARN, which says account and region as well. Pure. Source:
//! <https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonkinesis.html>.

/// The ARN of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamArn<'a> {
    /// Its region.
    pub region: &'a str,
    /// The stream's name.
    pub name: &'a str,
}

impl StreamArn<'_> {
    /// Reads `arn:PARTITION:kinesis:REGION:ACCOUNT:stream/NAME`; nothing if it is something else.
    #[must_use]
    pub fn parse(text: &str) -> Option<StreamArn<'_>> {
        let mut parts = text.splitn(6, ':');
        let mut part = || parts.next();
        let (arn, partition, service) = (part()?, part()?, part()?);
        let (region, account, resource) = (part()?, part()?, part()?);
        let name = resource.strip_prefix("stream/")?;
        let is_word = |text: &str| {
            !text.is_empty()
                && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        };
        let is_arn =
            arn == "arn" && partition.starts_with("aws") && is_word(partition) && service == "kinesis";
        let is_account = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
        let is_right = is_arn && is_word(region) && is_account && StreamArn::is_name(name);
        is_right.then_some(StreamArn { region, name })
    }

    /// Whether a stream may have this name: <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_CreateStream.html>.
    #[must_use]
    pub fn is_name(text: &str) -> bool {
        let letter = |char: char| char.is_ascii_alphanumeric() || "_.-".contains(char);
        !text.is_empty() && text.len() <= 128 && text.chars().all(letter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<(&str, &str)>) {
        assert_eq!(StreamArn::parse(text).map(|arn| (arn.region, arn.name)), expected, "{text}");
    }

    #[test]
    fn an_arn_names_region_and_stream() {
        check("arn:aws:kinesis:eu-west-1:123456789012:stream/a.b-c_d", Some(("eu-west-1", "a.b-c_d")));
        check("arn:aws-cn:kinesis:cn-north-1:123456789012:stream/s", Some(("cn-north-1", "s")));
    }

    #[test]
    fn anything_else_is_none() {
        for wrong in [
            "",
            "s",
            "arn:aws:kinesis:eu-west-1:123456789012:stream/",
            "arn:aws:kinesis:eu-west-1:123456789012:stream/s/consumer/c:1",
            "arn:aws:kinesis:eu-west-1:123456789012:s",
            "arn:aws:kinesis:eu-west-1:12345678901:stream/s",
            "arn:aws:kinesis::123456789012:stream/s",
            "arn:aws:kinesis:eu/west:123456789012:stream/s",
            "arn:aws:firehose:eu-west-1:123456789012:deliverystream/s",
            "arn:other:kinesis:eu-west-1:123456789012:stream/s",
            "xarn:aws:kinesis:eu-west-1:123456789012:stream/s",
        ] {
            check(wrong, None);
        }
    }
}

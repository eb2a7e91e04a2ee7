//! What an EC2 instance says of itself. Plain data: does not know who asked, nor how.

use std::collections::BTreeMap;
use std::time::Duration;

/// The instance that the agent runs on. What the instance does not say is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Its address within its network.
    pub private_ip: Option<String>,
    /// The zone that it runs in, such as `eu-west-1a`.
    pub availability_zone: Option<String>,
    /// Its name, such as `i-0abcd1234efgh5678`.
    pub instance_id: Option<String>,
    /// How large it is, such as `t3.micro`.
    pub instance_type: Option<String>,
    /// Whose it is.
    pub account_id: Option<String>,
    /// What it was started from, such as `ami-0abcd1234efgh5678`.
    pub image_id: Option<String>,
    /// The region of that zone.
    pub region: Option<String>,
    /// What its owner calls it; nothing if that could not be found out.
    pub tags: Option<BTreeMap<String, String>>,
    /// When it was asked, since 1970 in UTC.
    pub asked: Duration,
}

impl Instance {
    /// What the identity document `text` says, without tags; nothing if it is no object. Source:
    /// <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-identity-documents.html>
    pub(super) fn of_document(text: &str, asked: Duration) -> Option<Instance> {
        let document: serde_json::Value = serde_json::from_str(text).ok()?;
        let fields = document.as_object()?;
        let field = |name: &str| fields.get(name).and_then(|value| value.as_str()).map(str::to_owned);
        Some(Instance {
            private_ip: field("privateIp"),
            availability_zone: field("availabilityZone"),
            instance_id: field("instanceId"),
            instance_type: field("instanceType"),
            account_id: field("accountId"),
            image_id: field("imageId"),
            region: field("region"),
            tags: None,
            asked,
        })
    }
}

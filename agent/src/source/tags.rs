//! The answer of EC2 to `DescribeTags`, which is XML. Pure; source:
//! <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeTags.html>.
//!
//! Does not know XML beyond that answer: no attribute is in it but the name space, and in a text `<` and `&` are escaped.

use std::collections::BTreeMap;

/// The keys and values of all tags in `answer`; nothing if it is another answer.
pub(super) fn read(answer: &str) -> Option<BTreeMap<String, String>> {
    let (_, response) = answer.split_once("<DescribeTagsResponse")?;
    let (_, set) = response.split_once("<tagSet")?;
    if set.trim_start().starts_with("/>") {
        return Some(BTreeMap::new());
    }
    let (items, _) = set.strip_prefix('>')?.split_once("</tagSet>")?;
    let items = items.split("</item>").map(str::trim).filter(|item| !item.is_empty());
    items
        .map(|item| {
            let item = item.strip_prefix("<item>")?;
            Some((text_of("key", item)?, text_of("value", item)?))
        })
        .collect()
}

/// The text of the element `name` in `item`.
fn text_of(name: &str, item: &str) -> Option<String> {
    if item.contains(&format!("<{name}/>")) {
        return Some(String::new());
    }
    let (_, behind) = item.split_once(&format!("<{name}>"))?;
    let (text, _) = behind.split_once(&format!("</{name}>"))?;
    unescaped(text)
}

/// A text without its escapes: <https://www.w3.org/TR/xml/#sec-references>.
fn unescaped(text: &str) -> Option<String> {
    let mut parts = text.split('&');
    let mut plain = parts.next()?.to_owned();
    for part in parts {
        let (name, rest) = part.split_once(';')?;
        plain.push(match name {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "apos" => '\'',
            other => {
                let number = other.strip_prefix('#')?;
                let code = match number.strip_prefix('x') {
                    Some(digits) => u32::from_str_radix(digits, 16),
                    None => number.parse(),
                };
                char::from_u32(code.ok()?)?
            }
        });
        plain.push_str(rest);
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// An answer with these items.
    fn answer(items: &str) -> String {
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<DescribeTagsResponse \
             xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\">\n    <requestId>r-1</requestId>\n    \
             <tagSet>\n{items}    </tagSet>\n</DescribeTagsResponse>"
        )
    }

    fn item(key: &str, value: &str) -> String {
        format!(
            "        <item>\n            <resourceId>i-1</resourceId>\n            \
             <resourceType>instance</resourceType>\n            <key>{key}</key>\n            {value}\n        \
             </item>\n"
        )
    }

    #[track_caller]
    fn check(answer: &str, expected: Option<&[(&str, &str)]>) {
        let expected = expected.map(|tags| {
            tags.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect::<BTreeMap<_, _>>()
        });
        assert_eq!(read(answer), expected, "{answer}");
    }

    #[test]
    fn each_item_is_a_tag() {
        let items = item("Name", "<value>web</value>") + &item("Owner", "<value/>");
        check(&answer(&items), Some(&[("Name", "web"), ("Owner", "")]));
        check(&answer(""), Some(&[]));
        check(&answer("").replace("<tagSet>\n    </tagSet>", "<tagSet/>"), Some(&[]));
    }

    #[test]
    fn escapes_are_characters() {
        let items = item("a&amp;b", "<value>&lt;&#233;&#x20AC;&gt; &quot;&apos;</value>");
        check(&answer(&items), Some(&[("a&b", "<é€> \"'")]));
    }

    #[test]
    fn another_answer_is_none() {
        check("", None);
        check(
            "<Response><Errors><Error><Code>UnauthorizedOperation</Code></Error></Errors></Response>",
            None,
        );
        check(&answer(&item("a", "")), None);
        check(&answer(&item("a", "<value>&nbsp;</value>")), None);
        check(&answer(&item("a", "<value>&amp</value>")), None);
        let cut = answer(&item("a", "<value>b</value>"));
        check(cut.split("</tagSet>").next().unwrap(), None);
    }

    proptest! {
        /// Whatever a tag holds, escaped as XML asks for, is read as it was.
        #[test]
        fn tags_are_read_as_they_are(tags in proptest::collection::btree_map("\\PC{1,8}", "\\PC{0,8}", 0..4)) {
            let escaped = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;");
            let items = tags.iter().map(|(key, value)| item(&escaped(key), &format!("<value>{}</value>", escaped(value))));
            prop_assert_eq!(read(&answer(&items.collect::<String>())), Some(tags));
        }
    }
}

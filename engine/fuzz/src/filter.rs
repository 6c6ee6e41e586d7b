//! Filters as text: printing and parsing again gives the same, and both evaluators agree.

use scim_engine::env::Limits;
use scim_engine::filter::Filter;
use serde_json::Value;

use super::directory::registry;
use super::{Choices, message, naive};

/// The filter is the input up to a line feed; what follows decides the resource.
pub fn check(data: &[u8]) {
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let Ok(text) = std::str::from_utf8(&data[..end]) else { return };
    let Ok(filter) = Filter::parse(text, &Limits::default()) else { return };
    let roomy = Limits { filter_bytes: 1 << 20, filter_depth: 128, filter_terms: 1000, ..Limits::default() };
    let printed = filter.to_string();
    assert_eq!(Filter::parse(&printed, &roomy).as_ref(), Ok(&filter), "{text} printed as {printed}");
    let mut choices = Choices::new(data.get(end + 1..).unwrap_or_default());
    let users = [message::user(&mut choices, &[]), message::group(&mut choices, &[])];
    for (of, body) in registry().resource_types().into_iter().zip(users) {
        let Ok(accepted) = scim_engine::resource::accept(of, &body, false) else { continue };
        let found = filter.matches(of, &accepted.resource);
        if filter.check(of).is_ok() {
            let expected = naive::matches(&filter, of, &Value::Object(accepted.resource));
            assert_eq!(found, expected, "{filter} of {body}");
        }
    }
}

//! A time as pages show it: in the viewer's zone where scripts run, in UTC elsewhere.

use scim_engine::env::Timestamp;
use serde_json::Value;

/// A time, or none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(Option<Timestamp>);

impl Moment {
    /// A field of a JSON object.
    pub fn of(value: &Value, name: &str) -> Self {
        Self(value.get(name).and_then(Value::as_str).and_then(Timestamp::parse))
    }

    /// Whether there is one.
    pub fn is_some(self) -> bool {
        self.0.is_some()
    }

    /// As HTML, or a text of ours when there is none.
    pub fn or(self, none: &str) -> String {
        match self.0 {
            Some(time) => format!("<time datetime=\"{}\">{}</time>", time.rfc3339(), readable(time)),
            None => format!("<span class=\"muted\">{none}</span>"),
        }
    }
}

impl From<Timestamp> for Moment {
    fn from(time: Timestamp) -> Self {
        Self(Some(time))
    }
}

/// `2026-11-27 09:30 UTC`
fn readable(time: Timestamp) -> String {
    let text = time.rfc3339();
    format!("{} {} UTC", text.get(..10).unwrap_or_default(), text.get(11..16).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_reads_well_without_scripts_and_names_its_zone() {
        let html = Moment::from(Timestamp(1_700_000_000_123)).or("never");
        assert_eq!(html, "<time datetime=\"2023-11-14T22:13:20.123Z\">2023-11-14 22:13 UTC</time>");
        assert_eq!(Moment::default().or("never"), "<span class=\"muted\">never</span>");
        let hostile = serde_json::json!({ "time": "\"><script>" });
        assert_eq!(Moment::of(&hostile, "time"), Moment::default());
    }
}

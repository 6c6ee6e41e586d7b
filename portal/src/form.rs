//! Fields of a form (`application/x-www-form-urlencoded`), and what is wrong with one.

use scim_engine::http::{Request, Response, percent_decode};
use serde_json::Value;

/// The fields a browser sent.
#[derive(Debug, Default)]
pub struct Form(Vec<(String, String)>);

impl Form {
    /// The fields of a request's body; none when it is no form.
    pub fn of(request: &Request) -> Self {
        let text = std::str::from_utf8(&request.body).unwrap_or_default();
        let pairs = text.split('&').filter_map(|pair| {
            let (name, value) = pair.split_once('=')?;
            Some((percent_decode(name, true)?.into_owned(), percent_decode(value, true)?.into_owned()))
        });
        Self(pairs.collect())
    }

    /// The first field of that name; empty when there is none.
    pub fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(field, _)| field == name).map_or("", |(_, value)| value.as_str())
    }

    /// Every field of that name.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.0.iter().filter(|(field, _)| field == name).map(|(_, value)| value.as_str()).collect()
    }
}

/// Why a form was not accepted: shown beside the field, or above all of them.
#[derive(Clone, Debug, Default)]
pub struct Problem {
    /// Status of the refusal; 0 when nothing is wrong.
    pub status: u16,
    /// Name of the field; empty when it is the form as a whole.
    pub field: String,
    /// A sentence for people.
    pub message: String,
    /// What was entered there.
    pub entered: Option<String>,
}

impl Problem {
    /// A problem found here.
    pub fn new(status: u16, field: &str, message: &str) -> Self {
        Self { status, field: field.to_owned(), message: message.to_owned(), entered: None }
    }

    /// The same, with what is to stand in the field again.
    #[must_use]
    pub fn entered(self, text: &str) -> Self {
        Self { entered: Some(text.to_owned()), ..self }
    }

    /// Status of the page that shows it; of a page without a problem, 200.
    pub fn page_status(&self) -> u16 {
        if self.status == 0 { 200 } else { self.status }
    }

    /// What the API said. It names the field first, in backticks.
    pub fn of(response: &Response) -> Self {
        let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
        let message = body.get("message").or_else(|| body.get("detail")).and_then(Value::as_str).unwrap_or_default();
        let (field, rest) = match message.strip_prefix('`').and_then(|rest| rest.split_once('`')) {
            Some((field, rest)) => (field.to_owned(), format!("this{rest}")),
            None => (String::new(), message.to_owned()),
        };
        Self { status: response.status, field, message: sentence(&rest), entered: None }
    }

    /// The message if it belongs to that field.
    pub fn at(&self, field: &str) -> Option<&str> {
        (self.field == field && !self.message.is_empty()).then_some(self.message.as_str())
    }
}

/// The API's error texts begin small and end bare; people read sentences.
pub fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    let Some(first) = characters.next() else { return "Something went wrong.".to_owned() };
    let text: String = first.to_uppercase().chain(characters).filter(|character| *character != '`').collect();
    if text.ends_with('.') { text } else { text + "." }
}

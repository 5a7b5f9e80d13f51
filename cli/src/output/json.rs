//! The JSON forms: what `verifierd` said, in its own words, safe to print.

use serde::Serialize;
use wire::printable::safe_json;

use crate::failure::Failure;

/// One document over several lines, with a line feed at the end.
pub fn pretty(document: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string_pretty(document).map(|text| safe_json(&text) + "\n").map_err(not_json)
}

/// One document in one line, with a line feed at the end.
pub fn line(document: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string(document).map(|text| safe_json(&text) + "\n").map_err(not_json)
}

/// The one shape of an error, without a line feed.
pub fn error(code: &str, message: &str) -> String {
    safe_json(&serde_json::json!({ "error": { "code": code, "message": message } }).to_string())
}

/// A thing of its own as a document: `api_version` and `kind`, then the thing's own fields.
#[derive(Serialize)]
pub struct Document<'a, T> {
    api_version: u16,
    kind: &'static str,
    #[serde(flatten)]
    thing: &'a T,
}

impl<'a, T> Document<'a, T> {
    /// Wraps a thing.
    pub fn new(kind: &'static str, thing: &'a T) -> Self {
        Self { api_version: wire::API_VERSION, kind, thing }
    }
}

fn not_json(error: serde_json::Error) -> Failure {
    Failure::Garbled { problem: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::escape::is_risky;

    /// covers: I01
    #[test]
    fn json_is_safe_to_print_and_keeps_the_value() {
        let nasty = "\u{1b}[2J\r\n\u{7f}\u{9b}\u{202e}\u{e0041}\\\"é";
        for text in [pretty(&[nasty]), line(&[nasty]), Ok(error("not_found", nasty))] {
            let text = text.expect("a string is JSON");
            assert!(
                !text.trim_end().replace("\n  ", "").replace("\n]", "").chars().any(is_risky),
                "{text:?}"
            );
            let value: serde_json::Value = serde_json::from_str(&text).expect("valid JSON");
            let back = value.get(0).or_else(|| value.pointer("/error/message"));
            assert_eq!(back.and_then(serde_json::Value::as_str), Some(nasty));
        }
    }

    #[test]
    fn a_document_names_its_version_and_kind_first() {
        #[derive(Serialize)]
        struct Thing {
            name: &'static str,
        }
        let text = line(&Document::new("user", &Thing { name: "alice" })).expect("valid");
        assert_eq!(text, "{\"api_version\":1,\"kind\":\"user\",\"name\":\"alice\"}\n");
    }
}

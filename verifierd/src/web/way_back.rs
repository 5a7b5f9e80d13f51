//! The page that somebody asked for before he was signed in, so that the link of a mail leads to it all the same.
//!
//! It goes along in addresses and forms, which anybody can write: so it leads to a page of ours, whatever it says.

use hyper::Method;
use hyper::http::uri::PathAndQuery;

use super::Asked;
use super::asking::query;

/// Where nothing else was asked for.
const START: &str = "/";

/// Longest address that is kept. Those of our pages have a name or a search in them, and their filters.
const BYTES_MAX: usize = 1_024;

/// The page that is asked for, as an address; the start for whatever is no page that is only looked at.
pub(super) fn asked(asked: &Asked<'_>) -> String {
    if !matches!(*asked.method, Method::GET | Method::HEAD) {
        return START.to_owned();
    }
    let mark = if asked.query.is_empty() { "" } else { "?" };
    format!("{}{mark}{}", asked.path, asked.query)
}

/// The first page of signing in, which leads back to another one.
pub(super) fn sign_in(back: &str) -> String {
    let more = (back != START).then_some(("to", back));
    format!("/sign-in{}", query(more))
}

/// Where somebody goes once he is signed in, as his form or address says.
pub(super) fn of<'a>(asked: &'a Asked<'_>) -> &'a str {
    asked.form.field("to").map_or(START, |to| own(to))
}

/// This address where it is one of a page of ours; else the start.
///
/// Browsers read `//` as the beginning of another machine's name, and `\` as `/`. Source: WHATWG URL Standard, section 4.4.
fn own(to: &str) -> &str {
    let is_path = to.len() <= BYTES_MAX && to.starts_with('/') && !to.starts_with("//") && !to.contains('\\');
    let is_page = |to: &PathAndQuery| !["/sign-in", "/sign-out"].contains(&to.path());
    if is_path && to.parse().is_ok_and(|to| is_page(&to)) { to } else { START }
}

#[cfg(test)]
mod tests {
    use super::*;

    // covers: C18
    #[test]
    fn it_leads_to_a_page_of_ours_whatever_it_says() {
        for page in ["/", "/requests/0A", "/audit?user=a%26b&event=login", "/tokens/a%2Fb"] {
            assert_eq!(own(page), page);
        }
        let long = format!("/{}", "a".repeat(BYTES_MAX));
        for foreign in [
            "",
            "requests",
            "https://evil.example/",
            "//evil.example/",
            "///evil.example/",
            "/\\evil.example/",
            "\\\\evil.example/",
            "/a\\..\\b",
            "javascript:alert(1)",
            "/a\nSet-Cookie: b",
            "/a\r\n",
            "/\tevil",
            "\t//evil.example",
            " /requests",
            "/a b",
            "/sign-in",
            "/sign-in?to=/sign-in",
            "/sign-out",
            &long,
        ] {
            assert_eq!(own(foreign), START, "{foreign:?}");
        }
    }

    #[test]
    fn an_address_is_one_value_of_the_next_one() {
        assert_eq!(sign_in("/"), "/sign-in");
        assert_eq!(sign_in("/audit?user=a&b=c"), "/sign-in?to=%2Faudit%3Fuser%3Da%26b%3Dc");
    }
}

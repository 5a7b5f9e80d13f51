//! What the audit trail is told of requests, and how foreign text is shown.

use super::record::RequestRecord;
use crate::audit::{AuditRecord, rfc3339};
use crate::clock::UnixTime;

/// A step of a request. The password and the number that an approver must be told are never in it.
///
/// * `reason`: in one word.
pub(super) fn event(record: &RequestRecord, event: &str, reason: &str, now: UnixTime) -> AuditRecord {
    let mut detail = format!("request {}", record.id);
    if record.person.is_none() {
        detail.push_str(", unknown person");
    }
    if !record.typed.is_empty() {
        detail.push_str(", asked as ");
        detail.push_str(&record.typed);
    }
    if let Some(why) = &record.reason {
        detail.push_str(", because: ");
        detail.push_str(why);
    }
    if let Some(why) = record.end.as_ref().and_then(|end| end.why.as_ref()) {
        detail.push_str(", ");
        detail.push_str(why);
    }
    AuditRecord {
        at: rfc3339(now),
        event: event.into(),
        reason: reason.into(),
        detail: Some(detail),
        user: Some(record.user.clone()),
        service: Some(record.service.clone()),
        host: record.host.as_ref().map(|host| host.name.to_string()),
        rhost: record.rhost.clone(),
        tty: record.tty.clone(),
        ruser: record.ruser.clone(),
        person: record.person.as_ref().map(|person| person.login.clone()),
        ..AuditRecord::default()
    }
}

/// Marks above or below one letter that are let through: no language needs more, and a hundred of them cover the lines
/// around.
const MARKS_MAX: usize = 2;

/// Foreign text as it may stand before an approver: what moves, hides or covers other text is written as its number.
///
/// * `most`: how many characters of it are looked at.
pub(super) fn plain(text: &str, most: usize) -> String {
    let mut shown = String::new();
    let mut marks = 0;
    for letter in text.chars().take(most) {
        marks = if is_mark(letter) { marks + 1 } else { 0 };
        if letter.is_control() || is_invisible(letter) || marks > MARKS_MAX {
            shown.push_str(&format!("\\u{{{:x}}}", u32::from(letter)));
        } else {
            shown.push(letter);
        }
    }
    shown
}

/// Letters that turn the direction of writing or are not seen. Source: Unicode 16, general category Cf, the line and
/// paragraph separators, and fillers that show nothing.
fn is_invisible(letter: char) -> bool {
    matches!(letter,
        '\u{ad}' | '\u{34f}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{115f}' | '\u{1160}'
        | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}' | '\u{110bd}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}')
}

/// Letters that stand above or below the one before. Source: Unicode 16, the blocks of combining marks.
fn is_mark(letter: char) -> bool {
    matches!(letter,
        '\u{300}'..='\u{36f}' | '\u{483}'..='\u{489}' | '\u{591}'..='\u{5c7}' | '\u{610}'..='\u{61a}'
        | '\u{64b}'..='\u{65f}' | '\u{e31}' | '\u{e34}'..='\u{e3a}' | '\u{e47}'..='\u{e4e}'
        | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}' | '\u{20d0}'..='\u{20ff}' | '\u{fe20}'..='\u{fe2f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    // covers: C10
    #[test]
    fn text_that_hides_or_moves_other_text_is_shown_as_numbers() {
        let shown = |text: &str| plain(text, 500);
        assert_eq!(shown("the pager is dead, Zoë <b>"), "the pager is dead, Zoë <b>");
        assert_eq!(
            shown("a\u{202e}b\u{200b}c\x1b[31m\r\nBcc: x"),
            "a\\u{202e}b\\u{200b}c\\u{1b}[31m\\u{d}\\u{a}Bcc: x"
        );
        let covered = format!("e{}", "\u{301}".repeat(10_000));
        let shown = plain(&covered, 500);
        assert!(shown.starts_with("e\u{301}\u{301}\\u{301}"), "{shown}");
        assert_eq!(shown.chars().filter(|letter| *letter == '\u{301}').count(), 2);
        assert_eq!(shown.matches("\\u{301}").count(), 497);
    }
}

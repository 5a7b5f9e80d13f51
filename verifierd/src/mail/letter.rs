//! How letters are put together; and the one of our own, to whoever has had his share of mails.

use askama::Template;
use zeroize::Zeroizing;

use super::Letter;
use super::queue::ADDRESS_HOUR_MAX;
use crate::audit::rfc3339;
use crate::clock::UnixTime;
use crate::config::Config;

#[derive(Template)]
#[template(path = "mail/held.txt")]
struct HeldText<'a>(&'a Held);

#[derive(Template)]
#[template(path = "mail/held.html")]
struct HeldPage<'a>(&'a Held);

struct Held {
    share: usize,
    until: String,
    /// The page of access requests, where there are pages.
    page: Option<String>,
}

impl Letter {
    /// A letter from its templates.
    pub fn of(subject: String, text: &impl Template, html: &impl Template) -> Option<Self> {
        let rendered =
            text.render().and_then(|text| Ok((Zeroizing::new(text), Zeroizing::new(html.render()?))));
        match rendered {
            Ok((text, html)) => Some(Self { subject, text, html }),
            Err(error) => {
                tracing::error!(%error, "a mail cannot be put together");
                None
            }
        }
    }
}

/// That further mails to an address wait.
///
/// * `until`: the end of the hour in which it has had its share.
pub(super) fn held_back(until: UnixTime, config: &Config) -> Option<Letter> {
    let until = rfc3339(until);
    let held = Held {
        share: ADDRESS_HOUR_MAX,
        until: until.get(11..16).map_or(until.clone(), |time| format!("{time} UTC")),
        page: config.web.as_ref().map(|web| format!("{}/requests", web.base_url.origin())),
    };
    Letter::of(
        format!("Postern holds back mails to you until {}", held.until),
        &HeldText(&held),
        &HeldPage(&held),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    // covers: C12
    #[test]
    fn whoever_has_had_his_share_reads_where_the_rest_is_shown() {
        let config = Config::parse(
            "version = 1\n[web]\nlisten = \"0.0.0.0:8443\"\nbase_url = \"https://otp.example.org:8443\"\n\
             certificate_file = \"/c\"\nprivate_key_file = \"/k\"",
        );
        let letter = held_back(1_800_000_000, &config.unwrap()).unwrap();
        assert_eq!(letter.subject, "Postern holds back mails to you until 08:00 UTC");
        for text in [&letter.text, &letter.html] {
            assert!(
                text.contains("20 mails") && text.contains("https://otp.example.org:8443/requests"),
                "{text:?}"
            );
        }
        let letter = held_back(u64::MAX, &Config::parse("version = 1").unwrap()).unwrap();
        assert!(
            letter.text.contains("postern request list") && !letter.text.contains("https:"),
            "{letter:?}"
        );
    }
}

//! What every request of a browser has to be, and what every answer says, before any page is looked at.

use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, COOKIE, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN,
    REFERRER_POLICY, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use hyper::{Method, Uri};

use crate::config::BaseUrl;

/// The cookie. Browsers take one of such a name only over HTTPS, for this very host, and for all of its paths.
/// Source: RFC 6265bis, section 4.1.3.2.
pub const COOKIE_NAME: &str = "__Host-postern";

/// Scripts, styles and pictures of our own alone, none of them inside a page; forms that lead here alone; in nobody's frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// What answers say. Source: OWASP HTTP Headers cheat sheet.
const SAID: [(HeaderName, &str); 9] = [
    (CONTENT_SECURITY_POLICY, POLICY),
    (X_FRAME_OPTIONS, "DENY"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    // Nothing to others; with `no-referrer` a browser's own forms come from `null` (Fetch, "append a request Origin header").
    (REFERRER_POLICY, "same-origin"),
    (STRICT_TRANSPORT_SECURITY, "max-age=31536000"),
    (CACHE_CONTROL, "no-store"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
];

/// Why a request is not looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Foreign {
    /// It is for another name than ours.
    Host,
    /// It comes from another page than ours.
    Origin,
}

/// Says in an answer what browsers are to keep from, and whatever it says itself goes before it.
pub fn say(headers: &mut HeaderMap) {
    for (name, value) in SAID {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
}

/// Whether a request is for us, and where it changes something, from one of our own pages.
///
/// # Errors
/// See [`Foreign`].
pub fn check(method: &Method, uri: &Uri, headers: &HeaderMap, base: &BaseUrl) -> Result<(), Foreign> {
    if !is_for_us(uri, headers, base) {
        return Err(Foreign::Host);
    }
    let is_read = matches!(*method, Method::GET | Method::HEAD);
    if is_read || is_from_us(headers, base) { Ok(()) } else { Err(Foreign::Origin) }
}

/// Of HTTP/1.1 `Host`, and an absolute target where there is one; of HTTP/2 the authority. Whatever names there are must
/// all be ours.
pub fn is_for_us(uri: &Uri, headers: &HeaderMap, base: &BaseUrl) -> bool {
    let ours = |name: &str| name.eq_ignore_ascii_case(base.authority());
    let hosts: Vec<_> = headers.get_all(HOST).iter().collect();
    let authority = uri.authority().map(|authority| authority.as_str());
    let hosts_are_ours = hosts.iter().all(|host| host.to_str().is_ok_and(ours));
    hosts.len() <= 1
        && hosts_are_ours
        && authority.is_none_or(ours)
        && (authority.is_some() || !hosts.is_empty())
}

/// Browsers say where a form comes from; whatever does not is no browser that we know.
fn is_from_us(headers: &HeaderMap, base: &BaseUrl) -> bool {
    let mut origins = headers.get_all(ORIGIN).iter();
    let is_ours = origins.next().is_some_and(|origin| origin.as_bytes() == base.origin().as_bytes());
    let site = headers.get("sec-fetch-site");
    is_ours && origins.next().is_none() && site.is_none_or(|site| site == "same-origin")
}

/// The name of the session that a browser shows. Of two, one may be another's.
pub fn session_name(headers: &HeaderMap) -> Option<&str> {
    let mut shown = headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().strip_prefix(COOKIE_NAME)?.strip_prefix('='));
    let name = shown.next()?;
    shown.next().is_none().then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(method: Method, target: &str, lines: &[(&str, &str)]) -> Result<(), Foreign> {
        let headers = lines
            .iter()
            .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap()))
            .collect();
        let base = BaseUrl::parse("https://otp.example.org:8443").unwrap();
        check(&method, &target.parse().unwrap(), &headers, &base)
    }

    const OURS: (&str, &str) = ("host", "otp.example.org:8443");
    const FROM_US: (&str, &str) = ("origin", "https://otp.example.org:8443");

    // covers: C08
    #[test]
    fn a_request_for_another_name_is_not_looked_at() {
        let get = |target: &str, lines: &[(&str, &str)]| judge(Method::GET, target, lines);
        assert_eq!(get("/", &[OURS]), Ok(()));
        assert_eq!(get("/", &[("host", "OTP.example.org:8443")]), Ok(()));
        assert_eq!(get("https://otp.example.org:8443/", &[]), Ok(()));
        // What proxies would say is nobody's business here.
        assert_eq!(get("/", &[OURS, ("x-forwarded-host", "evil.example")]), Ok(()));
        for (target, lines) in [
            ("/", &[][..]),
            ("/", &[("host", "evil.example")]),
            ("/", &[("host", "otp.example.org")]),
            ("/", &[("host", "otp.example.org:8443.evil.example")]),
            ("/", &[OURS, ("host", "evil.example")]),
            ("/", &[OURS, OURS]),
            ("https://evil.example/", &[OURS]),
            ("https://otp.example.org:8443/", &[("host", "evil.example")]),
        ] {
            assert_eq!(get(target, lines), Err(Foreign::Host), "{target} {lines:?}");
        }
    }

    // covers: C04
    #[test]
    fn what_changes_something_comes_from_one_of_our_own_pages() {
        let post = |lines: &[(&str, &str)]| judge(Method::POST, "/", &[&[OURS], lines].concat());
        assert_eq!(post(&[FROM_US]), Ok(()));
        assert_eq!(post(&[FROM_US, ("sec-fetch-site", "same-origin")]), Ok(()));
        for lines in [
            &[][..],
            &[("origin", "null")],
            &[("origin", "https://evil.example")],
            &[("origin", "https://otp.example.org:8443.evil.example")],
            &[("origin", "http://otp.example.org:8443")],
            &[FROM_US, ("origin", "https://evil.example")],
            &[FROM_US, ("sec-fetch-site", "cross-site")],
            &[FROM_US, ("sec-fetch-site", "same-site")],
            &[("referer", "https://otp.example.org:8443/")],
        ] {
            assert_eq!(post(lines), Err(Foreign::Origin), "{lines:?}");
        }
        for method in [Method::PUT, Method::DELETE, Method::PATCH, Method::OPTIONS] {
            assert_eq!(judge(method, "/", &[OURS]), Err(Foreign::Origin));
        }
    }

    // Seen in a real browser by `browser::whoever_has_no_mouse_signs_in_and_approves_with_tab_and_enter`.
    // covers: C04
    #[test]
    fn browsers_are_not_told_to_keep_from_saying_where_our_forms_come_from() {
        let mut headers = HeaderMap::new();
        say(&mut headers);
        assert_eq!(headers.get(REFERRER_POLICY), Some(&HeaderValue::from_static("same-origin")));
    }

    // covers: I07
    #[test]
    fn one_cookie_of_ours_names_the_session_and_two_name_none() {
        let named = |lines: &[&'static str]| {
            let headers: HeaderMap =
                lines.iter().map(|line| (COOKIE, HeaderValue::from_static(line))).collect();
            session_name(&headers).map(str::to_owned)
        };
        assert_eq!(named(&["a=b; __Host-postern=name; c=d"]).as_deref(), Some("name"));
        assert_eq!(named(&["a=b", "__Host-postern=name"]).as_deref(), Some("name"));
        for lines in [
            &[][..],
            &["__Host-postern2=name"],
            &["postern=name"],
            // Names of cookies have a case. Source: RFC 6265bis, section 5.6.
            &["__host-postern=name"],
            &["__Host-Postern=name"],
            &["=__Host-postern=name"],
            &["__Host-postern=one; __Host-postern=other"],
            &["__Host-postern=one", "__Host-postern=other"],
        ] {
            assert_eq!(named(lines), None, "{lines:?}");
        }
    }
}

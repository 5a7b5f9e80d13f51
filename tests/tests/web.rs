//! The pages for browsers: who is answered at all, what every answer says, and who gets in.

use system_tests::api::make_certificate;
use system_tests::machine::Machine;
use system_tests::pages::{BASE, SECTION, Visitor, encode};
use system_tests::verifier::{Verifier, config};

/// A daemon with pages.
fn start() -> Verifier {
    let mut verifier = Verifier::prepare(&config(SECTION));
    make_certificate();
    verifier.initialise();
    verifier.launch();
    verifier
}

// covers: C08, C04
#[test]
fn whoever_asks_for_another_name_or_from_another_page_is_not_answered() {
    let _machine = Machine::without_module();
    let _verifier = start();
    let visitor = Visitor::new("stranger");
    assert_eq!(visitor.get("/sign-in").status, 200);
    let host = |name: &str| visitor.ask("/sign-in", &["--header", &format!("host: {name}")], "").status;
    assert_eq!(host("localhost:8443"), 200);
    assert_eq!([host("evil.example"), host("localhost"), host("localhost:8443.evil.example")], [421; 3]);
    let form = encode(&[("login", "alice"), ("password", "password")]);
    let post = |more: &[&str]| visitor.ask("/sign-in", &[&["--data-binary", "@-"], more].concat(), &form);
    let origin = format!("origin: {BASE}");
    for more in [
        &[][..],
        &["--header", "origin: https://evil.example"],
        &["--header", "origin: null"],
        &["--header", &origin, "--header", "sec-fetch-site: cross-site"],
        &["--header", &origin, "--header", "content-type: text/plain"],
        &["--header", &origin, "--header", "content-type: multipart/form-data; boundary=x"],
        &["--header", &origin, "--header", "content-type: application/json"],
    ] {
        let answer = post(more);
        assert_eq!(answer.status, 403, "{more:?}: {answer:?}");
        assert!(answer.header("set-cookie").is_none(), "{answer:?}");
    }
}

// covers: C04, I07, I08
#[test]
fn every_answer_says_what_browsers_are_to_keep_from() {
    let _machine = Machine::without_module();
    let _verifier = start();
    let visitor = Visitor::new("stranger");
    for path in ["/sign-in", "/", "/requests", "/nothing", "/assets/style.css", "/assets/htmx.js"] {
        let answer = visitor.get(path);
        let policy = answer.header("content-security-policy").unwrap_or_else(|| panic!("{path}: {answer:?}"));
        assert!(
            policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
            "{policy}"
        );
        assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(answer.header("referrer-policy"), Some("same-origin"), "{path}");
        assert!(answer.header("set-cookie").is_none(), "{path}: nobody is known");
        let is_asset = path.starts_with("/assets/");
        assert_eq!(answer.header("cache-control") == Some("no-store"), !is_asset, "{path}");
        // Nothing inside a page is a script or a style, and nothing comes from elsewhere.
        if !is_asset {
            for inline in ["<script>", "<style", " style=", " onclick=", "javascript:", "http://"] {
                assert!(!answer.body.contains(inline), "{path} has {inline}");
            }
        }
    }
}

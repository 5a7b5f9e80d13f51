//! One's own password and apps, without a network: what opens what, and what a stolen session does not.

use std::time::Duration;

use hyper::{Method, StatusCode};
use otp_core::{Algorithm, Digits, OtpKey, SharedSecret};

use crate::config::Config;
use crate::web::tests::{BASE, Browser, DESK, PASSWORD, Site};

const NEXT: &str = "another battery, a better one";

/// The key of the app that a page shows.
fn shown_key(page: &str) -> OtpKey {
    let (_, rest) = page.split_once("<code>").expect("a secret");
    let typed = rest.split_once("</code>").expect("its end").0.replace(' ', "");
    let secret = data_encoding::BASE32_NOPAD.decode(typed.as_bytes()).expect("base 32");
    OtpKey::new(&SharedSecret::from_bytes(&secret).expect("a secret"), Algorithm::Sha1, Digits::SIX)
}

async fn begin(carol: &mut Browser<'_>, code: &str) -> crate::web::tests::Answer {
    carol.post("/account/app", &[("code", code)]).await
}

async fn finish(carol: &mut Browser<'_>, code: &str) -> crate::web::tests::Answer {
    carol.post("/account/app/first", &[("code", code)]).await
}

// covers: P13, I11, I09
#[tokio::test]
async fn an_app_is_added_by_a_code_of_a_token_that_one_has_and_then_by_one_of_its_own() {
    let site = Site::new().await;
    let mut carol = site.carol().await;
    assert_eq!(site.serials().len(), 1);
    let shown = begin(&mut carol, &site.code()).await;
    assert_eq!(shown.status, StatusCode::OK, "{}", shown.body);
    assert!(shown.body.contains("<svg class=\"qr\"") && shown.body.contains("otpauth://totp/"));
    let key = shown_key(&shown.body);
    assert_eq!(site.serials().len(), 1, "nothing is kept of an app that showed no code");
    let wrong = finish(&mut carol, "000000").await;
    assert_eq!(wrong.status, StatusCode::FORBIDDEN);
    assert!(!wrong.body.contains("<svg") && !wrong.body.contains("otpauth"), "it is shown once");
    site.trial.advance(crate::trial::STEP);
    let code = site.trial.code(&key, 0);
    let added = finish(&mut carol, &code).await;
    assert_eq!(added.to.as_deref(), Some("/account?done=app"), "{}", added.body);
    assert_eq!(site.serials().len(), 2);
    let events = site.events();
    assert!(events.contains(&"enrolment_shown".into()) && events.contains(&"token_associated".into()));
    // Its first code is used up, after a restart too; the next one signs in, and so does the other app.
    let site = site.restarted(ledger::StartState::Clean).await;
    assert_eq!(site.serials().len(), 2);
    let mut elsewhere = site.browser(DESK);
    elsewhere.give_password(PASSWORD).await;
    assert_eq!(elsewhere.give_code(&code).await.status, StatusCode::FORBIDDEN);
    site.trial.advance(crate::trial::STEP);
    assert_eq!(elsewhere.give_code(&site.trial.code(&key, 0)).await.to.as_deref(), Some("/"));
    site.carol().await;
}

// covers: I11, A12, B01
#[tokio::test]
async fn a_session_alone_sees_no_secret_and_an_app_waits_in_its_own_session_for_a_while() {
    let site = Site::new().await;
    let mut carol = site.carol().await;
    for code in ["", "000000", "12345678"] {
        let answer = begin(&mut carol, code).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN);
        assert!(!answer.body.contains("otpauth"));
    }
    assert_eq!(finish(&mut carol, "000000").await.status, StatusCode::CONFLICT, "none was shown");
    // One that is shown in one session is none of another's.
    let shown = begin(&mut carol, &site.code()).await;
    let mut other = site.carol().await;
    assert_eq!(
        finish(&mut other, &site.trial.code(&shown_key(&shown.body), 0)).await.status,
        StatusCode::CONFLICT
    );
    // Five codes are looked at.
    for _ in 0..4 {
        assert!(finish(&mut carol, "000000").await.body.contains("Begin again"));
    }
    assert!(finish(&mut carol, "000000").await.body.contains("Too many wrong codes"));
    let late = site.trial.code(&shown_key(&shown.body), 0);
    assert_eq!(finish(&mut carol, &late).await.status, StatusCode::CONFLICT);
    // Ten minutes, and no longer.
    let shown = begin(&mut carol, &site.code()).await;
    site.trial.advance(Duration::from_secs(10 * 60));
    let late = site.trial.code(&shown_key(&shown.body), 0);
    assert_eq!(finish(&mut carol, &late).await.status, StatusCode::CONFLICT);
    assert_eq!(site.serials().len(), 1);
}

// covers: I11
#[tokio::test]
async fn where_tokens_are_handed_out_nobody_adds_an_app() {
    let site = Site::new().await;
    let mut carol = site.carol().await;
    let config = site.trial.service.dialogue.config.load_full();
    let mut tokens = Config::clone(&config);
    tokens.enrolment.with = wire::admin::EnrolWith::Token;
    site.trial.service.dialogue.config.store(tokens.into());
    let page = carol.send(Method::GET, "/account", &[]).await;
    assert!(!page.body.contains("/account/app"));
    assert_eq!(carol.send(Method::GET, "/account/app", &[]).await.status, StatusCode::CONFLICT);
    let answer = begin(&mut carol, &site.code()).await;
    assert!(answer.status == StatusCode::CONFLICT && !answer.body.contains("otpauth"));
}

// covers: P13, I07, B01
#[tokio::test]
async fn whoever_knows_his_password_changes_it_and_his_other_sign_ins_end() {
    let site = Site::new().await;
    let (mut carol, mut other) = (site.carol().await, site.carol().await);
    let fields = |present: &'static str, next: &'static str, again: &'static str| {
        [("present", present), ("password", next), ("again", again)]
    };
    for (asked, status) in [
        (fields("a guess of a stranger", NEXT, NEXT), StatusCode::FORBIDDEN),
        (fields("", NEXT, NEXT), StatusCode::FORBIDDEN),
        (fields(PASSWORD, NEXT, "another one again"), StatusCode::BAD_REQUEST),
        (fields(PASSWORD, "short", "short"), StatusCode::CONFLICT),
    ] {
        let answer = carol.post("/account/password", &asked).await;
        assert_eq!(answer.status, status, "{asked:?}: {}", answer.body);
        assert!(!answer.body.contains(NEXT) && !answer.body.contains(PASSWORD), "no page tells a password");
    }
    assert!(carol.is_in().await && other.is_in().await);
    let former = carol.cookie.clone();
    let answer = carol.post("/account/password", &fields(PASSWORD, NEXT, NEXT)).await;
    assert_eq!(answer.to.as_deref(), Some("/account?done=password"), "{}", answer.body);
    assert!(carol.is_in().await && !other.is_in().await && carol.cookie != former);
    other.cookie = former;
    assert!(!other.is_in().await);
    assert_eq!(site.browser(DESK).give_password(PASSWORD).await.status, StatusCode::FORBIDDEN);
    assert_eq!(site.browser(DESK).give_password(NEXT).await.status, StatusCode::SEE_OTHER);
    assert!(site.events().contains(&"person_changed".into()));
}

// covers: C18
#[tokio::test]
async fn signing_in_leads_to_the_page_that_was_asked_for() {
    let site = Site::new().await;
    let mut carol = site.browser(DESK);
    let answer = carol.send(Method::GET, "/sessions?user=carol", &[]).await;
    assert_eq!(answer.to.as_deref(), Some("/sign-in?to=%2Fsessions%3Fuser%3Dcarol"));
    let to = [("to", "/sessions?user=carol")];
    let page = carol.send(Method::GET, "/sign-in", &to).await;
    assert!(page.body.contains("name=\"to\" value=\"/sessions?user=carol\""), "{}", page.body);
    let step = [to[0], ("login", "carol"), ("password", PASSWORD)];
    let answer = carol.send(Method::POST, "/sign-in", &step).await;
    assert_eq!(answer.to.as_deref(), Some("/sign-in?to=%2Fsessions%3Fuser%3Dcarol"));
    let page = carol.send(Method::GET, "/sign-in", &to).await;
    assert!(page.body.contains("name=\"to\" value=\"/sessions?user=carol\""), "{}", page.body);
    let code = site.code();
    let answer = carol.post("/sign-in/code", &[to[0], ("code", &code)]).await;
    assert_eq!(answer.to.as_deref(), Some("/sessions?user=carol"));
    let answer = carol.send(Method::GET, "/sign-in", &[("to", "//evil.example")]).await;
    assert_eq!(answer.to.as_deref(), Some("/"), "{BASE} leads to nobody else");
    // What changes something is not done again after signing in.
    let mut nobody = site.browser(DESK);
    assert_eq!(nobody.send(Method::POST, "/account/password", &[]).await.to.as_deref(), Some("/sign-in"));
}

// covers: P13, C18
#[tokio::test]
async fn that_a_session_is_not_ones_own_takes_a_form_and_not_a_link() {
    let site = Site::new().await;
    for (number, user) in [(1, "carol"), (2, "bob")] {
        let said = serde_json::json!({"api_version": 1, "session": format!("{number:032x}"), "user": user,
            "service": "sshd", "rhost": "192.0.2.7"});
        let said = serde_json::from_value(said).unwrap();
        site.trial.service.dialogue.sessions.open(said, None).await.unwrap();
    }
    let mut carol = site.carol().await;
    let [hers, his] = [1, 2].map(|number| format!("/sessions/{number:032x}/not-me"));
    let list = carol.send(Method::GET, "/sessions", &[]).await;
    assert!(list.body.contains(&hers) && !list.body.contains(&his), "{}", list.body);
    let reports = || site.events().into_iter().filter(|event| event == "session_reported").count();
    assert_eq!(carol.send(Method::GET, &hers, &[]).await.status, StatusCode::OK);
    assert_eq!(carol.send(Method::POST, &hers, &[]).await.status, StatusCode::FORBIDDEN, "no form of ours");
    assert_eq!(carol.post(&his, &[]).await.status, StatusCode::NOT_FOUND);
    assert_eq!(reports(), 0);
    let told = carol.post(&hers, &[]).await;
    assert!(
        told.status == StatusCode::OK && told.body.contains("It is on record. Reference "),
        "{}",
        told.body
    );
    assert_eq!(reports(), 1);
}

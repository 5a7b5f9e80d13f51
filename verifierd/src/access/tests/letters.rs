//! What mails say, and what they do not.

use crate::access::letters::{About, AccessLetters, Occasion};
use crate::access::{How, RequestRecord};
use crate::mail::{Letter, Letters};
use crate::trial::Log;

use super::stand::{CONFIG, MINUTE, Stand};

impl Stand {
    fn write(&self, request: &RequestRecord, about: About) -> Option<Letter> {
        let config = std::sync::Arc::clone(&self.trial.service.dialogue.config);
        let letters = AccessLetters::new(std::sync::Arc::clone(&self.requests().shelf), config);
        letters.write(&Occasion { request: request.id, about }.bytes(), 0)
    }
}

fn both(letter: &Letter) -> [&str; 2] {
    [&letter.text, &letter.html]
}

// covers: C13, R5, E3
#[tokio::test]
async fn the_approver_reads_everything_but_the_number_and_the_password() {
    let stand = Stand::new().await;
    let request = stand.request("alice", How::Approval).await;
    let letter = stand.write(&request, About::Request).unwrap();
    assert_eq!(letter.subject, "alice asks for a one-time password at this machine");
    for text in both(&letter) {
        for part in ["alice (alice@example.org)", "sshd", "192.0.2.7", &request.id.to_string()] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(!text.contains(&format!("--number {}", request.number)) && text.contains("--number NN"));
    }
    assert!(stand.write(&request, About::Password).is_none(), "there is none yet");
    stand.approve("carol", &request).await.unwrap();
    assert!(stand.write(&request, About::Request).is_none(), "it is decided");
    let password = stand.password(request.id);
    let letter = stand.write(&request, About::Password).unwrap();
    assert!(both(&letter).iter().all(|text| text.contains(password.as_str())));
    assert!(!letter.subject.contains(password.as_str()));
    stand.type_in("alice", &password).await;
    assert!(stand.write(&request, About::Password).is_none(), "it is used");
    let bytes: Vec<u8> =
        stand.trial.audit().iter().flat_map(|record| serde_json::to_vec(record).unwrap()).collect();
    assert!(!String::from_utf8(bytes).unwrap().contains(password.as_str()));
    let kept = ledger::Ledger::load(&*stand.trial.ledger).unwrap();
    let plain = password.replace('-', "");
    for record in kept.records {
        let text = String::from_utf8_lossy(&record.value).into_owned();
        assert!(!text.contains(password.as_str()) && !text.contains(&plain));
    }
}

// covers: C13
#[tokio::test]
async fn no_line_of_the_log_holds_an_issued_password_or_a_number() {
    let log = Log::listen();
    let stand =
        Stand::with("version = 1\n[access]\nlogin_step = \"request\"\napprovers = [\"carol\"]\n").await;
    let asked = stand.trial.ask("alice", "sshd", Some("192.0.2.7")).await;
    let asked = stand.trial.go_on(&stand.trial.go_on(&asked, "request").await, "alice@example.org").await;
    let request = stand.newest();
    let number = request.number;
    let other = RequestRecord { number: if number == 99 { 98 } else { number + 1 }, ..request.clone() };
    assert!(stand.approve("carol", &other).await.is_err());
    stand.approve("carol", &request).await.unwrap();
    let password = stand.password(request.id);
    stand.write(&request, About::Password).unwrap();
    assert_eq!(stand.type_in("bob", &password).await, "wrong_user");
    let end = stand.trial.answer(&asked, &password).await;
    assert_eq!(stand.trial.reason(&end), "issued_password");
    let log = log.end();
    for event in ["access_requested", "access_approved", "wrong_user", "issued_password"] {
        assert!(log.contains(event), "{event} is not in {log}");
    }
    assert!(!log.contains(password.as_str()) && !log.contains(&password.replace('-', "")), "{log}");
    for number in [number, other.number] {
        assert!(!log.contains(&format!("number={number}")) && !log.contains(&format!("number {number}")));
    }
}

// covers: E4
#[tokio::test]
async fn whoever_asked_hears_that_nobody_decided_or_that_somebody_said_no() {
    let stand = Stand::new().await;
    let (one, other) =
        (stand.request("alice", How::Approval).await, stand.request("bob", How::Approval).await);
    stand.deny("carol", other.id).await.unwrap();
    stand.trial.advance(30 * MINUTE);
    assert_eq!(stand.requests().sweep(100).await, 1);
    let mailed =
        |request: &RequestRecord, about| stand.write(request, about).map(|letter| letter.text.to_string());
    assert!(mailed(&one, About::Expired).unwrap().contains("Nobody decided"));
    assert!(mailed(&other, About::Denied).unwrap().contains("An approver denied"));
    let waiting = stand.trial.service.outbox.figures().waiting;
    assert_eq!(waiting, 2 + 2 + 2, "two approvers for each, and an end for each");
}

// covers: C10, C08
#[tokio::test]
async fn what_somebody_typed_is_text_and_links_lead_to_the_configured_address_alone() {
    let reason = "<img src=x onerror=alert(1)></td><a href=//evil>Approve</a>\u{202e}\x1b[31m";
    let pages = "[web]\nlisten = \"127.0.0.1:0\"\nbase_url = \"https://otp.example.org:8443\"\n\
                 certificate_file = \"/c\"\nprivate_key_file = \"/k\"\n";
    let stand = Stand::new().await;
    let request = stand.request("alice", How::Emergency { reason: reason.into() }).await;
    let config = crate::config::Config::parse(&format!("{CONFIG}{pages}")).unwrap();
    stand.trial.service.dialogue.config.store(std::sync::Arc::new(config));
    let letter = stand.write(&request, About::Request).unwrap();
    assert!(letter.subject.starts_with("EMERGENCY: "));
    for text in both(&letter) {
        assert!(text.contains("EMERGENCY") && text.contains("\\u{202e}\\u{1b}[31m"), "{text}");
        assert!(!text.contains(['\u{202e}', '\x1b']));
        assert!(text.contains(&format!("https://otp.example.org:8443/requests/{}", request.id)));
    }
    assert!(!letter.html.contains("<img") && !letter.html.contains("<a href=//evil"), "{}", *letter.html);
    assert_eq!(letter.html.matches("<a href=").count(), 1);
    stand.approve("carol", &request).await.unwrap();
    let letter = stand.write(&request, About::Password).unwrap();
    assert!(letter.text.contains(&format!("https://otp.example.org:8443/not-me/{}/", request.id)));
    assert_eq!(letter.html.matches("<a href=").count(), 1);
}

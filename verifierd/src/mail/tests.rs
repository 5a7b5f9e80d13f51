//! The outbox with a ledger, without a server: `tests/tests/mail.rs` has one.

use ledger::memory::MemoryLedger;

use super::*;
use crate::clock::ManualClock;

const NOON: UnixTime = 1_800_000_000;

#[derive(Debug)]
struct Nobody;

impl Letters for Nobody {
    fn subject(&self, occasion: &[u8]) -> Option<Subject> {
        let host = Some("web1".into());
        (occasion == b"hello").then(|| Subject { what: "a greeting".into(), host, user: None })
    }

    fn write(&self, _: &[u8], _: UnixTime) -> Option<Letter> {
        None
    }
}

fn outbox(ledger: &Arc<MemoryLedger>, clock: &Arc<ManualClock>) -> Arc<Outbox> {
    let mut loaded = Loaded::default();
    for record in ledger.load().unwrap().records {
        loaded.take(&record).unwrap();
    }
    let config =
        "version = 1\n[mail]\nserver = \"127.0.0.1:9\"\ntls = \"none\"\nfrom = \"postern@example.org\"";
    let tools = Tools {
        ledger: ledger.clone(),
        clock: clock.clone(),
        config: Arc::new(ArcSwap::from_pointee(Config::parse(config).unwrap())),
        letters: vec![Arc::new(Nobody)],
    };
    Outbox::new(loaded, tools).unwrap()
}

fn letter() -> NewLetter {
    let to = EmailAddress::parse("alice@example.org").unwrap();
    NewLetter { to, occasion: b"hello".to_vec(), until: NOON + 60, is_urgent: false }
}

// covers: C14
#[tokio::test]
async fn a_mail_is_kept_until_it_is_sent_or_given_up_also_by_the_next_daemon() {
    let (ledger, clock) = (Arc::new(MemoryLedger::new()), Arc::new(ManualClock::at(NOON)));
    let first = outbox(&ledger, &clock);
    let (id, change) = first.put(letter(), NOON);
    let (lost, _) = first.put(letter(), NOON);
    assert_ne!(id, lost);
    let outcome = ledger.submit(Entry { changes: vec![change], ..Entry::default() }).await;
    assert_eq!(outcome, Outcome::Committed);
    drop(first);
    let second = outbox(&ledger, &clock);
    assert!(matches!(second.state(id), Some(MailState::Waiting { tries: 0, .. })));
    assert_eq!((second.state(lost), second.figures().waiting), (None, 1));
    let due = second.queue().next_due(MailId(0), (Duration::ZERO, NOON)).unwrap();
    let config = second.tools.config.load().mail.clone().unwrap();
    // Whoever writes it has nothing to say any more.
    second.send(due, &config).await;
    let state = second.state(id);
    assert!(
        matches!(&state, Some(MailState::Failed { why, .. }) if why.contains("nothing to tell")),
        "{state:?}"
    );
    let line = ledger.audit_after(0, 10).unwrap();
    let record = audit::record(&line[0]);
    assert_eq!((record.event.as_str(), record.reason.as_str()), ("mail_failed", "not_sent"));
    assert_eq!((record.host.as_deref(), record.user), (Some("web1"), None));
    let detail = record.detail.unwrap();
    assert!(detail.starts_with("a greeting, to alice@example.org: "), "{detail}");
    assert!(matches!(outbox(&ledger, &clock).state(id), Some(MailState::Failed { .. })));
}

#[tokio::test]
async fn mails_that_fail_for_ten_minutes_are_told_with_the_cause() {
    let (ledger, clock) = (Arc::new(MemoryLedger::new()), Arc::new(ManualClock::at(NOON)));
    let outbox = outbox(&ledger, &clock);
    let record = || MailRecord::new(MailId(1), letter());
    outbox.failed(record(), &SendError::TooLong).await;
    assert_eq!(outbox.figures().failing, None);
    clock.advance(FAILING_MAX);
    outbox.failed(record(), &SendError::TooLong).await;
    assert_eq!(outbox.figures().failing.as_deref(), Some("the mail server takes too long"));
}

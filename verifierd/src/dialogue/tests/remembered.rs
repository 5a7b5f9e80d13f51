use super::*;

const CONFIG: &str = "version = 1\n[remember]\nsudo = \"10m\"\nsshd = \"10m\"";

/// A terminal of this machine, in one of its sessions.
#[derive(Clone, Copy)]
struct Terminal {
    user: &'static str,
    service: &'static str,
    ruser: Option<&'static str>,
    tty: Option<&'static str>,
    session: Option<&'static str>,
    rhost: Option<&'static str>,
}

const HERS: Terminal = Terminal {
    user: "alice",
    service: "sudo",
    ruser: Some("alice"),
    tty: Some("/dev/pts/3"),
    session: Some("boot 42 4711 34819"),
    rhost: None,
};

async fn begun(trial: &Trial, at: Terminal) -> Reply {
    let begin = Begin {
        api_version: 1,
        request_id: trial.request_id(),
        user: at.user.into(),
        service: at.service.into(),
        rhost: at.rhost.map(Into::into),
        ruser: at.ruser.map(Into::into),
        tty: at.tty.map(Into::into),
        columns: None,
        session: at.session.map(Into::into),
        offline_grant_until: None,
    };
    trial.service.dialogue.begin(begin, None).await.unwrap()
}

async fn is_asked(trial: &Trial, at: Terminal) -> bool {
    matches!(begun(trial, at).await.next, Next::Ask { .. })
}

async fn gives(trial: &Trial, at: Terminal, code: &str) -> String {
    let prompt = asked(begun(trial, at).await);
    trial.reason(&trial.answer(&prompt, code).await)
}

// covers: P4
#[tokio::test]
async fn a_code_counts_for_its_time_in_the_session_of_the_terminal_where_it_was_given() {
    let trial = Trial::with_config(CONFIG).await;
    let key = trial.activate("alice").await;
    trial.activate("bob").await;
    assert!(is_asked(&trial, HERS).await);
    assert_eq!(gives(&trial, HERS, &trial.code(&key, 1)).await, "accepted");
    let end = ended(begun(&trial, HERS).await);
    assert_eq!((end.verdict, trial.reason(&end)), (Verdict::NotRequired, "remembered".into()));
    let others = [
        Terminal { tty: Some("/dev/pts/4"), ..HERS },
        Terminal { session: Some("boot 43 4712 34819"), ..HERS },
        Terminal { session: None, ..HERS },
        Terminal { tty: None, ..HERS },
        Terminal { ruser: Some("bob"), ..HERS },
        Terminal { ruser: None, ..HERS },
        Terminal { service: "su", ..HERS },
        Terminal { service: "sshd", ..HERS },
        Terminal { user: "bob", ..HERS },
    ];
    for (number, other) in others.into_iter().enumerate() {
        assert!(is_asked(&trial, other).await, "{number}");
    }
    trial.advance(Duration::from_secs(599));
    assert!(!is_asked(&trial, HERS).await);
    trial.advance(Duration::from_secs(1));
    assert!(is_asked(&trial, HERS).await);
}

// covers: P4
#[tokio::test]
async fn an_address_is_never_enough() {
    let trial = Trial::with_config(CONFIG).await;
    let key = trial.activate("alice").await;
    let ssh = Terminal {
        service: "sshd",
        ruser: None,
        tty: Some("ssh"),
        session: None,
        rhost: Some("192.0.2.1"),
        ..HERS
    };
    let prompt = asked(begun(&trial, ssh).await);
    let end = trial.answer(&prompt, &trial.code(&key, 1)).await;
    assert_eq!(trial.reason(&end), "accepted");
    assert!(is_asked(&trial, ssh).await);
}

// covers: P4
#[tokio::test]
async fn what_changes_a_users_tokens_ends_it_and_so_does_the_daemon() {
    let trial = Trial::with_config(CONFIG).await;
    let key = trial.activate("alice").await;
    assert_eq!(gives(&trial, HERS, &trial.code(&key, 1)).await, "accepted");
    assert!(!is_asked(&trial, HERS).await);
    let serial = trial.token().record.serial.clone();
    trial.service.dialogue.steward.lose(serial, None, crate::trial::root()).await.unwrap();
    assert!(is_asked(&trial, HERS).await, "her token was lost");

    let trial = Trial::with_config(CONFIG).await;
    let key = trial.activate("alice").await;
    assert_eq!(gives(&trial, HERS, &trial.wrong_code(&key)).await, "wrong_code");
    assert!(is_asked(&trial, HERS).await, "a wrong code");
    assert_eq!(gives(&trial, HERS, &trial.code(&key, 1)).await, "accepted");
    trial.service.dialogue.has_loss.store(true, Ordering::Relaxed);
    assert!(is_asked(&trial, HERS).await, "commits are missing");
    trial.service.dialogue.has_loss.store(false, Ordering::Relaxed);
    assert!(!is_asked(&trial, HERS).await);
    assert!(is_asked(&trial.restart_with(CONFIG).await, HERS).await, "another daemon");
}

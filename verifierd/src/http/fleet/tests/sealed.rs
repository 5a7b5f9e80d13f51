//! Answers that only the host reads, and not what it reads them with.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use data_encoding::BASE64URL_NOPAD;
use wire::fleet::{REPLY_KEY_HEADER, SEALED_HEADER};

use super::*;

/// The key that the host tells.
const KEY: [u8; 32] = [7; 32];

// covers: E23
#[tokio::test]
async fn a_step_of_a_login_is_sealed_under_the_key_that_came_with_it_and_nothing_else_is() {
    let stand = Stand::new().await;
    let web1 = stand.join("web1").await;
    let mut agent = stand.agent(&web1).await;
    let text = BASE64URL_NOPAD.encode(&KEY);
    let key = [(REPLY_KEY_HEADER, text.as_str())];
    let (head, mut body) = agent.exchange(BEGIN_PATH, &begin_body("alice"), &key).await.unwrap();
    assert!(head.headers.contains_key(SEALED_HEADER) && serde_json::from_slice::<Value>(&body).is_err());
    let opening = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &KEY).unwrap());
    let nonce = Nonce::assume_unique_for_key([0; NONCE_LEN]);
    let opened = opening.open_in_place(nonce, Aad::empty(), &mut body).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(opened).unwrap()["user"], "alice");

    let short = [(REPLY_KEY_HEADER, &text[..20])];
    for headers in [&[][..], &short] {
        let (head, body) = agent.exchange(BEGIN_PATH, &begin_body("alice"), headers).await.unwrap();
        assert!(!head.headers.contains_key(SEALED_HEADER), "{headers:?}");
        assert_eq!(serde_json::from_slice::<Value>(&body).unwrap()["user"], "alice");
    }
    let report = json!({"api_version": 1, "agent_version": "0.5.0", "clock": 7});
    let (head, _) = agent.exchange(REPORT_PATH, &report, &key).await.unwrap();
    assert!(head.status == StatusCode::OK && !head.headers.contains_key(SEALED_HEADER));
}

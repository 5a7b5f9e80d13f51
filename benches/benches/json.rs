//! Reading the first request of a login and writing its reply, and the floors: the same bytes skipped, and copied.

#![forbid(unsafe_code)]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use serde::de::IgnoredAny;
use wire::login::{Begin, Next, Question, Reply};

/// As sshd's logins look.
const BEGIN: &str = r#"{"api_version":1,"request_id":"0123456789abcdef0123456789abcdef","user":"alice","service":"sshd","rhost":"192.0.2.1","tty":"ssh"}"#;

/// As long as the sealed state of such a login, about.
const STATE_BYTES: usize = 300;

fn json(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("json");
    group.throughput(Throughput::Bytes(BEGIN.len() as u64));
    group.bench_function("read begin", |bencher| {
        bencher.iter(|| serde_json::from_slice::<Begin>(black_box(BEGIN.as_bytes())));
    });
    group.bench_function("floor: skip begin", |bencher| {
        bencher.iter(|| serde_json::from_slice::<IgnoredAny>(black_box(BEGIN.as_bytes())));
    });

    let reply = reply();
    let written = serde_json::to_vec(&reply).expect("a reply is JSON");
    group.throughput(Throughput::Bytes(written.len() as u64));
    group.bench_function("write reply", |bencher| bencher.iter(|| serde_json::to_vec(black_box(&reply))));
    group.bench_function("floor: copy reply", |bencher| bencher.iter(|| black_box(&written).clone()));
    group.finish();
}

fn reply() -> Reply {
    let question = Question { text: "One-time password: ".to_owned(), echo: false, empty_allowed: false };
    Reply {
        api_version: wire::API_VERSION,
        request_id: "0123456789abcdef0123456789abcdef".to_owned(),
        user: "alice".to_owned(),
        service: "sshd".to_owned(),
        host: None,
        show: Vec::new(),
        next: Next::Ask { state: "A".repeat(STATE_BYTES), questions: vec![question] },
    }
}

criterion_group!(benches, json);
criterion_main!(benches);

use otp_core::SharedSecret;
use wire::login::Verdict;

use super::*;

fn decided(verdict: Verdict) -> Outcome {
    Outcome::decided(verdict, String::new(), [])
}

fn users(count: usize, pace: Pace) -> Vec<Authenticator> {
    let user = |number: usize| {
        let secret = SharedSecret::from_bytes(format!("{number:=>20}").as_bytes()).unwrap();
        Authenticator::with_pace(&format!("user{number}"), &secret, pace)
    };
    (0..count).map(user).collect()
}

fn mix(valid: u8, replay: u8, wrong: u8) -> Mix {
    Mix { valid, replay, wrong, copies_at_once: false, strangers: false }
}

fn deck(count: usize, mix: Mix) -> (Deck, Chance) {
    (Deck::new(users(count, Pace::Time), mix), Chance::new(1, 1))
}

fn right_answer(sent: Sent) -> Outcome {
    decided(if sent == Sent::Valid { Verdict::Allow } else { Verdict::Deny })
}

#[test]
fn every_valid_code_is_dealt_once() {
    let (mut deck, mut chance) = deck(3, mix(100, 0, 0));
    for step in [10, 11] {
        let dealt: Vec<_> = std::iter::from_fn(|| {
            let dealt = deck.deal(step, &mut chance)?;
            let judged = deck.give_back(&dealt, &decided(Verdict::Allow), step, false);
            assert_eq!((judged.miscount, judged.fate), (None, Some(Fate::Accepted)));
            Some((dealt.user, dealt.factor))
        })
        .collect();
        assert_eq!(dealt, [(0, step), (1, step), (2, step)]);
    }
}

#[test]
fn presses_give_a_new_code_at_any_time_in_their_order() {
    let mut deck = Deck::new(users(1, Pace::Presses(40)), mix(100, 0, 0));
    let mut chance = Chance::new(1, 1);
    for counter in 40..60 {
        let dealt = deck.deal(10, &mut chance).unwrap();
        assert_eq!(
            (dealt.factor, dealt.code.as_str()),
            (counter, deck.authenticator(0).press(counter).as_str())
        );
        assert_eq!(deck.deal(10, &mut chance), None, "the next one waits for the answer");
        deck.give_back(&dealt, &decided(Verdict::Allow), 10, false);
    }
    assert_eq!(deck.into_users()[0].1, Pace::Presses(60));
}

#[test]
fn a_user_is_dealt_once_at_a_time() {
    let (mut deck, mut chance) = deck(2, mix(60, 30, 10));
    let first = deck.deal(10, &mut chance).unwrap();
    let second = deck.deal(10, &mut chance).unwrap();
    assert_ne!(first.user, second.user);
    assert_eq!(deck.deal(10, &mut chance), None);
    assert_eq!(deck.deal(11, &mut chance), None, "not even in another step");
    deck.give_back(&first, &decided(Verdict::Allow), 11, false);
    assert_eq!(deck.deal(11, &mut chance).unwrap().user, first.user);
}

#[test]
fn a_code_of_the_step_before_is_replayed_and_an_older_one_is_not() {
    let (mut deck, mut chance) = deck(1, mix(100, 0, 0));
    let valid = deck.deal(10, &mut chance).unwrap();
    assert_eq!((valid.sent, valid.factor), (Sent::Valid, 10));
    deck.give_back(&valid, &decided(Verdict::Allow), 10, false);
    deck.mix = mix(0, 100, 0);
    let replay = deck.deal(11, &mut chance).unwrap();
    assert_eq!((replay.sent, replay.factor, &replay.code), (Sent::Replay, 10, &valid.code));
    let judged = deck.give_back(&replay, &decided(Verdict::Deny), 11, false);
    assert_eq!(judged, Judged::default());
    let again = deck.deal(11, &mut chance).unwrap();
    let judged = deck.give_back(&again, &decided(Verdict::Allow), 11, false);
    assert_eq!(judged.miscount, Some(Miscount::AcceptedTwice));
    assert_eq!(deck.deal(12, &mut chance), None);
}

#[test]
fn copies_at_once_are_judged_together() {
    let together = Mix { copies_at_once: true, ..mix(50, 50, 0) };
    let (mut deck, mut chance) = deck(1, together);
    let mut flying = Vec::new();
    for _ in 0..100 {
        flying.extend(deck.deal(10, &mut chance));
    }
    assert_eq!(flying.len(), COPIES_MAX as usize);
    assert!(flying.iter().all(|dealt| dealt.code == flying[0].code));
    assert_eq!(flying.iter().filter(|dealt| dealt.sent == Sent::Valid).count(), 1);
    let (last, others) = flying.split_last().unwrap();
    for dealt in others {
        let judged = deck.give_back(dealt, &decided(Verdict::Deny), 10, false);
        assert_eq!((judged.miscount, judged.fate), (None, None));
    }
    let judged = deck.give_back(last, &decided(Verdict::Allow), 10, false);
    assert_eq!(judged.fate, Some(Fate::Accepted), "a copy won, whichever");
}

#[test]
fn a_code_of_which_all_copies_were_refused_is_a_refused_code() {
    let (mut deck, mut chance) = deck(1, mix(100, 0, 0));
    let dealt = deck.deal(10, &mut chance).unwrap();
    let judged = deck.give_back(&dealt, &decided(Verdict::Deny), 11, false);
    assert_eq!((judged.fate, judged.is_expired), (Some(Fate::Refused), false));
    let dealt = deck.deal(11, &mut chance).unwrap();
    let judged = deck.give_back(&dealt, &decided(Verdict::Deny), 13, true);
    assert_eq!((judged.fate, judged.is_expired, judged.is_excused), (Some(Fate::Refused), true, true));
}

#[test]
fn typing_errors_follow_an_accept_and_stay_below_what_the_throttle_counts() {
    let (mut deck, mut chance) = deck(5, mix(1, 0, 99));
    let mut in_a_row = [None; 5];
    for step in 10..40 {
        while let Some(dealt) = deck.deal(step, &mut chance) {
            in_a_row[dealt.user] = match dealt.sent {
                Sent::Wrong => in_a_row[dealt.user].map(|count| count + 1),
                Sent::Valid | Sent::Replay => Some(0),
            };
            assert!(in_a_row[dealt.user].is_some_and(|count| count <= 4), "step {step}: {in_a_row:?}");
            assert!(!dealt.is_strange);
            deck.give_back(&dealt, &right_answer(dealt.sent), step, false);
        }
    }
    assert!(in_a_row.iter().all(|count| *count == Some(4)));
}

#[test]
fn strangers_guess_at_a_tenth_of_the_users_without_keeping_them_busy() {
    let (mut deck, mut chance) = deck(40, Mix { strangers: true, ..mix(0, 0, 100) });
    let guesses: Vec<_> = (0..100).map(|_| deck.deal(10, &mut chance).unwrap()).collect();
    assert!(
        guesses.iter().all(|guess| guess.is_strange && guess.user % 10 == 0 && guess.sent == Sent::Wrong)
    );
    deck.mix = mix(100, 0, 0);
    let owner = deck.deal(10, &mut chance).unwrap();
    assert_eq!(owner.user, 0);
    let judged = deck.give_back(&guesses[0], &decided(Verdict::Allow), 10, true);
    assert_eq!(judged.miscount, Some(Miscount::WrongAccepted));
}

#[test]
fn the_mix_is_kept_where_it_can_be() {
    let (mut deck, mut chance) = deck(10_000, mix(65, 30, 5));
    let mut counts = [0; 3];
    for _ in 0..10_000 {
        let dealt = deck.deal(10, &mut chance).unwrap();
        counts[dealt.sent as usize] += 1;
        deck.give_back(&dealt, &right_answer(dealt.sent), 10, false);
    }
    for (count, percent) in counts.into_iter().zip([65, 30, 5]) {
        assert!((percent * 85..percent * 115).contains(&count), "{counts:?}");
    }
}

#[test]
fn the_mix_is_kept_among_many_who_press_and_have_not_sent_anything() {
    let mut deck = Deck::new(users(2_000, Pace::Presses(0)), mix(80, 15, 5));
    let mut chance = Chance::new(1, 1);
    let mut counts = [0; 3];
    for _ in 0..1_000 {
        let dealt = deck.deal(10, &mut chance).unwrap();
        counts[dealt.sent as usize] += 1;
        deck.give_back(&dealt, &right_answer(dealt.sent), 10, false);
    }
    assert!(counts[1] > 100 && counts[2] > 30, "{counts:?}");
}

#[test]
fn a_login_that_did_not_begin_leaves_its_code_unused() {
    for pace in [Pace::Time, Pace::Presses(7)] {
        let mut deck = Deck::new(users(1, pace), mix(100, 0, 0));
        let mut chance = Chance::new(1, 1);
        let dealt = deck.deal(10, &mut chance).unwrap();
        let judged = deck.give_back(&dealt, &Outcome::NotBegun { problem: String::new() }, 10, false);
        assert_eq!((judged.miscount, judged.fate), (Some(Miscount::NotBegun), Some(Fate::Unsent)));
        assert_eq!(deck.deal(10, &mut chance), Some(dealt));
    }
}

#[test]
fn a_token_that_lost_too_many_replies_in_a_row_is_left_alone() {
    let mut deck = Deck::new(users(1, Pace::Presses(0)), mix(100, 0, 0));
    let mut chance = Chance::new(1, 1);
    let lost = Outcome::NoAnswer { problem: String::new() };
    let sent = std::iter::from_fn(|| {
        let dealt = deck.deal(10, &mut chance)?;
        Some(deck.give_back(&dealt, &lost, 10, true))
    });
    assert_eq!(sent.count(), LOST_IN_A_ROW_MAX as usize + 1);
}

#[test]
fn a_code_with_a_double_near_it_is_put_aside_until_the_next_step() {
    let secret = SharedSecret::from_base32("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ").unwrap();
    // Two neighbours of this secret with the same digits; found by trying.
    let double = 910_737;
    let mut deck = Deck::new(vec![Authenticator::new("alice", &secret)], mix(100, 0, 0));
    let mut chance = Chance::new(1, 1);
    assert_eq!(deck.deal(double, &mut chance), None);
    assert_eq!(deck.deal(double + 2, &mut chance).map(|dealt| dealt.factor), Some(double + 2));
}

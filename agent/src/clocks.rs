//! Whose clock is wrong: the host's, or a verifier's. Told to people; no decision rests on it.
//!
//! Each verifier says its time when it answers a report. Two clocks that differ do not say which is right; a third does.

/// From how many seconds on a difference of the clocks is worth a word: a time step of a token.
pub const CLOCK_TOLERANCE: u64 = 30;

/// What the clocks of this host and of its verifiers say of each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockFault {
    /// That verifier's is off: another verifier's agrees with the host's.
    Verifier(usize),
    /// The host's is off: the verifiers' agree with each other.
    Host,
    /// They differ, and nobody knows which is right.
    Unclear,
}

/// Judges by how far the host's clock was ahead of each verifier's, in seconds, when that verifier answered last; nothing of
/// a verifier that has not.
pub fn judge(ahead: &[Option<i64>]) -> Option<ClockFault> {
    let told = || ahead.iter().enumerate().filter_map(|(number, ahead)| Some((number, (*ahead)?)));
    let is_off = |ahead: i64| ahead.unsigned_abs() > CLOCK_TOLERANCE;
    let (first, its) = told().find(|(_, ahead)| is_off(*ahead))?;
    let others = || told().filter(|(number, _)| *number != first);
    if others().any(|(_, ahead)| !is_off(ahead)) {
        return Some(ClockFault::Verifier(first));
    }
    let agree = others().all(|(_, other)| its.abs_diff(other) <= CLOCK_TOLERANCE);
    Some(if agree && others().next().is_some() { ClockFault::Host } else { ClockFault::Unclear })
}

#[cfg(test)]
mod tests {
    use super::*;

    // covers: H09
    #[test]
    fn a_third_clock_says_which_of_two_is_wrong() {
        let check =
            |ahead: &[Option<i64>], fault: Option<ClockFault>| assert_eq!(judge(ahead), fault, "{ahead:?}");
        check(&[], None);
        check(&[None, Some(30), Some(-30)], None);
        check(&[Some(31)], Some(ClockFault::Unclear));
        check(&[Some(0), None, Some(-31)], Some(ClockFault::Verifier(2)));
        check(&[Some(47), Some(0)], Some(ClockFault::Verifier(0)));
        check(&[Some(47), None, Some(60)], Some(ClockFault::Host));
        check(&[Some(47), Some(-47)], Some(ClockFault::Unclear));
        check(&[Some(i64::MIN), Some(i64::MAX)], Some(ClockFault::Unclear));
    }
}

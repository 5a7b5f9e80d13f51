//! The report as a page: one file without scripts that opens offline, in dark and in light.

use std::path::Path;

use anyhow::{Context as _, Result};
use askama::Template;

use crate::latency::milliseconds;
use crate::load::{Counts, Document, Interval};
use crate::plot::{Axis, Bar, Line, Plot, Scale, bars, number};

/// Shortest time that the axes of latencies show, in milliseconds: none is measured better.
const MILLISECONDS_MIN: f64 = 0.01;

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    document: &'a Document,
    title: String,
    is_right: bool,
    conclusion: &'static str,
    figures: Vec<(&'static str, String, &'static str)>,
    plots: Vec<(&'static str, String, String)>,
    latencies: Vec<(&'static str, Option<[String; 6]>)>,
    counts: Vec<(&'static str, String, &'static str)>,
    settings: Vec<(&'static str, String)>,
    commit: &'a str,
}

/// Writes the page.
///
/// # Errors
/// When the file cannot be written.
pub fn write(path: &Path, document: &Document) -> Result<()> {
    let page = render(document)?;
    std::fs::write(path, page).with_context(|| format!("cannot write {}", path.display()))
}

fn render(document: &Document) -> Result<String> {
    let latency = &document.latency_us;
    let mut latencies = vec![
        ("accepted, from the intended start", percentiles(latency)),
        ("accepted, from the real start", percentiles(&document.service_us)),
        ("refused, from the intended start", percentiles(&document.refusal_latency_us)),
    ];
    if document.rate.intended.is_some() {
        latencies.push(("the client's own delay", percentiles(&document.client_lag_us)));
    }
    Page {
        title: document.name(),
        is_right: document.conclusion() == crate::report::Conclusion::Right,
        conclusion: document.conclusion().words(),
        figures: figures(document),
        plots: plots(document),
        latencies,
        counts: counts(&document.correctness.counts),
        settings: document.settings.rows(),
        commit: document.commit.as_deref().unwrap_or("unknown"),
        document,
    }
    .render()
    .context("cannot write the page")
}

/// The few figures at the top: name, value, unit.
fn figures(document: &Document) -> Vec<(&'static str, String, &'static str)> {
    let latency = &document.latency_us;
    let mut figures = vec![("answered", number(document.rate.achieved.round()), "a second")];
    if let Some(intended) = document.rate.intended {
        figures.push(("intended", number(intended.round()), "a second"));
    }
    figures.push(("p50", milliseconds(latency.p50), "ms"));
    figures.push(("p99", milliseconds(latency.p99), "ms"));
    figures.push(("valid codes accepted", number(document.correctness.valid_accepted as f64), "once each"));
    let wrong: u64 = document.correctness.miscounts.values().sum();
    figures.push(("miscounts", number(wrong as f64), ""));
    figures
}

fn percentiles(of: &crate::load::Percentiles) -> Option<[String; 6]> {
    let mean = of.mean.round() as u64;
    (of.count > 0).then(|| [of.p50, of.p90, of.p99, of.p99_9, of.max, mean].map(milliseconds))
}

/// Name, amount, and what to know about it.
fn counts(counts: &Counts) -> Vec<(&'static str, String, &'static str)> {
    let rows = [
        ("valid codes sent", counts.valid_sent, "each code once; by presses (HOTP) and by time (TOTP)"),
        ("of these by presses", counts.valid_hotp, ""),
        ("valid codes accepted", counts.valid_accepted, "by the first copy or another one"),
        ("valid codes expired on the way", counts.valid_expired, "rightly refused: their step ended"),
        ("valid codes with a lost reply", counts.valid_unknown, "they may be used up, or not"),
        ("replays sent", counts.replays_sent, "further copies of codes"),
        ("replays refused", counts.replays_refused, ""),
        (
            "replays accepted first",
            counts.replays_accepted_first,
            "instead of the first copy, refused or lost",
        ),
        ("wrong codes sent", counts.wrong_sent, "typing errors or guesses"),
        ("wrong codes refused", counts.wrong_refused, ""),
        ("refused unseen", counts.throttled, "too many attempts: the code was not looked at"),
        ("not begun", counts.not_begun, "nobody answered; the code is unused"),
        ("never sent", counts.unsent, "every connection was busy until after the end"),
        ("without a code", counts.without_code, "due when no user had a code left"),
    ];
    rows.into_iter().map(|(name, count, note)| (name, number(count as f64), note)).collect()
}

/// Title, drawing, and what to know about it.
fn plots(document: &Document) -> Vec<(&'static str, String, String)> {
    let every = match document.stretch_seconds {
        1 => "each second".to_owned(),
        seconds => format!("each {seconds} s"),
    };
    vec![
        (
            "Throughput over time",
            throughput(document).svg(),
            format!("Means of {every}. Answers count when they come, intended starts when they are due."),
        ),
        (
            "Latency over time",
            latency_over_time(document).svg(),
            format!("Accepts of {every}, counted from the intended start; where there were none, a gap."),
        ),
        (
            "Latency by percentile",
            distribution(document).svg(),
            "All answers of the run. Each nine has the same room, so that the slowest few are seen. Refusals wait for \
             a beat of 10 ms."
                .to_owned(),
        ),
        ("Answers", verdicts(document), "All answers of the run.".to_owned()),
    ]
}

fn time_axis(document: &Document) -> Axis {
    let last = document.intervals.last().map_or(0, |interval| interval.at_seconds);
    let max = (last + document.stretch_seconds).max(1) as f64;
    Axis { scale: Scale::Linear { max }, name: "time since the start (s)" }
}

fn band(document: &Document) -> Option<(f64, f64, &'static str)> {
    let (from, until) = document.outage_seconds?;
    // Beyond the end is at the end.
    Some((from, until.unwrap_or(f64::MAX), "verifier gone"))
}

/// A point in the middle of each stretch.
fn over_time(document: &Document, value: impl Fn(&Interval) -> Option<f64>) -> Vec<Option<(f64, f64)>> {
    let half = document.stretch_seconds as f64 / 2.0;
    let point = |interval: &Interval| Some((interval.at_seconds as f64 + half, value(interval)?));
    document.intervals.iter().map(point).collect()
}

fn throughput(document: &Document) -> Plot {
    let each_second = |count: u64| count as f64 / document.stretch_seconds as f64;
    let of = |count: fn(&Interval) -> u64| over_time(document, |interval| Some(each_second(count(interval))));
    let mut lines = Vec::new();
    if document.rate.intended.is_some() {
        let points = over_time(document, |interval| interval.intended.map(each_second));
        lines.push(Line { name: "intended", class: "intended", points });
    }
    let answered = of(|interval| interval.allowed + interval.refused);
    lines.push(Line { name: "answered", class: "answered", points: answered });
    lines.push(Line { name: "accepted", class: "accepted", points: of(|interval| interval.allowed) });
    lines.push(Line { name: "refused", class: "refused", points: of(|interval| interval.refused) });
    if document.intervals.iter().any(|interval| interval.failed > 0) {
        lines.push(Line { name: "failed", class: "failed", points: of(|interval| interval.failed) });
    }
    let most =
        lines.iter().flat_map(|line| &line.points).flatten().map(|(_, rate)| *rate).fold(0.0, f64::max);
    let y = Axis { scale: Scale::linear(most), name: "requests a second" };
    Plot { title: "Throughput over time", x: time_axis(document), y, lines, band: band(document) }
}

fn latency_over_time(document: &Document) -> Plot {
    let of = |time: fn(&Interval) -> Option<u64>| {
        over_time(document, |interval| time(interval).map(in_milliseconds))
    };
    let lines = vec![
        Line { name: "maximum", class: "max", points: of(|interval| interval.max_us) },
        Line { name: "p99", class: "p99", points: of(|interval| interval.p99_us) },
        Line { name: "p90", class: "p90", points: of(|interval| interval.p90_us) },
        Line { name: "p50", class: "p50", points: of(|interval| interval.p50_us) },
    ];
    let y = latency_axis(&lines);
    Plot { title: "Latency over time", x: time_axis(document), y, lines, band: band(document) }
}

fn distribution(document: &Document) -> Plot {
    let curve = |buckets: &[(u64, u64)]| {
        let total = buckets.iter().map(|(_, count)| count).sum::<u64>() as f64;
        let mut sum = 0;
        let mut points = Vec::new();
        for (upper, count) in buckets {
            // From the share below this bucket to the share up to its end.
            points.push(Some((sum as f64 * 100.0 / total, in_milliseconds(*upper))));
            sum += count;
        }
        points.push(buckets.last().map(|(upper, _)| (100.0, in_milliseconds(*upper))));
        thin(points)
    };
    let lines = vec![
        Line { name: "refused", class: "refused", points: curve(&document.refusal_latency_us.buckets) },
        Line { name: "accepted", class: "accepted", points: curve(&document.latency_us.buckets) },
    ];
    let lines: Vec<Line> = lines.into_iter().filter(|line| line.points.len() > 1).collect();
    let most = document.latency_us.count.max(document.refusal_latency_us.count).max(10);
    // One in so many is the last that the figures can tell.
    let nines = (most as f64).log10().ceil();
    let x = Axis { scale: Scale::Percentile { nines }, name: "percentile" };
    let y = latency_axis(&lines);
    Plot { title: "Latency by percentile", x, y, lines, band: None }
}

/// Most points that a curve of percentiles needs: more lie within a pixel of another.
const POINTS_MAX: usize = 1_500;

/// Leaves out points evenly, never the last ones, which stand far apart.
fn thin(points: Vec<Option<(f64, f64)>>) -> Vec<Option<(f64, f64)>> {
    let (count, every) = (points.len(), points.len().div_ceil(POINTS_MAX));
    let kept = |index: usize| index.is_multiple_of(every) || index + POINTS_MAX / 2 > count;
    points.into_iter().enumerate().filter(|(index, _)| kept(*index)).map(|(_, point)| point).collect()
}

fn latency_axis(lines: &[Line]) -> Axis {
    let times = || lines.iter().flat_map(|line| &line.points).flatten().map(|(_, time)| *time);
    let (least, most) = (times().fold(f64::MAX, f64::min), times().fold(0.0, f64::max));
    let (least, most) = if most > 0.0 { (least, most) } else { (1.0, 10.0) };
    Axis { scale: Scale::log(least.max(MILLISECONDS_MIN), most), name: "latency (ms, log scale)" }
}

fn verdicts(document: &Document) -> String {
    let counts = &document.correctness.counts;
    let sum = |of: fn(&Interval) -> u64| document.intervals.iter().map(of).sum::<u64>();
    let looked_at = counts.wrong_refused.saturating_sub(counts.throttled);
    let other =
        sum(|interval| interval.refused).saturating_sub(counts.replays_refused + counts.wrong_refused);
    bars(
        "Answers",
        &[
            Bar { name: "accepted", class: "accepted", amount: sum(|interval| interval.allowed) },
            Bar { name: "replays refused", class: "refused", amount: counts.replays_refused },
            Bar { name: "wrong codes refused", class: "refused", amount: looked_at },
            Bar { name: "refused unseen (throttled)", class: "refused", amount: counts.throttled },
            Bar { name: "first copies refused", class: "refused", amount: other },
            Bar { name: "no decision", class: "failed", amount: sum(|interval| interval.failed) },
        ],
    )
}

fn in_milliseconds(microseconds: u64) -> f64 {
    (microseconds as f64 / 1_000.0).max(MILLISECONDS_MIN)
}

use super::*;

fn plot(points: Vec<Option<(f64, f64)>>) -> Plot {
    Plot {
        title: "A test",
        x: Axis { scale: Scale::linear(10.0), name: "time (s)" },
        y: Axis { scale: Scale::log(0.2, 30.0), name: "latency (ms)" },
        lines: vec![Line { name: "p50", class: "a", points }],
        band: None,
    }
}

#[test]
fn an_axis_of_amounts_begins_at_zero_and_ends_at_a_round_number() {
    for (most, end) in [(9.4, 10.0), (10.0, 10.0), (487.0, 500.0), (0.0, 1.0), (1_234.0, 1_500.0)] {
        let scale = Scale::linear(most);
        assert_eq!(scale, Scale::Linear { max: end }, "{most}");
        let ticks = scale.ticks();
        assert_eq!((ticks[0], ticks[ticks.len() - 1]), (0.0, end));
        assert_eq!((scale.position(0.0), scale.position(end)), (0.0, 1.0));
    }
}

#[test]
fn a_log_axis_has_whole_decades_at_even_distances() {
    let scale = Scale::log(0.2, 30.0);
    let ticks: Vec<String> = scale.ticks().into_iter().map(number).collect();
    assert_eq!(ticks, ["0.1", "1", "10", "100"]);
    let positions: Vec<f64> = [0.1, 1.0, 10.0, 100.0].map(|value| scale.position(value)).into();
    for (position, expected) in positions.into_iter().zip([0.0, 1.0 / 3.0, 2.0 / 3.0, 1.0]) {
        assert!((position - expected).abs() < 1e-9);
    }
    assert_eq!(scale.minor_ticks().len(), 6);
    assert_eq!(Scale::log(5.0, 5.0), Scale::Log { min: 1.0, max: 10.0 });
}

#[test]
fn a_percentile_axis_gives_each_nine_the_same_room() {
    let scale = Scale::Percentile { nines: 4.0 };
    for (percent, expected) in
        [(0.0, 0.0), (90.0, 0.25), (99.0, 0.5), (99.9, 0.75), (99.99, 1.0), (100.0, 1.0)]
    {
        assert!((scale.position(percent) - expected).abs() < 1e-6, "{percent}");
    }
    let ticks: Vec<String> = scale.ticks().into_iter().map(number).collect();
    assert_eq!(ticks, ["0", "50", "90", "99", "99.9", "99.99"]);
}

#[test]
fn numbers_have_their_thousands_apart() {
    let shown = [0.0, 0.1, 2.5, 999.0, 1_000.0, 1_234_567.0, 12_345.5].map(number);
    assert_eq!(shown, ["0", "0.1", "2.5", "999", "1,000", "1,234,567", "12,345.5"]);
}

#[test]
fn a_gap_breaks_the_line_and_a_lone_point_is_seen() {
    let path = |points| {
        let plot = plot(points);
        plot.path(&plot.lines[0])
    };
    let whole = path(vec![Some((0.0, 1.0)), Some((5.0, 1.0)), Some((10.0, 1.0))]);
    assert_eq!((whole.matches('M').count(), whole.matches('L').count()), (1, 2));
    let broken = path(vec![Some((0.0, 1.0)), Some((2.0, 1.0)), None, Some((5.0, 1.0)), None]);
    assert_eq!((broken.matches('M').count(), broken.matches('h').count()), (2, 1));
}

#[test]
fn higher_values_stand_higher_and_stay_inside() {
    let plot = plot(Vec::new());
    assert!(plot.y_at(10.0) < plot.y_at(1.0));
    assert_eq!(plot.y_at(0.000_1), HEIGHT - BOTTOM, "below the axis is at its end");
    assert_eq!(plot.y_at(1e9), TOP);
}

#[test]
fn bars_share_one_zero_and_their_lengths_are_their_amounts() {
    let bar = |amount| Bar { name: "some", class: "a", amount };
    let svg = bars("Amounts", &[bar(1_000), bar(500), bar(0)]);
    let widths: Vec<f64> = svg
        .split("<rect")
        .skip(1)
        .map(|rect| rect.split("width=\"").nth(1).unwrap().split('"').next().unwrap().parse().unwrap())
        .collect();
    assert_eq!(widths[1] / widths[0], 0.5);
    assert_eq!(widths[2], 0.0);
    assert_eq!(svg.matches("x=\"250\"").count(), 3, "{svg}");
    assert!(svg.contains(">1,000<"));
}

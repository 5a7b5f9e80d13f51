use quick_xml::Reader;
use quick_xml::events::Event;

use crate::fake::{Fake, Fault};
use crate::{loadtest, read_json};

/// Most bytes of a page.
const PAGE_BYTES_MAX: usize = 300_000;

const RUN: &str = "run --to unix:{}/socket --secrets {}/secrets --rate 200 --seconds 3 --connections 4 --service <b> \
                   --commit abc&def --json {}/report --html {}/page";

fn page(fault: Fault) -> (Fake, String) {
    let fake = Fake::start_with(100, 50, fault);
    loadtest(fake.path(), RUN);
    let page = std::fs::read_to_string(fake.path().join("page")).unwrap();
    (fake, page)
}

/// Name and value of each.
type Attributes = Vec<(String, String)>;

/// Every element of a drawing, in order.
type Drawing = Vec<(String, Attributes)>;

/// The drawings; each is whole XML.
fn drawings(page: &str) -> Vec<Drawing> {
    let of = |text: &str| {
        let mut reader = Reader::from_str(text);
        let mut elements = Vec::new();
        let mut depth = 0_i32;
        loop {
            let event = reader.read_event().unwrap_or_else(|error| panic!("{error} in {text}"));
            let (element, step) = match event {
                Event::Start(element) => (element, 1),
                Event::Empty(element) => (element, 0),
                Event::End(_) => {
                    depth -= 1;
                    continue;
                }
                Event::Eof => break,
                _ => continue,
            };
            depth += step;
            let attributes = element.attributes().map(|attribute| {
                let attribute = attribute.expect("an attribute");
                (attribute.key.as_ref().to_owned(), attribute.value.into_owned())
            });
            elements.push((element.name().as_ref().to_owned(), attributes.collect()));
        }
        assert_eq!(depth, 0, "{text}");
        elements
    };
    let parts = page.split("<svg").skip(1).map(|part| part.split("</svg>").next().unwrap());
    parts.map(|part| of(&format!("<svg{part}</svg>"))).collect()
}

fn attribute<'a>(of: &'a [(String, String)], name: &str) -> &'a str {
    of.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
}

#[test]
fn a_page_holds_four_drawings_of_what_the_json_says() {
    let (fake, page) = page(Fault::None);
    let drawings = drawings(&page);
    let titles: Vec<_> = drawings.iter().map(|drawing| attribute(&drawing[0].1, "aria-label")).collect();
    assert_eq!(titles, ["Throughput over time", "Latency over time", "Latency by percentile", "Answers"]);
    let report = read_json(fake.path().join("report"));
    let intervals = report["intervals"].as_array().unwrap();
    let paths = |drawing: usize, class: &str| {
        let is_line = |(name, attributes): &&(String, Attributes)| {
            let is_plotted =
                attribute(attributes, "d").contains('L') || attribute(attributes, "d").contains('h');
            name == "path" && attribute(attributes, "class") == format!("line {class}") && is_plotted
        };
        drawings[drawing]
            .iter()
            .filter(is_line)
            .map(|(_, attributes)| attribute(attributes, "d"))
            .collect::<Vec<_>>()
    };
    for class in ["intended", "answered", "accepted", "refused"] {
        let found = paths(0, class);
        assert_eq!(found.len(), 1, "{class}");
        assert_eq!(
            found[0].matches(['M', 'L']).count(),
            intervals.len(),
            "a point for each interval: {class}"
        );
    }
    for class in ["p50", "p90", "p99", "max"] {
        assert_eq!(paths(1, class).len(), 1, "{class}");
    }
    assert_eq!(paths(2, "accepted").len(), 1);
    let bars = drawings[3].iter().filter(|(name, _)| name == "rect").count();
    assert_eq!(bars, 6);
}

#[test]
fn every_coordinate_is_inside_its_drawing() {
    let (_fake, page) = page(Fault::LosesReplies);
    for drawing in drawings(&page) {
        let size: Vec<f64> =
            attribute(&drawing[0].1, "viewBox").split(' ').map(|word| word.parse().unwrap()).collect();
        for (name, attributes) in &drawing {
            for (key, most) in
                [("x", size[2]), ("x1", size[2]), ("x2", size[2]), ("y", size[3]), ("y1", size[3])]
            {
                let Ok(value) = attribute(attributes, key).parse::<f64>() else { continue };
                assert!((0.0..=most).contains(&value), "{name} {key}={value}");
            }
            let path = attribute(attributes, "d").replace(['M', 'L', 'H', 'h'], " ");
            assert!(
                path.split_whitespace().all(|word| word.parse::<f64>().is_ok_and(f64::is_finite)),
                "{path}"
            );
        }
    }
}

#[test]
fn a_page_needs_nothing_from_elsewhere_and_runs_nothing() {
    let (_fake, page) = page(Fault::None);
    assert!(page.len() < PAGE_BYTES_MAX, "{} bytes", page.len());
    for foreign in ["<script", "http://", "https://", "<link", "<img", "url(", "@import", "onload"] {
        assert!(!page.contains(foreign), "{foreign}");
    }
    assert!(page.contains("prefers-color-scheme: dark"));
}

#[test]
fn a_page_names_machine_commit_and_settings_and_takes_no_mark_up_from_them() {
    let (fake, page) = page(Fault::None);
    let report = read_json(fake.path().join("report"));
    assert!(page.contains(report["machine"]["kernel"].as_str().unwrap()));
    assert!(page.contains("abc&#38;def") || page.contains("abc&amp;def"), "the commit");
    assert!(page.contains("&#60;b&#62;") || page.contains("&lt;b&gt;"), "the service");
    assert!(!page.contains("<b>\n") && !page.contains("<td><b>"), "the service is no mark-up");
    assert!(page.contains("150, 50 of them by presses (HOTP)"));
    assert!(page.contains("all as it must be"));
}

#[test]
fn a_page_of_a_miscount_says_so_and_shows_it() {
    let (_fake, page) = page(Fault::AcceptsTwice);
    assert!(page.contains("MISCOUNTED"));
    assert!(page.contains("code accepted twice"));
    assert!(page.contains("What was wrong"));
}

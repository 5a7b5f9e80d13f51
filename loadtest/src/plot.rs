//! Draws plots as SVG: lines over a linear, a logarithmic or a percentile axis, and bars.
//!
//! Pure text. Colours are classes, which the page gives values for light and for dark. Every axis says its name and
//! unit; a linear axis of amounts begins at zero.

use std::fmt::Write as _;

/// The drawing, in user units, which are pixels on a screen that shows it at full width.
const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 320.0;
const LEFT: f64 = 78.0;
const RIGHT: f64 = 30.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 48.0;

/// Height of one bar with the space to the next.
const BAR: f64 = 30.0;

/// Where bars begin, after their names, and how much is left for their figures behind them.
const BARS_LEFT: f64 = 250.0;
const BARS_RIGHT: f64 = 110.0;

/// Width of a letter of a legend, a little more than it is.
const LETTER: f64 = 8.0;

/// How many steps an axis of amounts has, about.
const STEPS: f64 = 5.0;

/// How numbers are laid out along an axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scale {
    /// Evenly, from zero.
    Linear {
        /// The end.
        max: f64,
    },
    /// By powers of ten.
    Log {
        /// The lower end, a power of ten.
        min: f64,
        /// The upper end, a power of ten.
        max: f64,
    },
    /// Percentiles, so that 90, 99 and 99.9 stand at even distances (as HdrHistogram plots them).
    Percentile {
        /// How many nines the axis has.
        nines: f64,
    },
}

impl Scale {
    /// From zero to a round number that is not less than `most`.
    pub fn linear(most: f64) -> Self {
        let most = if most > 0.0 { most } else { 1.0 };
        let step = round_step(most / STEPS);
        Self::Linear { max: (most / step).ceil() * step }
    }

    /// Whole powers of ten around some numbers above zero; at least one decade.
    pub fn log(least: f64, most: f64) -> Self {
        let min = least.log10().floor();
        Self::Log { min: 10_f64.powf(min), max: 10_f64.powf(most.log10().ceil().max(min + 1.0)) }
    }

    /// Where a number stands: 0 at the beginning of the axis, 1 at its end.
    pub fn position(self, value: f64) -> f64 {
        let position = match self {
            Self::Linear { max } => value / max,
            Self::Log { min, max } => (value / min).log10() / (max / min).log10(),
            Self::Percentile { nines } => -(1.0 - value / 100.0).log10() / nines,
        };
        position.clamp(0.0, 1.0)
    }

    /// Numbers that are named.
    fn ticks(self) -> Vec<f64> {
        match self {
            Self::Linear { max } => {
                let step = round_step(max / STEPS);
                (0..)
                    .map(|number| f64::from(number) * step)
                    .take_while(|tick| *tick <= max * 1.000_1)
                    .collect()
            }
            Self::Log { min, max } => {
                let decades = (max / min).log10().round() as i32;
                (0..=decades).map(|decade| min * 10_f64.powi(decade)).collect()
            }
            Self::Percentile { nines } => std::iter::once(0.0)
                .chain([50.0])
                .chain((1..=nines as i32).map(|count| 100.0 - 100.0 * 10_f64.powi(-count)))
                .collect(),
        }
    }

    /// Lines without a name.
    fn minor_ticks(self) -> Vec<f64> {
        match self {
            Self::Log { .. } => {
                let ticks = self.ticks();
                let decades = &ticks[..ticks.len() - 1];
                decades.iter().flat_map(|decade| [2.0, 5.0].map(|times| decade * times)).collect()
            }
            Self::Linear { .. } | Self::Percentile { .. } => Vec::new(),
        }
    }
}

/// 1, 2 or 5 times a power of ten, not less than `step`.
fn round_step(step: f64) -> f64 {
    let decade = 10_f64.powf(step.log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|times| times * decade)
        .find(|round| *round >= step * 0.999_9)
        .unwrap_or(step)
}

/// A number for an axis or a label: no more digits than it needs, thousands apart.
pub fn number(value: f64) -> String {
    let text = format!("{value:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    let (whole, rest) = text.split_once('.').map_or((text, None), |(whole, rest)| (whole, Some(rest)));
    let mut apart = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            apart.push(',');
        }
        apart.push(digit);
    }
    rest.map_or(apart.clone(), |rest| format!("{apart}.{rest}"))
}

/// An axis with its name and unit.
#[derive(Clone, Copy, Debug)]
pub struct Axis {
    /// How numbers are laid out.
    pub scale: Scale,
    /// Name and unit.
    pub name: &'static str,
}

/// A line through points; `None` is a gap.
#[derive(Clone, Debug)]
pub struct Line {
    /// For the legend.
    pub name: &'static str,
    /// Which colour.
    pub class: &'static str,
    /// Where it goes.
    pub points: Vec<Option<(f64, f64)>>,
}

/// A plot of lines.
#[derive(Clone, Debug)]
pub struct Plot {
    /// For those who cannot see it.
    pub title: &'static str,
    /// From left to right.
    pub x: Axis,
    /// From bottom to top.
    pub y: Axis,
    /// What is plotted, the first at the back.
    pub lines: Vec<Line>,
    /// A stretch of the x axis that is set apart, and what it is.
    pub band: Option<(f64, f64, &'static str)>,
}

impl Plot {
    /// The drawing.
    pub fn svg(&self) -> String {
        let mut svg = open(self.title, HEIGHT);
        if let Some((from, until, name)) = self.band {
            let (left, right) = (self.x_at(from), self.x_at(until));
            let width = right - left;
            let middle = f64::midpoint(left, right);
            let height = HEIGHT - TOP - BOTTOM;
            put(
                &mut svg,
                format_args!(
                    r#"<rect class="band" x="{left:.1}" y="{TOP}" width="{width:.1}" height="{height}"/>"#
                ),
            );
            put(
                &mut svg,
                format_args!(
                    r#"<text class="note" x="{middle:.1}" y="{}" text-anchor="middle">{name}</text>"#,
                    TOP + 14.0
                ),
            );
        }
        self.draw_y_axis(&mut svg);
        self.draw_x_axis(&mut svg);
        for line in &self.lines {
            put(&mut svg, format_args!(r#"<path class="line {}" d="{}"/>"#, line.class, self.path(line)));
        }
        self.draw_legend(&mut svg);
        svg + "</svg>"
    }

    fn draw_y_axis(&self, svg: &mut String) {
        let (left, right) = (LEFT, WIDTH - RIGHT);
        for tick in self.y.scale.minor_ticks() {
            let y = self.y_at(tick);
            put(
                svg,
                format_args!(r#"<line class="minor" x1="{left}" x2="{right}" y1="{y:.1}" y2="{y:.1}"/>"#),
            );
        }
        for (index, tick) in self.y.scale.ticks().into_iter().enumerate() {
            let (y, class) = (self.y_at(tick), if index == 0 { "axis" } else { "grid" });
            put(
                svg,
                format_args!(r#"<line class="{class}" x1="{left}" x2="{right}" y1="{y:.1}" y2="{y:.1}"/>"#),
            );
            let (x, base, label) = (LEFT - 8.0, y + 4.0, number(tick));
            put(svg, format_args!(r#"<text x="{x}" y="{base:.1}" text-anchor="end">{label}</text>"#));
        }
        let middle = f64::midpoint(TOP, HEIGHT - BOTTOM);
        let name = self.y.name;
        put(
            svg,
            format_args!(
                r#"<text class="name" transform="translate(16 {middle}) rotate(-90)" text-anchor="middle">{name}</text>"#
            ),
        );
    }

    fn draw_x_axis(&self, svg: &mut String) {
        let bottom = HEIGHT - BOTTOM;
        for tick in self.x.scale.ticks() {
            let (x, end, label) = (self.x_at(tick), bottom + 5.0, number(tick));
            put(
                svg,
                format_args!(r#"<line class="axis" x1="{x:.1}" x2="{x:.1}" y1="{bottom}" y2="{end}"/>"#),
            );
            put(
                svg,
                format_args!(r#"<text x="{x:.1}" y="{}" text-anchor="middle">{label}</text>"#, bottom + 19.0),
            );
        }
        let middle = f64::midpoint(LEFT, WIDTH - RIGHT);
        let (y, name) = (HEIGHT - 8.0, self.x.name);
        put(
            svg,
            format_args!(r#"<text class="name" x="{middle}" y="{y}" text-anchor="middle">{name}</text>"#),
        );
    }

    fn draw_legend(&self, svg: &mut String) {
        let mut x = LEFT;
        for line in &self.lines {
            let (end, text, class, name) = (x + 22.0, x + 28.0, line.class, line.name);
            put(svg, format_args!(r#"<path class="line {class}" d="M{x:.1} 16H{end:.1}"/>"#));
            put(svg, format_args!(r#"<text x="{text:.1}" y="20">{name}</text>"#));
            x = text + name.len() as f64 * LETTER + 18.0;
        }
    }

    fn path(&self, line: &Line) -> String {
        let mut path = String::new();
        let mut is_drawn = false;
        for (index, point) in line.points.iter().enumerate() {
            let Some((x, y)) = point else {
                is_drawn = false;
                continue;
            };
            let verb = if is_drawn { 'L' } else { 'M' };
            put(&mut path, format_args!("{verb}{:.1} {:.1}", self.x_at(*x), self.y_at(*y)));
            // A point alone between two gaps would be invisible.
            let is_alone = !is_drawn && line.points.get(index + 1).is_none_or(Option::is_none);
            if is_alone {
                path.push_str("h1");
            }
            is_drawn = true;
        }
        path
    }

    fn x_at(&self, value: f64) -> f64 {
        LEFT + self.x.scale.position(value) * (WIDTH - LEFT - RIGHT)
    }

    fn y_at(&self, value: f64) -> f64 {
        HEIGHT - BOTTOM - self.y.scale.position(value) * (HEIGHT - TOP - BOTTOM)
    }
}

/// One amount.
#[derive(Clone, Copy, Debug)]
pub struct Bar {
    /// What it is an amount of.
    pub name: &'static str,
    /// Which colour.
    pub class: &'static str,
    /// How much.
    pub amount: u64,
}

/// Amounts side by side, from a common zero, each with its figure.
pub fn bars(title: &'static str, all: &[Bar]) -> String {
    let height = 12.0 + BAR * all.len() as f64;
    let most = all.iter().map(|bar| bar.amount).max().unwrap_or(0).max(1) as f64;
    let mut svg = open(title, height);
    for (index, bar) in all.iter().enumerate() {
        let top = 8.0 + BAR * index as f64;
        let (base, width) = (top + 15.0, bar.amount as f64 / most * (WIDTH - BARS_LEFT - BARS_RIGHT));
        let (name, class, amount) = (bar.name, bar.class, number(bar.amount as f64));
        put(
            &mut svg,
            format_args!(r#"<text x="{}" y="{base}" text-anchor="end">{name}</text>"#, BARS_LEFT - 10.0),
        );
        put(
            &mut svg,
            format_args!(
                r#"<rect class="bar {class}" x="{BARS_LEFT}" y="{top}" width="{width:.1}" height="20"/>"#
            ),
        );
        put(&mut svg, format_args!(r#"<text x="{:.1}" y="{base}">{amount}</text>"#, BARS_LEFT + width + 8.0));
    }
    let bottom = height - 2.0;
    put(
        &mut svg,
        format_args!(r#"<line class="axis" x1="{BARS_LEFT}" x2="{BARS_LEFT}" y1="4" y2="{bottom}"/>"#),
    );
    svg + "</svg>"
}

fn open(title: &str, height: f64) -> String {
    format!(r#"<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{title}">"#)
}

fn put(svg: &mut String, what: std::fmt::Arguments<'_>) {
    svg.write_fmt(what).expect("a String takes everything");
}

#[cfg(test)]
mod tests;

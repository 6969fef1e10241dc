//! A simulation as it went: quality, spend, and each policy's choices over the requests, with a band over the orders.

use plotters::chart::{ChartBuilder, ChartContext};
use plotters::coord::cartesian::Cartesian2d;
use plotters::coord::types::RangedCoordf64;
use plotters::element::{PathElement, Polygon, Text};
use plotters::series::{DashedLineSeries, LineSeries};
use plotters::style::{Color, RGBColor, WHITE};

use super::{Area, Drawn, FAINT, GREEN, INK, OURS, PURPLE, WARM, text};
use crate::cli::evaluate::online::{OnlineReport, OnlineWorkload};
use crate::evaluate::online::{Band, PolicyReport, Stretch};

const WIDTH: u32 = 960;
const TITLE: u32 = 54;
const PANEL: u32 = 220;
/// What is at the right of a panel: the names of its lines.
const LEGEND: u32 = 220;
/// Lines of a panel at most; of the models those that are asked most.
const LINES: usize = 7;
const COLOURS: [RGBColor; LINES] =
    [OURS, WARM, GREEN, PURPLE, RGBColor(190, 50, 70), RGBColor(110, 120, 40), RGBColor(80, 80, 80)];
/// Characters of a name in the legend.
const NAME: usize = 30;

type Chart<'a, 'b> = ChartContext<'a, plotters::backend::SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// Width and height of the whole.
pub fn size(report: &OnlineReport) -> (u32, u32) {
    (WIDTH, report.workloads.iter().map(height).sum())
}

fn height(workload: &OnlineWorkload) -> u32 {
    TITLE + PANEL * (2 + workload.policies.len() as u32)
}

/// Draws all workloads, one below the other.
pub fn draw(report: &OnlineReport, area: &Area) -> Drawn {
    let mut rest = area.clone();
    for workload in &report.workloads {
        let (block, below) = rest.split_vertically(height(workload));
        draw_workload(workload, report.seeds, &block)?;
        rest = below;
    }
    Ok(())
}

fn draw_workload(workload: &OnlineWorkload, seeds: usize, area: &Area) -> Drawn {
    let (title, panels) = area.split_vertically(TITLE);
    let head = format!("{}: {} requests at {}", workload.workload, workload.requests, workload.knob);
    let below = format!("means of {seeds} orders of the requests; bands: the middle 80% of the orders");
    title.draw(&Text::new(head, (14, 12), text(18, INK)))?;
    title.draw(&Text::new(below, (14, 36), text(12, FAINT)))?;
    let panels = panels.split_evenly((2 + workload.policies.len(), 1));
    let of_policies = |pick: fn(&Stretch) -> Band| {
        let line = |(policy, colour): (&PolicyReport, &RGBColor)| Line::new(&policy.policy, *colour, policy, pick);
        workload.policies.iter().zip(COLOURS.iter().cycle()).map(line).collect::<Vec<_>>()
    };
    let bar = workload.bar.map(|levels| Level { name: "bar", levels });
    panel(workload, "quality", &of_policies(|stretch| stretch.quality), bar.as_ref(), &panels[0])?;
    let budget = workload.budget_per_1k.map(|usd| Level { name: "budget", levels: [usd, usd] });
    panel(workload, "USD per 1,000", &of_policies(|stretch| stretch.usd_per_1k), budget.as_ref(), &panels[1])?;
    let arms = most_asked(workload);
    for (policy, area) in workload.policies.iter().zip(&panels[2..]) {
        panel(workload, &format!("asked by {}", policy.policy), &shares(workload, policy, &arms), None, area)?;
    }
    Ok(())
}

/// One line of a panel, with its band.
struct Line {
    name: String,
    colour: RGBColor,
    /// (Requests before the middle of a stretch, what was found there).
    points: Vec<(f64, Band)>,
}

impl Line {
    fn new(name: &str, colour: RGBColor, policy: &PolicyReport, pick: impl Fn(&Stretch) -> Band) -> Self {
        let middle = |stretch: &Stretch| 0.5 * (stretch.from + stretch.to) as f64;
        let points = policy.course.iter().map(|stretch| (middle(stretch), pick(stretch))).collect();
        Self { name: name.to_owned(), colour, points }
    }
}

/// What is to be kept, without the scenario's change and while it holds.
struct Level {
    name: &'static str,
    levels: [f64; 2],
}

/// The models that are asked most by all policies together, so that each has one colour throughout.
fn most_asked(workload: &OnlineWorkload) -> Vec<usize> {
    let stretches = || workload.policies.iter().flat_map(|policy| &policy.course);
    let asked = |arm: &usize| stretches().map(|stretch| stretch.shares[*arm].mean).sum::<f64>();
    let mut arms: Vec<usize> = (0..workload.models.len()).collect();
    arms.sort_by(|a, b| asked(b).total_cmp(&asked(a)));
    arms.truncate(LINES);
    arms
}

/// How often a policy asks each of these models.
fn shares(workload: &OnlineWorkload, policy: &PolicyReport, arms: &[usize]) -> Vec<Line> {
    let line = |(&arm, colour): (&usize, &RGBColor)| {
        Line::new(&workload.models[arm], *colour, policy, |stretch| stretch.shares[arm])
    };
    arms.iter().zip(&COLOURS).map(line).collect()
}

fn panel(workload: &OnlineWorkload, what: &str, lines: &[Line], level: Option<&Level>, area: &Area) -> Drawn {
    let (left, right) = area.split_horizontally(WIDTH - LEGEND);
    let (low, high) = window(lines, level);
    let mut chart = ChartBuilder::on(&left)
        .margin(8)
        .x_label_area_size(30)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..workload.requests.max(1) as f64, low..high)?;
    chart
        .configure_mesh()
        .y_desc(what)
        .y_labels(6)
        .axis_desc_style(text(13, INK))
        .label_style(text(12, INK))
        .x_label_formatter(&|request| format!("{request:.0}"))
        .y_label_formatter(&|y| digits(*y, high - low))
        .bold_line_style(FAINT.mix(0.35))
        .light_line_style(WHITE)
        .axis_style(FAINT)
        .draw()?;
    draw_turns(&mut chart, workload, (low, high))?;
    for line in lines {
        draw_line(&mut chart, line, high)?;
    }
    if let Some(level) = level {
        chart.draw_series(DashedLineSeries::new(steps(workload, level), 4, 4, INK.stroke_width(1)))?;
    }
    legend(lines, level, &right)
}

fn draw_turns(chart: &mut Chart, workload: &OnlineWorkload, (low, high): (f64, f64)) -> Drawn {
    for turn in &workload.turns {
        let at = turn.request as f64;
        chart.draw_series([PathElement::new([(at, low), (at, high)], FAINT)])?;
        chart.draw_series([Text::new(format!(" {}", turn.what), (at, high), text(11, INK))])?;
    }
    Ok(())
}

fn draw_line(chart: &mut Chart, line: &Line, high: f64) -> Drawn {
    let within = |y: f64| y.min(high);
    let upper = line.points.iter().map(|(x, band)| (*x, within(band.high)));
    let lower = line.points.iter().rev().map(|(x, band)| (*x, within(band.low)));
    chart.draw_series([Polygon::new(upper.chain(lower).collect::<Vec<_>>(), line.colour.mix(0.14))])?;
    let means = line.points.iter().map(|(x, band)| (*x, within(band.mean)));
    chart.draw_series(LineSeries::new(means, line.colour.stroke_width(2)))?;
    Ok(())
}

/// The level between the turns.
fn steps(workload: &OnlineWorkload, level: &Level) -> Vec<(f64, f64)> {
    let turns = workload.turns.iter().map(|turn| turn.request);
    let edges: Vec<usize> = std::iter::once(0).chain(turns).chain([workload.requests]).collect();
    let step = |(i, edge): (usize, &[usize])| [0, 1].map(|end| (edge[end] as f64, level.levels[i % 2]));
    edges.windows(2).enumerate().flat_map(step).collect()
}

/// From the lowest to the highest of what is drawn.
fn window(lines: &[Line], level: Option<&Level>) -> (f64, f64) {
    let bands = || lines.iter().flat_map(|line| &line.points).map(|(_, band)| band);
    let levels = || level.into_iter().flat_map(|level| level.levels);
    let low = bands().map(|band| band.low).chain(levels()).fold(f64::INFINITY, f64::min);
    let high = bands().map(|band| band.high).chain(levels()).fold(0.0, f64::max);
    let low = if low.is_finite() { low.min(high) } else { 0.0 };
    let margin = 0.08 * (high - low).max(1e-9 + 0.01 * high);
    ((low - margin).max(0.0), high + margin)
}

fn legend(lines: &[Line], level: Option<&Level>, area: &Area) -> Drawn {
    let mut y = 16;
    for line in lines {
        area.draw(&PathElement::new([(4, y), (22, y)], line.colour.stroke_width(2)))?;
        let name: String = line.name.chars().take(NAME).collect();
        area.draw(&Text::new(name, (28, y - 6), text(12, INK)))?;
        y += 18;
    }
    if let Some(level) = level {
        for dash in [0, 8, 16] {
            area.draw(&PathElement::new([(4 + dash, y), (8 + dash, y)], INK))?;
        }
        area.draw(&Text::new(level.name, (28, y - 6), text(12, INK)))?;
    }
    Ok(())
}

/// So many that ticks of a range so wide are told apart.
fn digits(y: f64, range: f64) -> String {
    let digits = (1.0 - range.max(1e-9).log10().floor()).clamp(0.0, 9.0) as usize;
    format!("{y:.digits$}")
}

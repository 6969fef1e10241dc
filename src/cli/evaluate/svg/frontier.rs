//! Quality over cost: each router's frontier, the models, and the bar at 95 % of the best one's quality.

use std::ops::Range;

use plotters::backend::SVGBackend;
use plotters::chart::{ChartBuilder, ChartContext};
use plotters::coord::cartesian::Cartesian2d;
use plotters::coord::combinators::{IntoLogRange, LogCoord};
use plotters::coord::types::RangedCoordf64;
use plotters::element::{Circle, EmptyElement, PathElement, Text};
use plotters::series::{DashedLineSeries, LineSeries};
use plotters::style::{Color, RGBColor, ShapeStyle, WHITE};

use super::{Area, Drawn, FAINT, GREEN, INK, OURS, PURPLE, WARM, text};
use crate::evaluate::report::{PointReport, RouterReport, WorkloadReport};

pub const SIZE: (u32, u32) = (960, 620);
const LEGEND: u32 = 30;
/// Where an axis of logarithms begins at the lowest.
const LEAST_USD: f64 = 1e-6;
const BAR: RGBColor = FAINT;
/// Points on the straight line between two corners, which an axis of logarithms bends.
const BENDS: usize = 24;

type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<LogCoord<f64>, RangedCoordf64>>;

/// Draws one workload.
pub fn draw(report: &WorkloadReport, area: &Area) -> Drawn {
    let (costs, qualities) = window(report);
    let title = format!("{}: quality over cost of {} prompts", report.workload, report.prompts);
    let (above, below) = area.split_vertically(SIZE.1 - LEGEND);
    let mut chart = ChartBuilder::on(&above)
        .margin(14)
        .caption(title, text(20, INK))
        .x_label_area_size(46)
        .y_label_area_size(58)
        .build_cartesian_2d(costs.clone().log_scale(), qualities.clone())?;
    chart
        .configure_mesh()
        .x_desc("USD per 1,000 requests")
        .y_desc("mean quality")
        .axis_desc_style(text(15, INK))
        .label_style(text(13, INK))
        .x_label_formatter(&|usd| usd_label(*usd))
        .y_label_formatter(&|quality| format!("{quality:.2}"))
        .bold_line_style(FAINT.mix(0.35))
        .light_line_style(WHITE)
        .axis_style(FAINT)
        .draw()?;
    let bar = 0.95 * report.best_quality;
    let level = [(costs.start, bar), (costs.end, bar)];
    chart.draw_series(DashedLineSeries::new(level, 3, 3, BAR.stroke_width(1)))?;
    for router in report.routers.iter().rev() {
        curve(&mut chart, router, &costs, &qualities)?;
    }
    models(&mut chart, report, &costs, &qualities)?;
    legend(report, &below)
}

/// How a router is drawn.
#[derive(Clone, Copy)]
enum Mark {
    Line(ShapeStyle),
    Dashed(ShapeStyle),
    Ring(ShapeStyle),
}

/// `None` for what is drawn as models.
fn mark(router: &str) -> Option<Mark> {
    match router {
        "satisfice" => Some(Mark::Line(OURS.stroke_width(3))),
        "table by task" => Some(Mark::Line(PURPLE.stroke_width(1))),
        "nearest neighbours" => Some(Mark::Line(WARM.stroke_width(1))),
        "logistic regression" => Some(Mark::Line(GREEN.stroke_width(1))),
        "oracle" => Some(Mark::Line(FAINT.stroke_width(2))),
        "mixtures of models" => Some(Mark::Dashed(INK.stroke_width(1))),
        "uniform random" => Some(Mark::Ring(WARM.stroke_width(2))),
        _ => None,
    }
}

/// Below the window nothing is drawn, where plotters would draw along its edge; what costs nothing is drawn at its left.
fn curve(chart: &mut Chart, router: &RouterReport, costs: &Range<f64>, qualities: &Range<f64>) -> Drawn {
    let within = |points: Vec<(f64, f64)>| {
        let inside = points.into_iter().filter(|(_, quality)| qualities.contains(quality));
        inside.map(|(usd, quality)| (usd.max(costs.start), quality)).collect::<Vec<_>>()
    };
    let points = within(router.frontier.iter().map(|point| (point.usd_per_1k, point.quality)).collect());
    match mark(&router.router) {
        Some(Mark::Line(style)) => chart.draw_series(LineSeries::new(points, style)).map(|_| ()),
        Some(Mark::Dashed(style)) => {
            chart.draw_series(DashedLineSeries::new(within(bent(&router.frontier)), 6, 4, style)).map(|_| ())
        }
        Some(Mark::Ring(style)) => {
            chart.draw_series(points.into_iter().map(|point| Circle::new(point, 5, style))).map(|_| ())
        }
        None => Ok(()),
    }
}

/// The routers' marks and names in a row, and the bar's.
fn legend(report: &WorkloadReport, area: &Area) -> Drawn {
    let marks = report.routers.iter().filter_map(|router| Some((router.router.as_str(), mark(&router.router)?)));
    let bar = ("95% of the best", Mark::Dashed(BAR.stroke_width(1)));
    let mut x = 64;
    for (name, mark) in marks.chain([bar]) {
        match mark {
            Mark::Line(style) => area.draw(&PathElement::new([(x, 10), (x + 20, 10)], style))?,
            Mark::Ring(style) => area.draw(&Circle::new((x + 12, 10), 5, style))?,
            Mark::Dashed(style) => [0, 8, 16]
                .into_iter()
                .try_for_each(|dash| area.draw(&PathElement::new([(x + dash, 10), (x + dash + 4, 10)], style)))?,
        }
        area.draw(&Text::new(name.to_owned(), (x + 26, 4), text(12, INK)))?;
        x += 40 + 6 * name.len() as i32;
    }
    Ok(())
}

/// Straight lines as the logarithm of the cost shows them.
fn bent(corners: &[PointReport]) -> Vec<(f64, f64)> {
    let between = |pair: &[PointReport]| {
        let (a, b) = (pair[0], pair[1]);
        let at = move |i: usize| {
            let share = (i as f64 / BENDS as f64).powi(2);
            let mix = |a: f64, b: f64| a + share * (b - a);
            (mix(a.usd_per_1k, b.usd_per_1k), mix(a.quality, b.quality))
        };
        (0..=BENDS).map(at).collect::<Vec<_>>()
    };
    corners.windows(2).flat_map(between).collect()
}

/// A dot per model with its name, as far as it is within the window.
fn models(chart: &mut Chart, report: &WorkloadReport, costs: &Range<f64>, qualities: &Range<f64>) -> Drawn {
    let within = report.models.iter().filter(|model| qualities.contains(&model.quality));
    let mut taken: Vec<(f64, f64)> = Vec::new();
    for model in within {
        let at = (model.usd_per_1k.max(costs.start), model.quality);
        let place = |(usd, quality): (f64, f64)| {
            let x = (usd / costs.start).ln() / (costs.end / costs.start).ln() * f64::from(SIZE.0);
            (x, (qualities.end - quality) / (qualities.end - qualities.start) * f64::from(SIZE.1))
        };
        let (x, y) = place(at);
        // Below or above those that are already written there.
        let clash = |shift: f64| taken.iter().any(|(a, b)| (a - x).abs() < 150.0 && (b - y - shift).abs() < 12.0);
        let shift = [0.0, 13.0, -13.0, 26.0, -26.0].into_iter().find(|&shift| !clash(shift)).unwrap_or_default();
        taken.push((x, y + shift));
        let beyond = x > f64::from(SIZE.0) * 0.8;
        let across = if beyond { -8 - 6 * model.model.len() as i32 } else { 8 };
        let dot = EmptyElement::at(at)
            + Circle::new((0, 0), 4, ShapeStyle::from(INK).filled())
            + Text::new(model.model.clone(), (across, shift as i32 - 6), text(12, INK));
        chart.draw_series([dot])?;
    }
    Ok(())
}

/// From the cheapest to the dearest and from the worst to the best that any router comes to, single models among them:
/// whatever the legend names is within.
fn window(report: &WorkloadReport) -> (Range<f64>, Range<f64>) {
    let points = || report.routers.iter().flat_map(|router| &router.frontier);
    let usd = |point: &PointReport| point.usd_per_1k.max(LEAST_USD);
    let low = points().map(usd).fold(f64::INFINITY, f64::min);
    let high = points().map(usd).fold(LEAST_USD, f64::max);
    let least = points().map(|point| point.quality).fold(f64::INFINITY, f64::min);
    let most = points().map(|point| point.quality).fold(0.0, f64::max);
    let margin = 0.04 * (most - least).max(0.01);
    (low / 1.3..high * 1.3, least - margin..most + margin)
}

fn usd_label(usd: f64) -> String {
    // Ticks have one digit; binary fractions would show more.
    let digits = (-usd.log10().floor()).max(0.0) as usize;
    format!("{usd:.digits$}")
}

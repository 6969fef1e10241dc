//! Found over predicted quality, a small plot per model: on the diagonal a prediction is right on average.

use plotters::chart::ChartBuilder;
use plotters::element::{Circle, PathElement};
use plotters::series::LineSeries;
use plotters::style::{Color, WHITE};

use super::{Area, Drawn, FAINT, INK, OURS, text};
use crate::evaluate::report::{ModelReport, WorkloadReport};

/// Plots beside each other at most, and the side of one.
const COLUMNS: usize = 4;
const SIDE: u32 = 240;
const TITLE: u32 = 44;

/// Width and height of the whole.
pub fn size(report: &WorkloadReport) -> (u32, u32) {
    let (rows, columns) = grid(report);
    // Narrower than this and the title does not fit.
    ((columns as u32 * SIDE).max(2 * SIDE), rows as u32 * SIDE + TITLE)
}

fn grid(report: &WorkloadReport) -> (usize, usize) {
    let models = report.models.len();
    (models.div_ceil(COLUMNS), models.min(COLUMNS))
}

/// Draws one workload.
pub fn draw(report: &WorkloadReport, area: &Area) -> Drawn {
    let area = area.titled(&format!("{}: found over predicted quality", report.workload), text(18, INK))?;
    let panels = area.split_evenly(grid(report));
    panels.iter().zip(&report.models).try_for_each(|(panel, model)| draw_model(model, panel))
}

fn draw_model(model: &ModelReport, area: &Area) -> Drawn {
    let mut chart = ChartBuilder::on(area)
        .margin(10)
        .caption(format!("{} · ECE {:.3}", model.model, model.ece), text(12, INK))
        .x_label_area_size(22)
        .y_label_area_size(30)
        .build_cartesian_2d(0.0..1.0, 0.0..1.0)?;
    chart
        .configure_mesh()
        .x_labels(5)
        .y_labels(5)
        .label_style(text(11, INK))
        .x_label_formatter(&|x| format!("{x:.1}"))
        .y_label_formatter(&|y| format!("{y:.1}"))
        .bold_line_style(FAINT.mix(0.35))
        .light_line_style(WHITE)
        .axis_style(FAINT)
        .draw()?;
    chart.draw_series([PathElement::new([(0.0, 0.0), (1.0, 1.0)], FAINT)])?;
    let bins = || model.reliability.iter().map(|bin| (bin.predicted, bin.found));
    chart.draw_series(LineSeries::new(bins(), OURS.stroke_width(2)))?;
    chart.draw_series(bins().map(|bin| Circle::new(bin, 3, OURS.filled())))?;
    Ok(())
}

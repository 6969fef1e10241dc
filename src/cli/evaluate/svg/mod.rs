//! Two plots a workload: the cost-quality frontier, and predicted against found quality; and one of a simulation.

mod course;
mod frontier;
mod reliability;

use std::path::Path;

use plotters::backend::SVGBackend;
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, DrawingAreaErrorKind, IntoDrawingArea};
use plotters::style::{Color, IntoFont, RGBColor, TextStyle, WHITE};

use super::online::OnlineReport;
use super::output::File;
use crate::evaluate::report::Report;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), DrawingAreaErrorKind<std::io::Error>>;

const INK: RGBColor = RGBColor(40, 44, 52);
const FAINT: RGBColor = RGBColor(150, 155, 165);
const OURS: RGBColor = RGBColor(31, 95, 191);
const WARM: RGBColor = RGBColor(214, 110, 30);
const GREEN: RGBColor = RGBColor(40, 140, 90);
const PURPLE: RGBColor = RGBColor(130, 80, 160);

/// The files of a workload's plots: frontier and reliability.
pub fn names(workload: &str) -> [String; 2] {
    ["frontier", "reliability"].map(|plot| format!("{workload}-{plot}.svg"))
}

/// Files in `folder` and their contents.
///
/// # Errors
/// plotters'.
pub fn plots(report: &Report, folder: &Path) -> anyhow::Result<Vec<File>> {
    let mut plots = Vec::new();
    for workload in &report.workloads {
        let [frontier, reliability] = names(&workload.workload).map(|name| folder.join(name));
        plots.push((frontier, drawn(frontier::SIZE, |area| frontier::draw(workload, area))?));
        plots.push((reliability, drawn(reliability::size(workload), |area| reliability::draw(workload, area))?));
    }
    Ok(plots)
}

/// How a simulation went.
///
/// # Errors
/// plotters'.
pub fn simulation(report: &OnlineReport) -> anyhow::Result<String> {
    drawn(course::size(report), |area| course::draw(report, area))
}

fn drawn(size: (u32, u32), draw: impl FnOnce(&Area) -> Drawn) -> anyhow::Result<String> {
    let mut svg = String::new();
    let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
    area.fill(&WHITE)?;
    draw(&area)?;
    area.present()?;
    drop(area);
    Ok(svg)
}

fn text(size: u32, colour: RGBColor) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(&colour.to_rgba())
}

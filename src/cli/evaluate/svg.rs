//! Plots.

use crate::evaluate::report::Report;

/// File names and SVG.
pub fn plots(_report: &Report) -> anyhow::Result<Vec<(String, String)>> {
    Ok(vec![])
}

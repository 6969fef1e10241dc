//! Columns for people: a row per line, two spaces between its cells and none at its end.

/// Every cell to the left of its column. `indent` stands before each line.
pub(super) fn words(indent: &str, rows: &[impl AsRef<[String]>]) -> String {
    lines(indent, rows, |_, cell, width| format!("{cell:<width$}"))
}

/// The first cell, a name, to the left of its column, and the others, figures, to the right.
pub(super) fn figures(indent: &str, rows: &[impl AsRef<[String]>]) -> String {
    lines(indent, rows, |column, cell, width| match column {
        0 => format!("{cell:<width$}"),
        _ => format!("{cell:>width$}"),
    })
}

/// `pad` makes a cell of a column as wide as that is. A row may have fewer cells than others.
fn lines(indent: &str, rows: &[impl AsRef<[String]>], pad: impl Fn(usize, &str, usize) -> String) -> String {
    let rows: Vec<&[String]> = rows.iter().map(AsRef::as_ref).collect();
    let columns = rows.iter().map(|row| row.len()).max().unwrap_or_default();
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).filter_map(width).collect();
    let line = |row: &[String]| {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| pad(column, cell, width));
        format!("{indent}{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    rows.into_iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_no_line_ends_in_spaces() {
        let rows = [vec!["é", "10", "x"], vec!["name", "9", ""], vec!["b"]];
        let rows = rows.map(|row| row.into_iter().map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(words("  ", &rows), "  é     10  x\n  name  9\n  b\n");
        assert_eq!(figures("", &rows), "é     10  x\nname   9\nb\n");
    }
}

//! Tables as Docker prints them: columns padded with three spaces, no lines.

/// Rows under a header.
#[derive(Debug, Default)]
pub struct Table {
    header: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table.
    pub fn new(header: &[&'static str]) -> Self {
        Self { header: header.to_vec(), rows: Vec::new() }
    }

    /// Adds a row of as many cells as the header has.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.into());
    }

    /// The text, with a newline after each row.
    pub fn render(&self) -> String {
        let mut widths: Vec<usize> = self.header.iter().map(|cell| cell.len()).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let header = line(&self.header, &widths);
        let rows = self.rows.iter().map(|row| line(row, &widths));
        std::iter::once(header).chain(rows).collect()
    }
}

/// Rows of which the first is the header; for columns that are known only when they come.
pub fn plain(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    rows.iter().map(|row| line(row, &widths)).collect()
}

/// One row; the last cell is not padded.
fn line<S: AsRef<str>>(cells: &[S], widths: &[usize]) -> String {
    let mut text = String::new();
    for (cell, width) in cells.iter().zip(widths) {
        text.push_str(&format!("{:width$}   ", printable(cell.as_ref())));
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

/// Names and labels come from outside: what would move the cursor is shown as `?`.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(&["NAME", "STATE"]);
        table.row(["a-long-name".into(), "up".into()]);
        table.row(["b\x1b[2J".into(), "".into()]);
        assert_eq!(table.render(), "NAME          STATE\na-long-name   up\nb?[2J\n");
    }
}

//! Tables as Docker prints them: columns padded with three spaces, at least ten wide, no lines.

/// The narrowest that a column is, with its padding, and the padding.
const WIDTH_MIN: usize = 10;
const PADDING: usize = 3;

/// Rows under a header.
#[derive(Debug, Default)]
pub struct Table {
    text: String,
}

impl Table {
    /// An empty table.
    pub fn new(header: &[&'static str]) -> Self {
        Self { text: header.join("\t") + "\n" }
    }

    /// Adds a row of as many cells as the header has.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.text.push_str(&cells.map(|cell| printable(&cell)).join("\t"));
        self.text.push('\n');
    }

    /// The text, with a newline after each row.
    pub fn render(&self) -> String {
        align(&self.text)
    }
}

/// Rows of which the first is the header; for columns that are known only when they come.
pub fn plain(rows: &[Vec<String>]) -> String {
    let line = |row: &Vec<String>| row.iter().map(|cell| printable(cell)).collect::<Vec<_>>().join("\t") + "\n";
    align(&rows.iter().map(line).collect::<String>())
}

/// Lines up what tabs end, as Go's `text/tabwriter`: a column is as wide as its widest cell in the lines that follow one another.
pub fn align(text: &str) -> String {
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split('\t').collect()).collect();
    let mut widths: Vec<Vec<usize>> = lines.iter().map(|cells| vec![0; cells.len() - 1]).collect();
    let columns = widths.iter().map(Vec::len).max().unwrap_or(0);
    for column in 0..columns {
        let mut begin = 0;
        while begin < lines.len() {
            let block = widths[begin..].iter().take_while(|widths| widths.len() > column).count();
            let range = begin..begin + block;
            let widest = lines[range.clone()].iter().map(|cells| cells[column].chars().count()).max().unwrap_or(0);
            for widths in &mut widths[range] {
                widths[column] = (widest + PADDING).max(WIDTH_MIN);
            }
            begin += block + 1;
        }
    }
    lines.iter().zip(&widths).map(|(cells, widths)| line(cells, widths)).collect()
}

/// One line; what is behind the last cell is cut off.
fn line(cells: &[&str], widths: &[usize]) -> String {
    let mut text = String::new();
    for (index, cell) in cells.iter().enumerate() {
        let width = widths.get(index).copied().unwrap_or(0);
        text.push_str(&format!("{cell:width$}"));
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
        assert_eq!(align("a\tb\tc\n1\t2\t3\n"), "a         b         c\n1         2         3\n");
    }

    #[test]
    fn lines_of_other_shapes_begin_columns_anew() {
        assert_eq!(align("a-very-long-cell\tb\nplain\nc\td\n\n"), "a-very-long-cell   b\nplain\nc         d\n\n");
        assert_eq!(align("one\tü\tx\nthree and more\ty\n"), "one              ü         x\nthree and more   y\n");
    }
}

//! Tables for people: as wide as the terminal, or as wide as their content where
//! there is none.

use comfy_table::{
    Attribute, Cell, CellAlignment, ColumnConstraint, ContentArrangement, LineStyle, Row, Table,
    TableStyle,
};

use super::Ui;
use super::wrap::wrapped;
use crate::error::Error;
use crate::text::printable;

/// A rule under the header and nothing else: easy on the eye, and on `grep`.
const STYLE: TableStyle = TableStyle::new().header_separator(LineStyle::new('─', '─', '─', '─'));

/// Two columns of sentences beside each other.
const WIDTH_FOR_LONG_TEXTS: u16 = 120;

/// A column of a table.
#[derive(Debug, Clone, Copy)]
pub struct Column<'a> {
    name: &'a str,
    /// the least width in which its cells can be read; none: all of them
    legible: Option<usize>,
    is_number: bool,
}

impl<'a> Column<'a> {
    /// One that is never cut: a uuid to be copied, a time.
    #[must_use]
    pub const fn whole(name: &'a str) -> Self {
        Self { name, legible: None, is_number: false }
    }

    /// One of numbers: never cut, and their ends below each other.
    #[must_use]
    pub const fn number(name: &'a str) -> Self {
        Self { name, legible: None, is_number: true }
    }

    /// One of sentences, which take some room.
    #[must_use]
    pub const fn text(name: &'a str) -> Self {
        Self { name, legible: Some(24), is_number: false }
    }
}

impl<'a> From<&'a str> for Column<'a> {
    /// One of words, which are cut or wrapped where there is not room for all of them.
    fn from(name: &'a str) -> Self {
        Self { name, legible: Some(8), is_number: false }
    }
}

/// What a table has between two columns.
const PADDING: usize = 3;

/// What a table does with a cell that is wider than its column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cells {
    /// shows all of it on several lines
    Wrapped,
    /// shows what fits on one line
    Cut,
}

impl Ui {
    /// Writes a table to stdout: as wide as the terminal, or as wide as its
    /// content where there is no terminal. A cell that does not fit is cut to
    /// one line in `cut` columns' tables and wrapped in others; where the columns
    /// would be too narrow to read, each row is a paragraph.
    ///
    /// # Errors
    /// Like [`Ui::line`].
    pub fn table(
        &self,
        header: &[Column<'_>],
        rows: &[Vec<String>],
        cells: Cells,
    ) -> Result<(), Error> {
        if self.out_width.is_some_and(|width| usize::from(width) < legible_width(header, rows)) {
            return self.painted_line(&records(header, rows, self.out_width));
        }
        let mut table = self.new_table(self.out_color, self.out_width);
        table.set_header(header.iter().map(|column| self.header_cell(column.name, self.out_color)));
        for row in rows {
            let mut row = Row::from(row.iter().map(|cell| printable(cell)).collect::<Vec<_>>());
            if self.out_width.is_some() && cells == Cells::Cut {
                row.max_height(1);
            }
            table.add_row(row);
        }
        for (index, column) in header.iter().enumerate() {
            let Some(shown) = table.column_mut(index) else { continue };
            if column.legible.is_none() && self.out_width.is_some() {
                shown.set_constraint(ColumnConstraint::ContentWidth);
            }
            if column.is_number {
                shown.set_cell_alignment(CellAlignment::Right);
            }
        }
        if let Some(last) = table.column_mut(header.len() - 1) {
            last.set_padding((1, 0));
        }
        self.painted_line(&trim_lines(&table.to_string()))
    }

    /// Whether a table on stdout has to do with few columns.
    #[must_use]
    pub fn is_narrow(&self) -> bool {
        self.out_width.is_some_and(|width| width < WIDTH_FOR_LONG_TEXTS)
    }

    fn header_cell(&self, name: &str, color: bool) -> Cell {
        let cell = Cell::new(printable(name));
        if color { cell.add_attribute(Attribute::Bold) } else { cell }
    }

    fn new_table(&self, color: bool, width: Option<u16>) -> Table {
        let mut table = Table::new();
        table.load_style(STYLE);
        if color {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        match width {
            Some(width) => {
                table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
            }
            None => {
                table.set_content_arrangement(ContentArrangement::Disabled);
            }
        }
        table
    }
}

fn legible_width(header: &[Column<'_>], rows: &[Vec<String>]) -> usize {
    let width = |index: usize| {
        let cells = rows.iter().filter_map(|row| row.get(index)).map(|cell| cell.chars().count());
        let widest = cells.chain([header[index].name.len()]).max().unwrap_or_default();
        header[index].legible.map_or(widest, |legible| widest.min(legible))
    };
    (0..header.len()).map(|index| width(index) + PADDING).sum::<usize>() - 1
}

/// The rows as paragraphs: a line for each cell, behind its column's name.
fn records(header: &[Column<'_>], rows: &[Vec<String>], width: Option<u16>) -> String {
    let names = header.iter().map(|column| column.name.len()).max().unwrap_or_default();
    let record = |row: &Vec<String>| {
        let lines = header.iter().zip(row);
        lines
            .map(|(column, cell)| {
                let line = format!("{:names$}  {}", column.name, printable(cell));
                width.map_or(line.clone(), |width| wrapped(&line, width)) + "\n"
            })
            .collect::<String>()
    };
    let records: Vec<String> = rows.iter().map(record).collect();
    records.join("\n").trim_end().to_owned()
}

fn trim_lines(text: &str) -> String {
    text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_can_be_a_paragraph() {
        let rows = [vec!["1".to_owned(), "a\nb".to_owned()], vec!["2".to_owned(), String::new()]];
        assert_eq!(
            records(&["pid".into(), "query".into()], &rows, None),
            "pid    1\nquery  a⏎b\n\npid    2\nquery"
        );
        let header = ["pid".into(), "a long name".into()];
        assert_eq!(legible_width(&header, &rows), 3 + 3 + 8 + 2);
        let header = [Column::whole("pid"), Column::text("a name of more than 24 letters")];
        assert_eq!(legible_width(&header, &rows), 3 + 3 + 24 + 2);
        let sentence = [vec!["1".to_owned(), "one two three four".to_owned()]];
        assert_eq!(
            records(&["pid".into(), "query".into()], &sentence, Some(16)),
            "pid    1\nquery  one two\n  three four"
        );
    }
}

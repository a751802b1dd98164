//! A table for a spreadsheet (RFC 4180), in which no cell is a formula, whoever chose its text.

use std::io::{self, Write};

use crate::output::shown;

/// Writes one row.
pub(super) fn row<const N: usize>(to: &mut impl Write, cells: [&str; N]) -> io::Result<()> {
    for (n, cell) in cells.iter().enumerate() {
        if n > 0 {
            to.write_all(b",")?;
        }
        let text = shown(cell).replace('"', "\"\"");
        // A spreadsheet takes these for the beginning of a formula, also after spaces.
        let is_formula =
            text.trim_start().starts_with(['=', '+', '-', '@', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}']);
        write!(to, "\"{}{text}\"", if is_formula { "'" } else { "" })?;
    }
    to.write_all(b"\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(cells: [&str; 1]) -> String {
        let mut bytes = Vec::new();
        row(&mut bytes, cells).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn no_cell_is_a_formula_or_leaves_its_place() {
        for hostile in ["=1+1", "+1", "-1", "@SUM(A1)", " =1", "\t=1", "\r=1", "\u{ff1d}1"] {
            assert!(written([hostile]).starts_with("\"'") || written([hostile]).starts_with("\"␍"), "{hostile:?}");
        }
        assert_eq!(written(["a\"b,c\nd"]), "\"a\"\"b,c⏎d\"\r\n");
        assert_eq!(written(["m/43'/60'"]), "\"m/43'/60'\"\r\n");
    }
}

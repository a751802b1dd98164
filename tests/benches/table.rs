//! The table, for people and for programs.

use serde_json::Value;

use crate::row::Row;

/// Returns one row as one line, for whoever watches the run.
pub(crate) fn line(row: &Row) -> String {
    let [what, unit, ours, peer, _, floor, target, met] = cells(row);
    format!("{what}: {ours} {unit}, peer: {peer}, floor {floor}, target {target} {met}")
}

/// Returns the table in columns.
pub(crate) fn text(rows: &[Row]) -> String {
    let lines: Vec<[String; 8]> = std::iter::once(HEAD.map(str::to_owned)).chain(rows.iter().map(cells)).collect();
    let widths: [usize; 8] = std::array::from_fn(|column| {
        lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    });
    let mut text = String::new();
    for line in &lines {
        let padded: Vec<String> = line.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        text.push_str(padded.join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// Returns the table in Markdown.
pub(crate) fn markdown(rows: &[Row]) -> String {
    let mut text = format!("| {} |\n|{}\n", HEAD.join(" | "), "---|".repeat(HEAD.len()));
    for row in rows {
        text.push_str(&format!("| {} |\n", cells(row).join(" | ")));
    }
    text
}

/// Returns the rows as a JSON list.
pub(crate) fn json(rows: &[Row]) -> String {
    let rows: Vec<Value> = rows.iter().map(Row::to_json).collect();
    format!("{:#}\n", Value::from(rows))
}

fn cells(row: &Row) -> [String; 8] {
    [
        row.what.clone(),
        row.unit.name().to_owned(),
        figure(row.ours),
        row.peer.as_ref().map_or(NO_PEER.to_owned(), |(peer, name)| format!("{} ({name})", figure(Some(*peer)))),
        figure(row.ratio()),
        figure(row.floor),
        figure(row.target),
        row.met().map_or("", |met| if met { "yes" } else { "NO" }).to_owned(),
    ]
}

/// Three digits that count.
fn figure(figure: Option<f64>) -> String {
    match figure {
        None => "-".to_owned(),
        Some(figure) if figure >= 100.0 => format!("{figure:.0}"),
        Some(figure) if figure >= 10.0 => format!("{figure:.1}"),
        Some(figure) => format!("{figure:.2}"),
    }
}

const HEAD: [&str; 8] = ["what", "unit", "ours", "peer", "ours / peer", "floor", "target", "met"];
const NO_PEER: &str = "no peer in this run";

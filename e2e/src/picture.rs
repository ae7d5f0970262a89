//! A terminal's screen as a picture: SVG that follows the reader's light or dark colour scheme.

use std::fmt::Write as _;

use vt100::{Cell, Color, Screen};

const CHAR_WIDTH: f64 = 8.4;
const LINE_HEIGHT: f64 = 18.0;
const MARGIN: f64 = 16.0;

/// The eight colours of a terminal by name, in each scheme with enough contrast (GitHub's own).
const STYLE: &str = "\
.frame{fill:#f6f8fa;stroke:#d1d9e0}text{font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu \
Sans Mono',monospace;fill:#1f2328;white-space:pre}.bold{font-weight:600}.dim{fill:#59636e}\
.c1{fill:#cf222e}.c2{fill:#1a7f37}.c3{fill:#9a6700}.c4{fill:#0969da}.c5{fill:#8250df}.c6{fill:#1b7c83}\
@media(prefers-color-scheme:dark){.frame{fill:#151b23;stroke:#3d444d}text{fill:#f0f6fc}\
.dim{fill:#9198a1}.c1{fill:#ff7b72}.c2{fill:#3fb950}.c3{fill:#d29922}.c4{fill:#58a6ff}.c5{fill:#bc8cff}\
.c6{fill:#39c5cf}}";

/// The lines of the screen up to the last that is not empty.
pub fn svg(screen: &Screen, title: &str) -> String {
    let (rows, columns) = screen.size();
    let (rows, columns) = (rows.get(), columns.get());
    let is_empty = |row: &u16| (0..columns).all(|column| !has_text(screen, *row, column));
    let used = (0..rows).rev().find(|row| !is_empty(row));
    let used = used.map_or(0, |row| row + 1);
    let width = f64::from(columns) * CHAR_WIDTH + 2.0 * MARGIN;
    let height = f64::from(used) * LINE_HEIGHT + 2.0 * MARGIN;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" \
         width=\"{width:.0}\" height=\"{height:.0}\">\n<title>{}</title>\n<style>{STYLE}</style>\n\
         <rect class=\"frame\" x=\".5\" y=\".5\" width=\"{:.0}\" height=\"{:.0}\" rx=\"8\"/>\n",
        escape(title),
        width - 1.0,
        height - 1.0,
    );
    for row in 0..used {
        line(&mut svg, screen, row, columns);
    }
    svg + "</svg>\n"
}

/// A `text` for each run of cells that look alike. Its length is given, so that columns are aligned in
/// any font.
fn line(svg: &mut String, screen: &Screen, row: u16, columns: u16) {
    let y = MARGIN + f64::from(row) * LINE_HEIGHT + 13.0;
    let mut column = 0;
    while column < columns {
        if !has_text(screen, row, column) {
            column += 1;
            continue;
        }
        let begin = column;
        let class = class(screen.cell(row, begin));
        let mut text = String::new();
        let mut end = begin;
        // Single spaces belong to the run; more of them end it.
        while column < columns && column <= end + 2 {
            if has_text(screen, row, column) {
                if self::class(screen.cell(row, column)) != class {
                    break;
                }
                text.extend((end + 1..column).map(|_| ' '));
                text.push_str(screen.cell(row, column).map_or("", Cell::contents));
                end = column;
            }
            column += 1;
        }
        column = end + 1;
        let x = MARGIN + f64::from(begin) * CHAR_WIDTH;
        let length = f64::from(end + 1 - begin) * CHAR_WIDTH;
        let class = match class.as_str() {
            "" => String::new(),
            class => format!(" class=\"{class}\""),
        };
        writeln!(
            svg,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" textLength=\"{length:.1}\" \
             lengthAdjust=\"spacingAndGlyphs\"{class}>{}</text>",
            escape(&text)
        )
        .expect("a string");
    }
}

fn has_text(screen: &Screen, row: u16, column: u16) -> bool {
    screen
        .cell(row, column)
        .is_some_and(|cell| !cell.contents().trim().is_empty())
}

fn class(cell: Option<&Cell>) -> String {
    let Some(cell) = cell else {
        return String::new();
    };
    let mut classes = Vec::new();
    if cell.bold() {
        classes.push("bold".to_owned());
    }
    if cell.dim() {
        classes.push("dim".to_owned());
    }
    if let Color::Idx(colour @ 1..=6) = cell.fgcolor() {
        classes.push(format!("c{colour}"));
    }
    classes.join(" ")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_keep_their_place_and_look() {
        let [rows, columns] = [3, 20].map(|size: u16| size.try_into().unwrap());
        let mut terminal = vt100::Parser::new(rows, columns, 0);
        terminal.process(b"\x1b[1mPID\x1b[0m  a <b>\r\n\x1b[31mFAIL\x1b[0m x");
        let svg = svg(terminal.screen(), "a & b");
        for part in [
            "<title>a &amp; b</title>",
            "x=\"16.0\" y=\"29.0\" textLength=\"25.2\" lengthAdjust=\"spacingAndGlyphs\" class=\"bold\">PID<",
            "x=\"58.0\" y=\"29.0\" textLength=\"42.0\" lengthAdjust=\"spacingAndGlyphs\">a &lt;b&gt;<",
            "class=\"c1\">FAIL<",
            "viewBox=\"0 0 200 68\"",
        ] {
            assert!(svg.contains(part), "{part} is not in {svg}");
        }
    }
}

//! Tables for people.

use serde_json::Value;

use super::shown;

/// Rows of objects: a title for each column, and the field it shows.
pub fn of(columns: &[(&str, &str)], rows: &[Value]) -> String {
    let mut table = comfy_table::Table::new();
    table.load_preset(comfy_table::presets::NOTHING);
    table.set_header(columns.iter().map(|(title, _)| *title));
    for row in rows {
        table.add_row(columns.iter().map(|(_, field)| shown(&row[*field])));
    }
    trimmed(&table)
}

/// The fields of one object, one a line.
pub fn fields(fields: &[(&str, &str)], object: &Value) -> String {
    let mut table = comfy_table::Table::new();
    table.load_preset(comfy_table::presets::NOTHING);
    for (title, field) in fields {
        table.add_row([(*title).to_owned(), shown(&object[*field])]);
    }
    trimmed(&table)
}

/// Without the blanks that fill up the last column and lead the first.
fn trimmed(table: &comfy_table::Table) -> String {
    table.lines().map(|line| line.strip_prefix(' ').unwrap_or(&line).trim_end().to_owned() + "\n").collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_are_aligned_and_nothing_is_a_dash() {
        let rows = [json!({ "id": "a", "name": "long name" }), json!({ "id": "bbbbbb", "name": null })];
        assert_eq!(of(&[("ID", "id"), ("NAME", "name")], &rows), "ID      NAME\na       long name\nbbbbbb  -\n");
    }
}

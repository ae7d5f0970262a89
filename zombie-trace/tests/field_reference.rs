//! The tables of docs/json.md, which are made from the schemas.
//!
//! `UPDATE_GOLDEN=1 cargo test --test field_reference` writes them anew: look at what changes.

use std::{env, fs, path::PathBuf};

use serde_json::Value;

const BEGIN: &str = "<!-- fields: begin -->\n";
const END: &str = "<!-- fields: end -->\n";

fn docs() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs")
}

struct Schema(Value);

impl Schema {
    fn read() -> Self {
        let path = docs().join("schema/zombie-trace-v1.schema.json");
        Self(serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap())
    }

    /// The line types, in the schema's order, with a table each.
    fn reference(&self) -> String {
        let kinds = self.0["oneOf"].as_array().unwrap();
        let sections = kinds.iter().map(|kind| {
            let kind = self.resolve(kind);
            let name = kind["properties"]["type"]["const"].as_str().unwrap();
            let mut rows = Vec::new();
            self.rows("", &kind, &mut rows);
            let mut section = format!("\n### {name}\n\n");
            if let Some(text) = description(&kind) {
                section += &format!("{text}\n\n");
            }
            section += "| Field | Type | Meaning |\n|---|---|---|\n";
            section + &rows.concat()
        });
        sections.collect::<String>() + "\n"
    }

    /// A schema with what it refers to; its own keys go first.
    fn resolve(&self, schema: &Value) -> Value {
        let Some(reference) = schema["$ref"].as_str() else {
            return schema.clone();
        };
        let pointer = reference.strip_prefix('#').expect("a local reference");
        let mut target = self.0.pointer(pointer).expect("what it refers to").clone();
        for (key, value) in schema.as_object().unwrap() {
            if key != "$ref" {
                target[key] = value.clone();
            }
        }
        target
    }

    /// A row for each property, and below it one for each of its own, as `phases.reap_ns` or
    /// `by_parent[].ppid`.
    fn rows(&self, prefix: &str, object: &Value, rows: &mut Vec<String>) {
        let properties = object["properties"].as_object().unwrap();
        // What is required is listed in the order in which it is written.
        let order = object["required"].as_array().into_iter().flatten();
        let order: Vec<_> = order.filter_map(Value::as_str).collect();
        let mut keys: Vec<_> = properties.keys().map(String::as_str).collect();
        keys.sort_by_key(|key| order.iter().position(|other| other == key));
        for key in keys {
            let property = self.resolve(&properties[key]);
            let path = format!("{prefix}{key}");
            let meaning = [description(&property), values(&property)];
            let meaning: Vec<_> = meaning.into_iter().flatten().collect();
            rows.push(format!(
                "| `{path}` | {} | {} |\n",
                self.types(&property),
                meaning.join(" ").replace('|', "\\|")
            ));
            for part in self.alternatives(&property) {
                if part["properties"].is_object() {
                    self.rows(&format!("{path}."), &part, rows);
                }
                let items = self.resolve(&part["items"]);
                if items["properties"].is_object() {
                    self.rows(&format!("{path}[]."), &items, rows);
                }
            }
        }
    }

    fn alternatives(&self, schema: &Value) -> Vec<Value> {
        match schema["oneOf"].as_array() {
            Some(all) => all.iter().map(|schema| self.resolve(schema)).collect(),
            None => vec![schema.clone()],
        }
    }

    fn types(&self, schema: &Value) -> String {
        let mut types: Vec<String> = Vec::new();
        for part in self.alternatives(schema) {
            match &part["type"] {
                Value::String(name) => types.push(name.clone()),
                Value::Array(names) => {
                    types.extend(names.iter().map(|name| name.as_str().unwrap().to_owned()));
                }
                _ if part["const"].is_number() => types.push("integer".to_owned()),
                _ => types.push("string".to_owned()),
            }
        }
        // Null goes last, whatever comes first in the schema.
        types.sort_by_key(|name| name == "null");
        types.join(" or ")
    }
}

fn description(schema: &Value) -> Option<String> {
    schema["description"].as_str().map(str::to_owned)
}

/// The values that a property can have, where they are listed.
fn values(schema: &Value) -> Option<String> {
    let listed = |values: &Value| {
        let values = values.as_array()?.iter();
        let values: Vec<_> = values.map(|value| format!("`{}`", shown(value))).collect();
        Some(values.join(", "))
    };
    if let Some(value) = schema.get("const") {
        return Some(format!("Always `{}`.", shown(value)));
    }
    listed(&schema["enum"])
        .or_else(|| listed(&schema["items"]["enum"]))
        .map(|values| format!("One of {values}."))
        .or_else(|| listed(&first(&schema["examples"])?).map(|values| format!("Such as {values}.")))
}

/// Some examples are enough.
fn first(examples: &Value) -> Option<Value> {
    const ENOUGH: usize = 10;
    let examples = examples.as_array()?;
    Some(examples[..examples.len().min(ENOUGH)].into())
}

fn shown(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

#[test]
fn json_md_has_every_field_of_the_schema() {
    let path = docs().join("json.md");
    let page = fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).expect("a place for the tables");
    let (_, after) = rest.split_once(END).expect("the end of the tables");
    let expected = format!("{before}{BEGIN}{}{END}{after}", Schema::read().reference());
    if env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &expected).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap();
    assert!(found == expected, "docs/json.md is stale:\n{expected}");
}

#[test]
fn every_field_has_a_meaning() {
    let reference = Schema::read().reference();
    let empty: Vec<_> = reference
        .lines()
        .filter(|line| line.ends_with("|  |"))
        .collect();
    assert!(empty.is_empty(), "{empty:#?}");
}

#[test]
fn nested_fields_have_rows_of_their_own() {
    let reference = Schema::read().reference();
    for path in [
        "phases.reap_ns",
        "container.runtime",
        "by_parent[].zombie_time_ns",
        "lost.missed",
    ] {
        assert!(reference.contains(&format!("| `{path}` |")), "{path}");
    }
}

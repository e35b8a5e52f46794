//! A JSON document as the value of a template, with what a template's maps do not keep: the order
//! of fields, so that `{{json .State}}` prints them as the daemon wrote them; and which objects are
//! Go's structs, so that `{{.State}}` prints as Docker's.
//!
//! It is kept beside the values, under their addresses: templates hand maps and lists around without
//! copying them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use gotmpl::Value;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::shapes::{self, Shape, Zero};
use super::template::go_escaped;

type Map = Arc<BTreeMap<Arc<str>, Value>>;

/// What a field of this name is that a struct leaves out.
pub(super) type LeftOut = fn(&str) -> Option<Zero>;

/// What is known of the maps and lists that are alive.
#[derive(Debug, Default)]
pub(super) struct Document {
    maps: HashMap<usize, (Shape, Vec<Arc<str>>)>,
    /// Empty maps and lists that are `null` in the document.
    nulls: HashSet<usize>,
}

/// What a field is.
#[derive(Clone, Debug)]
pub(super) enum Found {
    Value(Value),
    /// Nothing: a map does not have it.
    Nothing,
    /// There can be no such field.
    NoField {
        name: String,
        depth: usize,
    },
}

impl Document {
    /// Reads a document; what was known before is forgotten.
    pub(super) fn parse(&mut self, text: &str) -> serde_json::Result<Value> {
        *self = Self::default();
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let seed = Seed { document: self, parent: None, name: None };
        let value = seed.deserialize(&mut deserializer)?;
        deserializer.end()?;
        Ok(value)
    }

    fn shape(&self, map: &Map) -> Shape {
        self.maps.get(&address(map)).map_or(Shape::Struct, |(shape, _)| *shape)
    }

    /// `receiver.A.B`; of what a struct may leave out, `left_out` knows what it is.
    pub(super) fn field(&self, receiver: &Value, (names, left_out): (&[&str], LeftOut)) -> Found {
        let mut value = receiver.clone();
        let mut is_missing = false;
        for (depth, name) in names.iter().enumerate() {
            is_missing = false;
            value = match &value {
                Value::Map(fields) => match fields.get(*name) {
                    Some(value) => value.clone(),
                    None if self.shape(fields) != Shape::Struct => {
                        is_missing = true;
                        Value::Nil
                    }
                    // Go's names and those of the API differ in case only: `ID` and `Id`.
                    None => match fields.iter().find(|(other, _)| other.eq_ignore_ascii_case(name))
                    {
                        Some((_, value)) => value.clone(),
                        None => match left_out(name) {
                            Some(zero) => empty(zero),
                            None => return Found::NoField { name: (*name).to_owned(), depth },
                        },
                    },
                },
                Value::Nil => Value::Nil,
                Value::Bool(_)
                | Value::Int(_)
                | Value::Uint(_)
                | Value::Float(_)
                | Value::String(_)
                | Value::List(_)
                | Value::Function(_) => {
                    return Found::NoField { name: (*name).to_owned(), depth };
                }
            };
        }
        if is_missing { Found::Nothing } else { Found::Value(value) }
    }

    /// `index map "name"` where a map of texts does not have the name: an empty text.
    pub(super) fn is_texts(&self, value: &Value) -> bool {
        matches!(value, Value::Map(map) if self.shape(map) == Shape::Texts)
    }

    /// As Go prints a value.
    pub(super) fn show(&self, value: &Value) -> String {
        match value {
            Value::Map(fields) => {
                let shape = self.shape(fields);
                let values: Vec<String> = self
                    .names(fields)
                    .iter()
                    .map(|name| {
                        let value = fields.get(name).map_or_else(String::new, |v| self.show(v));
                        if shape == Shape::Struct { value } else { format!("{name}:{value}") }
                    })
                    .collect();
                match shape {
                    Shape::Struct => format!("{{{}}}", values.join(" ")),
                    Shape::Texts | Shape::Map => format!("map[{}]", values.join(" ")),
                }
            }
            Value::List(values) => {
                let values: Vec<String> = values.iter().map(|value| self.show(value)).collect();
                format!("[{}]", values.join(" "))
            }
            Value::Nil
            | Value::Bool(_)
            | Value::Int(_)
            | Value::Uint(_)
            | Value::Float(_)
            | Value::String(_)
            | Value::Function(_) => value.to_string(),
        }
    }

    /// The names of a map's fields: of a struct as they were written, of a map sorted.
    fn names(&self, map: &Map) -> Vec<Arc<str>> {
        match self.maps.get(&address(map)) {
            Some((Shape::Struct, names)) => names.clone(),
            Some((Shape::Texts | Shape::Map, _)) | None => map.keys().cloned().collect(),
        }
    }

    /// The text of a value, as Go's encoder writes it.
    pub(super) fn to_json(&self, value: &Value) -> String {
        let mut text = String::new();
        self.write(value, &mut text);
        text
    }

    fn write(&self, value: &Value, text: &mut String) {
        match value {
            Value::Nil | Value::Function(_) => text.push_str("null"),
            Value::Bool(value) => text.push_str(if *value { "true" } else { "false" }),
            Value::Int(value) => text.push_str(&value.to_string()),
            Value::Uint(value) => text.push_str(&value.to_string()),
            Value::Float(value) => text.push_str(&serde_json::Value::from(*value).to_string()),
            Value::String(value) => write_string(value, text),
            Value::List(values) if self.nulls.contains(&values.as_ptr().addr()) => {
                text.push_str("null");
            }
            Value::List(values) => {
                text.push('[');
                for (position, value) in values.iter().enumerate() {
                    if position > 0 {
                        text.push(',');
                    }
                    self.write(value, text);
                }
                text.push(']');
            }
            Value::Map(values) if self.nulls.contains(&address(values)) => text.push_str("null"),
            Value::Map(values) => {
                text.push('{');
                for (position, name) in self.names(values).iter().enumerate() {
                    if position > 0 {
                        text.push(',');
                    }
                    write_string(name, text);
                    text.push(':');
                    self.write(values.get(name).unwrap_or(&Value::Nil), text);
                }
                text.push('}');
            }
        }
    }
}

fn write_string(value: &str, text: &mut String) {
    text.push_str(&go_escaped(&serde_json::Value::from(value).to_string()));
}

fn address(map: &Map) -> usize {
    Arc::as_ptr(map).addr()
}

fn empty(zero: Zero) -> Value {
    match zero {
        Zero::Pointer => Value::Nil,
        Zero::Text => Value::String(Arc::from("")),
        Zero::List => Value::List(Arc::from(Vec::new())),
        Zero::Map(_) => Value::Map(Arc::new(BTreeMap::new())),
    }
}

/// Reads the value of a field, which is part of another field's value.
struct Seed<'a> {
    document: &'a mut Document,
    parent: Option<Arc<str>>,
    name: Option<Arc<str>>,
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        let zero = shapes::null(self.parent.as_deref(), self.name.as_deref());
        let value = empty(zero);
        if let (Value::Map(map), Zero::Map(shape)) = (&value, zero) {
            self.document.maps.insert(address(map), (shape, Vec::new()));
            self.document.nulls.insert(address(map));
        }
        if let Value::List(list) = &value {
            self.document.nulls.insert(list.as_ptr().addr());
        }
        Ok(value)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Int(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(i64::try_from(value).map_or(Value::Uint(value), Value::Int))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(Arc::from(value)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        loop {
            // What a list holds are structs, whatever the list is called.
            let (document, parent) = (&mut *self.document, self.name.clone());
            let Some(value) = values.next_element_seed(Seed { document, parent, name: None })?
            else {
                return Ok(Value::List(list.into_iter().collect()));
            };
            list.push(value);
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut values: A) -> Result<Value, A::Error> {
        let mut map = BTreeMap::new();
        let mut names: Vec<Arc<str>> = Vec::new();
        let shape = shapes::of(self.parent.as_deref(), self.name.as_deref());
        while let Some(name) = values.next_key::<String>()? {
            let name: Arc<str> = Arc::from(name);
            let (document, parent) = (&mut *self.document, self.name.clone());
            let seed = Seed { document, parent, name: Some(Arc::clone(&name)) };
            let value = values.next_value_seed(seed)?;
            // Of a name that comes twice, the last value counts.
            if map.insert(Arc::clone(&name), value).is_none() {
                names.push(name);
            }
        }
        let map = Arc::new(map);
        self.document.maps.insert(address(&map), (shape, names));
        Ok(Value::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_come_back_as_they_were() {
        for text in [
            r#"{"b":1,"a":{"z":null,"y":[{"d":true,"c":-2}]},"":"x"}"#,
            r#"[1.5,18446744073709551615,"a\"b",{},[]]"#,
            r#"{"Cmd":null,"Env":[],"Labels":null,"Ports":{"80/tcp":null},"Options":{}}"#,
            "null",
        ] {
            let mut document = Document::default();
            let value = document.parse(text).unwrap();
            assert_eq!(document.to_json(&value), text);
        }
    }

    #[test]
    fn a_name_that_comes_twice_is_written_once() {
        let mut document = Document::default();
        let value = document.parse(r#"{"b":1,"a":2,"b":3}"#).unwrap();
        assert_eq!(document.to_json(&value), r#"{"b":3,"a":2}"#);
        assert!(document.parse("{} x").is_err());
    }

    #[test]
    fn structs_and_maps_print_as_in_go() {
        let mut document = Document::default();
        let text = r#"{"Ports":{"80/tcp":[{"HostIp":"::","HostPort":"1"}],"1/udp":null},"X":null}"#;
        let value = document.parse(text).unwrap();
        assert_eq!(document.show(&value), "{map[1/udp:[] 80/tcp:[{:: 1}]] <nil>}");
    }
}

//! JSON for templates, with the order of its fields kept: `{{json .State}}` prints them as the
//! daemon wrote them, which is the order of Docker's structs.
//!
//! A template's maps are sorted. Which order a map had is therefore kept beside it, under its
//! address: templates hand maps around without copying them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use gotmpl::Value;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::template::go_escaped;

/// The order of the fields of maps that are alive.
#[derive(Debug, Default)]
pub(super) struct Orders(HashMap<usize, Vec<Arc<str>>>);

impl Orders {
    /// Reads a document; what was known before is forgotten.
    pub(super) fn parse(&mut self, text: &str) -> serde_json::Result<Value> {
        self.0.clear();
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let value = Seed(self).deserialize(&mut deserializer)?;
        deserializer.end()?;
        Ok(value)
    }

    /// Forgets all: maps of another document may get the same addresses.
    pub(super) fn clear(&mut self) {
        self.0.clear();
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
            Value::Map(values) => {
                text.push('{');
                let sorted = || values.keys().cloned().collect();
                let names = self.0.get(&address(values)).cloned().unwrap_or_else(sorted);
                for (position, name) in names.iter().enumerate() {
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

fn address(map: &Arc<BTreeMap<Arc<str>, Value>>) -> usize {
    Arc::as_ptr(map).addr()
}

struct Seed<'a>(&'a mut Orders);

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
        Ok(Value::Nil)
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
        while let Some(value) = values.next_element_seed(Seed(&mut *self.0))? {
            list.push(value);
        }
        Ok(Value::List(list.into_iter().collect()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut values: A) -> Result<Value, A::Error> {
        let mut map = BTreeMap::new();
        let mut names: Vec<Arc<str>> = Vec::new();
        while let Some(name) = values.next_key::<String>()? {
            let name: Arc<str> = Arc::from(name);
            let value = values.next_value_seed(Seed(&mut *self.0))?;
            // Of a name that comes twice, the last value counts.
            if map.insert(Arc::clone(&name), value).is_none() {
                names.push(name);
            }
        }
        let map = Arc::new(map);
        self.0.0.insert(address(&map), names);
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
            r#"[1.5,18446744073709551615,"a\"b",{}]"#,
            "null",
        ] {
            let mut orders = Orders::default();
            let value = orders.parse(text).unwrap();
            assert_eq!(orders.to_json(&value), text);
        }
    }

    #[test]
    fn a_name_that_comes_twice_is_written_once() {
        let mut orders = Orders::default();
        let value = orders.parse(r#"{"b":1,"a":2,"b":3}"#).unwrap();
        assert_eq!(orders.to_json(&value), r#"{"b":3,"a":2}"#);
        assert!(orders.parse("{} x").is_err());
    }
}

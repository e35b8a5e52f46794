//! Go's `null`: read as the empty value everywhere, written for the lists and maps that Docker leaves nil.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Reads a value, taking `null` for the type's default.
pub fn as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// Writes an empty value as `null`: what Go prints for a nil slice or map.
pub fn if_empty<S, T>(value: &T, serializer: S) -> Result<S::Ok, S::Error>
where
    S: Serializer,
    T: Serialize + Default + PartialEq,
{
    if is_empty(value) { serializer.serialize_none() } else { value.serialize(serializer) }
}

/// Go's `omitempty`: the zero value of numbers, strings, booleans, lists, maps and options.
pub fn is_empty<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

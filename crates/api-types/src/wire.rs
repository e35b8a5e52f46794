//! The one macro that makes a wire struct: Docker's key case, every field optional, `null` allowed.
//!
//! A macro because serde has no container attribute for "null is the default value": without it each of some four
//! hundred fields would carry the same line. `flatten { … }` at the end takes Go's embedded structs.

macro_rules! wire {
    ($(
        $(#[$meta:meta])*
        pub struct $name:ident {
            $($(#[$field_meta:meta])* pub $field:ident: $type:ty,)*
            $(flatten { $(pub $flat:ident: $flat_type:ty,)* })?
        }
    )*) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "PascalCase", default)]
        pub struct $name {
            $(
                $(#[$field_meta])*
                #[serde(deserialize_with = "crate::null::as_default")]
                pub $field: $type,
            )*
            $($(#[serde(flatten)] pub $flat: $flat_type,)*)?
        }
    )*};
}

//! The text form of names and identifiers: what is printed is what JSON has, and there is one text for one value.

/// `Debug`, JSON and JSON Schema of a type that has `Display` and `FromStr`.
macro_rules! text_form {
    ($name:ident, $schema:tt) => {
        impl std::fmt::Debug for $name {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Display::fmt(self, formatter)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <String as serde::Deserialize>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        #[cfg(feature = "schema")]
        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!($schema)
            }
        }
    };
}

/// The same, `Display` and `FromStr` included, of an identifier that is an array of bytes: base64url without padding.
macro_rules! bytes_text_form {
    ($name:ident, $error:ident) => {
        impl std::fmt::Display for $name {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str(&crate::encoding::encode(&self.0))
            }
        }

        impl std::str::FromStr for $name {
            type Err = $error;

            fn from_str(text: &str) -> Result<Self, $error> {
                crate::encoding::decode(text).and_then(|bytes| bytes.try_into().ok()).map(Self).ok_or($error)
            }
        }

        crate::text_form::text_form!($name, { "type": "string", "contentEncoding": "base64url" });
    };
}

pub(crate) use {bytes_text_form, text_form};

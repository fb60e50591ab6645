//! Why a JSON value is not of a type: a field too many, a value that breaks a rule, or another shape altogether. The
//! error of `serde_json` has this only in its text.

use std::fmt;

use serde::de::value::{MapDeserializer, SeqDeserializer, StringDeserializer};
use serde::de::{self, DeserializeOwned, Deserializer, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::Value;
use serde_path_to_error::{Path, Segment};

use crate::problem::Problem;

/// The longest pointer that is sent back, in characters: field names are the client's own.
const MAX_POINTER: usize = 200;

/// What does not fit.
#[derive(Debug)]
enum Misfit {
    /// A field that is not known.
    UnknownField(String),
    /// A value that breaks a rule, which is named.
    Value(String),
    /// Another type, a missing field, a wrong length.
    Shape,
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownField(_) => "a field that is not known",
            Self::Value(rule) => rule,
            Self::Shape => "not the shape",
        })
    }
}

impl std::error::Error for Misfit {}

impl de::Error for Misfit {
    fn custom<T: fmt::Display>(rule: T) -> Self {
        Self::Value(rule.to_string())
    }

    fn invalid_type(_: de::Unexpected<'_>, _: &dyn de::Expected) -> Self {
        Self::Shape
    }

    fn invalid_length(_: usize, _: &dyn de::Expected) -> Self {
        Self::Shape
    }

    fn missing_field(_: &'static str) -> Self {
        Self::Shape
    }

    fn duplicate_field(_: &'static str) -> Self {
        Self::Shape
    }

    fn invalid_value(_: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::Value(format!("expected {expected}"))
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        Self::Value(format!("one of {}", expected.join(", ")))
    }

    fn unknown_field(field: &str, _: &'static [&'static str]) -> Self {
        Self::UnknownField(field.to_owned())
    }
}

/// A JSON value that is read with [`Misfit`] for its error.
struct Json(Value);

impl<'de> Deserializer<'de> for Json {
    type Error = Misfit;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(value),
            Value::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
                (Some(value), _, _) => visitor.visit_u64(value),
                (None, Some(value), _) => visitor.visit_i64(value),
                (None, None, Some(value)) => visitor.visit_f64(value),
                (None, None, None) => Err(Misfit::Shape),
            },
            Value::String(text) => visitor.visit_string(text),
            Value::Array(items) => visitor.visit_seq(SeqDeserializer::new(items.into_iter().map(Json))),
            Value::Object(fields) => {
                visitor.visit_map(MapDeserializer::new(fields.into_iter().map(|(key, value)| (key, Json(value)))))
            }
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        if self.0.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        match self.0 {
            Value::String(text) => {
                let variant: StringDeserializer<Misfit> = text.into_deserializer();
                variant.deserialize_enum(name, variants, visitor)
            }
            Value::Object(fields) => {
                let access = MapDeserializer::new(fields.into_iter().map(|(key, value)| (key, Json(value))));
                de::value::MapAccessDeserializer::new(access).deserialize_enum(name, variants, visitor)
            }
            _ => Err(Misfit::Shape),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        unit unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

impl<'de> IntoDeserializer<'de, Misfit> for Json {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// Reads a request's body.
///
/// # Errors
/// `malformed-request` when it is not JSON or not the shape, `validation` for a field too many and a broken rule.
pub(crate) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    let error = match serde_json::from_slice(body) {
        Ok(read) => return Ok(read),
        Err(error) => error,
    };
    let again = if error.is_data() { serde_json::from_slice(body).map(read_value::<T>) } else { Err(error) };
    match again {
        Ok(Err(problem)) => Err(problem),
        // What is read when it is taken apart first has a field twice.
        Ok(Ok(_)) | Err(_) => Err(Problem::malformed("the body is not JSON, or has a field twice")),
    }
}

/// Reads a value.
///
/// # Errors
/// As [`read`].
pub(crate) fn read_value<T: DeserializeOwned>(value: Value) -> Result<T, Problem> {
    serde_path_to_error::deserialize(Json(value)).map_err(|error| {
        let place = pointer(error.path());
        match error.into_inner() {
            Misfit::UnknownField(field) => {
                let field = escape(&field);
                let place = if place.ends_with(&format!("/{field}")) { place } else { format!("{place}/{field}") };
                Problem::invalid(shortened(&place), "no such field")
            }
            Misfit::Value(rule) => Problem::invalid(shortened(&place), shortened(&rule)),
            Misfit::Shape => Problem::malformed(format!("not the shape that is asked for at {}", shortened(&place))),
        }
    })
}

fn shortened(text: &str) -> String {
    text.chars().take(MAX_POINTER).collect()
}

fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

fn pointer(path: &Path) -> String {
    path.iter().fold(String::new(), |pointer, segment| match segment {
        Segment::Seq { index } => format!("{pointer}/{index}"),
        Segment::Map { key } => format!("{pointer}/{}", escape(key)),
        Segment::Enum { variant } => format!("{pointer}/{}", escape(variant)),
        Segment::Unknown => pointer,
    })
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;
    use crate::problem::Code;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its shape matters")]
    struct Outer {
        list: Vec<Inner>,
        text: Option<String>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its shape matters")]
    struct Inner {
        number: u8,
        id: bms_domain::id::SeatId,
    }

    fn refused(body: &Value) -> (Code, String) {
        let problem = read::<Outer>(body.to_string().as_bytes()).unwrap_err();
        (problem.code(), format!("{problem:?}"))
    }

    #[test]
    fn what_does_not_fit_is_told_apart_and_pointed_at() {
        let (code, text) = refused(&json!({"list": [], "a/b": 1}));
        assert!(code == Code::Validation && text.contains("\"/a~1b\""), "{text}");
        let (code, text) = refused(&json!({"list": [{"number": 1, "id": "A1", "more": 1}]}));
        assert!(code == Code::Validation && text.contains("\"/list/0/more\""), "{text}");
        let (code, text) = refused(&json!({"list": [{"number": 1, "id": "A:1"}]}));
        assert!(code == Code::Validation && text.contains("\"/list/0/id\""), "{text}");
        let (code, text) = refused(&json!({"list": [{"number": 300, "id": "A1"}]}));
        assert!(code == Code::Validation && text.contains("\"/list/0/number\""), "{text}");
        for shape in [json!({"list": [{"number": "1", "id": "A1"}]}), json!({}), json!([]), json!({"list": [], "text": 1})] {
            assert_eq!(refused(&shape).0, Code::MalformedRequest, "{shape}");
        }
        for body in ["", "{", "{\"list\":[],\"list\":[]}", "\u{0}", "{\"list\":[]} x"] {
            assert_eq!(read::<Outer>(body.as_bytes()).unwrap_err().code(), Code::MalformedRequest, "{body}");
        }
    }
}

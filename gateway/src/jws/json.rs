//! Reading JSON that can be understood in one way only.
//!
//! Parsers disagree about which of two members with one name counts (RFC 8259 §4), and a signature
//! covers both. So duplicates are refused at every depth, and the depth has a limit.

use std::{cell::Cell, fmt};

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Objects and arrays within each other. A jwk in a protected header needs two.
const DEPTH_MAX: u8 = 16;

/// Why octets are not an object that can be understood in one way only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Not UTF-8, not JSON, or something follows it.
    Syntax,
    /// JSON, but no object.
    NotAnObject,
    /// Two members of one object have the same name.
    Duplicate,
    /// More than [`DEPTH_MAX`] levels.
    TooDeep,
}

/// Reads octets that are exactly one JSON object.
pub(crate) fn object(octets: &[u8]) -> Result<Map<String, Value>, Refused> {
    let fault = Cell::new(Refused::Syntax);
    let mut deserializer = serde_json::Deserializer::from_slice(octets);
    let strict = Strict { depth: 0, fault: &fault };
    let value = strict.deserialize(&mut deserializer).map_err(|_| fault.get())?;
    deserializer.end().map_err(|_| Refused::Syntax)?;
    match value {
        Value::Object(members) => Ok(members),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err(Refused::NotAnObject)
        }
    }
}

/// Builds a [`Value`]; what stops it, other than bad syntax, is left in `fault`.
struct Strict<'f> {
    depth: u8,
    fault: &'f Cell<Refused>,
}

impl Strict<'_> {
    fn deeper<E: serde::de::Error>(&self) -> Result<Self, E> {
        if self.depth < DEPTH_MAX {
            Ok(Self { depth: self.depth.saturating_add(1), fault: self.fault })
        } else {
            Err(self.stop(Refused::TooDeep))
        }
    }

    fn stop<E: serde::de::Error>(&self, fault: Refused) -> E {
        self.fault.set(fault);
        E::custom("refused")
    }

    const fn again(&self) -> Self {
        Self { depth: self.depth, fault: self.fault }
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("not a number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let inside = self.deeper::<A::Error>()?;
        let mut array = Vec::new();
        while let Some(element) = elements.next_element_seed(inside.again())? {
            array.push(element);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let inside = self.deeper::<A::Error>()?;
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if object.contains_key(&name) {
                return Err(self.stop(Refused::Duplicate));
            }
            let value = members.next_value_seed(inside.again())?;
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_read_as_serde_json_reads_it() {
        let text = r#" {"a":[1,-2,0.5,true,null,"x\u00e9"],"b":{"a":{}}} "#;
        let expected: Value = serde_json::from_str(text).unwrap();
        assert_eq!(object(text.as_bytes()), Ok(expected.as_object().unwrap().clone()));
    }

    #[test]
    fn what_can_be_understood_in_two_ways_is_refused() {
        let deep = |levels: usize| format!("{{\"a\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
        assert!(object(deep(15).as_bytes()).is_ok());
        let refused: [(&[u8], Refused); 13] = [
            (b"", Refused::Syntax),
            (b"hello", Refused::Syntax),
            (b"{}{}", Refused::Syntax),
            (b"{} x", Refused::Syntax),
            (b"{\"a\":1,}", Refused::Syntax),
            (b"{\"a\":\"\xff\"}", Refused::Syntax),
            (b"\xef\xbb\xbf{}", Refused::Syntax),
            (b"[]", Refused::NotAnObject),
            (b"\"a\"", Refused::NotAnObject),
            (b"{\"a\":1,\"a\":1}", Refused::Duplicate),
            (b"{\"a\":1,\"\\u0061\":1}", Refused::Duplicate),
            (b"{\"a\":[{\"b\":1,\"b\":1}]}", Refused::Duplicate),
            (deep(16).leak().as_bytes(), Refused::TooDeep),
        ];
        for (octets, why) in refused {
            assert_eq!(object(octets), Err(why), "{:?}", String::from_utf8_lossy(octets));
        }
    }
}

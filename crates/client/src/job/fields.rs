//! The fields of a JSON object, unread: names, and the text of each value.
//!
//! A line's values are checked to be JSON and otherwise left as they are written. A kind reads those that it
//! knows with the functions here, which name the field and the value in every error; a line of a kind that
//! nobody here knows is passed on without its values ever being taken apart. Reading from the text also
//! keeps what a number type would lose: that `1` is an integer and `1.0` is not, and how large an integer is.

use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;
use sgdt_proto::task::TaskError;
use std::{borrow::Cow, collections::HashSet, fmt};

/// How much of a value an error message shows, in bytes.
const SHOWN: usize = 60;

/// The fields of one JSON object, in the order in which they are written. No two have the same name.
#[derive(Debug, Default)]
pub struct Fields<'a>(Vec<Field<'a>>);

#[derive(Debug)]
struct Field<'a> {
    name: Cow<'a, str>,
    value: &'a str,
}

impl<'a> Fields<'a> {
    /// Reads the object that `text` holds.
    ///
    /// # Errors
    /// `text` is not one JSON object, or two fields have the same name.
    pub fn parse(text: &'a str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// The text of a field's value.
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|field| field.name == name).map(|field| field.value)
    }

    /// The text of a field's value.
    ///
    /// # Errors
    /// `invalid-input`: the field is missing.
    pub fn require(&self, name: &str) -> Result<&'a str, TaskError> {
        self.get(name).ok_or_else(|| TaskError::invalid_input(format!("the field {name:?} is missing")))
    }

    /// Takes a field out.
    pub fn remove(&mut self, name: &str) -> Option<&'a str> {
        let place = self.0.iter().position(|field| field.name == name)?;
        Some(self.0.remove(place).value)
    }

    /// Makes sure that there is no field but these, so that a misspelt one does not pass for one left out.
    ///
    /// # Errors
    /// `invalid-input`, naming the first other field.
    pub fn only(&self, of: &str, known: &[&str]) -> Result<(), TaskError> {
        match self.0.iter().find(|field| !known.contains(&&*field.name)) {
            Some(field) => Err(TaskError::invalid_input(format!(
                "{} is not a field of {of}, which takes {}",
                shorten(&format!("{:?}", field.name)),
                known.join(", ")
            ))),
            None => Ok(()),
        }
    }

    /// The object again, as JSON: every value as it was written.
    pub fn to_json(&self) -> Vec<u8> {
        let size: usize = self.0.iter().map(|field| field.name.len() + field.value.len() + 4).sum();
        // To the byte, where no name has escapes: what becomes of the vector is then never reallocated.
        let mut json = Vec::with_capacity(if self.0.is_empty() { 2 } else { size + 1 });
        json.push(b'{');
        for (place, field) in self.0.iter().enumerate() {
            if place > 0 {
                json.push(b',');
            }
            match &field.name {
                // A name that could be borrowed was written without escapes.
                Cow::Borrowed(name) => {
                    json.push(b'"');
                    json.extend_from_slice(name.as_bytes());
                    json.push(b'"');
                }
                Cow::Owned(name) => write_string(&mut json, name),
            }
            json.push(b':');
            json.extend_from_slice(field.value.as_bytes());
        }
        json.push(b'}');
        json
    }

    fn repeated(&self) -> Option<&str> {
        // An ordinary line has a handful, for which comparing beats hashing.
        if self.0.len() <= 16 {
            let pairs =
                self.0.iter().enumerate().find(|(place, field)| {
                    self.0.iter().take(*place).any(|earlier| earlier.name == field.name)
                });
            return pairs.map(|(_, field)| &*field.name);
        }
        let mut names = HashSet::with_capacity(self.0.len());
        self.0.iter().find(|field| !names.insert(&*field.name)).map(|field| &*field.name)
    }
}

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut fields = Fields(Vec::with_capacity(6));
                while let Some(Name(name)) = map.next_key()? {
                    let value = map.next_value::<&'de RawValue>()?.get();
                    fields.0.push(Field { name, value });
                }
                match fields.repeated() {
                    Some(name) => Err(de::Error::custom(format_args!(
                        "the field {} is given twice",
                        shorten(&format!("{name:?}"))
                    ))),
                    None => Ok(fields),
                }
            }
        }

        deserializer.deserialize_map(Object)
    }
}

#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// Reads a string.
///
/// # Errors
/// `invalid-input`, naming the field and the value.
pub fn string<'a>(name: &str, value: &'a str) -> Result<Cow<'a, str>, TaskError> {
    match serde_json::from_str(value) {
        Ok(Name(text)) => Ok(text),
        // The value is known to be JSON; what may still be wrong with a string in it is half a surrogate pair.
        Err(error) if value.starts_with('"') => Err(TaskError::invalid_input(format!(
            "{name:?} is {}, which cannot be read: {}",
            shorten(value),
            reason(&error)
        ))),
        Err(_) => Err(TaskError::invalid_input(format!("{name:?} takes a string, not {}", shorten(value)))),
    }
}

/// Reads a whole number.
///
/// # Errors
/// `invalid-input`, naming the field and the value.
pub fn whole(name: &str, value: &str) -> Result<u64, TaskError> {
    let digits = value.bytes().all(|b| b.is_ascii_digit());
    value.parse().ok().filter(|_| digits).ok_or_else(|| {
        TaskError::invalid_input(format!(
            "{name:?} takes a whole number from 0 to {}, written in digits, not {}",
            u64::MAX,
            shorten(value)
        ))
    })
}

/// Reads one of two words. Whether it is the second.
///
/// # Errors
/// `invalid-input`, naming the field and the value.
pub fn either(name: &str, value: &str, [first, second]: [&str; 2]) -> Result<bool, TaskError> {
    match string(name, value)? {
        word if word == first => Ok(false),
        word if word == second => Ok(true),
        _ => Err(TaskError::invalid_input(format!(
            "{name:?} takes {first:?} or {second:?}, not {}",
            shorten(value)
        ))),
    }
}

/// Reads one of some names.
///
/// # Errors
/// `invalid-input`, naming the field and the value, and the names that there are.
pub fn one_of<T: Copy, const N: usize>(
    field: &str,
    value: &str,
    all: [T; N],
    name: impl Fn(T) -> &'static str,
) -> Result<T, TaskError> {
    let word = string(field, value)?;
    all.into_iter().find(|&one| name(one) == word).ok_or_else(|| {
        let names = all.map(|one| format!("{:?}", name(one))).join(" or ");
        TaskError::invalid_input(format!("{field:?} takes {names}, not {}", shorten(value)))
    })
}

/// Hands the elements of a list to `take`, one by one: place and text.
///
/// # Errors
/// That of `take`, or `invalid-input` when the value is no list.
pub fn each<'a>(
    name: &str,
    value: &'a str,
    take: impl FnMut(usize, &'a str) -> Result<(), TaskError>,
) -> Result<(), TaskError> {
    struct List<'e, F> {
        take: F,
        error: &'e mut Option<TaskError>,
    }

    impl<'de, F: FnMut(usize, &'de str) -> Result<(), TaskError>> Visitor<'de> for List<'_, F> {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list")
        }

        fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
            let mut place = 0;
            while let Some(element) = seq.next_element::<&'de RawValue>()? {
                if let Err(error) = (self.take)(place, element.get()) {
                    *self.error = Some(error);
                    return Err(de::Error::custom("refused"));
                }
                place += 1;
            }
            Ok(())
        }
    }

    let mut error = None;
    let read = serde_json::Deserializer::from_str(value).deserialize_seq(List { take, error: &mut error });
    read.map_err(|_| {
        error.unwrap_or_else(|| {
            TaskError::invalid_input(format!("{name:?} takes a list, not {}", shorten(value)))
        })
    })
}

/// As much of a value as an error message has room for.
pub fn shorten(text: &str) -> Cow<'_, str> {
    if text.len() <= SHOWN {
        return Cow::Borrowed(text);
    }
    let end = (0..=SHOWN).rev().find(|&end| text.is_char_boundary(end)).unwrap_or_default();
    Cow::Owned(format!("{}... ({} bytes)", &text[..end], text.len()))
}

/// What is wrong, without the place: serde_json counts lines within the text that it was given, which is
/// always its first, and a reader would take for the file's.
pub fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    text.strip_suffix(&place).unwrap_or(&text).to_owned()
}

/// Appends a JSON string.
pub fn write_string(json: &mut Vec<u8>, text: &str) {
    write_json(json, &text);
}

/// Appends a value as JSON. A double that JSON cannot express becomes `null`: rule it out before.
pub fn write_json<T: serde::Serialize + ?Sized>(json: &mut Vec<u8>, value: &T) {
    let start = json.len();
    // Neither the vector nor the plain types that come here can fail; were one to, the line stays JSON.
    if serde_json::to_writer(&mut *json, value).is_err() {
        json.truncate(start);
        json.extend_from_slice(b"null");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_kept_as_it_is_written() {
        let text = "{\"a\" : 1.50 ,\"\\u0062\":[ 1 ],\"c\":\"\\u00e9\"}";
        let mut fields = Fields::parse(text).unwrap();
        assert_eq!((fields.get("a"), fields.get("b"), fields.get("d")), (Some("1.50"), Some("[ 1 ]"), None));
        assert_eq!(fields.to_json(), "{\"a\":1.50,\"b\":[ 1 ],\"c\":\"\\u00e9\"}".as_bytes());
        assert_eq!((fields.remove("a"), fields.remove("a")), (Some("1.50"), None));
        assert_eq!(fields.require("a").unwrap_err().message, "the field \"a\" is missing");
    }

    #[test]
    fn an_object_of_plain_names_is_written_without_spare_room() {
        for text in ["{}", "{\"a\":1}", "{\"a\":1,\"bc\":[2]}"] {
            let json = Fields::parse(text).unwrap().to_json();
            assert_eq!((json.as_slice(), json.capacity()), (text.as_bytes(), text.len()));
        }
    }

    #[test]
    fn a_field_that_does_not_belong_is_named_with_those_that_do() {
        let fields = Fields::parse("{\"a\":1,\"\\u001b[31m\":2}").unwrap();
        assert!(fields.only("x", &["a", "\u{1b}[31m"]).is_ok());
        let error = fields.only("x", &["a", "b"]).unwrap_err();
        assert_eq!(error.message, "\"\\u{1b}[31m\" is not a field of x, which takes a, b");
    }

    #[test]
    fn a_whole_number_is_digits_and_nothing_else() {
        assert_eq!(whole("n", "18446744073709551615").unwrap(), u64::MAX);
        for bad in ["18446744073709551616", "-1", "1.0", "1e2", "\"1\"", "null", "[]", "true"] {
            assert!(whole("n", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn one_of_two_words_is_chosen() {
        let order = |value| either("order", value, ["asc", "desc"]);
        assert!(!order("\"asc\"").unwrap() && order("\"d\\u0065sc\"").unwrap());
        assert_eq!(order("\"up\"").unwrap_err().message, "\"order\" takes \"asc\" or \"desc\", not \"up\"");
        assert_eq!(order("1").unwrap_err().message, "\"order\" takes a string, not 1");
    }

    #[test]
    fn elements_come_one_by_one_until_one_is_refused() {
        let mut seen = Vec::new();
        each("x", "[1, [2,3] ,\"]\"]", |place, text| {
            seen.push((place, text));
            Ok(())
        })
        .unwrap();
        assert_eq!(seen, [(0, "1"), (1, "[2,3]"), (2, "\"]\"")]);
        let mut count = 0;
        let error = each("x", "[1,2,3]", |place, _| {
            count += 1;
            if place == 1 { Err(TaskError::too_large("enough")) } else { Ok(()) }
        });
        assert_eq!((count, error.unwrap_err().message.as_str()), (2, "enough"));
        assert_eq!(each("x", "{}", |_, _| Ok(())).unwrap_err().message, "\"x\" takes a list, not {}");
    }

    #[test]
    fn what_is_shown_of_a_value_is_short_and_whole_characters() {
        assert_eq!(shorten("abc"), "abc");
        let long = "é".repeat(100);
        assert_eq!(shorten(&long[..]), format!("{}... (200 bytes)", "é".repeat(30)));
        assert_eq!(shorten(&format!("x{long}")), format!("x{}... (201 bytes)", "é".repeat(29)));
    }
}

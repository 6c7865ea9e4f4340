//! Production's shape without its people: made-up handles, names, uuids and words, the
//! same for the same person wherever the same key makes them.
//!
//! A pseudonym is HMAC-SHA-256 of what it stands for. Without the key nobody can make it
//! again or compare it with a guess; with it, anybody can: the key is as secret as the
//! people are.

use std::borrow::Cow;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use ring::hmac::{HMAC_SHA256, Key, Tag, sign};
use ring::rand::{SecureRandom, SystemRandom};
use uuid::{Builder, Uuid};

use crate::app::keys::{ConversationKey, InboxKey, PK, PairKey, SK};
use crate::dynamodb::item::{Attribute, Attributes};
use crate::error::Error;

/// Bytes of a key.
const KEY_BYTES: usize = 32;

/// Makes pseudonyms with one key.
#[derive(Debug, Clone)]
pub struct Pseudonyms(Key);

/// A made-up person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MadeUp {
    /// in place of `users.uuid`
    pub uuid: Uuid,
    /// unique, as far as 40 bits are
    pub handle: String,
    /// two words
    pub display_name: String,
}

impl Pseudonyms {
    /// Reads the key of a file; where there is none, makes one that only its owner can
    /// read.
    ///
    /// # Errors
    /// Where others can read it, it is no key, or it cannot be read or made.
    pub fn from_file(path: &Path) -> Result<Self, Error> {
        let name = path.display();
        let failed =
            |error: io::Error| Error::new(format!("cannot read the key `{name}`")).cause(error);
        let mut text = String::new();
        match File::open(path) {
            Ok(file) => {
                let metadata = file.metadata().map_err(failed)?;
                if !metadata.is_file() {
                    return Err(Error::new(format!("the key `{name}` is not a regular file"))
                        .hint("name a file that is not there yet, and a key is made"));
                }
                if metadata.mode() & 0o077 != 0 {
                    return Err(Error::new(format!("others can read the key `{name}`"))
                        .hint(format!("`chmod 600 {name}`; whoever had it can tell who is who")));
                }
                file.take(1024).read_to_string(&mut text).map_err(failed)?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => text = create(path)?,
            Err(error) => return Err(failed(error)),
        }
        let digits = text.trim();
        let byte = |at: usize| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
        let bytes: Option<Vec<u8>> = (0..digits.len()).step_by(2).map(byte).collect();
        match bytes {
            Some(bytes) if bytes.len() == KEY_BYTES => Ok(Self::new(&bytes)),
            _ => Err(Error::new(format!("`{name}` is not a key"))
                .cause("a key is 64 hexadecimal digits")
                .hint("name a file that is not there yet, and a key is made")),
        }
    }

    /// With these bytes as the key.
    #[must_use]
    pub fn new(key: &[u8]) -> Self {
        Self(Key::new(HMAC_SHA256, key))
    }

    fn tag(&self, what: &str, of: &[u8]) -> Tag {
        let mut message = what.as_bytes().to_vec();
        message.push(0);
        message.extend_from_slice(of);
        sign(&self.0, &message)
    }

    /// The key's own mark, which does not give it away.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let tag = self.tag("fingerprint", b"");
        tag.as_ref()[..8].iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// In place of a uuid of anything. Nobody's stays nobody's.
    #[must_use]
    pub fn uuid(&self, uuid: Uuid) -> Uuid {
        if uuid.is_nil() {
            return uuid;
        }
        let tag = self.tag("uuid", uuid.as_bytes());
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&tag.as_ref()[..16]);
        Builder::from_random_bytes(bytes).into_uuid()
    }

    /// In place of the person of this uuid.
    #[must_use]
    pub fn person(&self, uuid: Uuid) -> MadeUp {
        let tag = self.tag("person", uuid.as_bytes());
        let bytes = tag.as_ref();
        let number: String = bytes[..5].iter().map(|byte| format!("{byte:02x}")).collect();
        let word = |bytes: &[u8]| {
            let mut letters = made_up_word(bytes, "xxxxxx");
            letters[..1].make_ascii_uppercase();
            letters
        };
        MadeUp {
            uuid: self.uuid(uuid),
            handle: format!("user-{number}"),
            display_name: format!("{} {}", word(&bytes[8..16]), word(&bytes[16..24])),
        }
    }

    /// A text with other words: each as long as it was, in its script and case; other
    /// digits; everything else as it is.
    #[must_use]
    pub fn text(&self, text: &str) -> String {
        let mut made_up = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let is_word = first.is_alphanumeric();
            let end = rest.find(|c: char| c.is_alphanumeric() != is_word).unwrap_or(rest.len());
            let (part, after) = rest.split_at(end);
            if is_word {
                let tag = self.tag("word", part.as_bytes());
                made_up.push_str(&made_up_word(tag.as_ref(), part));
            } else {
                made_up.push_str(part);
            }
            rest = after;
        }
        made_up
    }

    /// A row of the app's table with made-up people, or `None` for a row of another kind:
    /// what is in it nobody knows. Attributes that the app does not write are left out.
    #[must_use]
    pub fn row(&self, row: &Attributes<'_>) -> Option<Attributes<'static>> {
        let text = |name: &str| match row.get(name) {
            Some(Attribute::S(text)) => Some(text.as_ref()),
            _ => None,
        };
        let uuid = |name: &str| -> Option<Uuid> { text(name)?.parse().ok() };
        let (pk, sk) = (text(PK)?, text(SK)?);
        let string = |text: String| Attribute::S(Cow::Owned(text));
        let mut made_up = vec![(Cow::Borrowed(SK), string(sk.to_owned()))];
        if let Some((one, other)) = pk.strip_prefix("PAIR#").and_then(|pair| pair.split_once('#')) {
            let (one, other): (Uuid, Uuid) = (one.parse().ok()?, other.parse().ok()?);
            let pair = PairKey::new(self.uuid(one), self.uuid(other));
            made_up.push((Cow::Borrowed(PK), string(pair.to_string())));
            let group = self.uuid(uuid("message_group_uuid")?);
            made_up.push((Cow::Borrowed("message_group_uuid"), string(group.to_string())));
            return Attributes::new(made_up).ok();
        }
        let (pk, own) = if let Ok(inbox) = pk.parse::<InboxKey>() {
            (InboxKey(self.uuid(inbox.0)).to_string(), "message_group_uuid")
        } else {
            let conversation: ConversationKey = pk.parse().ok()?;
            (ConversationKey(self.uuid(conversation.0)).to_string(), "message_uuid")
        };
        let user = uuid("user_uuid")?;
        let person = if user.is_nil() { None } else { Some(self.person(user)) };
        let (handle, display_name) = match person {
            Some(person) => (person.handle, person.display_name),
            None => ("erased".to_owned(), "Erased".to_owned()),
        };
        // A time is the only sort key that says nothing of anybody.
        sk.parse::<crate::app::keys::SortTime>().ok()?;
        made_up.extend([
            (Cow::Borrowed(PK), string(pk)),
            (Cow::Borrowed(own), string(self.uuid(uuid(own)?).to_string())),
            (Cow::Borrowed("message"), string(self.text(text("message")?))),
            (Cow::Borrowed("user_uuid"), string(self.uuid(user).to_string())),
            (Cow::Borrowed("user_handle"), string(handle)),
            (Cow::Borrowed("user_display_name"), string(display_name)),
        ]);
        Attributes::new(made_up).ok()
    }
}

fn create(path: &Path) -> Result<String, Error> {
    let failed = |error: String| {
        Error::new(format!("cannot make the key `{}`", path.display()))
            .cause(error)
            .hint("name a file in a folder that you may write to")
    };
    let mut bytes = [0; KEY_BYTES];
    SystemRandom::new().fill(&mut bytes).map_err(|error| failed(error.to_string()))?;
    let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    file.and_then(|mut file| {
        writeln!(file, "{text}")?;
        file.sync_all()
    })
    .map_err(|error| failed(error.to_string()))?;
    Ok(text)
}

/// Letters that words of a script are made of: those of Latin make no word of any language
/// that is written so. None for a script that has no list here: then `x` stands for it.
fn letters(c: char) -> &'static [char] {
    match c {
        '0'..='9' => &['0', '1', '2', '3', '4', '5', '6', '7', '8', '9'],
        '\u{370}'..='\u{3ff}' => &['ξ', 'ψ', 'ζ', 'φ', 'χ', 'θ'],
        '\u{400}'..='\u{52f}' => &['щ', 'ъ', 'ф', 'ц', 'ж', 'х'],
        '\u{590}'..='\u{5ff}' => &['ט', 'צ', 'ק', 'ז', 'ס', 'ג'],
        '\u{600}'..='\u{6ff}' => &['ظ', 'ض', 'ث', 'غ', 'ذ', 'خ'],
        '\u{900}'..='\u{97f}' => &['झ', 'ढ', 'ठ', 'ङ', 'ञ', 'घ'],
        '\u{e00}'..='\u{e7f}' => &['ฌ', 'ฎ', 'ฏ', 'ฐ', 'ฑ', 'ฒ'],
        '\u{3040}'..='\u{309f}' => &['ぬ', 'へ', 'む', 'ゆ', 'ろ', 'ぽ'],
        '\u{30a0}'..='\u{30ff}' => &['ヌ', 'ヘ', 'ム', 'ユ', 'ロ', 'ポ'],
        '\u{3400}'..='\u{9fff}' => &['龘', '靐', '齉', '爨', '麤', '龗'],
        '\u{ac00}'..='\u{d7af}' => &['뷁', '쀍', '쒯', '퀡', '퉳', '횱'],
        _ => &['q', 'x', 'z', 'j', 'v', 'w'],
    }
}

/// As many characters as `like`, of its script and case, chosen by `bytes`. Never the same.
fn made_up_word(bytes: &[u8], like: &str) -> String {
    let mut word = String::with_capacity(like.len());
    for (index, c) in like.chars().enumerate() {
        let letters = letters(c);
        let choice = usize::from(bytes[index % bytes.len()]) + index / bytes.len();
        let mut letter = letters[choice % letters.len()];
        if letter == c.to_lowercase().next().unwrap_or(c) {
            letter = letters[(choice + 1) % letters.len()];
        }
        if c.is_uppercase() {
            word.extend(letter.to_uppercase());
        } else {
            word.push(letter);
        }
    }
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made_up(text: &str) -> String {
        Pseudonyms::new(b"a key").text(text)
    }

    #[test]
    fn words_keep_length_script_and_case_and_nothing_else() {
        for text in [
            "Don't panic, 42 HERONS!",
            "Привет, мир",
            "γειά σου",
            "こんにちは 世界",
            "مرحبا",
            "🥪 ok",
            "",
        ] {
            let other = made_up(text);
            assert_eq!(other.chars().count(), text.chars().count(), "{text}: {other}");
            for (a, b) in text.chars().zip(other.chars()) {
                assert_eq!(a.is_alphanumeric(), b.is_alphanumeric(), "{text}: {other}");
                assert_eq!(a.is_uppercase(), b.is_uppercase(), "{text}: {other}");
                assert_eq!(a == b, !a.is_alphanumeric(), "{text}: {other}");
            }
        }
        assert_eq!(made_up("heron heron"), made_up("heron heron"));
        assert_ne!(made_up("heron"), Pseudonyms::new(b"another").text("heron"));
    }

    #[test]
    fn the_same_person_wherever_they_are() {
        let pseudonyms = Pseudonyms::new(b"a key");
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        assert_eq!(pseudonyms.person(one), pseudonyms.person(one));
        assert_ne!(pseudonyms.person(one).handle, pseudonyms.person(other).handle);
        assert_eq!(pseudonyms.uuid(Uuid::nil()), Uuid::nil());
        assert_eq!(pseudonyms.uuid(one).get_version_num(), 4);
    }

    #[test]
    fn rows_of_another_kind_and_unknown_attributes_are_left_out() {
        let pseudonyms = Pseudonyms::new(b"a key");
        let row = |text: &str| {
            let row: Attributes<'_> = serde_json::from_str(text).expect("an item");
            pseudonyms.row(&row).map(|row| serde_json::to_string(&row).expect("JSON"))
        };
        assert_eq!(row(r#"{"pk":{"S":"CFG#1"},"sk":{"S":"x"}}"#), None);
        let user = Uuid::from_u128(1);
        let message = format!(
            r#"{{"pk":{{"S":"MSG#{user}"}},"sk":{{"S":"2026-01-31T23:59:59.000000+00:00"}},"message_uuid":{{"S":"{user}"}},"message":{{"S":"Hello"}},"user_uuid":{{"S":"{user}"}},"user_handle":{{"S":"secret"}},"user_display_name":{{"S":"Secret"}},"phone":{{"S":"123"}}}}"#
        );
        let made_up = row(&message).expect("a row");
        assert!(
            !made_up.contains("ecret") && !made_up.contains("phone") && !made_up.contains("Hello")
        );
        assert!(made_up.contains("2026-01-31T23:59:59.000000+00:00"));
        assert_eq!(row(&message.replace("2026-01-31T23:59:59.000000+00:00", "by bayko")), None);
    }
}

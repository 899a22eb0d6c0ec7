//! What a user is reached by, in the one form that is stored and compared.

use base::Result;
use serde::Serialize;

use crate::error::VALIDATION_FAILED;

const MAX_EMAIL_BYTES: usize = 255;

/// An email address in lower case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Email(String);

impl Email {
    /// Reads an address as the HTML standard's `input type=email` allows it.
    pub(crate) fn parse(text: &str) -> Result<Email> {
        if text.len() > MAX_EMAIL_BYTES {
            return Err(VALIDATION_FAILED.error("An email address is too long"));
        }
        let valid = text.rsplit_once('@').is_some_and(|(local, domain)| {
            !local.is_empty() && local.bytes().all(is_local) && domain.split('.').all(is_label)
        });
        if valid {
            Ok(Email(text.to_ascii_lowercase()))
        } else {
            Err(VALIDATION_FAILED.error("Unable to validate email address: invalid format"))
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_local(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b".!#$%&'*+/=?^_`{|}~-".contains(&b)
}

fn is_label(label: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    (1..=63).contains(&label.len())
        && label.bytes().all(allowed)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// A phone number in E.164 without the `+`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Phone(String);

impl Phone {
    /// Reads a number, with or without `+` and spaces.
    pub(crate) fn parse(text: &str) -> Result<Phone> {
        let digits = text.trim().trim_start_matches('+').replace(' ', "");
        let valid = (2..=15).contains(&digits.len())
            && digits.bytes().all(|b| b.is_ascii_digit())
            && !digits.starts_with('0');
        if valid {
            Ok(Phone(digits))
        } else {
            Err(VALIDATION_FAILED.error("Invalid phone number format (E.164 required)"))
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Either way to reach a user.
#[derive(Clone, Debug)]
pub(crate) enum Contact {
    /// By mail.
    Email(Email),
    /// By message.
    Phone(Phone),
}

impl Contact {
    /// The one that is given; `None` without either. Both at once cannot be meant.
    pub(crate) fn parse(email: Option<&str>, phone: Option<&str>) -> Result<Option<Contact>> {
        match (filled(email), filled(phone)) {
            (Some(_), Some(_)) => {
                Err(VALIDATION_FAILED.error("Only an email address or phone number should be provided"))
            }
            (Some(email), None) => Ok(Some(Contact::Email(Email::parse(email)?))),
            (None, Some(phone)) => Ok(Some(Contact::Phone(Phone::parse(phone)?))),
            (None, None) => Ok(None),
        }
    }

    /// The name of the identity provider that stands for it.
    pub(crate) fn provider(&self) -> &'static str {
        match self {
            Contact::Email(_) => "email",
            Contact::Phone(_) => "phone",
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        match self {
            Contact::Email(email) => email.as_str(),
            Contact::Phone(phone) => phone.as_str(),
        }
    }

    pub(crate) fn email(&self) -> Option<&Email> {
        match self {
            Contact::Email(email) => Some(email),
            Contact::Phone(_) => None,
        }
    }

    pub(crate) fn phone(&self) -> Option<&Phone> {
        match self {
            Contact::Phone(phone) => Some(phone),
            Contact::Email(_) => None,
        }
    }
}

/// Clients send `""` and `null` for what they do not have.
pub(crate) fn filled(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_kept_in_lower_case() {
        assert_eq!(Email::parse("Ann.O'Neill+x@Example.COM").unwrap().as_str(), "ann.o'neill+x@example.com");
        assert!(Email::parse("root@localhost").is_ok());
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            "a",
            "@b.c",
            "a@",
            "a@b..c",
            "a@-b.c",
            "a b@c.d",
            "a@b@c.d",
            "a@b.c\n",
            "ä@b.c",
            "a@b.c>",
            "a\r\nBcc: x@y.z",
        ] {
            assert!(Email::parse(text).is_err(), "{text}");
        }
        assert!(Email::parse(&format!("{}@b.c", "a".repeat(255))).is_err());
    }

    #[test]
    fn numbers_are_kept_as_digits() {
        assert_eq!(Phone::parse("+1 555 555 1212").unwrap().as_str(), "15555551212");
        for text in ["", "+", "0123", "1-555", "1234567890123456", "+1a"] {
            assert!(Phone::parse(text).is_err(), "{text}");
        }
    }
}

//! What a project decides about its users; the names are those of `[auth]` in a project folder's `config.toml`.

use std::time::Duration;

use serde::Deserialize;

/// A project's section; what is absent takes its default.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// Where links lead when they name no other place, and what they may name without being listed.
    pub site_url: String,
    /// What else a link may lead to: globs over whole URLs (`*` within a part, `**` over parts).
    pub additional_redirect_urls: Vec<String>,
    /// Life of an access token, in seconds.
    pub jwt_expiry: u32,
    /// Whether anybody may sign up.
    pub enable_signup: bool,
    /// Whether users without any address may sign up.
    pub enable_anonymous_sign_ins: bool,
    /// In bytes.
    pub minimum_password_length: usize,
    /// Whether an old refresh token ends its session.
    pub enable_refresh_token_rotation: bool,
    /// How long any older refresh token still gets the current one, in seconds.
    pub refresh_token_reuse_interval: u32,
    /// Signing up and in with an email address.
    pub email: EmailSettings,
    /// Signing up and in with a phone number.
    pub sms: SmsSettings,
    /// How often one client may ask.
    pub rate_limit: RateLimitSettings,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            site_url: "http://localhost:3000".to_owned(),
            additional_redirect_urls: Vec::new(),
            jwt_expiry: 3600,
            enable_signup: true,
            enable_anonymous_sign_ins: false,
            minimum_password_length: 6,
            enable_refresh_token_rotation: true,
            refresh_token_reuse_interval: 10,
            email: EmailSettings::default(),
            sms: SmsSettings::default(),
            rate_limit: RateLimitSettings::default(),
        }
    }
}

/// Signing up and in with an email address.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct EmailSettings {
    /// Whether addresses can be used at all.
    pub enable_signup: bool,
    /// Whether an address must be confirmed by mail first. Without the process's leave it must be anyway.
    pub enable_confirmations: bool,
    /// Whether a change of address is confirmed at the old one too.
    pub double_confirm_changes: bool,
    /// Pause between two mails of a kind to one address; a number is seconds, text is a Go duration.
    #[serde(deserialize_with = "crate::duration::deserialize")]
    pub max_frequency: Duration,
    /// Digits of a code; 6 to 10.
    pub otp_length: usize,
    /// Life of a code and its link, in seconds.
    pub otp_expiry: u32,
}

impl Default for EmailSettings {
    fn default() -> EmailSettings {
        EmailSettings {
            enable_signup: true,
            enable_confirmations: false,
            double_confirm_changes: true,
            max_frequency: Duration::from_secs(60),
            otp_length: 6,
            otp_expiry: 3600,
        }
    }
}

impl EmailSettings {
    /// [`EmailSettings::otp_length`] in its bounds.
    pub(crate) fn otp_digits(&self) -> usize {
        self.otp_length.clamp(6, 10)
    }
}

/// Signing up and in with a phone number.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct SmsSettings {
    /// Whether numbers can be used at all.
    pub enable_signup: bool,
    /// Whether a number must be confirmed by a message first. Without the process's leave it must be anyway.
    pub enable_confirmations: bool,
}

/// How often one client address may ask, per five minutes where nothing else is said.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct RateLimitSettings {
    /// Sign-ups, changes of the user, requests for mail; each on its own.
    pub sign_in_sign_ups: u32,
    /// Password sign-ins, and refreshes; each on its own.
    pub token_refresh: u32,
    /// Codes and links.
    pub token_verifications: u32,
    /// Anonymous sign-ups per hour.
    pub anonymous_users: u32,
    /// Mails of the whole project per hour.
    pub email_sent: u32,
    /// Whether clients on this machine are held to the limits too.
    pub include_loopback: bool,
}

impl Default for RateLimitSettings {
    fn default() -> RateLimitSettings {
        RateLimitSettings {
            sign_in_sign_ups: 30,
            token_refresh: 150,
            token_verifications: 30,
            anonymous_users: 30,
            email_sent: 30,
            include_loopback: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_section_is_all_defaults_and_a_frequency_has_two_spellings() {
        let empty: Settings = serde_json::from_str("{}").unwrap();
        let spelled: Settings = serde_json::from_str(r#"{"email": {"max_frequency": "1m30s"}}"#).unwrap();
        let counted: Settings = serde_json::from_str(r#"{"email": {"max_frequency": 5}}"#).unwrap();

        assert_eq!(empty.email.max_frequency, Duration::from_secs(60));
        assert_eq!(spelled.email.max_frequency, Duration::from_secs(90));
        assert_eq!(counted.email.max_frequency, Duration::from_secs(5));
    }
}

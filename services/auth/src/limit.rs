//! How often one client, and one address, may ask. In memory, per process.
//!
//! What a limit says must not depend on whether a user exists: every limit is asked before anybody is looked up.

use std::net::IpAddr;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use base::gcra::{Limiter, Rate};
use base::header::Fault;
use base::{Error, Result, Timestamp};
use http::HeaderValue;
use http::header::RETRY_AFTER;
use uuid::Uuid;

use crate::error::{OVER_EMAIL_SEND_RATE_LIMIT, OVER_REQUEST_RATE_LIMIT, retry_later};
use crate::settings::RateLimitSettings;

/// Keys remembered per limiter; each takes some 100 bytes.
const MAX_KEYS: usize = 50_000;
const FIVE_MINUTES: Duration = Duration::from_secs(300);
const HOUR: Duration = Duration::from_secs(3600);
/// Wrong codes for one address: enough for clumsy fingers, a millionth of the codes in an hour.
const GUESSES: Rate = Rate { burst: 10, period: Duration::from_secs(600) };

/// What a client asks for; each has its own allowance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    SignUp,
    SignUpAnonymously,
    SignIn,
    Refresh,
    Verify,
    RequestMail,
    UpdateUser,
}

impl Action {
    fn rate(self, settings: &RateLimitSettings) -> Rate {
        let (burst, period) = match self {
            Action::SignUp | Action::RequestMail | Action::UpdateUser => {
                (settings.sign_in_sign_ups, FIVE_MINUTES)
            }
            Action::SignUpAnonymously => (settings.anonymous_users, HOUR),
            Action::SignIn | Action::Refresh => (settings.token_refresh, FIVE_MINUTES),
            Action::Verify => (settings.token_verifications, FIVE_MINUTES),
        };
        Rate { burst, period }
    }
}

/// A kind of mail; its pause is per address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum MailKind {
    Confirmation,
    Recovery,
    EmailChange,
}

/// 128 bits of an address's hash: the limiters remember nobody.
type AddressHash = [u8; 16];

/// All limits of the process; every key carries the project.
pub(crate) struct Limits {
    clients: Limiter<(Uuid, Action, Option<IpAddr>)>,
    mails: Limiter<Uuid>,
    pauses: Limiter<(Uuid, MailKind, AddressHash)>,
    guesses: Limiter<(Uuid, AddressHash)>,
}

impl Limits {
    pub(crate) fn new() -> Limits {
        Limits {
            // the first three are asked at their project's own rates
            clients: Limiter::new(GUESSES, MAX_KEYS),
            mails: Limiter::new(GUESSES, MAX_KEYS),
            pauses: Limiter::new(GUESSES, MAX_KEYS),
            guesses: Limiter::new(GUESSES, MAX_KEYS),
        }
    }

    /// Counts a request of a client. Errors: `over_request_rate_limit` (429); for a refresh unavailable (503),
    /// because clients sign out on 429.
    pub(crate) fn client(&self, asker: &Asker<'_>, action: Action) -> Result<()> {
        if asker.is_exempt() {
            return Ok(());
        }
        let key = (asker.project, action, asker.ip.map(network));
        self.clients.check_with(action.rate(asker.settings), key, asker.now).map_err(|wait| match action {
            Action::Refresh => retry_later(Fault::Tenant, seconds(wait)),
            _ => refused(OVER_REQUEST_RATE_LIMIT.error("Request rate limit reached"), wait),
        })
    }

    /// Counts a mail to `address`: against the pause of its kind, then against the project's hourly number.
    /// Errors: `over_email_send_rate_limit` (429).
    pub(crate) fn mail(
        &self,
        asker: &Asker<'_>,
        kind: MailKind,
        address: &str,
        pause: Duration,
    ) -> Result<()> {
        let (once, key) = (Rate { burst: 1, period: pause }, (asker.project, kind, hash(address)));
        self.pauses.check_with(once, key, asker.now).map_err(|wait| {
            let seconds = seconds(wait);
            let message =
                format!("For security purposes, you can only request this after {seconds} seconds.");
            refused(OVER_EMAIL_SEND_RATE_LIMIT.error(message), wait)
        })?;
        if asker.is_exempt() {
            return Ok(());
        }
        let hourly = Rate { burst: asker.settings.email_sent, period: HOUR };
        self.mails
            .check_with(hourly, asker.project, asker.now)
            .map_err(|wait| refused(OVER_EMAIL_SEND_RATE_LIMIT.error("email rate limit exceeded"), wait))
    }

    /// Counts a code tried for `address`. Errors: `over_request_rate_limit` (429).
    pub(crate) fn guess(&self, asker: &Asker<'_>, address: &str) -> Result<()> {
        self.guesses.check((asker.project, hash(address)), asker.now).map_err(|wait| {
            refused(OVER_REQUEST_RATE_LIMIT.error("Too many codes tried for this address"), wait)
        })
    }
}

/// Who asks, when, and at which rates.
pub(crate) struct Asker<'a> {
    pub(crate) project: Uuid,
    pub(crate) ip: Option<IpAddr>,
    pub(crate) settings: &'a RateLimitSettings,
    pub(crate) now: Timestamp,
}

impl Asker<'_> {
    /// Local development and tests sign up many users from one address.
    fn is_exempt(&self) -> bool {
        !self.settings.include_loopback && self.ip.is_some_and(|ip| ip.to_canonical().is_loopback())
    }
}

/// What one customer of a provider holds: an IPv4 address, or 64 bits of an IPv6 one.
fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => IpAddr::from((u128::from(ip) >> 64 << 64).to_be_bytes()),
        v4 => v4,
    }
}

fn hash(address: &str) -> AddressHash {
    let digest = digest(&SHA256, address.as_bytes());
    digest.as_ref().first_chunk().copied().expect("SHA-256 has 32 bytes")
}

fn refused(error: Error, wait: Duration) -> Error {
    error.with_header(RETRY_AFTER, HeaderValue::from(seconds(wait)))
}

/// Rounded up: whoever waits that long gets through.
fn seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;
    const PROJECT: Uuid = Uuid::from_u128(1);
    const OTHER: Uuid = Uuid::from_u128(2);

    fn asker(project: Uuid, ip: Option<[u8; 4]>, settings: &RateLimitSettings) -> Asker<'_> {
        Asker { project, ip: ip.map(IpAddr::from), settings, now: NOW }
    }

    fn exhaust(limits: &Limits, asker: &Asker<'_>, action: Action) -> Option<Error> {
        (0..1000).find_map(|_| limits.client(asker, action).err())
    }

    #[test]
    fn a_refresh_is_put_off_and_everything_else_refused() {
        let (limits, settings) = (Limits::new(), RateLimitSettings::default());
        let far = asker(PROJECT, Some([203, 0, 113, 7]), &settings);

        let refresh = exhaust(&limits, &far, Action::Refresh).unwrap();
        let sign_in = exhaust(&limits, &far, Action::SignIn).unwrap();

        assert_eq!(refresh.status(), 503);
        assert_eq!(refresh.headers["x-meshbase-fault"], "tenant");
        assert_eq!(sign_in.status(), 429);
        assert!(refresh.headers.contains_key("retry-after") && sign_in.headers.contains_key("retry-after"));
    }

    #[test]
    fn projects_share_nothing_and_loopback_is_free() {
        let (limits, settings) = (Limits::new(), RateLimitSettings::default());
        let far = Some([203, 0, 113, 7]);

        assert!(exhaust(&limits, &asker(PROJECT, far, &settings), Action::SignUp).is_some());

        assert!(limits.client(&asker(OTHER, far, &settings), Action::SignUp).is_ok());
        assert!(exhaust(&limits, &asker(PROJECT, Some([127, 0, 0, 1]), &settings), Action::SignUp).is_none());
        assert!(
            exhaust(&limits, &asker(PROJECT, None, &settings), Action::SignUp).is_some(),
            "unknown is not loopback"
        );
    }

    #[test]
    fn all_addresses_of_one_customer_count_as_one() {
        let same = |a: &str, b: &str| network(a.parse().unwrap()) == network(b.parse().unwrap());

        assert!(same("2001:db8:1:2::1", "2001:db8:1:2:ffff::9"));
        assert!(!same("2001:db8:1:2::1", "2001:db8:1:3::1"));
        assert!(same("203.0.113.7", "::ffff:203.0.113.7"));
        assert!(!same("203.0.113.7", "203.0.113.8"));
    }

    #[test]
    fn a_second_mail_of_a_kind_waits_whoever_the_address_belongs_to() {
        let (limits, settings) = (Limits::new(), RateLimitSettings::default());
        let mail = |kind, after: Duration| {
            let far = Asker { now: NOW + after, ..asker(PROJECT, Some([203, 0, 113, 7]), &settings) };
            limits.mail(&far, kind, "a@b.c", Duration::from_secs(60))
        };

        assert!(mail(MailKind::Recovery, Duration::ZERO).is_ok());
        assert!(mail(MailKind::Confirmation, Duration::ZERO).is_ok());
        let error = mail(MailKind::Recovery, Duration::from_millis(1500)).unwrap_err();
        assert_eq!(error.message, "For security purposes, you can only request this after 59 seconds.");
        assert!(mail(MailKind::Recovery, Duration::from_secs(60)).is_ok());
    }

    #[test]
    fn guesses_are_counted_per_address_on_loopback_too() {
        let (limits, settings) = (Limits::new(), RateLimitSettings::default());
        let near = asker(PROJECT, Some([127, 0, 0, 1]), &settings);

        let refused = (0..11).filter(|_| limits.guess(&near, "a@b.c").is_err()).count();

        assert_eq!(refused, 1);
        assert!(limits.guess(&asker(OTHER, None, &settings), "a@b.c").is_ok());
    }
}
